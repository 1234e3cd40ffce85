//! Where host calls pass: the one place between a guest and the functions of `mica:host`.
//!
//! Every interface is linked to a [`Boundary`], which writes the call down, or answers it from what was written down, and hands it
//! on to the capability. It implements the traits that are made of the contract, so a function that the contract gains does not
//! compile until it is in the table.
//!
//! Invariant: no capability is reached but through here, and what passes is not changed.

use super::directory::Directory;
use super::file::File;
use super::home::StagedLayer;
use super::listing::Listing;
use super::mounts::Mount;
use super::streams::{ChangeSink, Sink, Source};
use super::{HostError, HostResult, State};
use crate::Failure;
use crate::bindings::mica::host::{
    btrfs, config, directory, filesystem, home, images, log, mounts, streams, types,
};
use crate::trace::codec::{Malformed, Read, Reader, Taped, Writer};
use crate::trace::tape::{ANOTHER_WAY, NO_SENSE, Tape, Told};
use crate::trace::words::put_name;
use btrfs::{Counting, Lineage, Subvolume, Usage};
use directory::{AttributeChanges, Attributes, Copied, Entry};
use filesystem::{Feature, Identity, Space, Support};
use home::Layer;
use log::Level;
use mounts::Access;
use types::Change;
use wasmtime::component::{HasData, Resource};

/// What a function returns that tells the guest of no failure.
type Plain<T> = wasmtime::Result<T>;

/// The state of an operation as the linker's functions reach it.
pub(crate) struct Boundary<'a>(&'a mut State);

/// How the linker comes to it.
pub(crate) fn of(state: &mut State) -> Boundary<'_> {
    Boundary(state)
}

impl Boundary<'_> {
    /// The answer to a call, if it is not for the capability to give.
    fn ask<T: Told>(&mut self, function: u8, arguments: impl FnOnce(&mut Writer)) -> Option<T> {
        if let Some(times) = &mut self.0.times {
            times.begin(function);
        }
        match &mut self.0.tape {
            Tape::Off => None,
            Tape::Recording(recording) => {
                recording.ask(function, arguments);
                None
            }
            Tape::Playing(playing) => {
                // A guest that calls makes progress.
                let _counted = self.0.meter.count_call();
                let Some(answer) = playing.lock().ask(function, arguments) else {
                    return Some(T::ended(ANOTHER_WAY));
                };
                let told = T::take(&mut Reader::new(&answer));
                Some(told.unwrap_or_else(|Malformed| T::ended(NO_SENSE)))
            }
        }
    }

    fn note(&mut self, answer: &impl Told) {
        if let Some(times) = &mut self.0.times {
            times.end(answer.end());
        }
        if let Tape::Recording(recording) = &mut self.0.tape {
            recording.note(|to| answer.put(to));
        }
    }
}

/// How the linker names it.
pub(crate) struct Passing;

impl HasData for Passing {
    type Data<'a> = Boundary<'a>;
}

impl types::Host for Boundary<'_> {
    fn convert_failure(&mut self, error: HostError) -> wasmtime::Result<Failure> {
        self.0.convert_failure(error)
    }
}

/// The place of a function in the table.
#[expect(clippy::indexing_slicing, reason = "it runs when it is compiled")]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a table of more than 255 functions does not compile"
)]
const fn place_of(name: &str) -> u8 {
    assert!(FUNCTIONS.len() <= 255, "a place has one byte");
    let name = name.as_bytes();
    let mut place = 0;
    while place < FUNCTIONS.len() {
        let known = FUNCTIONS[place].as_bytes();
        let mut at = 0;
        while at < known.len() && known.len() == name.len() && known[at] == name[at] {
            at += 1;
        }
        if at == name.len() && known.len() == name.len() {
            return place as u8;
        }
        place += 1;
    }
    panic!("no function is called so")
}

