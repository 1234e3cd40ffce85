//! Makes and changes real trees from a script.
//!
//! | verb | does |
//! |---|---|
//! | `d` | makes a directory, or takes the directory that is there |
//! | `f` | makes a regular file anew, in the place of whatever had the name |
//! | `w` `a` | writes into a file in place; appends to it |
//! | `l` `h` | makes a symbolic link to `to=`; a hard link to the path `to=` |
//! | `p` `s` `c` `b` | makes a pipe, a socket, a device node of `rdev=major:minor` |
//! | `m` | sets attributes only |
//! | `>` | moves to the path `to=`, as `mv` does |
//! | `-` | removes, with all below |
//!
//! Fields: `mode=0755 own=uid:gid mtime=seconds.fraction x:NAME=value -x:NAME` and the content, see
//! [`Line::content`](crate::script::Line::content).
//!
//! Invariant: a script leaves no time to chance. Each touched node, and each directory in which a name came or went,
//! gets a time that the script decides, so that two runs of one script give the same tree to the nanosecond.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io::Write as _};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use crate::script::{self, Line, fingerprint};

/// Runs a script on the tree at `root`. Every line must work.
pub fn build(root: &Path, script: &str) {
    if let Err(error) = try_build(root, script) {
        panic!("{error:#}");
    }
}

/// Runs a script; the first line that does not work is the error.
pub fn try_build(root: &Path, text: &str) -> Result<()> {
    let mut run = Run::new(root, text);
    for line in script::parse(text) {
        run.line(&line)
            .with_context(|| format!("line {}: {}", line.number, line.text))?;
    }
    run.settle()
}

/// Runs one line, without a thought of times. A line that does not work may be done by half.
pub fn try_line(root: &Path, line: &Line) -> Result<()> {
    Run::new(root, "").line(line)
}

/// The bytes and inodes of a tree as `du` counts them: allocated blocks of each node, once.
pub fn disk_usage(top: &Path) -> (u64, u64) {
    let (mut seen, mut blocks, mut open) = (BTreeSet::new(), 0, vec![top.to_owned()]);
    while let Some(path) = open.pop() {
        let found = fs::symlink_metadata(&path).expect("stat");
        if seen.insert((found.dev(), found.ino())) {
            blocks += found.blocks();
        }
        if found.is_dir() {
            let entries = fs::read_dir(path).expect("list");
            open.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    (blocks * 512, seen.len() as u64)
}

struct Run<'a> {
    root: &'a Path,
    base: i64,
    /// Paths with the time they get: deeper paths come later in the order.
    times: BTreeMap<Vec<u8>, (i64, u32)>,
}

impl<'a> Run<'a> {
    fn new(root: &'a Path, text: &str) -> Self {
        let spread = i64::try_from(fingerprint(text.as_bytes()) % 100_000_000).expect("small");
        Self {
            root,
            base: 1_000_000_000 + spread * 10,
            times: BTreeMap::new(),
        }
    }

    fn at(&self, path: &[u8]) -> PathBuf {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        if path.is_empty() || path == b"." {
            self.root.to_owned()
        } else {
            self.root.join(OsStr::from_bytes(path))
        }
    }

    fn line(&mut self, line: &Line) -> Result<()> {
        let path = self.at(&line.path);
        self.check_parents(&path)?;
        match line.verb.as_str() {
            "d" => directory(&path)?,
            "f" => regular(&path, &line.content())?,
            "w" => in_place(&path, &line.content(), false)?,
            "a" => in_place(&path, &line.content(), true)?,
            "l" => special(&path, |path| {
                symlink(OsStr::from_bytes(needed(line, "to")?), path)?;
                to_root(path)
            })?,
            "h" => {
                let original = self.at(needed(line, "to")?);
                self.check_parents(&original)?;
                special(&path, |path| Ok(fs::hard_link(&original, path)?))?;
            }
            "p" => special(&path, |path| node(path, FileType::Fifo, (0, 0)))?,
            "s" => special(&path, |path| node(path, FileType::Socket, (0, 0)))?,
            "c" => special(&path, |path| {
                node(path, FileType::CharacterDevice, rdev(line)?)
            })?,
            "b" => special(&path, |path| node(path, FileType::BlockDevice, rdev(line)?))?,
            "m" => ensure!(fs::symlink_metadata(&path).is_ok(), "nothing has this name"),
            ">" => {
                let to = self.at(needed(line, "to")?);
                self.check_parents(&to)?;
                rename(&path, &to)?;
            }
            "-" => remove(&path)?,
            other => bail!("unknown verb `{other}`"),
        }
        if !matches!(line.verb.as_str(), "-" | ">") {
            attributes(&path, line)?;
        }
        self.note(line);
        Ok(())
    }

    /// A path through a symbolic link would be another name for a node whose time is decided by its own.
    fn check_parents(&self, path: &Path) -> Result<()> {
        let parents = path
            .ancestors()
            .skip(1)
            .take_while(|parent| parent.starts_with(self.root));
        for parent in parents.filter(|parent| *parent != self.root) {
            ensure!(
                fs::symlink_metadata(parent)?.is_dir(),
                "{} is no directory",
                parent.display()
            );
        }
        Ok(())
    }

    /// Decides the times that a line brings about.
    fn note(&mut self, line: &Line) {
        let number = i64::from(line.number);
        let stamp = (self.base + number, 1_000_003 * line.number % 1_000_000_000);
        if matches!(line.verb.as_str(), "-" | ">") {
            let below = [&line.path[..], b"/"].concat();
            let gone = |path: &Vec<u8>| *path == line.path || path.starts_with(&below);
            let moved: Vec<_> = self.times.extract_if(.., |path, _| gone(path)).collect();
            if let Some(to) = line.field("to") {
                self.times.extend(
                    moved
                        .into_iter()
                        .map(|(path, time)| ([to, &path[line.path.len()..]].concat(), time)),
                );
            }
        } else {
            self.times
                .insert(line.path.clone(), line.mtime().unwrap_or(stamp));
        }
        if let (">", Some(to)) = (line.verb.as_str(), line.field("to")) {
            self.times.entry(to.to_vec()).or_insert(stamp);
            self.touch_parent(to, stamp);
        }
        if !matches!(line.verb.as_str(), "m" | "w" | "a") {
            self.touch_parent(&line.path, stamp);
        }
    }

    fn touch_parent(&mut self, path: &[u8], stamp: (i64, u32)) {
        let parent = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(&path[..0], |at| &path[..at]);
        self.times.entry(parent.to_vec()).or_insert(stamp);
    }

    /// Sets the times, deepest first.
    fn settle(&self) -> Result<()> {
        for (path, &(seconds, nanoseconds)) in self.times.iter().rev() {
            let at = self.at(path);
            if fs::symlink_metadata(&at).is_err() {
                continue;
            }
            let time = Timespec {
                tv_sec: seconds,
                tv_nsec: nanoseconds.into(),
            };
            let times = Timestamps {
                last_access: time,
                last_modification: time,
            };
            rustix::fs::utimensat(CWD, &at, &times, AtFlags::SYMLINK_NOFOLLOW)
                .with_context(|| format!("times of {}", at.display()))?;
        }
        Ok(())
    }
}

fn needed<'a>(line: &'a Line, key: &str) -> Result<&'a [u8]> {
    line.field(key)
        .with_context(|| format!("`{}` wants `{key}=`", line.verb))
}

