//! Compiled code, kept between starts.
//!
//! A file for each component in a directory that only this user can enter: named by the SHA-256 of the component's
//! bytes and of everything that makes code incompatible. What is found there was written here; nothing from outside
//! ever gets in.
//!
//! Invariant: the only unsafe code outside `mica-sys`: wasmtime cannot check machine code, so loading it is unsafe.

use crate::Error;
use sha2::{Digest, Sha256};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A directory of compiled code.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
}

/// The name under which a component's code is kept.
pub(super) fn key(engine: &Engine, bytes: &[u8]) -> String {
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
    sink.0.update(Sha256::digest(bytes));
    hex(&sink.0.finalize())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Turns code that this program compiled into a component.
#[expect(unsafe_code, reason = "wasmtime cannot check machine code")]
pub(super) fn load(engine: &Engine, code: &[u8]) -> Result<Component, Error> {
    // SAFETY: the bytes come from this program's own compiler, by way of memory, of the pipe to its own child, or of
    // a file in a directory that only this user can write (`Cache::open`), under a name that includes the engine's
    // compatibility hash.
    unsafe { Component::deserialize(engine, code) }
        .map_err(|error| Error::Runtime(format!("load code: {error:#}")))
}

impl Cache {
    /// Opens the directory, or makes it.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let failed =
            |error: io::Error| Error::Runtime(format!("code cache `{}`: {error}", path.display()));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let found = fs::symlink_metadata(&path).map_err(failed)?;
        let own = fs::metadata("/proc/self").map_err(failed)?;
        if !found.is_dir() || found.mode() & 0o077 != 0 || found.uid() != own.uid() {
            return Err(Error::Runtime(format!(
                "code cache `{}` must be a directory of this user with mode 0700: machine code is loaded from it",
                path.display()
            )));
        }
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks code up. What cannot be loaded is compiled anew.
    pub(super) fn find(&self, engine: &Engine, key: &str) -> Option<Component> {
        let code = fs::read(self.path.join(key)).ok()?;
        load(engine, &code)
            .inspect_err(|error| tracing::warn!("compiled code `{key}` is not usable: {error}"))
            .ok()
    }

    /// Keeps code. A cache that cannot be written only costs time.
    pub(super) fn keep(&self, key: &str, code: &[u8]) {
        if let Err(error) = self.write(key, code) {
            tracing::warn!("code cache `{}`: {error}", self.path.display());
        }
    }

    fn write(&self, key: &str, code: &[u8]) -> io::Result<()> {
        let draft = self.path.join(format!("{key}.{}", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(code)?;
        // A code file that a power cut left short would be loaded: it must be whole before it has its name.
        file.sync_all()?;
        fs::rename(&draft, self.path.join(key))
    }
}
