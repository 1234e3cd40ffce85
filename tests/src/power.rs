//! A disk that writes down what is written to it, and what it may hold after a power cut.
//!
//! qemu-storage-daemon offers an image as a file (FUSE) and logs each write and each flush to it, in the format of the kernel's
//! dm-log-writes. A loop device lies on that file. What was written before the last flush is on the disk; of what was written since then
//! a disk with a volatile cache may have any part.
//!
//! Invariant: an image of a cut holds nothing that was written after it, and all that a flush before it has made durable.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::lab::{FileSystem, run};
use crate::script::noise;
use crate::watch::until;

/// Bytes of the disk: xfs takes no smaller one.
const DISK_BYTES: u64 = 320 << 20;
/// Bytes of a sector, on the disk and in the log.
const SECTOR_BYTES: u64 = 512;
/// Mark of the log's format.
const MAGIC: u64 = 0x006a_7366_7773_6872;
/// Flags of an entry.
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// A disk that writes down what is written to it.
#[derive(Debug)]
pub struct LoggedDisk {
    server: Child,
    directory: PathBuf,
}

impl LoggedDisk {
    /// Makes a file system in a new directory, and a disk of it.
    pub fn start(directory: &Path, file_system: FileSystem) -> Self {
        fs::create_dir(directory).expect("make a directory");
        let path = |name: &str| directory.join(name);
        file_system.format(&path("first"), DISK_BYTES);
        copy(&path("first"), &path("disk"));
        for name in ["log", "export"] {
            File::create(path(name)).expect("make a file");
        }
        let show = |name: &str| path(name).display().to_string();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-storage-daemon"]);
        for (name, file) in [("disk", "disk"), ("writes", "log")] {
            let file = show(file);
            command.args([
                "--blockdev",
                &format!("driver=file,node-name={name},filename={file}"),
            ]);
        }
        command.args([
            "--blockdev",
            &format!("driver=blklogwrites,node-name=logged,file=disk,log=writes,log-sector-size={SECTOR_BYTES}"),
            "--export",
            &format!(
                "type=fuse,id=out,node-name=logged,writable=on,allow-other=off,mountpoint={}",
                show("export")
            ),
        ]);
        let output = File::create(path("server.log")).expect("make a log");
        let errors = output.try_clone().expect("share it");
        let command = command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let server = command.spawn().expect("start qemu-storage-daemon");
        let disk = Self {
            server,
            directory: directory.to_owned(),
        };
        until("the disk is there", || {
            fs::metadata(disk.image()).is_ok_and(|file| file.len() == DISK_BYTES)
        });
        disk
    }

    /// The file that a loop device can lie on.
    pub fn image(&self) -> PathBuf {
        self.directory.join("export")
    }

    /// Tells how much has been written: what is written later lies behind it.
    pub fn clock(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let log = self.directory.join("log");
        move || fs::metadata(&log).expect("the log").len()
    }

    /// Takes the disk away, and answers what was written to it.
    pub fn stop(mut self) -> Writes {
        self.end();
        Writes::read(&self.directory)
    }

    fn end(&mut self) {
        let pid = self.server.id().to_string();
        Command::new("kill").arg(pid).status().ok();
        self.server.wait().ok();
    }
}

impl Drop for LoggedDisk {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// One write, or one flush.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where in the log it begins.
    at: u64,
    /// Where its bytes go on the disk, and how many they are.
    to: u64,
    bytes: u64,
    flags: u64,
}

/// What the disk does with what was written since the last flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// All of it was written.
    Kept,
    /// Nothing of it was.
    Lost,
    /// Some of it was, in any order.
    Some(u64),
}

/// What was written to a disk, in its order.
#[derive(Debug)]
pub struct Writes {
    directory: PathBuf,
    log: File,
    entries: Vec<Entry>,
    /// The disk as it was after so many entries.
    stable: usize,
}