fn rdev(line: &Line) -> Result<(u32, u32)> {
    line.pair("rdev")
        .context("a device wants `rdev=major:minor`")
}

fn directory(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    special(path, |path| {
        fs::DirBuilder::new().mode(0o755).create(path)?;
        to_root(path)?;
        Ok(fs::set_permissions(
            path,
            fs::Permissions::from_mode(0o755),
        )?)
    })
}

fn regular(path: &Path, content: &[u8]) -> Result<()> {
    special(path, |path| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)?;
        file.write_all(content)?;
        to_root(path)?;
        Ok(file.set_permissions(fs::Permissions::from_mode(0o644))?)
    })
}

fn in_place(path: &Path, content: &[u8], append: bool) -> Result<()> {
    ensure!(fs::symlink_metadata(path)?.is_file(), "not a regular file");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .append(append)
        .truncate(!append)
        .open(path)?;
    Ok(file.write_all(content)?)
}

/// Makes a new node in the place of whatever has the name.
fn special(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    make(path)
}

fn node(path: &Path, kind: FileType, (major, minor): (u32, u32)) -> Result<()> {
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o644), device)?;
    to_root(path)?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o644),
    )?)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    // As people do it: an overlay answers `cross-device` for directories of a lower, and `mv` copies then.
    let output = Command::new("mv")
        .args(["-T", "--"])
        .args([from, to])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A new node belongs to root, also in a directory with the set-group-id bit.
fn to_root(path: &Path) -> Result<()> {
    Ok(rustix::fs::chownat(
        CWD,
        path,
        Some(Uid::ROOT),
        Some(Gid::ROOT),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn remove(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        return Ok(fs::remove_dir_all(path)?);
    }
    Ok(fs::remove_file(path)?)
}

/// Owner, then attributes, then mode: each undoes what comes before it otherwise.
fn attributes(path: &Path, line: &Line) -> Result<()> {
    let is_symlink = fs::symlink_metadata(path)?.file_type().is_symlink();
    if let Some((uid, gid)) = line.pair("own") {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let mode = fs::symlink_metadata(path)?.permissions().mode();
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if !is_symlink {
            fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
        }
    }
    for (name, value) in line.prefixed("x:") {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
            .with_context(|| String::from_utf8_lossy(name).into_owned())?;
    }
    for (name, _) in line.prefixed("-x:") {
        rustix::fs::lremovexattr(path, name)?;
    }
    if let Some(mode) = line.mode().filter(|_| !is_symlink) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}
