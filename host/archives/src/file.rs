//! The file that an image lies in: a tar archive, or a directory with an OCI layout.
//!
//! A tar archive is read once for its names, then at the places that are asked for, in any order. What cannot be read so (a pipe, an
//! archive that is compressed as a whole) is copied to a file without a name first.
//!
//! Invariant: names of the archive are keys of a map; on the disk only `blobs/sha256/<digits>` and the fixed documents are opened.

use crate::layer::{self, Coding};
use crate::{Digest, Error, Result};
use mica_text::SafeText;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Members that an archive may have: images have a few hundred.
const MOST_MEMBERS: usize = 1 << 16;
/// Bytes that a document may have; a manifest of 500 layers has 100 KiB.
const MOST_DOCUMENT_BYTES: u64 = 4 << 20;
/// Bytes of what stands beside a member's own header: long names, and PAX records. The `tar` crate holds them in memory.
const MOST_HEADER_BYTES: u64 = 1 << 20;
/// How many times larger than its compressed form an archive may be, beyond the first bytes: layers compress to a third.
const MOST_EXPANSION: u64 = 100;
const FREE_BYTES: u64 = 256 << 20;
/// Links that lead from one name to another: Docker of version 1.10 wrote them where two images shared a layer.
const MOST_LINKS: usize = 4;

/// A file or directory that should hold an image.
#[derive(Debug)]
pub struct ImageFile {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Archive {
        file: Arc<File>,
        members: HashMap<Vec<u8>, Member>,
    },
    Directory(PathBuf),
}

#[derive(Debug)]
enum Member {
    Regular { at: u64, bytes: u64 },
    Link(Vec<u8>),
}

/// A piece of a file.
#[derive(Debug)]
pub(crate) struct Piece {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Piece {
    pub(crate) fn size(&self) -> u64 {
        self.left
    }
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let room = buffer.get_mut(..most).unwrap_or_default();
        let read = self.file.read_at(room, self.at)?;
        if read == 0 && !room.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl ImageFile {
    /// Opens a tar archive, plain or compressed by gzip, or a directory.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for what is neither.
    pub fn open(path: &Path) -> Result<Self> {
        let doing = || format!("read `{}`", path.display());
        let found = std::fs::metadata(path).map_err(Error::io(doing()))?;
        if found.is_dir() {
            let kind = Kind::Directory(path.to_owned());
            return Ok(Self { kind });
        }
        let file = File::open(path).map_err(Error::io(doing()))?;
        match found.is_file() {
            true => Self::of(file, &doing()),
            false => Self::of(spooled(file, &doing())?, &doing()),
        }
    }

    /// Takes a stream, which is copied to a file without a name in the directory for temporary files.
    ///
    /// # Errors
    /// As [`ImageFile::open`].
    pub fn read(from: impl Read) -> Result<Self> {
        let doing = "read the archive";
        Self::of(spooled(from, doing)?, doing)
    }

    fn of(mut file: File, doing: &str) -> Result<Self> {
        let coding = Coding::of(&mut file).map_err(Error::io(doing))?;
        file.seek(SeekFrom::Start(0)).map_err(Error::io(doing))?;
        let file = match coding {
            Coding::Plain => file,
            Coding::Gzip => {
                let packed = file.metadata().map_err(Error::io(doing))?.len();
                let most = FREE_BYTES.saturating_add(packed.saturating_mul(MOST_EXPANSION));
                spooled(layer::bounded(layer::gunzip(file), most), doing)?
            }
            Coding::Zstd => {
                return Err(Error::Malformed(
                    "the archive is compressed by zstd as a whole: `zstd -dc FILE | mica layer import -`".to_owned(),
                ));
            }
        };
        let members = members(&file, doing)?;
        let file = Arc::new(file);
        let kind = Kind::Archive { file, members };
        Ok(Self { kind })
    }

    /// A blob, if it is there.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Piece> {
        self.piece(&format!("blobs/sha256/{}", digest.digits()))?
            .ok_or_else(|| Error::Malformed(format!("blob {digest} is not in the archive")))
    }

    /// What lies under a name of the layout or, within an archive, any name.
    pub(crate) fn piece(&self, name: &str) -> Result<Option<Piece>> {
        match &self.kind {
            Kind::Archive { file, members } => {
                Ok(find(members, name.as_bytes()).map(|(at, bytes)| Piece {
                    file: Arc::clone(file),
                    at,
                    left: bytes,
                }))
            }
            Kind::Directory(path) => whole(&path.join(name)),
        }
    }

    /// Whether names of the archive can be looked up, which `manifest.json` needs.
    pub(crate) fn is_archive(&self) -> bool {
        matches!(self.kind, Kind::Archive { .. })
    }

    /// A document, read whole.
    pub(crate) fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let piece = self.piece(name)?;
        piece.map(|piece| document(piece, name)).transpose()
    }
}

/// Reads a document whole.
pub(crate) fn document(mut piece: Piece, name: &str) -> Result<Vec<u8>> {
    let shown = SafeText::label(name);
    if piece.size() > MOST_DOCUMENT_BYTES {
        return Err(Error::Malformed(format!(
            "`{shown}` has {} bytes; a document has no more than {MOST_DOCUMENT_BYTES}",
            piece.size()
        )));
    }
    let mut bytes = Vec::new();
    let read = piece.read_to_end(&mut bytes);
    read.map_err(Error::io(format!("read `{shown}`")))?;
    Ok(bytes)
}

