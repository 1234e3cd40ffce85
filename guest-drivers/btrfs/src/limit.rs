//! The most that a layer may hold.
//!
//! Invariant: quotas of the file system are switched on by the first layer that needs them, as Docker does, and never
//! off.

use mica_sdk::driver::parse_size;
use mica_sdk::host::btrfs::{self, Counting};
use mica_sdk::host::config;
use mica_sdk::host::directory::Directory;
use mica_sdk::{Code, Doing as _, Error, Failure, Result};

/// The key under which a limit is told.
pub(crate) const LIMIT: &str = "Limit Bytes";
/// The file in a layer's room.
const FILE: &[u8] = b"limit";
/// Bytes of a number in decimal, and more.
const FILE_BYTES: u32 = 32;

/// The least that a layer's limit may be.
pub(crate) struct Minimum(u64);

impl Minimum {
    /// Reads the store's option.
    pub(crate) fn of(options: &[(String, String)]) -> Result<Self> {
        let given = options.iter().find(|(key, _)| key == "btrfs.min_space");
        let bytes = given
            .map(|(key, value)| parse_size(key, value))
            .transpose()?;
        Ok(Self(bytes.unwrap_or(0)))
    }
}

/// The limit that a layer's options ask for.
pub(crate) fn wanted(options: &[(String, String)]) -> Result<Option<u64>> {
    let Some((key, value)) = options.iter().find(|(key, _)| key == "size") else {
        return Ok(None);
    };
    let bytes = parse_size(key, value)?;
    let Minimum(least) = Minimum::of(&config::options())?;
    if bytes < least {
        return Err(Error::Invalid(format!(
            "option `size` is {bytes} bytes, less than the {least} of the store's `btrfs.min_space`"
        )));
    }
    Ok(Some(bytes))
}

/// Notes a limit in a layer's room.
pub(crate) fn write(room: &Directory, bytes: u64) -> Result<(), Failure> {
    let file = room.create_file(FILE, 0o600)?;
    file.write(0, format!("{bytes}\n").as_bytes())
}

/// Reads the limit that a layer's room notes.
pub(crate) fn read(room: &Directory, id: &str) -> Result<Option<u64>> {
    let doing = || format!("read the size of layer `{id}`");
    let Some(file) = room.open_file(FILE).unless(Code::NotFound).doing(doing)? else {
        return Ok(None);
    };
    let bytes = file.read(0, FILE_BYTES).doing(doing)?;
    let number = String::from_utf8_lossy(&bytes).trim().parse();
    let number = number.map_err(|error| {
        Error::Invalid(format!(
            "the room of layer `{id}` has a damaged `limit`: {error}"
        ))
    })?;
    Ok(Some(number))
}

/// Bounds a subvolume.
pub(crate) fn set(tree: &Directory, bytes: u64) -> Result<(), Failure> {
    if btrfs::counts()? == Counting::Off {
        btrfs::start_counting()?;
    }
    btrfs::set_limit(tree, Some(bytes))
}