/// Makes the table and what passes of one list: for each interface or resource its trait and the word for it, and its functions.
macro_rules! boundary {
    ($($interface:ident::$trait:ident as $label:literal {
        $($function:ident($($argument:ident: $type:ty),* $(,)?) -> $wrap:ident<$answer:ty>;)*
    })*) => {
        /// The functions of `mica:host` and the ends of its handles.
        pub(crate) const FUNCTIONS: &[&str] = &[$($(concat!($label, ".", stringify!($function)),)*)*];

        $(impl $interface::$trait for Boundary<'_> {$(
            fn $function(&mut self, $($argument: $type),*) -> $wrap<$answer> {
                const PLACE: u8 = place_of(concat!($label, ".", stringify!($function)));
                let told = self.ask(PLACE, |_to| {
                    $($argument.put(_to);)*
                });
                if let Some(answer) = told {
                    return answer;
                }
                let answer = <State as $interface::$trait>::$function(self.0, $($argument),*);
                self.note(&answer);
                answer
            }
        )*})*

        /// Shows the arguments of a call, and what was answered if that is given.
        pub(crate) fn show(
            function: u8,
            arguments: &[u8],
            answer: Option<&[u8]>,
        ) -> Read<(String, String)> {
            let mut from = Reader::new(arguments);
            let _from = &mut from;
            let (mut shown, mut told) = (String::new(), String::new());
            $($({
                const PLACE: u8 = place_of(concat!($label, ".", stringify!($function)));
                if PLACE == function {
                    $(show_argument::<$type>(stringify!($argument), _from, &mut shown)?;)*
                    if let Some(answer) = answer {
                        <$wrap<$answer> as Told>::take(&mut Reader::new(answer))?.show(&mut told);
                    }
                    return Ok((shown, told));
                }
            })*)*
            Err(Malformed)
        }
    };
}

/// Whether a function is the end of a handle.
pub(crate) fn is_drop(function: u8) -> bool {
    let name = FUNCTIONS.get(usize::from(function));
    name.is_some_and(|name| name.ends_with(".drop"))
}

fn show_argument<T: Taped>(name: &str, from: &mut Reader<'_>, to: &mut String) -> Read<()> {
    from.cut_from = None;
    let value = T::take(from)?;
    if !to.is_empty() {
        to.push(' ');
    }
    put_name(name, to);
    to.push('=');
    value.show(to);
    if let Some(bytes) = from.cut_from {
        to.push_str(&format!("… ({bytes} bytes)"));
    }
    Ok(())
}

