//! `mica layer cp`: files of a layer, copied to this machine.
//!
//! What is copied is written under another name beside its place and renamed at the end. Names come from a stranger, so
//! everything is made through an open directory that no name leads out of.
//!
//! Invariant: what is there at the end is complete, and nothing lies outside of it.

use std::fs::FileTimes;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{
    Dir, DirBuilder, DirBuilderExt as _, File, OpenOptions, OpenOptionsExt as _, Permissions,
    PermissionsExt as _,
};
use serde_json::json;

use super::files::{ask, content};
use crate::api::types::{FileKind, FileView};
use crate::cli::context::Context;
use mica_client::progress::{ProgressBar, Watched, bytes_bar};
use mica_client::{Failure, words};

pub(super) const EXAMPLES: &str = "\
Of a directory everything below it is copied. Permissions and times are kept; owners are those of whoever copies, set-user-id and
set-group-id bits are not set; devices, pipes and sockets are left out and told.

Examples:
  mica layer cp base /etc/os-release .
  mica layer cp base /etc ./etc-of-base";

/// Arguments of `mica layer cp`.
#[derive(Debug, clap::Args)]
pub(crate) struct CopyArguments {
    /// The layer
    id: String,
    /// The path from the layer's root
    path: String,
    /// Where to: a new name, or a directory that is there
    destination: PathBuf,
}

/// Copies a file, or a directory with everything below it.
pub(super) fn copy(context: &Context, arguments: &CopyArguments) -> Result<(), Failure> {
    let CopyArguments {
        id,
        path,
        destination,
    } = arguments;
    let mut files = Vec::new();
    for told in ask(context, (id, path), true, &|_| true)? {
        files.push(told.view.ok_or_else(other_version)?);
    }
    let (first, below) = files.split_first().ok_or_else(other_version)?;
    let place = Place::of(destination, first)?;
    let bytes = files.iter().filter(|file| file.kind == FileKind::Regular);
    let bar = bytes_bar(path.clone(), Some(bytes.map(|file| file.size_bytes).sum()));
    let mut copy = Copy {
        context,
        id,
        bar: &bar,
        files: 0,
        bytes: 0,
        left_out: Vec::new(),
    };
    match first.kind {
        FileKind::Directory => copy.tree(first, below, &place)?,
        FileKind::Regular => copy.one(first, &place.parent, &place.partial)?,
        _ => {
            return Err(Failure::Usage {
                what: format!(
                    "`{}` is no file whose content can be copied",
                    words::safe(path)
                ),
                remedy: "name a regular file or a directory",
            });
        }
    }
    let Copy {
        files,
        bytes,
        left_out,
        ..
    } = copy;
    bar.finish_and_clear();
    let shown = place.path.display().to_string();
    place.complete()?;
    let document = json!({ "file": shown, "files": files, "bytes": bytes, "left_out": left_out });
    context.printer.result(&document, || {
        let plural = if files == 1 { "file" } else { "files" };
        let mut text = format!("{shown}  {files} {plural}, {}", words::bytes(bytes));
        for path in &left_out {
            text.push_str(&format!("\n  left out: {}", words::safe(path)));
        }
        text
    })
}

fn other_version() -> Failure {
    Failure::Connection {
        doing: "understand the daemon's list of files".to_owned(),
        source: "it has another form than this program knows".into(),
    }
}

/// Where the copy goes; without [`Place::complete`] nothing of it stays.
struct Place {
    parent: Dir,
    path: PathBuf,
    name: PathBuf,
    partial: PathBuf,
    is_complete: bool,
}

impl Place {
    /// A new name; of a directory that is there, the file's own name in it.
    fn of(destination: &Path, file: &FileView) -> Result<Self, Failure> {
        let own_name = file.path.rsplit('/').next().filter(|name| !name.is_empty());
        let path = match destination.is_dir() {
            true => destination.join(own_name.unwrap_or("root")),
            false => destination.to_owned(),
        };
        let refuse = |what: String, remedy| Failure::Usage { what, remedy };
        let Some(name) = path.file_name().map(PathBuf::from) else {
            return Err(refuse(
                format!("`{}` is no name for a copy", path.display()),
                "name a new file or directory",
            ));
        };
        if path
            .symlink_metadata()
            .is_ok_and(|found| !found.is_file() || file.kind == FileKind::Directory)
        {
            return Err(refuse(
                format!("`{}` is there already", path.display()),
                "choose another name, or remove it",
            ));
        }
        let above = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => Path::new("/"),
        };
        let parent = Dir::open_ambient_dir(above, ambient_authority())
            .map_err(Failure::io(format!("open `{}`", above.display())))?;
        let mut partial = name.clone().into_os_string();
        partial.push(format!(".partial-{}", std::process::id()));
        Ok(Self {
            parent,
            path,
            name,
            partial: partial.into(),
            is_complete: false,
        })
    }

    fn complete(mut self) -> Result<(), Failure> {
        let doing = format!("write `{}`", self.path.display());
        self.parent
            .rename(&self.partial, &self.parent, &self.name)
            .map_err(Failure::io(doing))?;
        self.is_complete = true;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_complete {
            // Whichever it is; what cannot be removed has a name that says what it is.
            let _removed = self
                .parent
                .remove_file(&self.partial)
                .or_else(|_| self.parent.remove_dir_all(&self.partial));
        }
    }
}

