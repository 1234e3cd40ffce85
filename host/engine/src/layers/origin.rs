//! Tells which layer of a chain each file comes from.
//!
//! The lowest layer adds all that it has, so its view is walked and no driver compares. Of each further layer the driver lists the
//! changes, and the files are looked at in the layer's own directory, because a view makes the kernel look through all layers; what is not
//! there is looked at in the view. Nothing is gathered: a chain may have millions of files.
//!
//! Invariant: nothing is changed. While the driver lists the changes of a layer nobody can change that layer; the walk of the lowest holds no
//! lock, since a layer below another cannot change.

use super::files::Look;
use crate::store::OpenStore;
use crate::view::{DiffParent, OriginView};
use crate::{Error, LayerId, Result};
use mica_runtime::{CancelToken, Change, ChangeKind, ChangeSink};
use mica_sys::node::{self, Attributes, Kind};
use mica_sys::tree::{self, Depth};
use mica_sys::{Name, errno};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::sync::mpsc::Receiver;

/// Lines of one piece of the list, and bytes of their paths: long paths fill memory long before there are many.
const PAGE_LINES: usize = 1024;
const PAGE_BYTES: usize = 1 << 20;
/// Pages of changes that lie ready.
const CHANNEL_PAGES: usize = 4;

/// Takes the pieces of the list; no more are wanted when it breaks.
pub type OriginPages<'a> = &'a mut (dyn FnMut(Vec<OriginView>) -> ControlFlow<()> + Send);

impl OpenStore<'_> {
    /// Hands `page` what each layer of the chain does, the lowest layer first.
    pub(super) fn list_origins(
        &self,
        id: &str,
        page: OriginPages<'_>,
        cancel: &CancelToken,
    ) -> Result<()> {
        let chain = self.chain(&LayerId::parse(id)?)?;
        for (depth, layer) in (1..).zip(&chain) {
            let mut out = Out {
                depth,
                lines: Vec::new(),
                bytes: 0,
                page: &mut *page,
                cancel,
            };
            match depth {
                1 => self.list_lowest(layer, &mut out)?,
                _ => self.list_changed(layer, &mut out)?,
            }
            out.finish()?;
        }
        Ok(())
    }

    /// A layer and those below it, the lowest first.
    fn chain(&self, id: &LayerId) -> Result<Vec<String>> {
        self.store.facts(id)?;
        let below = self.store.layers.table().ancestors(id.as_str());
        let below = below.ok_or_else(|| Error::Io {
            doing: format!("follow the chain of layer `{id}`"),
            source: io::Error::other("a layer of it is lost"),
        })?;
        let chain = below.into_iter().rev();
        Ok(chain.chain([id.as_str().to_owned()]).collect())
    }

    fn list_lowest(&self, layer: &str, out: &mut Out<'_>) -> Result<()> {
        let look = self.look(layer, out.cancel)?.unlocked();
        let mut flow = Ok(());
        let walked = tree::visit(look.top(), Depth::Everything, &mut |node| {
            let change = Change {
                path: [b"/".as_slice(), node.path].concat(),
                kind: ChangeKind::Add,
            };
            flow = out.line(change, Some(node.attributes));
            match flow {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        walked.map_err(|error| Error::io(look.doing("list files of", b"/"), error))?;
        flow
    }

    fn list_changed(&self, layer: &str, out: &mut Out<'_>) -> Result<()> {
        let look = self.look(layer, out.cancel)?.unlocked();
        let own = self.own_tree(&LayerId::parse(layer)?)?;
        let cancel = out.cancel.clone();
        let (sink, pages) = ChangeSink::channel(CHANNEL_PAGES);
        let (listed, told) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| out.changes(&look, own.as_ref(), pages));
            let listed = self.list_changes(layer, &DiffParent::Own, sink, cancel);
            let told = reader.join().unwrap_or(Err(Error::Cancelled));
            (listed, told)
        });
        // When the reader stopped, that the driver could not go on is no reason.
        told.and(listed)
    }
}

/// Where the list goes.
struct Out<'a> {
    depth: u64,
    lines: Vec<OriginView>,
    /// Those of the lines' paths.
    bytes: usize,
    page: OriginPages<'a>,
    cancel: &'a CancelToken,
}

impl Out<'_> {
    fn line(&mut self, change: Change, found: Option<&Attributes>) -> Result<()> {
        self.bytes = self.bytes.saturating_add(change.path.len());
        self.lines.push(OriginView::new(self.depth, change, found));
        match self.lines.len() >= PAGE_LINES || self.bytes >= PAGE_BYTES {
            true => self.finish(),
            false => Ok(()),
        }
    }

    /// Hands on what there is.
    fn finish(&mut self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        if lines.is_empty() {
            return Ok(());
        }
        match (self.page)(lines) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    fn changes(
        &mut self,
        look: &Look<'_>,
        own: Option<&OwnedFd>,
        mut pages: Receiver<Vec<Change>>,
    ) -> Result<()> {
        let tops = own.map(AsFd::as_fd).into_iter().chain([look.top()]);
        let mut finders: Vec<_> = tops.map(Finder::new).collect();
        while let Some(page) = pages.blocking_recv() {
            for change in page {
                let found = match change.kind {
                    ChangeKind::Delete => None,
                    ChangeKind::Add | ChangeKind::Modify => first(&mut finders, &change.path)
                        .map_err(|error| Error::io(look.doing("look at", &change.path), error))?,
                };
                self.line(change, found.as_ref())?;
            }
        }
        Ok(())
    }
}

/// Looks at files whose paths come in order: many of them lie in the same directory.
struct Finder<'a> {
    top: BorrowedFd<'a>,
    /// The directory of the last one, by its path.
    last: Option<(Vec<u8>, OwnedFd)>,
}

/// What the first of several trees that has a file knows of it.
fn first(finders: &mut [Finder<'_>], path: &[u8]) -> io::Result<Option<Attributes>> {
    for finder in finders {
        if let Some(found) = finder.find(path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

impl<'a> Finder<'a> {
    fn new(top: BorrowedFd<'a>) -> Self {
        Self { top, last: None }
    }

    /// What is known of a file; nothing if it is gone meanwhile.
    fn find(&mut self, path: &[u8]) -> io::Result<Option<Attributes>> {
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let (above, name) = path.split_at(slash);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        if name.is_empty() {
            return node::stat_fd(self.top).map(Some);
        }
        let Ok(name) = Name::new(name) else {
            return Ok(None);
        };
        let is_same = self.last.as_ref().is_some_and(|(last, _)| last == above);
        if !is_same {
            let Some(found) = unless_gone(tree::resolve(self.top, above))? else {
                return Ok(None);
            };
            if found.attributes.kind != Kind::Directory {
                return Ok(None);
            }
            self.last = Some((above.to_vec(), found.directory));
        }
        match &self.last {
            Some((_, directory)) => unless_gone(node::stat(directory.as_fd(), &name)),
            None => Ok(None),
        }
    }
}

fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(errno::of(&error), Some(errno::ENOENT | errno::ENOTDIR)) => Ok(None),
        Err(error) => Err(error),
    }
}
