//! The types of the contract as they are written in traces.
//!
//! Invariant: a field or a case that the contract gains does not compile until it is here.

use super::codec::{Malformed, Read, Reader, Taped, Writer};
use crate::bindings::exports::mica::driver::diff_driver as answers;
use crate::bindings::mica::driver::types as driver;
use crate::bindings::mica::host::{btrfs, directory, filesystem, home, images, mounts, types};
use std::fmt::Write as _;
use wasmtime::component::Resource;

/// A handle: the number by which host and guest know it.
impl<T: 'static> Taped for Resource<T> {
    fn put(&self, to: &mut Writer) {
        to.number(self.rep().into());
    }
    fn take(from: &mut Reader<'_>) -> Read<Self> {
        u32::take(from).map(Self::new_own)
    }
    fn show(&self, to: &mut String) {
        let _written = write!(to, "#{}", self.rep());
    }
}

/// A name of Rust's as WIT has it.
pub(crate) fn put_name(name: &str, to: &mut String) {
    for (place, character) in name.char_indices() {
        if character.is_ascii_uppercase() && place > 0 {
            to.push('-');
        }
        match character {
            '_' => to.push('-'),
            other => to.push(other.to_ascii_lowercase()),
        }
    }
}

macro_rules! records {
    ($($record:path { $($field:ident),* $(,)? })*) => {$(
        impl Taped for $record {
            fn put(&self, to: &mut Writer) {
                let Self { $($field),* } = self;
                $($field.put(to);)*
            }
            fn take(from: &mut Reader<'_>) -> Read<Self> {
                $(let $field = Taped::take(from)?;)*
                Ok(Self { $($field),* })
            }
            fn show(&self, to: &mut String) {
                let mut separator = "{";
                $(
                    to.push_str(separator);
                    put_name(stringify!($field), to);
                    to.push_str(": ");
                    self.$field.show(to);
                    separator = ", ";
                )*
                let _last = separator;
                to.push('}');
            }
        }
    )*};
}

macro_rules! variants {
    ($($variant:path { $($number:literal $case:ident $(($value:ident))?),* $(,)? })*) => {$(
        impl Taped for $variant {
            fn put(&self, to: &mut Writer) {
                match self {
                    $(Self::$case $(($value))? => {
                        to.byte($number);
                        $($value.put(to);)?
                    })*
                }
            }
            fn take(from: &mut Reader<'_>) -> Read<Self> {
                Ok(match from.byte()? {
                    $($number => {
                        $(let $value = Taped::take(from)?;)?
                        Self::$case $(($value))?
                    })*
                    _ => return Err(Malformed),
                })
            }
            fn show(&self, to: &mut String) {
                match self {
                    $(Self::$case $(($value))? => {
                        put_name(stringify!($case), to);
                        $(
                            to.push('(');
                            $value.show(to);
                            to.push(')');
                        )?
                    })*
                }
            }
        }
    )*};
}

records! {
    types::Failure { code, message }
    types::Change { path, kind }
    directory::Timestamp { seconds, nanoseconds }
    directory::Xattr { name, value }
    directory::Attributes {
        kind, mode, uid, gid, size, links, inode, device, major, minor, modified, changed,
    }
    directory::Entry { name, attributes, xattrs }
    directory::Ownership { uid, gid }
    directory::AttributeChanges { owner, mode, modified, xattrs }
    filesystem::Identity { magic, name }
    filesystem::Space { total_bytes, free_bytes, total_inodes, free_inodes }
    home::Layer { id, parent, kind }
    images::Archive { bytes, sha256 }
    btrfs::Subvolume { id, access }
    btrfs::Usage { referenced_bytes, exclusive_bytes, limit_bytes }
    btrfs::Touched { directory, names }
    btrfs::Lineage { made, touched }
    driver::HostFailure { doing, failure }
    answers::LeftOut { reason, path, attribute }
    answers::DiffReport { entries, archive_bytes, left_out_count, first_left_out }
    answers::ApplyReport { size_bytes, entries, xattrs_skipped, first_left_out }
}

variants! {
    types::Code {
        0 NotFound, 1 Exists, 2 NotADirectory, 3 IsADirectory, 4 Symlink, 5 NotEmpty, 6 Busy, 7 CrossDevice, 8 ReadOnly,
        9 Denied, 10 InvalidName, 11 NameTooLong, 12 Invalid, 13 NoSpace, 14 TooManyLinks, 15 Limit, 16 NotSupported,
        17 Closed, 18 Truncated, 19 TimedOut, 20 Io,
    }
    types::ChangeKind { 0 Modify, 1 Add, 2 Delete }
    directory::NodeKind {
        0 Regular, 1 Directory, 2 Symlink, 3 BlockDevice, 4 CharacterDevice, 5 Fifo, 6 Socket,
    }
    directory::Node { 0 Fifo, 1 Socket, 2 BlockDevice(numbers), 3 CharacterDevice(numbers) }
    directory::Copied { 0 Reflink, 1 Bytes }
    filesystem::Feature { 0 DType, 1 Reflink, 2 Overlay, 3 OverlayNativeDiff, 4 Images }
    filesystem::Support { 0 Available, 1 Missing(why) }
    home::LayerKind { 0 Content, 1 ReadWrite }
    mounts::Access { 0 ReadOnly, 1 ReadWrite }
    btrfs::Counting { 0 Off, 1 Begun, 2 On, 3 Simple }
    crate::bindings::mica::host::log::Level { 0 Debug, 1 Info, 2 Warn, 3 Error }
    answers::LeftOutReason { 0 Socket, 1 ReservedName, 2 WhiteoutDevice, 3 Attribute }
    driver::Error {
        0 NotSupported(text), 1 Prerequisites(text), 2 IncompatibleFs(text), 3 NotFound(text), 4 Exists(text), 5 Busy(text),
        6 Invalid(text), 7 InvalidArchive(text), 8 Host(failure),
    }
}