fn whole(path: &Path) -> Result<Option<Piece>> {
    let doing = || format!("read `{}`", path.display());
    // To open a pipe or a device may take for ever, or do something.
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(Error::Malformed(format!(
                "`{}` is no regular file",
                path.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(doing())(error)),
    }
    let file = File::open(path).map_err(Error::io(doing()))?;
    let found = file.metadata().map_err(Error::io(doing()))?;
    Ok(Some(Piece {
        file: Arc::new(file),
        at: 0,
        left: found.len(),
    }))
}

/// Copies a stream to a file without a name.
fn spooled(mut from: impl Read, doing: &str) -> Result<File> {
    let mut file = tempfile::tempfile().map_err(Error::io("make a temporary file"))?;
    io::copy(&mut from, &mut file).map_err(Error::io(doing))?;
    file.seek(SeekFrom::Start(0)).map_err(Error::io(doing))?;
    Ok(file)
}

/// Refuses an archive whose headers nobody should hold in memory, before anyone does.
fn check_headers(mut file: &File, doing: &str) -> Result<()> {
    let mut archive = tar::Archive::new(BufReader::new(file));
    let entries = archive
        .entries_with_seek()
        .map_err(|error| broken(doing, error))?;
    let mut count = 0_usize;
    for entry in entries.raw(true) {
        let entry = entry.map_err(|error| broken(doing, error))?;
        let kind = entry.header().entry_type();
        let is_beside = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_global_extensions()
            || kind.is_pax_local_extensions();
        if is_beside && entry.size() > MOST_HEADER_BYTES {
            return Err(Error::Malformed(format!(
                "{doing}: a member has more than {MOST_HEADER_BYTES} bytes of names and records"
            )));
        }
        count += 1;
        if count > MOST_MEMBERS {
            return Err(Error::Malformed(format!(
                "the archive has more than {MOST_MEMBERS} members"
            )));
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(Error::io(doing))?;
    Ok(())
}

fn broken(doing: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::Malformed(format!("{doing}: it is no tar archive, or a cut one"))
        }
        _ => Error::io(doing)(error),
    }
}

/// Where the members of a tar archive lie; a later one replaces an earlier one of its name.
fn members(file: &File, doing: &str) -> Result<HashMap<Vec<u8>, Member>> {
    let broken = |error| broken(doing, error);
    check_headers(file, doing)?;
    let mut members = HashMap::new();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let end = file.metadata().map_err(Error::io(doing))?.len();
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = normal(&entry.path_bytes());
        let kind = entry.header().entry_type();
        let (at, bytes) = (entry.raw_file_position(), entry.size());
        let member = if kind.is_file() {
            if at.checked_add(bytes).is_none_or(|until| until > end) {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            Member::Regular { at, bytes }
        } else if let (true, Some(target)) = (
            kind.is_symlink() || kind.is_hard_link(),
            entry.link_name_bytes(),
        ) {
            let above = match kind.is_symlink() {
                true => name
                    .rsplitn(2, |byte| *byte == b'/')
                    .nth(1)
                    .unwrap_or_default(),
                false => &[],
            };
            Member::Link(normal(&[above, b"/", &target].concat()))
        } else {
            continue;
        };
        members.insert(name, member);
    }
    Ok(members)
}

/// A name without `.`, `..` and doubled slashes. It is a key, so that what leads above the top leads to the top.
fn normal(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// A member by its name, through links.
fn find(members: &HashMap<Vec<u8>, Member>, name: &[u8]) -> Option<(u64, u64)> {
    let mut name = normal(name);
    for _ in 0..=MOST_LINKS {
        match members.get(&name)? {
            Member::Regular { at, bytes } => return Some((*at, *bytes)),
            Member::Link(target) => name.clone_from(target),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, tar::EntryType, &str)]) -> File {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for (name, kind, text) in members {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let content = if kind.is_file() { *text } else { "" };
            header.set_size(content.len() as u64);
            if kind.is_file() {
                builder
                    .append_data(&mut header, name, content.as_bytes())
                    .unwrap();
            } else {
                builder.append_link(&mut header, name, text).unwrap();
            }
        }
        let mut file = builder.into_inner().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    #[test]
    fn names_are_looked_up_through_links_and_never_opened() {
        use tar::EntryType::{Link, Regular, Symlink};
        let file = archive(&[
            ("a/layer.tar", Regular, "one"),
            ("b/layer.tar", Symlink, "../a/layer.tar"),
            ("c/layer.tar", Link, "b/layer.tar"),
            ("loop", Symlink, "loop"),
            ("out", Symlink, "../../../../etc/passwd"),
        ]);
        let file = ImageFile::of(file, "read it").unwrap();
        for name in ["a/layer.tar", "./b//layer.tar", "c/layer.tar"] {
            assert_eq!(file.document(name).unwrap().unwrap(), b"one", "{name}");
        }
        for name in ["loop", "out", "d", "/etc/passwd"] {
            assert!(file.document(name).unwrap().is_none(), "{name}");
        }
    }

    #[test]
    fn a_name_that_nobody_should_hold_in_memory_is_refused() {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(MOST_HEADER_BYTES + 1);
        header.set_cksum();
        let name = io::repeat(b'a').take(MOST_HEADER_BYTES + 1);
        builder.append(&header, name).unwrap();
        let mut file = builder.into_inner().unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let error = ImageFile::of(file, "read it").unwrap_err().to_string();
        assert!(error.contains("bytes of names and records"), "{error}");
    }

    #[test]
    fn what_is_cut_or_no_archive_is_told() {
        let file = archive(&[("a", tar::EntryType::Regular, "text")]);
        file.set_len(514).unwrap();
        let junk = tempfile::tempfile().unwrap();
        junk.write_all_at(&[7; 2048], 0).unwrap();
        for file in [file, junk] {
            let error = ImageFile::of(file, "read it").unwrap_err().to_string();
            assert_eq!(error, "read it: it is no tar archive, or a cut one");
        }
    }
}
