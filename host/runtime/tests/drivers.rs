//! The drivers that ship with Mica, run in the sandbox over the simplest home there can be: a directory per layer.
//! Needs root: overlay and bind mounts are real, though attached nowhere.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use mica_runtime::{
    Access, ArchiveForm, CancelToken, Code, CreateOptions, Error, Failure, Feature, Generation,
    Grant, Grants, Home, LayerInfo, LayerKind, Operation, Room, Runtime, Settings, Sink, Source,
    Spent, Staged, Support,
};
use std::any::Any;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// Layers are directories named by their ids; everything can be changed by every operation.
struct PlainHome {
    path: PathBuf,
    fd: OwnedFd,
    parents: Mutex<BTreeMap<String, Option<String>>>,
    creating: Mutex<(String, Option<String>)>,
}

struct PlainStage(PathBuf);

impl Staged for PlainStage {
    fn room(&self) -> Result<OwnedFd, Failure> {
        open(&self.0)
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn open(path: &Path) -> Result<OwnedFd, Failure> {
    File::open(path)
        .map(OwnedFd::from)
        .map_err(|error| Failure::from_io(format!("open `{}`", path.display()), &error))
}

impl Home for PlainHome {
    fn exists(&self, id: &str) -> Result<bool, Failure> {
        Ok(self.parents.lock().unwrap().contains_key(id))
    }
    fn inspect(&self, id: &str) -> Result<LayerInfo, Failure> {
        let parents = self.parents.lock().unwrap();
        let parent = parents
            .get(id)
            .ok_or_else(|| Failure::new(Code::NotFound, id))?;
        Ok(LayerInfo {
            id: id.into(),
            parent: parent.clone(),
            kind: LayerKind::Content,
        })
    }
    fn ancestors(&self, id: &str) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut at = self.inspect(id)?.parent;
        while let Some(parent) = at {
            at = self.inspect(&parent)?.parent;
            found.push(parent);
        }
        Ok(found)
    }
    fn list(&self, _: Option<&str>) -> Result<Vec<String>, Failure> {
        Ok(self.parents.lock().unwrap().keys().cloned().collect())
    }
    fn open(&self, id: &str) -> Result<Room, Failure> {
        Ok(Room {
            fd: open(&self.path.join("layers").join(id))?,
            access: Access::ReadWrite,
            shared: None,
        })
    }
    fn stage(&self) -> Result<Box<dyn Staged>, Failure> {
        let path = self
            .path
            .join("staging")
            .join(self.creating.lock().unwrap().0.as_str());
        fs::create_dir(&path).map_err(|error| Failure::from_io("stage", &error))?;
        Ok(Box::new(PlainStage(path)))
    }
    fn publish(&self, staged: Box<dyn Staged>, id: &str) -> Result<(), Failure> {
        let staged = staged.into_any().downcast::<PlainStage>().unwrap();
        let (creating, parent) = self.creating.lock().unwrap().clone();
        if creating != id {
            return Err(Failure::new(
                Code::Denied,
                format!("`{id}` is not what is created"),
            ));
        }
        fs::rename(&staged.0, self.path.join("layers").join(id)).unwrap();
        self.parents.lock().unwrap().insert(creating, parent);
        Ok(())
    }
    fn discard(&self, id: &str) -> Result<(), Failure> {
        fs::remove_dir_all(self.path.join("layers").join(id)).unwrap();
        self.parents.lock().unwrap().remove(id);
        Ok(())
    }
    fn backing(&self) -> Result<BorrowedFd<'_>, Failure> {
        Ok(self.fd.as_fd())
    }
    fn probe(&self, feature: Feature) -> Result<Support, Failure> {
        let found = match feature {
            Feature::DType => mica_sys::filesystem::probe_d_type(self.fd.as_fd()),
            Feature::Reflink => mica_sys::filesystem::probe_reflink(self.fd.as_fd()),
            Feature::Overlay => mica_sys::filesystem::probe_overlay(self.fd.as_fd()),
            Feature::OverlayNativeDiff => mica_sys::filesystem::probe_native_diff(self.fd.as_fd()),
            Feature::Images => mica_runtime::probe_images(self.fd.as_fd()),
        };
        Ok(match found.unwrap() {
            mica_sys::filesystem::Support::Available => Support::Available,
            mica_sys::filesystem::Support::Missing(why) => Support::Missing(why),
        })
    }
}

/// A driver with a store of its own.
struct Fixture {
    generation: Arc<Generation>,
    home: Arc<PlainHome>,
    _dir: TempDir,
}

fn component(name: &str) -> &'static [u8] {
    mica_artifacts::component(name).unwrap()
}

