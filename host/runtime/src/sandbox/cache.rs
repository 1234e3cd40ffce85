//! Checked and compiled components, kept between starts.
//!
//! ```text
//! <directory>/<key>        the SHA-256 of the rest, 32 bytes; an answer of the compiler: facts and code
//! <directory>/<key>.new    one that is being written
//! ```
//!
//! A file for each component in a directory that only this user can enter, which is opened once and used by its descriptor.
//! The key is a digest of the component and of everything that makes another answer of it. What is found there was written
//! here; nothing from outside ever gets in. A disk can still give back other bytes than it got, and machine code with one bit
//! flipped would take the whole process with it. So a file is read into memory, its digest is compared, and what is mapped is
//! what was compared.
//!
//! Invariant: the only unsafe code outside `mica-sys`: wasmtime cannot check machine code, so loading it is unsafe.

use super::child::{Header, Outcome, decode, encode};
use super::prepare::Prepared;
use crate::{Error, Limits};
use mica_sys::{Name, filesystem, node};
use mica_text::hex;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;
/// The shape of what is kept of a component beside its code: the second has its manifest.
const FACTS: u32 = 2;
/// Files that are kept: many times the drivers of a node, with the builds that they replaced.
const MAX_FILES: usize = 64;
/// What the name of one that is being written ends with.
const DRAFT: &[u8] = b".new";

/// A directory of compiled code.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    directory: OwnedFd,
}