/// A copy that is being made.
struct Copy<'a> {
    context: &'a Context,
    id: &'a str,
    bar: &'a ProgressBar,
    files: u64,
    bytes: u64,
    left_out: Vec<String>,
}

impl Copy<'_> {
    /// Copies a directory: everything first, then the modes and times of directories, the deepest first, because a directory
    /// that may not be written to takes nothing, and everything that is made in one changes its time.
    fn tree(&mut self, top: &FileView, below: &[FileView], place: &Place) -> Result<(), Failure> {
        let doing = |path: &str| format!("copy `{}`", words::safe(path));
        let mut private = DirBuilder::new();
        // Nobody else looks in before everything has its own permissions.
        private.mode(0o700);
        place
            .parent
            .create_dir_with(&place.partial, &private)
            .map_err(Failure::io(doing(&top.path)))?;
        let copied = place
            .parent
            .open_dir(&place.partial)
            .map_err(Failure::io(doing(&top.path)))?;
        let mut directories = vec![(PathBuf::from("."), top)];
        for file in below {
            let path = relative(top, file).ok_or_else(other_version)?;
            if file.kind == FileKind::Directory {
                copied
                    .create_dir(&path)
                    .map_err(Failure::io(doing(&file.path)))?;
                directories.push((path, file));
            } else {
                self.one(file, &copied, &path)?;
            }
        }
        for (path, file) in directories.iter().rev() {
            let set = copied
                .open(path)
                .and_then(|directory| set_attributes(directory, file));
            set.map_err(Failure::io(doing(&file.path)))?;
        }
        Ok(())
    }

    /// Copies anything but a directory to `path` in `into`.
    fn one(&mut self, file: &FileView, into: &Dir, path: &Path) -> Result<(), Failure> {
        let doing = || format!("copy `{}`", words::safe(&file.path));
        match file.kind {
            FileKind::Regular => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                let output = into
                    .open_with(path, &options)
                    .map_err(Failure::io(doing()))?;
                let source = content(self.context, self.id, file);
                let mut watched = Watched::new(&output, self.bar);
                let received = self.context.client.get_stream(&source, &mut watched)?;
                self.bytes += received.count_bytes;
                set_attributes(output, file).map_err(Failure::io(doing()))?;
            }
            FileKind::Symlink => {
                let target = file.target.as_deref().unwrap_or_default();
                let target = path_of(target, file.target_base64.as_deref());
                into.symlink_contents(target, path)
                    .map_err(Failure::io(doing()))?;
            }
            _ => {
                self.left_out.push(file.path.clone());
                return Ok(());
            }
        }
        self.files += 1;
        Ok(())
    }
}

/// The path of a file below another.
fn relative(top: &FileView, file: &FileView) -> Option<PathBuf> {
    let top = path_of(&top.path, top.path_base64.as_deref());
    let path = path_of(&file.path, file.path_base64.as_deref());
    path.strip_prefix(top).ok().map(Path::to_owned)
}

fn path_of(text: &str, exact: Option<&str>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(mica_text::bytes_of(text, exact)).into()
}

/// Gives a copy the permissions and the time of the original.
fn set_attributes(copy: File, file: &FileView) -> io::Result<()> {
    let mode = u32::from_str_radix(&file.mode, 8).unwrap_or(0o600);
    // Not of another user's program, since the copy is the caller's.
    copy.set_permissions(Permissions::from_mode(mode & 0o1777))?;
    let offset = Duration::new(
        file.modified_seconds.unsigned_abs(),
        file.modified_nanoseconds,
    );
    let modified = match file.modified_seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(offset),
        // Before 1970 to the second.
        _ => SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(offset.as_secs())),
    };
    match modified {
        Some(modified) => copy
            .into_std()
            .set_times(FileTimes::new().set_modified(modified)),
        None => Ok(()),
    }
}