impl Fixture {
    fn new(name: &str) -> Self {
        let dir = TempDir::new_in("/var/tmp").unwrap();
        for sub in ["layers", "staging"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        let home = PlainHome {
            path: dir.path().to_owned(),
            fd: open(dir.path()).unwrap(),
            parents: Mutex::default(),
            creating: Mutex::default(),
        };
        let runtime = Runtime::new(Settings::default()).unwrap();
        let generation = runtime
            .load(
                component(name),
                &Grants::standard(),
                &CancelToken::default(),
            )
            .unwrap();
        Self {
            generation,
            home: Arc::new(home),
            _dir: dir,
        }
    }

    fn operation(&self, name: &'static str) -> Operation {
        Operation {
            store: "test".into(),
            name,
            home: Arc::<PlainHome>::clone(&self.home),
            options: Arc::new([]),
            cancel: CancelToken::default(),
            client_wait: None,
            spent: Spent::default(),
            witness: None,
            replay: None,
        }
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), Error> {
        *self.home.creating.lock().unwrap() = (id.into(), parent.map(str::to_owned));
        let options = CreateOptions::default();
        let (operation, kind) = (self.operation("create"), LayerKind::ReadWrite);
        let created = self
            .generation
            .create(operation, id, parent, kind, &options, None);
        created.map(drop)
    }

    /// Runs `body` with a path to the layer's view, which is attached nowhere.
    fn with_view(&self, id: &str, body: impl FnOnce(&Path)) {
        let mount = self
            .generation
            .get(self.operation("get"), id, Access::ReadWrite, None)
            .unwrap();
        let root = mount.root().unwrap();
        body(Path::new(&format!("/proc/self/fd/{}", root.as_raw_fd())));
    }

    fn diff(&self, id: &str, parent: Option<&str>) -> Vec<u8> {
        let written = Shared::default();
        let sink = Sink::to_writer(Box::new(written.clone()));
        let report = self
            .generation
            .diff(
                self.operation("diff"),
                id,
                parent,
                ArchiveForm::Faithful,
                sink,
            )
            .unwrap();
        let bytes = written.0.lock().unwrap().clone();
        assert_eq!(report.archive_bytes, bytes.len() as u64);
        bytes
    }

    fn apply(&self, id: &str, parent: Option<&str>, archive: Vec<u8>) -> Result<u64, Error> {
        let source = Source::from_reader(Box::new(io::Cursor::new(archive)));
        let report = self.generation.apply_diff(
            self.operation("apply"),
            id,
            parent,
            ArchiveForm::Faithful,
            source,
        )?;
        Ok(report.size_bytes)
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Creates, fills, diffs and applies through one driver.
fn layer_life(name: &str) {
    let store = Fixture::new(name);
    store.generation.init(store.operation("init"), &[]).unwrap();
    store.create("base", None).unwrap();
    store.with_view("base", |root| {
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::write(root.join("gone"), "soon").unwrap();
    });
    store.create("child", Some("base")).unwrap();
    store.with_view("child", |root| {
        assert_eq!(
            fs::read_to_string(root.join("etc/hosts")).unwrap(),
            "127.0.0.1 localhost\n"
        );
        fs::remove_file(root.join("gone")).unwrap();
        fs::write(root.join("etc/motd"), "hello\n").unwrap();
    });
    let archive = store.diff("child", Some("base"));
    assert_eq!(
        archive,
        store.diff("child", Some("base")),
        "the same layer is the same bytes"
    );
    let text = String::from_utf8_lossy(&archive).into_owned();
    assert!(text.contains("etc/motd") && text.contains(".wh.gone") && !text.contains("etc/hosts"));

    store.create("sibling", Some("base")).unwrap();
    assert_eq!(store.apply("sibling", Some("base"), archive).unwrap(), 6);
    store.with_view("sibling", |root| {
        assert_eq!(
            fs::read_to_string(root.join("etc/motd")).unwrap(),
            "hello\n"
        );
        assert!(!root.join("gone").exists());
    });
    let size = store
        .generation
        .diff_size(store.operation("size"), "child", Some("base"))
        .unwrap();
    assert_eq!(size, 6);
    store
        .generation
        .remove(store.operation("remove"), "sibling")
        .unwrap();
    assert!(!store.home.exists("sibling").unwrap());
}

#[test]
fn overlay_lives_a_layers_life() {
    layer_life("overlay");
}

#[test]
fn vfs_composed_with_naive_diff_lives_a_layers_life() {
    layer_life("vfs");
}

#[test]
fn what_is_not_granted_does_not_load() {
    let runtime = Runtime::new(Settings::default()).unwrap();
    let grants: Grants = Grant::ALL
        .iter()
        .copied()
        .filter(|grant| *grant != Grant::Mounts)
        .collect();
    let Err(Error::NotGranted { reason, remedy }) =
        runtime.load(component("vfs"), &grants, &CancelToken::default())
    else {
        panic!("it loaded")
    };
    assert!(
        reason.contains("mica:host/mounts@1.0.0") && remedy.contains("grants = ["),
        "{reason}; {remedy}"
    );
}

#[test]
fn an_archive_that_ends_early_is_an_invalid_archive() {
    let store = Fixture::new("vfs");
    store.create("base", None).unwrap();
    store.with_view("base", |root| {
        fs::write(root.join("file"), vec![7; 5000]).unwrap()
    });
    let mut archive = store.diff("base", None);
    archive.truncate(3000);
    store.create("other", None).unwrap();
    let error = store.apply("other", None, archive).unwrap_err();
    assert!(matches!(error, Error::InvalidArchive(_)), "{error}");
}

#[test]
fn a_cancelled_operation_ends() {
    let store = Fixture::new("vfs");
    let operation = store.operation("exists");
    operation.cancel.cancel();
    assert!(matches!(
        store.generation.exists(operation, "any"),
        Err(Error::Cancelled)
    ));
}

#[test]
fn compiled_code_is_found_again() {
    let cache = TempDir::new().unwrap();
    fs::set_permissions(
        cache.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    let settings = || Settings {
        cache_dir: Some(cache.path().to_owned()),
        ..Settings::default()
    };
    Runtime::new(settings())
        .unwrap()
        .load(
            component("vfs"),
            &Grants::standard(),
            &CancelToken::default(),
        )
        .unwrap();
    let count = || fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(count(), 1);
    Runtime::new(settings())
        .unwrap()
        .load(
            component("vfs"),
            &Grants::standard(),
            &CancelToken::default(),
        )
        .unwrap();
    assert_eq!(count(), 1);
}