/// The name under which what became of a component is kept.
pub(super) fn key(engine: &Engine, bytes: &[u8], limits: &Limits) -> String {
    struct Sink(Sha256);
    impl Hasher for Sink {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut sink = Sink(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sink);
    env!("CARGO_PKG_VERSION").hash(&mut sink);
    FACTS.hash(&mut sink);
    // What was admitted under other limits has to be looked at again.
    limits.component_functions.hash(&mut sink);
    limits.component_names.hash(&mut sink);
    limits.component_instances.hash(&mut sink);
    limits.component_memories.hash(&mut sink);
    limits.component_tables.hash(&mut sink);
    limits.function_bytes.hash(&mut sink);
    limits.compiled_bytes.hash(&mut sink);
    sink.0.update(Sha256::digest(mica_artifacts::NAIVE_DIFF));
    sink.0.update(Sha256::digest(bytes));
    hex(&sink.0.finalize())
}

/// Turns code that this program compiled into a component.
#[expect(unsafe_code, reason = "wasmtime cannot check machine code")]
pub(super) fn load(engine: &Engine, code: &[u8]) -> Result<Component, Error> {
    // SAFETY: the bytes come from this program's own compiler, by way of memory, of the pipe to its own child, or of
    // a file in a directory that only this user can write (`Cache::open`), with the digest that was written with them and
    // under a name that includes the engine's compatibility hash.
    unsafe { Component::deserialize(engine, code) }.map_err(|error| {
        Error::rejected(
            format!("it does not fit into the sandbox: {error:#}"),
            "build it with fewer instances, memories and tables, and less memory at the start, or raise \
             `component_instances`, `component_memories`, `component_tables` or `memory_bytes`",
        )
    })
}

impl Cache {
    /// Opens the directory, or makes it.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let failed =
            |error: io::Error| Error::runtime(format!("code cache `{}`", path.display()), error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let directory = filesystem::open_directory_itself(&path).map_err(failed)?;
        let found = node::stat_fd(directory.as_fd()).map_err(failed)?;
        let own = fs::metadata("/proc/self").map_err(failed)?;
        if found.mode & 0o077 != 0 || found.uid != own.uid() {
            return Err(Error::Runtime(format!(
                "code cache `{}` must be a directory of this user with mode 0700: machine code is loaded from it",
                path.display()
            ).into()));
        }
        Ok(Self { path, directory })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is something under a key, whatever its state.
    pub(super) fn has(&self, key: &str) -> bool {
        name(key).is_ok_and(|name| node::open_regular(self.directory.as_fd(), &name).is_ok())
    }

    /// Looks a component up. A file that is damaged is removed, so that the component is compiled anew.
    pub(super) fn find(&self, key: &str) -> Option<Prepared> {
        match self.read(key) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.drop_damaged(key, &error);
                None
            }
        }
    }

    /// Removes a file that cannot be used.
    pub(super) fn drop_damaged(&self, key: &str, why: &dyn std::fmt::Display) {
        tracing::warn!(
            "compiled code `{}` cannot be used and is made anew: {why}",
            self.path.join(key).display()
        );
        self.forget(key);
    }

    /// Removes a file, if there is one.
    pub(super) fn forget(&self, key: &str) {
        let removed = name(key)
            .and_then(|name| remove_if_there(node::remove_file(self.directory.as_fd(), &name)));
        if let Err(error) = removed {
            tracing::warn!("code cache `{}`: {error}", self.path.display());
        }
    }

    fn read(&self, key: &str) -> io::Result<Prepared> {
        let file = node::open_regular(self.directory.as_fd(), &name(key)?)?;
        let mut bytes = Vec::new();
        File::from(file).read_to_end(&mut bytes)?;
        match decode(answer_of(&bytes)?) {
            Ok((
                Header {
                    outcome: Outcome::Accepted(facts),
                    ..
                },
                code,
            )) => Ok(Prepared {
                facts,
                code: code.to_vec(),
            }),
            _ => Err(damaged("it was not written by this program")),
        }
    }

    /// Keeps a component. A cache that cannot be written only costs time.
    pub(super) fn keep(&self, key: &str, prepared: &Prepared) {
        if let Err(error) = self.write(key, prepared) {
            tracing::warn!("code cache `{}`: {error}", self.path.display());
        }
    }

    fn write(&self, key: &str, prepared: &Prepared) -> io::Result<()> {
        let header = Header {
            lacks: Vec::new(),
            outcome: Outcome::Accepted(prepared.facts.clone()),
        };
        let answer = encode(&header, &prepared.code).map_err(io::Error::other)?;
        let directory = self.directory.as_fd();
        let (kept, draft) = (name(key)?, name(&format!("{key}.new"))?);
        remove_if_there(node::remove_file(directory, &draft))?;
        let mut file = File::from(node::create_regular(directory, &draft, 0o600)?);
        file.write_all(&Sha256::digest(&answer))?;
        file.write_all(&answer)?;
        // A power cut may leave a part of it, which its digest would tell; but it would cost the next start the time again.
        file.sync_all()?;
        remove_if_there(node::remove_file(directory, &kept))?;
        node::rename(directory, &draft, directory, &kept)?;
        self.remove_old()
    }

    /// Removes the oldest files if there are too many: builds that no one loads any more, and drafts of a killed daemon.
    fn remove_old(&self) -> io::Result<()> {
        let mut files = Vec::new();
        // The kernel's name for the directory that was opened, wherever it is by now.
        for entry in fs::read_dir(format!("/proc/self/fd/{}", self.directory.as_raw_fd()))? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.file_name()));
        }
        files.sort();
        for (_, file) in files.iter().take(files.len().saturating_sub(MAX_FILES)) {
            let name = Name::new(file.as_bytes()).map_err(io::Error::other)?;
            remove_if_there(node::remove_file(self.directory.as_fd(), &name))?;
        }
        Ok(())
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What stands in a file behind its digest.
fn answer_of(bytes: &[u8]) -> io::Result<&[u8]> {
    let (digest, answer) = bytes
        .split_at_checked(DIGEST_BYTES)
        .ok_or_else(|| damaged("it is too short"))?;
    match *digest == *Sha256::digest(answer) {
        true => Ok(answer),
        false => Err(damaged("its digest is another")),
    }
}