impl Writes {
    fn read(directory: &Path) -> Self {
        let log = File::open(directory.join("log")).expect("open the log");
        let entries = entries(&log).expect("read the log");
        copy(&directory.join("first"), &directory.join("stable"));
        Self {
            directory: directory.to_owned(),
            log,
            entries,
            stable: 0,
        }
    }

    /// So many moments between two times of the clock, in their order.
    pub fn moments(&self, from: u64, to: u64, count: usize, seed: u64) -> Vec<u64> {
        let between = self.entries.iter().map(|entry| entry.at);
        let between: Vec<u64> = between.filter(|at| (from..to).contains(at)).collect();
        assert!(between.len() > count, "too little was written");
        let part = |number: usize| {
            let noise = noise(
                &[seed.to_le_bytes(), (number as u64).to_le_bytes()].concat(),
                8,
            );
            let noise = u64::from_le_bytes(noise.try_into().expect("eight bytes")) as usize;
            let (begin, end) = (
                number * between.len() / count,
                (number + 1) * between.len() / count,
            );
            between[begin + noise % (end - begin).max(1)]
        };
        (0..count).map(part).collect()
    }

    /// Writes what the disk holds if its power goes at a moment: later moments only.
    pub fn cut(&mut self, moment: u64, cache: Cache, image: &Path) {
        let end = self.entries.partition_point(|entry| entry.at < moment);
        let flushed = self.entries[..end]
            .iter()
            .rposition(|entry| entry.flags & FLUSH != 0);
        let flushed = flushed.unwrap_or(0).max(self.stable);
        let stable = self.directory.join("stable");
        let disk = open(&stable);
        for entry in &self.entries[self.stable..flushed] {
            self.write(entry, &disk);
        }
        drop(disk);
        self.stable = flushed;
        copy(&stable, image);
        let disk = open(image);
        for (number, entry) in self.entries.iter().enumerate().take(end).skip(flushed) {
            let is_written = match cache {
                Cache::Kept => true,
                Cache::Lost => entry.flags & FUA != 0,
                Cache::Some(seed) => {
                    let seed = [seed.to_le_bytes(), (number as u64).to_le_bytes()].concat();
                    entry.flags & FUA != 0 || noise(&seed, 1)[0] & 1 == 1
                }
            };
            if is_written {
                self.write(entry, &disk);
            }
        }
    }

    fn write(&self, entry: &Entry, disk: &File) {
        let mut bytes = vec![0; entry.bytes as usize];
        if entry.flags & DISCARD == 0 {
            let from = entry.at + SECTOR_BYTES;
            self.log
                .read_exact_at(&mut bytes, from)
                .expect("read the log");
        }
        disk.write_all_at(&bytes, entry.to)
            .expect("write to the image");
    }
}

/// The entries of a log. The first sector says what it is.
fn entries(log: &File) -> io::Result<Vec<Entry>> {
    let number = |at: u64| {
        let mut bytes = [0; 8];
        log.read_exact_at(&mut bytes, at)?;
        Ok::<_, io::Error>(u64::from_le_bytes(bytes))
    };
    assert_eq!(number(0)?, MAGIC, "it is a log of writes");
    let length = log.metadata()?.len();
    let (mut entries, mut at) = (Vec::new(), SECTOR_BYTES);
    while at + SECTOR_BYTES <= length {
        let [sector, sectors, flags] = [number(at)?, number(at + 8)?, number(at + 16)?];
        let bytes = sectors * SECTOR_BYTES;
        let to = sector * SECTOR_BYTES;
        entries.push(Entry {
            at,
            to,
            bytes,
            flags,
        });
        at += SECTOR_BYTES;
        if flags & DISCARD == 0 {
            at += bytes;
        }
    }
    Ok(entries)
}

fn open(image: &Path) -> File {
    let file = File::options().write(true).open(image);
    file.expect("open an image")
}

/// Copies an image with its holes.
fn copy(from: &Path, to: &Path) {
    let [from, to] = [from, to].map(|path| path.to_str().expect("a path that is text"));
    run(&["cp", "--sparse=always", from, to]);
}