boundary! {
    directory::Host as "" {}
    directory::HostDirectory as "directory" {
        get_attributes(this: Resource<Directory>, wanted: Vec<String>) -> HostResult<Entry>;
        set_attributes(this: Resource<Directory>, changes: AttributeChanges) -> HostResult<()>;
        list(this: Resource<Directory>, wanted: Vec<String>) -> HostResult<Resource<Listing>>;
        stat(this: Resource<Directory>, name: Vec<u8>, wanted: Vec<String>) -> HostResult<Entry>;
        open_directory(this: Resource<Directory>, name: Vec<u8>) -> HostResult<Resource<Directory>>;
        open_file(this: Resource<Directory>, name: Vec<u8>) -> HostResult<Resource<File>>;
        create_directory(this: Resource<Directory>, name: Vec<u8>, mode: u32) -> HostResult<Resource<Directory>>;
        create_file(this: Resource<Directory>, name: Vec<u8>, mode: u32) -> HostResult<Resource<File>>;
        create_symlink(this: Resource<Directory>, name: Vec<u8>, target: Vec<u8>) -> HostResult<()>;
        create_node(this: Resource<Directory>, name: Vec<u8>, made: directory::Node, mode: u32) -> HostResult<()>;
        read_link(this: Resource<Directory>, name: Vec<u8>) -> HostResult<Vec<u8>>;
        same_content(
            this: Resource<Directory>, name: Vec<u8>, other: Resource<Directory>, other_name: Vec<u8>,
        ) -> HostResult<bool>;
        link(
            this: Resource<Directory>, name: Vec<u8>, target: Resource<Directory>, new_name: Vec<u8>,
        ) -> HostResult<()>;
        rename(
            this: Resource<Directory>, name: Vec<u8>, target: Resource<Directory>, new_name: Vec<u8>,
        ) -> HostResult<()>;
        set_entry_attributes(this: Resource<Directory>, name: Vec<u8>, changes: AttributeChanges) -> HostResult<()>;
        copy_xattrs(
            this: Resource<Directory>, name: Vec<u8>, original: Resource<Directory>, original_name: Vec<u8>,
        ) -> HostResult<()>;
        copy_own_xattrs(this: Resource<Directory>, original: Resource<Directory>) -> HostResult<()>;
        clear_own_xattrs(this: Resource<Directory>) -> HostResult<()>;
        remove_file(this: Resource<Directory>, name: Vec<u8>) -> HostResult<()>;
        remove_directory(this: Resource<Directory>, name: Vec<u8>) -> HostResult<()>;
        remove_tree(this: Resource<Directory>, name: Vec<u8>) -> HostResult<()>;
        drop(this: Resource<Directory>) -> Plain<()>;
    }
    directory::HostListing as "listing" {
        next(this: Resource<Listing>) -> HostResult<Vec<Entry>>;
        drop(this: Resource<Listing>) -> Plain<()>;
    }
    directory::HostFile as "file" {
        get_attributes(this: Resource<File>) -> HostResult<Attributes>;
        set_attributes(this: Resource<File>, changes: AttributeChanges) -> HostResult<()>;
        read(this: Resource<File>, offset: u64, length: u32) -> HostResult<Vec<u8>>;
        write(this: Resource<File>, offset: u64, bytes: Vec<u8>) -> HostResult<()>;
        set_size(this: Resource<File>, size: u64) -> HostResult<()>;
        copy_content(this: Resource<File>, original: Resource<File>) -> HostResult<Copied>;
        drop(this: Resource<File>) -> Plain<()>;
    }
    streams::Host as "" {}
    streams::HostSink as "sink" {
        write(this: Resource<Sink>, bytes: Vec<u8>) -> HostResult<()>;
        copy_from(this: Resource<Sink>, file: Resource<File>, offset: u64, length: u64) -> HostResult<()>;
        drop(this: Resource<Sink>) -> Plain<()>;
    }
    streams::HostSource as "source" {
        read(this: Resource<Source>, length: u32) -> HostResult<Vec<u8>>;
        copy_to(this: Resource<Source>, file: Resource<File>, offset: u64, length: u64) -> HostResult<()>;
        skip(this: Resource<Source>, length: u64) -> HostResult<()>;
        drop(this: Resource<Source>) -> Plain<()>;
    }
    streams::HostChangeSink as "change-sink" {
        push(this: Resource<ChangeSink>, changes: Vec<Change>) -> HostResult<()>;
        drop(this: Resource<ChangeSink>) -> Plain<()>;
    }
    mounts::Host as "mounts" {
        overlay(
            lowers: Vec<Resource<Directory>>, upper: Resource<Directory>, work: Resource<Directory>, label: Option<String>,
        ) -> HostResult<Resource<Mount>>;
        overlay_view(lowers: Vec<Resource<Directory>>, label: Option<String>) -> HostResult<Resource<Mount>>;
        bind(directory: Resource<Directory>, access: Access) -> HostResult<Resource<Mount>>;
        make_opaque(directory: Resource<Directory>) -> HostResult<()>;
        make_whiteout(directory: Resource<Directory>, name: Vec<u8>) -> HostResult<()>;
        opaque_xattr() -> Plain<String>;
    }
    mounts::HostMount as "mount" {
        root(this: Resource<Mount>) -> HostResult<Resource<Directory>>;
        drop(this: Resource<Mount>) -> Plain<()>;
    }
    home::Host as "home" {
        exists(id: String) -> HostResult<bool>;
        inspect(id: String) -> HostResult<Layer>;
        ancestors(id: String) -> HostResult<Vec<String>>;
        list(after: Option<String>) -> HostResult<Vec<String>>;
        open(id: String) -> HostResult<Resource<Directory>>;
        stage() -> HostResult<Resource<StagedLayer>>;
        publish(layer: Resource<StagedLayer>, id: String) -> HostResult<()>;
        discard(id: String) -> HostResult<()>;
    }
    home::HostStagedLayer as "staged-layer" {
        room(this: Resource<StagedLayer>) -> HostResult<Resource<Directory>>;
        drop(this: Resource<StagedLayer>) -> Plain<()>;
    }
    filesystem::Host as "filesystem" {
        identify() -> HostResult<Identity>;
        measure() -> HostResult<Space>;
        supports(feature: Feature) -> HostResult<Support>;
    }
    btrfs::Host as "btrfs" {
        create_subvolume(parent: Resource<Directory>, name: Vec<u8>, mode: u32) -> HostResult<Resource<Directory>>;
        snapshot(
            original: Resource<Directory>, target: Resource<Directory>, name: Vec<u8>, access: Access,
        ) -> HostResult<Resource<Directory>>;
        remove_subvolume(parent: Resource<Directory>, name: Vec<u8>) -> HostResult<()>;
        inspect(subvolume: Resource<Directory>) -> HostResult<Subvolume>;
        since(room: Resource<Directory>, name: Vec<u8>, original: Resource<Directory>) -> HostResult<Option<Lineage>>;
        set_access(subvolume: Resource<Directory>, access: Access) -> HostResult<()>;
        counts() -> HostResult<Counting>;
        start_counting() -> HostResult<()>;
        set_limit(subvolume: Resource<Directory>, bytes: Option<u64>) -> HostResult<()>;
        measure(subvolume: Resource<Directory>) -> HostResult<Option<Usage>>;
        start_sync() -> HostResult<()>;
    }
    images::Host as "images" {
        keep(room: Resource<Directory>, archive: Resource<Source>) -> HostResult<()>;
        kept(archive: Resource<Source>) -> HostResult<images::Archive>;
        again(room: Resource<Directory>) -> HostResult<Resource<Source>>;
        seal(room: Resource<Directory>, archive: Resource<Source>) -> HostResult<()>;
        open(room: Resource<Directory>) -> HostResult<Resource<Directory>>;
        send(room: Resource<Directory>, sink: Resource<Sink>) -> HostResult<()>;
    }
    log::Host as "log" {
        write(level: Level, message: String) -> Plain<()>;
    }
    config::Host as "config" {
        options() -> Plain<Vec<(String, String)>>;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What the contract calls its functions, and the ends of its resources.
    fn functions_of_the_contract() -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for file in [
            include_str!("../../../../wit/deps/host/btrfs.wit"),
            include_str!("../../../../wit/deps/host/config.wit"),
            include_str!("../../../../wit/deps/host/directory.wit"),
            include_str!("../../../../wit/deps/host/filesystem.wit"),
            include_str!("../../../../wit/deps/host/home.wit"),
            include_str!("../../../../wit/deps/host/images.wit"),
            include_str!("../../../../wit/deps/host/log.wit"),
            include_str!("../../../../wit/deps/host/mounts.wit"),
            include_str!("../../../../wit/deps/host/streams.wit"),
        ] {
            let (mut interface, mut resource) = ("", None);
            for line in file.lines() {
                let indent = line.len() - line.trim_start().len();
                let words: Vec<_> = line.split_whitespace().collect();
                match words.as_slice() {
                    ["interface", name, ..] => interface = name,
                    ["resource", name, ..] => {
                        resource = Some(*name);
                        names.insert(format!("{name}.drop"));
                    }
                    ["}", ..] if indent == 4 => resource = None,
                    _ => {}
                }
                if let Some((name, _)) = line.trim().split_once(": func(") {
                    let name = name.trim_start_matches('%');
                    names.insert(format!("{}.{name}", resource.unwrap_or(interface)));
                }
            }
        }
        names
    }

    #[test]
    fn the_table_has_the_functions_of_the_contract_by_their_names() {
        let table = FUNCTIONS.iter().map(|name| {
            let mut shown = String::new();
            put_name(name, &mut shown);
            shown
        });
        assert_eq!(table.collect::<BTreeSet<_>>(), functions_of_the_contract());
    }
}