/// The files of a code cache that are not what was written, each with the reason. Nothing is changed.
///
/// # Errors
/// What listing the directory says; none if there is no directory.
pub fn inspect(directory: &Path) -> io::Result<Vec<(PathBuf, io::Error)>> {
    let opened = match filesystem::open_directory_itself(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut found = Vec::new();
    for bytes in node::names(opened.as_fd())? {
        let read = || -> io::Result<()> {
            let name = Name::new(&bytes).map_err(io::Error::other)?;
            if bytes.ends_with(DRAFT) {
                return Err(damaged("it is a draft that was never whole"));
            }
            let mut read = Vec::new();
            File::from(node::open_regular(opened.as_fd(), &name)?).read_to_end(&mut read)?;
            answer_of(&read).map(drop)
        };
        if let Err(error) = read() {
            found.push((directory.join(OsStr::from_bytes(&bytes)), error));
        }
    }
    Ok(found)
}

fn name(text: &str) -> io::Result<Name> {
    Name::new(text.as_bytes()).map_err(io::Error::other)
}

fn remove_if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::admission;
    use std::time::{Duration, SystemTime};

    fn prepared() -> Prepared {
        let (_, bytes) = mica_artifacts::components().next().unwrap();
        Prepared {
            facts: admission::check(bytes, &Limits::default()).unwrap(),
            code: b"machine code".repeat(100),
        }
    }

    #[test]
    fn a_file_with_any_bit_flipped_or_cut_anywhere_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("code-cache");
        let cache = Cache::open(path.clone()).unwrap();
        assert!(cache.find("key").is_none());
        cache.keep("key", &prepared());
        assert_eq!(cache.find("key").unwrap().code, prepared().code);
        let whole = fs::read(path.join("key")).unwrap();
        for at in (0..whole.len()).step_by(37) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            for bytes in [&bytes[..], &whole[..at]] {
                fs::write(path.join("key"), bytes).unwrap();
                assert!(cache.find("key").is_none(), "{at}");
                assert!(!path.join("key").exists(), "{at}");
            }
        }
        cache.keep("key", &prepared());
        cache.keep("key", &prepared());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no draft is left");
        assert!(inspect(&path).unwrap().is_empty());
        fs::write(path.join("other.new"), &whole).unwrap();
        fs::write(path.join("cut"), &whole[1..]).unwrap();
        assert_eq!(inspect(&path).unwrap().len(), 2);
    }

    #[test]
    fn the_oldest_files_make_room() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::open(place.path().join("c")).unwrap();
        let (prepared, before) = (prepared(), SystemTime::UNIX_EPOCH);
        for number in 0..MAX_FILES + 5 {
            let key = format!("key-{number}");
            cache.keep(&key, &prepared);
            let file = File::options()
                .write(true)
                .open(cache.path.join(key))
                .unwrap();
            file.set_modified(before + Duration::from_secs(number as u64))
                .unwrap();
        }
        let found = |number: usize| cache.find(&format!("key-{number}")).is_some();
        assert_eq!(fs::read_dir(&cache.path).unwrap().count(), MAX_FILES);
        assert!(!found(0) && !found(4) && found(5) && found(MAX_FILES + 4));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::open(place.path().join("c")).unwrap();
        let name = Name::new(b"key").unwrap();
        node::create_fifo(cache.directory.as_fd(), &name, 0o600).unwrap();
        assert!(cache.find("key").is_none());
        std::os::unix::fs::symlink("/etc/passwd", cache.path.join("key")).unwrap();
        assert!(cache.find("key").is_none());
        cache.keep("key", &prepared());
        assert!(cache.find("key").is_some());
    }

    #[test]
    fn the_directory_is_used_by_its_descriptor_and_is_no_link() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let cache = Cache::open(at("real")).unwrap();
        cache.keep("key", &prepared());
        fs::rename(at("real"), at("moved")).unwrap();
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/key"), "planted").unwrap();
        assert!(
            cache.find("key").is_some(),
            "it goes on in its own directory"
        );
        std::os::unix::fs::symlink(at("moved"), at("link")).unwrap();
        Cache::open(at("link")).unwrap_err();
        let open_to_all = Cache::open(at("real")).unwrap_err().to_string();
        assert!(open_to_all.contains("mode 0700"), "{open_to_all}");
    }
}
