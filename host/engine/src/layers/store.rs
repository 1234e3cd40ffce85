//! What can be done with layers: all of it is in this file, and how in the files beside it and in `mounts`.
//!
//! | function | layer | others |
//! |---|---|---|
//! | create | exclusive | parent shared |
//! | remove, apply | its mount and the layer exclusive | |
//! | mount, first | its mount exclusive, then the layer: read-write exclusive, read-only shared | |
//! | mount, further; unmount; release | its mount exclusive | |
//! | diff, changes, size, usage, metadata | shared | the other layer shared |
//! | origins | as files and changes, one after the other, of each layer | |
//! | collect | as remove, of each layer | |
//! | files, open_file | its mount exclusive until there is a view, and shared | |
//!
//! A parent needs no lock while it has a child that is locked: it cannot be removed or changed.
//!
//! Invariant: everything that can be checked is checked before the driver is called, and what is known changes only after the
//! disk has it.

use super::Entry;
use super::create::NewLayer;
use super::files::OpenFile;
use super::origin::OriginPages;
use crate::disk::home::Syncing;
use crate::mounts::Give;
use crate::store::OpenStore;
use crate::view::{
    CollectReport, CollectRequest, DiffParent, DiffRequest, FileView, FilesRequest, HoldsRequest,
    LayerHolds, LayerProcess, LayerRequest, LayerUsage, LayerView, MountRequest, MountView,
    Release, UnmountRequest, UnmountView, UsageView, WhenBusy,
};
use crate::{LayerId, Result, label, options};
use mica_runtime::{ApplyReport, ArchiveForm, CancelToken, ChangeSink, DiffReport, Sink, Source};
use std::ops::{ControlFlow, Deref};

/// Says whether a layer is as whoever wants to change it expects.
pub type Expected<'a> = &'a dyn Fn(&LayerView) -> bool;

/// A store whose layers clients change; [`OpenStore`] has what they may do in any store. It is not removed while this lives.
#[derive(Debug)]
pub struct LayerStore<'e>(OpenStore<'e>);

impl<'e> LayerStore<'e> {
    /// # Errors
    /// [`crate::Error::HoldsSnapshots`].
    pub(crate) fn new(open: OpenStore<'e>) -> Result<Self> {
        open.store.check_no_snapshots()?;
        Ok(Self(open))
    }
}

impl<'e> Deref for LayerStore<'e> {
    type Target = OpenStore<'e>;

    fn deref(&self) -> &OpenStore<'e> {
        &self.0
    }
}

impl LayerStore<'_> {
    /// Creates a layer of the content of its parent, or an empty one.
    ///
    /// # Errors
    /// [`crate::Error::InvalidId`], [`crate::Error::LayerExists`], [`crate::Error::UnknownParent`],
    /// [`crate::Error::TooDeep`], [`crate::Error::Mounted`] when processes may change the parent right now and
    /// [`crate::LiveParent::Refuse`] is asked for, [`crate::Error::NoSpace`]; what the driver answers. Whatever the error,
    /// there is no trace of the layer.
    pub fn create(&self, request: LayerRequest) -> Result<LayerView> {
        self.create_unless(request, &CancelToken::default())
    }

    /// Creates a layer, unless it is cancelled before that is done.
    ///
    /// # Errors
    /// As [`LayerStore::create`]; `cancelled`.
    pub fn create_unless(&self, request: LayerRequest, cancel: &CancelToken) -> Result<LayerView> {
        let id = LayerId::parse(&request.id)?;
        let parent = request.parent.as_deref().map(LayerId::parse).transpose()?;
        label::check(request.mount_label.as_deref())?;
        let limits = self.engine.runtime.limits();
        options::check("storage option", &request.storage_options.0, limits)?;
        self.check()?;
        let new = NewLayer::of_client(request, cancel);
        let (created, _) = self.create_layer(&id, parent.as_ref(), new)?;
        Ok(self.store.layer_view(created))
    }

    /// Removes a layer; its files are deleted in the background.
    ///
    /// # Errors
    /// `unknown-layer`, `has-children`, `mounted`; what the driver answers. The layer is then as it was.
    pub fn remove(&self, id: &str) -> Result<()> {
        self.remove_if(id, &|_| true, &CancelToken::default())
    }

    /// Removes a layer if it is as is expected, which is asked while nobody else can change it.
    ///
    /// # Errors
    /// As [`LayerStore::remove`]; [`crate::Error::LayerChanged`]; `cancelled`.
    pub fn remove_if(&self, id: &str, expected: Expected<'_>, cancel: &CancelToken) -> Result<()> {
        let id = LayerId::parse(id)?;
        self.check()?;
        self.remove_layer(&id, expected, Syncing::Now, cancel)
    }

    /// Reads an archive, which is not compressed, into a layer. Directories of the layer are copied for it, files
    /// are shared until they are replaced. In the form of moby an entry for the top directory is passed over.
    ///
    /// # Errors
    /// `unknown-layer`; `mounted` and `has-children`, for no one may see the layer change; `invalid-archive`,
    /// `no-space`, `cancelled`; what the driver answers. The layer is then as it was.
    pub fn apply(
        &self,
        id: &str,
        form: ArchiveForm,
        source: Source,
        cancel: CancelToken,
    ) -> Result<ApplyReport> {
        self.apply_if(id, &|_| true, form, source, cancel)
    }

    /// Reads an archive into a layer if it is as is expected, which is asked while nobody else can change it.
    ///
    /// # Errors
    /// As [`LayerStore::apply`]; [`crate::Error::LayerChanged`].
    pub fn apply_if(
        &self,
        id: &str,
        expected: Expected<'_>,
        form: ArchiveForm,
        source: Source,
        cancel: CancelToken,
    ) -> Result<ApplyReport> {
        let id = LayerId::parse(id)?;
        self.check()?;
        self.apply_archive(&id, expected, form, source, cancel)
    }
}

