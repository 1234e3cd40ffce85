//! What the cases ask of a driver: one function for each of the contract's, through the engine.
//!
//! Invariant: an answer that a case did not ask for is a mismatch that names the contract's function and the layer.

use crate::report::Mismatch;
use crate::stage::{Stage, Step, read};
use mica_cases::dump::Node;
use mica_cases::expected::change_line;
use mica_cases::tree;
use mica_engine::{
    Access, ApplyReport, ArchiveForm, CancelToken, Change, ChangeKind, ChangeSink, DiffParent,
    DiffRequest, Error, LayerKind, LayerRequest, LayerView, MountRequest, MountView,
    Result as Answer, Sink, Source, WhenBusy,
};
use mica_text::with_causes;
use parking_lot::Mutex;
use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of an archive that a driver writes: none of the cases' layers is nearly as large.
const ARCHIVE_BYTES: usize = 64 << 20;

/// Names of the contract's functions.
pub(crate) const CREATE: &str = "proto-driver.create";
pub(crate) const CREATE_READ_WRITE: &str = "proto-driver.create-read-write";
pub(crate) const REMOVE: &str = "proto-driver.remove";
pub(crate) const GET: &str = "proto-driver.get (read-write)";
pub(crate) const VIEW: &str = "proto-driver.get (read-only)";
pub(crate) const PUT: &str = "proto-driver.put";
pub(crate) const STATUS: &str = "proto-driver.status";
pub(crate) const METADATA: &str = "proto-driver.metadata";
pub(crate) const INIT: &str = "proto-driver.init";
pub(crate) const DIFF: &str = "diff-driver.diff";
pub(crate) const APPLY: &str = "diff-driver.apply-diff";
pub(crate) const CHANGES: &str = "diff-driver.changes";
pub(crate) const SIZE: &str = "diff-driver.diff-size";

/// A driver's answer where it had to work.
pub(crate) fn worked<T>(call: &str, layer: &str, answer: Answer<T>) -> Step<T> {
    answer.map_err(|error| Mismatch::new(call, Some(layer), "it works", &with_causes(&error)))
}

/// A driver's answer where it had to be refused with a code of the engine's, and name `names`. The error is what it was.
pub(crate) fn refused<T>(
    call: &str,
    layer: &str,
    answer: Answer<T>,
    (code, names): (&str, &str),
) -> Step<Error> {
    let named = match names {
        "" => String::new(),
        names => format!(", which names `{names}`"),
    };
    let expected = format!("the refusal `{code}`{named}");
    let error = match answer {
        Ok(_) => return Err(Mismatch::new(call, Some(layer), &expected, "it worked")),
        Err(error) => error,
    };
    let text = with_causes(&error);
    if error.code() == code && text.contains(names) {
        return Ok(error);
    }
    let seen = format!("`{}`: {text}", error.code());
    Err(Mismatch::new(call, Some(layer), &expected, &seen))
}

/// Two texts of lines that must be the same.
pub(crate) fn same(call: &str, layer: &str, expected: &str, seen: &str) -> Step<()> {
    match expected == seen {
        true => Ok(()),
        false => Err(Mismatch::lines(call, layer, expected, seen)),
    }
}

/// Something that must be so.
pub(crate) fn holds(
    is_so: bool,
    (call, layer): (&str, &str),
    expected: &str,
    seen: impl FnOnce() -> String,
) -> Step<()> {
    match is_so {
        true => Ok(()),
        false => Err(Mismatch::new(call, Some(layer), expected, &seen())),
    }
}

/// What this place itself failed to do: no fault of the driver, and told as what was being done.
pub(crate) fn place(doing: &str, done: io::Result<PathBuf>) -> Step<PathBuf> {
    done.map_err(|error| Mismatch::new(doing, None, "this place works", &error.to_string()))
}

impl Stage {
    /// Makes a layer.
    pub(crate) fn create(&self, id: &str, parent: Option<&str>) -> Step<LayerView> {
        worked(CREATE, id, self.try_create(id, parent))
    }

    /// The same, with what is answered.
    pub(crate) fn try_create(&self, id: &str, parent: Option<&str>) -> Answer<LayerView> {
        self.with(|layers| layers.create(LayerRequest::new(id, parent)))
    }

    /// Makes a container's layer.
    pub(crate) fn create_read_write(&self, id: &str, parent: Option<&str>) -> Step<LayerView> {
        let mut request = LayerRequest::new(id, parent);
        request.kind = LayerKind::ReadWrite;
        worked(
            CREATE_READ_WRITE,
            id,
            self.with(|layers| layers.create(request)),
        )
    }

    /// Removes a layer.
    pub(crate) fn remove(&self, id: &str) -> Step<()> {
        worked(REMOVE, id, self.try_remove(id))
    }

    /// The same, with what is answered.
    pub(crate) fn try_remove(&self, id: &str) -> Answer<()> {
        self.with(|layers| layers.remove(id))
    }

    /// Mounts a layer to be changed.
    pub(crate) fn mount(&self, id: &str) -> Step<PathBuf> {
        let mounted = self.try_mount(id, Access::ReadWrite);
        worked(GET, id, mounted).map(|view| view.path)
    }

