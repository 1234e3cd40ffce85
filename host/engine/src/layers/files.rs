//! Shows the files of a layer, as a process would see them whose root the layer is.
//!
//! The driver makes a read-only view as for a mount. It is attached nowhere and goes when the last descriptor in it does, so
//! that looking takes no mount reference. Of a layer that is mounted, the mount is cloned: what processes write there is seen,
//! and looking never keeps anyone from unmounting.
//!
//! Invariant: nothing is changed, and no path leads out of the layer.

use super::{Held, Mode};
use crate::drivers::Question;
use crate::store::{Call, Intent, OpenStore, Scope, Verb};
use crate::view::{FileView, FilesRequest};
use crate::{Error, LayerId, Moment, Result};
use mica_runtime::{Access, CancelToken};
use mica_sys::mount::{self, DetachedMount};
use mica_sys::node::{self, Kind};
use mica_sys::tree::{self, Depth, Resolved};
use mica_sys::{Name, errno};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

/// Files of one piece of a list, and bytes of their paths: long paths fill memory long before there are many.
const PAGE_FILES: usize = 1024;
const PAGE_BYTES: usize = 1 << 20;

/// A regular file of a layer.
#[derive(Debug)]
pub struct OpenFile {
    /// Stands at the beginning.
    pub content: File,
    /// Bytes that it had when it was opened.
    pub size_bytes: u64,
    /// The number of its inode, and when it was changed last.
    identity: (u64, i64, i64),
    /// Whether processes may change it while it is read.
    is_writable: bool,
}

/// How old a time of change must be so that a later change has another: file systems note it in steps of up to two seconds.
const SETTLED_SECONDS: u64 = 3;

impl OpenFile {
    /// A tag that the file has until it is changed (RFC 9110): a weak one while a change could go unseen. One whose layer is mounted to be
    /// changed always has a weak one, because what is read of it may be of two moments.
    #[must_use]
    pub fn tag(&self) -> String {
        let (inode, seconds, nanoseconds) = self.identity;
        let age = Moment::now().seconds.checked_sub(seconds.unsigned_abs());
        let is_settled = seconds >= 0 && age.is_some_and(|age| age >= SETTLED_SECONDS);
        let weak = if is_settled && !self.is_writable {
            ""
        } else {
            "W/"
        };
        let size = self.size_bytes;
        format!("{weak}\"{inode:x}.{size:x}.{seconds:x}.{nanoseconds:x}\"")
    }
}

/// A layer as a tree, for as long as somebody looks at it.
pub(super) struct Look<'s> {
    id: LayerId,
    top: OwnedFd,
    _view: DetachedMount,
    /// Nothing may change the layer while this is there.
    _held: Option<Held<'s>>,
}