impl OpenStore<'_> {
    /// Lists layers in byte order of their ids, those after `after`, at most `limit`.
    #[must_use]
    pub fn layers(&self, after: Option<&str>, limit: usize) -> Vec<LayerView> {
        let page: Vec<_> = {
            let table = self.store.layers.table();
            table.page(after, limit).map(Entry::facts).collect()
        };
        let views = page.into_iter().map(|facts| self.store.layer_view(facts));
        views.collect()
    }

    /// Lists those layers that fit and whose ids begin with `prefix`, as [`OpenStore::layers`] does.
    #[must_use]
    pub fn layers_of(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        fits: Expected<'_>,
    ) -> Vec<LayerView> {
        let table = self.store.layers.table();
        let entries = table.entries_from(prefix, after);
        let entries = entries.take_while(|entry| entry.id().as_str().starts_with(prefix));
        let views = entries.map(|entry| self.store.layer_view(entry.facts()));
        views.filter(|layer| fits(layer)).take(limit).collect()
    }

    /// What keeps each layer of a page, in byte order of the ids.
    ///
    /// # Errors
    /// `cancelled`.
    pub fn holds(&self, request: &HoldsRequest, cancel: &CancelToken) -> Result<Vec<LayerHolds>> {
        self.engine.check_open()?;
        self.layer_holds(request, cancel)
    }

    /// Removes the layers that nothing keeps, the topmost first, or tells which those are. Of a layer that could not be removed the reason
    /// is told, and those below it stay.
    ///
    /// # Errors
    /// [`crate::Error::StoreServed`], also of a store whose layers are snapshots; `cancelled` when nothing was removed before.
    pub fn collect(&self, request: CollectRequest, cancel: &CancelToken) -> Result<CollectReport> {
        self.check()?;
        self.collect_layers(request, cancel)
    }

    /// Tells how a layer is mounted.
    ///
    /// # Errors
    /// `unknown-layer`, `not-mounted`.
    pub fn mounted(&self, id: &str) -> Result<MountView> {
        self.mount_of(&LayerId::parse(id)?)
    }

    /// Describes one layer.
    ///
    /// # Errors
    /// `invalid-id`, `unknown-layer`.
    pub fn layer(&self, id: &str) -> Result<LayerView> {
        let id = LayerId::parse(id)?;
        Ok(self.store.layer_view(self.store.facts(&id)?))
    }

    /// Where a layer lies, in moby's keys, and what the driver tells of it, in its order. Paths are absolute, and lead to
    /// directories one name below a room, which no process can exchange: `LowerDir` has those below the layer, nearest
    /// first, `MergedDir` is where the layer is mounted, or would be.
    ///
    /// # Errors
    /// As [`OpenStore::layer`]; what the driver answers; `driver-failed` when it tells a key that is the host's.
    pub fn metadata(&self, id: &str) -> Result<Vec<(String, String)>> {
        let id = LayerId::parse(id)?;
        self.check()?;
        self.layer_metadata(&id)
    }

    /// What a layer occupies beyond its parent: of a layer that shares blocks with its parent what differs, of a
    /// complete copy all of it. It may be mounted and change meanwhile.
    ///
    /// # Errors
    /// `unknown-layer`, `cancelled`; what the driver answers.
    pub fn usage(&self, id: &str, cancel: &CancelToken) -> Result<UsageView> {
        let id = LayerId::parse(id)?;
        self.check()?;
        self.layer_usage(&id, cancel)
    }

    /// What each of several layers occupies beyond its parent, in the order in which they are asked for. One that cannot be
    /// measured is told with the reason.
    ///
    /// # Errors
    /// `cancelled`; why the driver cannot work on the store.
    pub fn usages(&self, ids: &[String], cancel: &CancelToken) -> Result<Vec<LayerUsage>> {
        self.check()?;
        self.layer_usages(ids, cancel)
    }

    /// The processes that use mounted layers: those whose root is the mount, and of those that have files of it open whom the daemon
    /// may see. In byte order of the layers' ids, at most 16 of each. Works also in a store whose driver is broken.
    ///
    /// # Errors
    /// `cancelled` when the daemon ends.
    pub fn processes(&self) -> Result<Vec<LayerProcess>> {
        self.engine.check_open()?;
        Ok(self.mount_processes())
    }

    /// Writes the difference between two layers as a tar archive: the same bytes for the same layers and form. What
    /// the sink got before an error is no complete archive.
    ///
    /// # Errors
    /// `unknown-layer`, `unknown-parent`, `cancelled` also when the reader of the sink has gone; what the driver
    /// answers.
    pub fn diff(
        &self,
        request: &DiffRequest,
        sink: Sink,
        cancel: CancelToken,
    ) -> Result<DiffReport> {
        self.check()?;
        self.write_diff(request, sink, cancel)
    }

    /// Lists the difference between a layer and `parent` in byte order of the paths.
    ///
    /// # Errors
    /// As [`OpenStore::diff`].
    pub fn changes(
        &self,
        id: &str,
        parent: &DiffParent,
        sink: ChangeSink,
        cancel: CancelToken,
    ) -> Result<()> {
        self.check()?;
        self.list_changes(id, parent, sink, cancel)
    }

    /// Sums the sizes in bytes of what was added or modified against `parent`, each inode once.
    ///
    /// # Errors
    /// As [`OpenStore::diff`].
    pub fn size(&self, id: &str, parent: &DiffParent) -> Result<u64> {
        self.check()?;
        self.diff_size(id, parent)
    }

    /// Hands `page` the files at a path of a layer, up to 1024 at a time, and ends when that breaks: of a directory what is in
    /// it, names in byte order, or itself and everything below, each directory before what is in it; of any other file that one. Works also while the
    /// layer is mounted, and takes no reference.
    ///
    /// # Errors
    /// `unknown-layer`, `unknown-file`, `wrong-file` for a circle of links; `cancelled` when `page` breaks, too; what the driver
    /// answers.
    pub fn files(
        &self,
        request: &FilesRequest,
        page: &mut dyn FnMut(Vec<FileView>) -> ControlFlow<()>,
        cancel: &CancelToken,
    ) -> Result<()> {
        self.check()?;
        self.list_files(request, page, cancel)
    }

    /// Hands `page` what each layer of a chain does to which path, up to 1024 at a time, and ends when that breaks: the lowest layer first,
    /// whose files come as [`OpenStore::files`] has them; of the others as [`OpenStore::changes`] has them.
    ///
    /// # Errors
    /// As [`OpenStore::changes`].
    pub fn origins(&self, id: &str, page: OriginPages<'_>, cancel: &CancelToken) -> Result<()> {
        self.check()?;
        self.list_origins(id, page, cancel)
    }

    /// Opens a regular file of a layer for reading. It can be read also when the layer goes meanwhile.
    ///
    /// # Errors
    /// `unknown-layer`, `unknown-file`, `wrong-file` for anything else than a regular file; what the driver answers.
    pub fn open_file(&self, id: &str, path: &[u8], cancel: &CancelToken) -> Result<OpenFile> {
        self.check()?;
        self.open_layer_file(id, path, cancel)
    }

    /// Makes the files of a layer visible below a path; further calls count references.
    ///
    /// # Errors
    /// `unknown-layer`; `has-children` when it is to be changed although layers are built on it; `holds-snapshots` when it
    /// is to be changed and is a snapshot; `mounted` when it is mounted in another way than is asked for; what the driver
    /// answers.
    pub fn mount(&self, id: &str, request: MountRequest) -> Result<MountView> {
        let id = LayerId::parse(id)?;
        label::check(request.mount_label.as_deref())?;
        self.check()?;
        self.mount_layer(&id, request)
    }

    /// Gives back one reference; with the last one the layer is unmounted. A mount that is inherited counts as one that
    /// comes after all references. Works also in a store whose driver is broken.
    ///
    /// # Errors
    /// `unknown-layer`, `not-mounted`; `busy` when it is used, with who does if that can be seen.
    pub fn unmount(&self, id: &str, when_busy: WhenBusy) -> Result<UnmountView> {
        let id = LayerId::parse(id)?;
        self.engine.check_open()?;
        self.unmount_layer(&id, Give::One, when_busy)
    }

    /// Gives back what is asked for: a reference with a name or all of them, which is no error when there is none, or one without a name.
    ///
    /// # Errors
    /// As [`OpenStore::unmount`]; `held-by-name` when all references have names and none was named.
    pub fn give_back(&self, id: &str, request: &UnmountRequest) -> Result<UnmountView> {
        let id = LayerId::parse(id)?;
        let give = Give::of(request)?;
        self.engine.check_open()?;
        self.unmount_layer(&id, give, WhenBusy::Hold)
    }

    /// Every mount of the store, in byte order of the layers' ids.
    #[must_use]
    pub fn mounts(&self) -> Vec<(LayerId, MountView)> {
        self.all_mounts()
    }

    /// Gives back all references to mounts of the store, for a client that held them all has gone or ends.
    ///
    /// # Errors
    /// `io`. A mount that is in use is no error.
    pub fn release_mounts(&self, release: Release) -> Result<()> {
        self.engine.check_open()?;
        self.release_all(release)
    }
}