    /// Mounts a layer to be read.
    pub(crate) fn view(&self, id: &str) -> Step<PathBuf> {
        let mounted = self.try_mount(id, Access::ReadOnly);
        worked(VIEW, id, mounted).map(|view| view.path)
    }

    /// Mounts a layer, with what is answered.
    pub(crate) fn try_mount(&self, id: &str, access: Access) -> Answer<MountView> {
        let request = MountRequest {
            access: Some(access),
            ..MountRequest::default()
        };
        self.with(|layers| layers.mount(id, request))
    }

    /// Gives back a mount, and says how many are left.
    pub(crate) fn unmount(&self, id: &str) -> Step<u64> {
        let left = self.try_unmount(id);
        worked(PUT, id, left)
    }

    /// The same, with what is answered.
    pub(crate) fn try_unmount(&self, id: &str) -> Answer<u64> {
        self.with(|layers| layers.unmount(id, WhenBusy::Hold))
            .map(|view| view.references)
    }

    /// Changes a layer by a script of `mica_cases::tree`, through a mount.
    pub(crate) fn write(&self, id: &str, script: &str) -> Step<()> {
        let path = self.mount(id)?;
        self.write_at(id, &path, script)?;
        self.unmount(id).map(drop)
    }

    /// The same in a mount that is there.
    pub(crate) fn write_at(&self, id: &str, path: &std::path::Path, script: &str) -> Step<()> {
        tree::try_build(path, script).map_err(|error| {
            let seen = format!("{error:#}");
            Mismatch::new(
                "a process that writes to the mount",
                Some(id),
                "it works",
                &seen,
            )
        })
    }

    /// The tree of a layer through a read-only view.
    pub(crate) fn seen(&self, id: &str) -> Step<Vec<Node>> {
        let path = self.view(id)?;
        let nodes = read(&path, VIEW, id);
        self.unmount(id)?;
        nodes
    }

    /// The difference of a layer as an archive.
    pub(crate) fn diff(&self, id: &str, parent: DiffParent) -> Step<Vec<u8>> {
        self.diff_in_form(id, parent, ArchiveForm::Faithful)
    }

    /// The same in a form.
    pub(crate) fn diff_in_form(
        &self,
        id: &str,
        parent: DiffParent,
        form: ArchiveForm,
    ) -> Step<Vec<u8>> {
        let taken = Taken::default();
        let sink = Sink::to_writer(Box::new(taken.clone()));
        worked(DIFF, id, self.try_diff(id, parent, form, sink)).map(|()| taken.bytes())
    }

    /// Writes a difference to a sink, with what is answered.
    pub(crate) fn try_diff(
        &self,
        id: &str,
        parent: DiffParent,
        form: ArchiveForm,
        sink: Sink,
    ) -> Answer<()> {
        let id = id.to_owned();
        let request = DiffRequest { id, parent, form };
        self.with(|layers| layers.diff(&request, sink, CancelToken::default()))
            .map(drop)
    }

    /// Applies an archive.
    pub(crate) fn apply(&self, id: &str, archive: &[u8]) -> Step<ApplyReport> {
        worked(APPLY, id, self.try_apply(id, archive))
    }

    /// The same, with what is answered.
    pub(crate) fn try_apply(&self, id: &str, archive: &[u8]) -> Answer<ApplyReport> {
        let reader = Box::new(Cursor::new(archive.to_vec()));
        self.apply_from(id, reader, CancelToken::default())
    }

    /// Applies what a reader gives, with what is answered.
    pub(crate) fn apply_from(
        &self,
        id: &str,
        reader: Box<dyn Read + Send>,
        cancel: CancelToken,
    ) -> Answer<ApplyReport> {
        let source = Source::from_reader(reader);
        self.with(|layers| layers.apply(id, ArchiveForm::Faithful, source, cancel))
    }

    /// The changes of a layer, one line each: `C /etc`.
    pub(crate) fn changes(&self, id: &str, parent: &DiffParent) -> Step<String> {
        let (sink, mut pages) = ChangeSink::channel(4);
        let (answer, changes) = std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut all = Vec::new();
                while let Some(page) = pages.blocking_recv() {
                    all.extend(page);
                }
                all
            });
            let answer =
                self.with(|layers| layers.changes(id, parent, sink, CancelToken::default()));
            // It only collects.
            (answer, reader.join().unwrap_or_default())
        });
        worked(CHANGES, id, answer)?;
        Ok(changes.iter().map(line).collect())
    }

    /// The size of a layer's difference in bytes.
    pub(crate) fn size(&self, id: &str, parent: &DiffParent) -> Step<u64> {
        worked(SIZE, id, self.with(|layers| layers.size(id, parent)))
    }
}

fn line(change: &Change) -> String {
    let kind = match change.kind {
        ChangeKind::Modify => 'C',
        ChangeKind::Add => 'A',
        ChangeKind::Delete => 'D',
    };
    change_line(&change.path, kind)
}

/// What a driver wrote.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<u8>>>);

impl Taken {
    fn bytes(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Write for Taken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.0.lock();
        if taken.len().saturating_add(bytes.len()) > ARCHIVE_BYTES {
            let text = format!("the archive has more than {ARCHIVE_BYTES} bytes");
            return Err(io::Error::other(text));
        }
        taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