impl OpenStore<'_> {
    /// Hands `page` the files at a path, up to 1024 at a time.
    pub(super) fn list_files(
        &self,
        request: &FilesRequest,
        page: &mut dyn FnMut(Vec<FileView>) -> ControlFlow<()>,
        cancel: &CancelToken,
    ) -> Result<()> {
        let look = self.look(&request.id, cancel)?;
        let found = look.find(&request.path)?;
        let unread = |error| Error::io(look.doing("list files of", &request.path), error);
        if found.attributes.kind != Kind::Directory {
            let node = FileView::new(found.path(), &found.attributes, None);
            return match page(vec![node]) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::Cancelled),
            };
        }
        let mut above = found.path();
        if above != b"/" {
            above.push(b'/');
        }
        let depth = match request.is_recursive {
            true => Depth::Everything,
            false => Depth::Entries,
        };
        let mut files = Vec::new();
        if request.is_recursive {
            files.push(FileView::new(found.path(), &found.attributes, None));
        }
        let mut flow = ControlFlow::Continue(());
        let mut bytes = 0;
        let walked = tree::visit(found.directory.as_fd(), depth, &mut |node| {
            let path = [above.as_slice(), node.path].concat();
            bytes += path.len() + node.target.as_ref().map_or(0, Vec::len);
            files.push(FileView::new(path, node.attributes, node.target));
            if files.len() == PAGE_FILES || bytes >= PAGE_BYTES {
                bytes = 0;
                flow = page(std::mem::take(&mut files));
            }
            match cancel.is_cancelled() {
                true => ControlFlow::Break(()),
                false => flow,
            }
        });
        walked.map_err(unread)?;
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if flow.is_continue() && !files.is_empty() {
            flow = page(files);
        }
        match flow {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    /// Opens a regular file for reading.
    pub(super) fn open_layer_file(
        &self,
        id: &str,
        path: &[u8],
        cancel: &CancelToken,
    ) -> Result<OpenFile> {
        let look = self.look(id, cancel)?;
        let found = look.find(path)?;
        let other = match found.attributes.kind {
            Kind::Regular => None,
            Kind::Directory => Some("a directory"),
            // Links were followed.
            Kind::Symlink => Some("a symbolic link"),
            Kind::BlockDevice | Kind::CharacterDevice => Some("a device"),
            Kind::Fifo => Some("a named pipe"),
            Kind::Socket => Some("a socket"),
        };
        if let Some(what) = other {
            return Err(look.wrong(path, what));
        }
        let unread = |error| Error::io(look.doing("open", path), error);
        let name = found
            .names
            .last()
            .ok_or_else(|| look.wrong(path, "a directory"))?;
        let opened = open(&found, name).map_err(unread)?;
        let found = opened.metadata().map_err(unread)?;
        Ok(OpenFile {
            content: opened,
            size_bytes: found.len(),
            identity: (found.ino(), found.ctime(), found.ctime_nsec()),
            is_writable: self.store.mounts.is_writable(&look.id),
        })
    }

    /// Makes a view of a layer. While it is looked at, others may unmount it, mount it read-only and look too; what changes the
    /// layer, or mounts it to be changed, waits.
    pub(super) fn look(&self, id: &str, cancel: &CancelToken) -> Result<Look<'_>> {
        let id = LayerId::parse(id)?;
        let store = &*self.store;
        // Nobody may unmount it between the look at the table and the clone.
        let _mount = self.lock_mount(&id)?;
        let held = self.lock_layer(&id, Mode::Shared)?;
        store.facts(&id)?;
        self.check_undamaged(&id)?;
        let doing = || format!("look into layer `{id}` of store `{}`", store.name);
        let view = match store.mounts.get(&id) {
            Some(state) => {
                let point = Name::from_number(state.number);
                node::open_mounted(store.place.points(), &point)
                    .and_then(|top| mount::bind(top.as_fd(), mount::Access::ReadOnly))
                    .map_err(|error| Error::io(doing(), error))?
            }
            None => {
                let scope = Scope::layer(&store.layers, &id, Intent::View(Access::ReadOnly));
                let call = Call::new(Verb::LookInto, scope)
                    .asking(Question::View)
                    .with_cancel(cancel.clone());
                self.call(call, |generation, operation| {
                    generation.get(operation, id.as_str(), Access::ReadOnly, None)
                })?
            }
        };
        let top = view.root().map_err(|error| Error::io(doing(), error))?;
        Ok(Look {
            id,
            top,
            _view: view,
            _held: Some(held),
        })
    }
}

fn open(found: &Resolved, name: &Name) -> io::Result<File> {
    node::open_regular(found.directory.as_fd(), name).map(File::from)
}

impl Look<'_> {
    /// The same, while the layer may change or go: what is gone is not found then.
    pub(super) fn unlocked(self) -> Self {
        Self {
            _held: None,
            ..self
        }
    }

    /// The top directory.
    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    fn find(&self, path: &[u8]) -> Result<Resolved> {
        tree::resolve(self.top.as_fd(), path).map_err(|error| {
            let (layer, path) = (self.id.as_str().to_owned(), shown(path));
            match errno::of(&error) {
                Some(errno::ENOENT | errno::ENOTDIR | errno::ENAMETOOLONG) => {
                    Error::UnknownFile { layer, path }
                }
                Some(errno::ELOOP) => Error::WrongFile {
                    layer,
                    path,
                    what: "a circle of symbolic links",
                },
                Some(errno::EINVAL) => Error::Invalid(format!("the path `{path}` has a NUL byte")),
                _ => Error::io(self.doing("find", path.as_bytes()), error),
            }
        })
    }

    fn wrong(&self, path: &[u8], what: &'static str) -> Error {
        Error::WrongFile {
            layer: self.id.as_str().to_owned(),
            path: shown(path),
            what,
        }
    }

    pub(super) fn doing(&self, what: &str, path: &[u8]) -> String {
        format!("{what} `{}` in layer `{}`", shown(path), self.id)
    }
}

/// A path as errors show it.
fn shown(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    mica_runtime::SafeText::within(&path, 256).into()
}
