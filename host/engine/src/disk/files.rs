//! The engine's own small files: records of stores, numbers, mount states, driver components.
//!
//! Invariant: a file is there with its old or its new content, never with a part; paths lie in directories that
//! only the operator can change.

use crate::settings::Durability;
use mica_sys::filesystem;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Bytes of a file that is read as a whole; a record is a few hundred.
const MOST_BYTES: u64 = 1 << 20;
/// The ending of a file that is not complete yet.
const NEW: &str = ".new";

/// Makes a directory, and those above it, for root alone; one that is there stays as it is.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a directory that everyone may pass through, and those above it: for what must be reached by other users.
pub(crate) fn make_passage(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o711).create(path)
}

/// Opens a directory to act in it.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    if !file.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(file.into())
}

/// Reads a small file.
///
/// # Errors
/// `InvalidData` when it is larger than any of ours.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_open(File::open(path)?)
}

/// The line that says what the rest of a file of JSON is, behind its opening brace.
const SUM_HEAD: &[u8] = b"{\n  \"sum\": \"";
const SUM_TAIL: &[u8] = b"\",\n";
/// Digits of a sum.
const SUM_DIGITS: usize = 8;

/// Writes into a JSON object, as `serde_json` prints it for people, a first field `sum`: the CRC-32 of all that follows its line.
/// A disk may give back other bytes than it got, and many of them are JSON as well.
pub(crate) fn with_sum(json: &[u8]) -> Vec<u8> {
    let Some(rest) = json.strip_prefix(b"{\n") else {
        return json.to_vec();
    };
    let sum = format!("{:08x}", crc32fast::hash(rest));
    [SUM_HEAD, sum.as_bytes(), SUM_TAIL, rest].concat()
}

/// Compares a file of JSON with its sum. One that has none was changed by hand, or written by an earlier build.
///
/// # Errors
/// `InvalidData`.
pub(crate) fn check_sum(bytes: &[u8]) -> io::Result<()> {
    let Some(behind) = bytes.strip_prefix(SUM_HEAD) else {
        return Ok(());
    };
    let sum = behind.split_at_checked(SUM_DIGITS);
    let is_right = sum.is_some_and(|(sum, rest)| {
        rest.strip_prefix(SUM_TAIL)
            .is_some_and(|rest| format!("{:08x}", crc32fast::hash(rest)).as_bytes() == sum)
    });
    match is_right {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not what was written: its `sum` is another (without that line, it is taken as it is)",
        )),
    }
}

/// A number as a file holds it: always as long, so that one write replaces all of it, and with its CRC-32.
pub(crate) fn of_number(number: u64) -> String {
    let digits = format!("{number:020}");
    format!("{digits} {:08x}\n", crc32fast::hash(digits.as_bytes()))
}

/// The number that a file holds; none if it is not what was written. Earlier builds wrote no sum.
pub(crate) fn to_number(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let (digits, sum) = match text.split_once(' ') {
        Some((digits, sum)) => (digits, Some(sum)),
        None => (text, None),
    };
    let is_right =
        sum.is_none_or(|sum| sum == format!("{:08x}", crc32fast::hash(digits.as_bytes())));
    // A row holds no larger one.
    let number = digits.parse().ok()?;
    (is_right && i64::try_from(number).is_ok()).then_some(number)
}

/// Reads an open small file.
pub(crate) fn read_open(file: File) -> io::Result<Vec<u8>> {
    read_bounded(file, MOST_BYTES)
}

/// Reads an open file of at most so many bytes.
///
/// # Errors
/// `InvalidData` when it is larger.
pub(crate) fn read_bounded(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let text = format!("the file is larger than {} MiB", most >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

/// Reads a component that an operator put somewhere: a regular file of at most `most` bytes. Whatever else has its name, a pipe
/// or a device, is neither waited for nor opened.
///
/// # Errors
/// `InvalidInput` for what is no regular file, `FileTooLarge`.
pub fn read_component(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = filesystem::open_file(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => io::Error::new(error.kind(), "it is no regular file"),
        _ => error,
    })?;
    let most = most as u64;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let text = format!("it has more than {most} bytes: `component_bytes`");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Puts a file in the place of an old one, or makes it.
pub(crate) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut new_name = name.to_owned();
    new_name.push(NEW);
    let new = directory.join(new_name);
    // Truncates what a kill may have left under this name.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    if durability == Durability::Commit {
        // Before the rename: else a power cut can leave the name with an empty file, the old content gone.
        file.sync_all()?;
    }
    fs::rename(&new, path)?;
    if durability == Durability::Commit {
        // The rename itself is an entry of the directory, and on the device only with that.
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Files of one name that are kept although they could not be read.
const KEPT_COUNT: u32 = 100;

/// Moves a file that cannot be read out of the way, and keeps it beside its place. Answers where it is.
pub(crate) fn keep_damaged(path: &Path) -> io::Result<PathBuf> {
    let named = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    };
    let free = (1..KEPT_COUNT).find(|number| !named(*number).exists());
    // With that many, the last one is replaced: a disk that damages each file must not be filled with them.
    let kept = named(free.unwrap_or(KEPT_COUNT));
    fs::rename(path, &kept)?;
    Ok(kept)
}

/// Removes a file; that it is not there is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A name that no one can foresee and that is never made twice: 128 random bits in hexadecimal.
pub(crate) fn random_name() -> io::Result<String> {
    Ok(format!("{:032x}", u128::from_ne_bytes(random_bytes()?)))
}

/// Whether a text is one of [`random_name`].
pub(crate) fn is_random_name(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Bytes that no one can foresee.
pub(crate) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    static SOURCE: OnceLock<File> = OnceLock::new();
    let mut source = match SOURCE.get() {
        Some(open) => open,
        None => {
            let opened = File::open("/dev/urandom")?;
            // Another thread may have been first; then this descriptor is closed again.
            SOURCE.get_or_init(|| opened)
        }
    };
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_a_disk_changed_is_none() {
        for number in [0, 256, i64::MAX as u64] {
            let whole = of_number(number);
            assert_eq!(to_number(whole.as_bytes()), Some(number));
            for at in 0..whole.len() - 1 {
                let mut bytes = whole.clone().into_bytes();
                bytes[at] ^= 1;
                assert_ne!(to_number(&bytes), Some(number + 1));
                assert!(
                    to_number(&bytes).is_none_or(|found| found == number),
                    "{at}"
                );
            }
        }
        assert_eq!(to_number(b"256\n"), Some(256));
        assert_eq!(to_number(u64::MAX.to_string().as_bytes()), None);
        assert_eq!(to_number(b""), None);
    }

    #[test]
    fn a_sum_finds_each_flipped_bit_but_those_of_its_own_name() {
        let json = b"{\n  \"id\": \"a\"\n}\n";
        let whole = with_sum(json);
        check_sum(&whole).unwrap();
        check_sum(json).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        assert_eq!(value["id"], "a");
        for at in SUM_HEAD.len()..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(check_sum(&bytes).is_err(), "{at}");
            assert!(check_sum(&whole[..at]).is_err(), "{at}");
        }
        for at in 0..SUM_HEAD.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            // What the file says is the same, or it is no JSON.
            if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) {
                assert_eq!(value["id"], "a");
            }
        }
    }
}
