//! The engine with a driver that ships with Mica, on a real file system. Needs root: layers are mounted.

use crate::{
    Access, ArchiveForm, CancelToken, Consent, DiffParent, DiffRequest, DriverSource, Engine,
    EngineSettings, Error, EventKind, LayerRequest, LayerView, MountRequest, Origin, Pairs, Papers,
    Runtime, Since, Sink, Source, StoreRequest, SwapRequest, WhenBusy,
};
use mica_runtime::{Grants, Settings};
use std::borrow::Cow;
use std::fs;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

const STORE: &str = "main";

/// One sandbox for all tests: compiling is what takes time, and every runtime has a cache of its own.
static RUNTIME: LazyLock<Arc<Runtime>> =
    LazyLock::new(|| Runtime::new(Settings::default()).unwrap());

struct Rig {
    driver: &'static str,
    directory: TempDir,
    engine: Option<Arc<Engine>>,
}

/// Runs a check with each driver that works here.
fn each(check: impl Fn(Rig)) {
    let own = fs::metadata("/proc/self").unwrap();
    if std::os::unix::fs::MetadataExt::uid(&own) != 0 {
        println!("skipped: mounting needs root");
        return;
    }
    for driver in mica_artifacts::DRIVERS {
        match Rig::new(driver.name) {
            Ok(rig) => check(rig),
            Err(error) => println!("skipped with `{}`: {error}", driver.name),
        }
    }
}

impl Rig {
    /// An engine with a store.
    fn new(driver: &'static str) -> Result<Self, Error> {
        let mut rig = Self {
            driver,
            directory: TempDir::new().unwrap(),
            engine: None,
        };
        rig.engine = Some(rig.open().unwrap());
        match rig.engine().stores().create(request(STORE, driver)) {
            Ok(_) => Ok(rig),
            Err(
                error @ (Error::NotSupported(_)
                | Error::Prerequisites(_)
                | Error::IncompatibleFs(_)),
            ) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    fn open(&self) -> Result<Arc<Engine>, Error> {
        let mut settings = EngineSettings::new(self.path("root"), self.path("run"));
        settings
            .usual_grants
            .insert(self.driver.to_owned(), Grants::all());
        settings.drivers = vec![DriverSource {
            name: Some(self.driver.to_owned()),
            bytes: Cow::Borrowed(component(self.driver)),
            origin: Origin::Embedded,
            provenance: None,
        }];
        Engine::open(settings, Arc::clone(&RUNTIME))
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn restart(&mut self) {
        self.engine().close();
        self.engine = None;
        self.engine = Some(self.open().unwrap());
    }

    fn create(&self, id: &str, parent: Option<&str>) {
        self.engine()
            .layers(STORE)
            .unwrap()
            .create(LayerRequest::new(id, parent))
            .unwrap();
    }

    fn layer(&self, id: &str) -> LayerView {
        self.engine().store(STORE).unwrap().layer(id).unwrap()
    }

    fn mount(&self, id: &str) -> PathBuf {
        self.engine()
            .store(STORE)
            .unwrap()
            .mount(id, MountRequest::default())
            .unwrap()
            .path
    }

    fn unmount(&self, id: &str) -> u64 {
        self.engine()
            .store(STORE)
            .unwrap()
            .unmount(id, WhenBusy::Hold)
            .unwrap()
            .references
    }

    /// Creates a layer with one file.
    fn fill(&self, id: &str, parent: Option<&str>, name: &str) {
        self.create(id, parent);
        fs::write(self.mount(id).join(name), name).unwrap();
        assert_eq!(self.unmount(id), 0);
    }

    fn archive(&self, id: &str) -> Vec<u8> {
        let path = self.path("archive");
        let sink = Sink::to_writer(Box::new(fs::File::create(&path).unwrap()));
        self.engine()
            .store(STORE)
            .unwrap()
            .diff(
                &DiffRequest {
                    id: id.to_owned(),
                    parent: DiffParent::None,
                    form: ArchiveForm::Faithful,
                },
                sink,
                CancelToken::default(),
            )
            .unwrap();
        fs::read(path).unwrap()
    }

    fn names(&self, id: &str) -> Vec<String> {
        let entries = fs::read_dir(self.mount(id)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        self.unmount(id);
        names
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let Some(engine) = self.engine.take() else {
            return;
        };
        let store = engine.store(STORE);
        let layers = store.map(|store| store.layers(None, 1000));
        for layer in layers.unwrap_or_default() {
            for _ in 0..layer.mounts {
                let _unmounted = engine
                    .store(STORE)
                    .unwrap()
                    .unmount(&layer.id, WhenBusy::Hold);
            }
        }
        engine.close();
    }
}

fn component_of(bytes: &[u8]) -> SwapRequest<'_> {
    SwapRequest {
        component: Some(bytes),
        ..SwapRequest::default()
    }
}

fn component(driver: &str) -> &'static [u8] {
    mica_artifacts::component(driver).unwrap()
}

fn request(name: &str, driver: &str) -> StoreRequest {
    StoreRequest {
        name: name.into(),
        driver: Some(driver.into()),
        options: Pairs::default(),
        client: None,
    }
}

#[test]
fn a_layer_lives_from_creation_to_removal() {
    each(|rig| {
        let mut events = rig.engine().events(Since::Now).coming;
        rig.fill("base", None, "one");
        rig.fill("child", Some("base"), "two");
        assert_eq!(rig.layer("child").depth, 2);
        assert_eq!(rig.layer("base").children, 1);
        assert_eq!(
            rig.engine()
                .layers(STORE)
                .unwrap()
                .remove("base")
                .unwrap_err()
                .code(),
            "has-children"
        );
        rig.engine().layers(STORE).unwrap().remove("child").unwrap();
        rig.engine().layers(STORE).unwrap().remove("base").unwrap();
        assert_eq!(
            rig.engine()
                .layers(STORE)
                .unwrap()
                .remove("base")
                .unwrap_err()
                .code(),
            "unknown-layer"
        );
        assert_eq!(rig.engine().store(STORE).unwrap().layers(None, 10), []);
        let mut kinds = Vec::new();
        while let Ok(event) = events.try_recv() {
            kinds.push(event.kind);
        }
        use EventKind::{LayerCreated, LayerMounted, LayerRemoved, LayerUnmounted};
        let (made, gone) = ([LayerCreated, LayerMounted, LayerUnmounted], LayerRemoved);
        assert_eq!(kinds, [&made[..], &made, &[gone, gone]].concat());
    });
}

#[test]
fn what_makes_no_sense_is_refused_by_its_name() {
    each(|rig| {
        let engine = rig.engine();
        rig.create("a", None);
        let create = |id: &str, parent: Option<&str>| {
            engine
                .layers(STORE)
                .unwrap()
                .create(LayerRequest::new(id, parent))
                .unwrap_err()
                .code()
        };
        assert_eq!(create("a", None), "layer-exists");
        assert_eq!(create("b", Some("no")), "unknown-parent");
        assert_eq!(create("../b", None), "invalid-id");
        assert_eq!(create("b", Some("b")), "unknown-parent");
        assert_eq!(engine.store("no").unwrap_err().code(), "unknown-store");
        assert_eq!(
            engine
                .store(STORE)
                .unwrap()
                .unmount("a", WhenBusy::Hold)
                .unwrap_err()
                .code(),
            "not-mounted"
        );
        assert_eq!(
            engine
                .store(STORE)
                .unwrap()
                .unmount("no", WhenBusy::Hold)
                .unwrap_err()
                .code(),
            "unknown-layer"
        );
    });
}

#[test]
fn stores_and_drivers_are_refused_by_their_names_too() {
    each(|rig| {
        let engine = rig.engine();
        rig.create("a", None);
        assert_eq!(engine.stores().remove(STORE).unwrap_err().code(), "busy");
        assert_eq!(
            engine
                .stores()
                .create(request(STORE, rig.driver))
                .unwrap_err()
                .code(),
            "store-exists"
        );
        assert_eq!(
            engine
                .stores()
                .create(request("other", "no"))
                .unwrap_err()
                .code(),
            "unknown-driver"
        );
        assert_eq!(
            engine
                .stores()
                .create(request("../x", rig.driver))
                .unwrap_err()
                .code(),
            "invalid-name"
        );
        assert_eq!(
            engine
                .drivers()
                .load(
                    component(rig.driver),
                    Papers::default(),
                    None,
                    &Consent::default(),
                    &CancelToken::default()
                )
                .unwrap_err()
                .code(),
            "driver-exists"
        );
        assert_eq!(
            engine
                .drivers()
                .load(
                    b"\0asm",
                    Papers::default(),
                    None,
                    &Consent::default(),
                    &CancelToken::default()
                )
                .unwrap_err()
                .code(),
            "driver-rejected"
        );
    });
}

#[test]
fn references_are_counted_and_survive_a_restart() {
    each(|mut rig| {
        rig.create("a", None);
        let path = rig.mount("a");
        assert_eq!(
            rig.engine()
                .store(STORE)
                .unwrap()
                .mount("a", MountRequest::default())
                .unwrap()
                .references,
            2
        );
        fs::write(path.join("file"), "x").unwrap();
        assert_eq!(
            rig.engine()
                .layers(STORE)
                .unwrap()
                .remove("a")
                .unwrap_err()
                .code(),
            "mounted"
        );
        let read_only = MountRequest {
            access: Some(Access::ReadOnly),
            ..MountRequest::default()
        };
        assert_eq!(
            rig.engine()
                .store(STORE)
                .unwrap()
                .mount("a", read_only)
                .unwrap_err()
                .code(),
            "mounted"
        );
        assert_eq!(
            rig.engine()
                .layers(STORE)
                .unwrap()
                .create(LayerRequest::new("b", Some("a")))
                .unwrap_err()
                .code(),
            "mounted"
        );
        rig.restart();
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "x");
        assert_eq!(rig.layer("a").mounts, 2);
        assert_eq!((rig.unmount("a"), rig.unmount("a")), (1, 0));
        assert!(!path.exists());
    });
}

#[test]
fn mounts_of_a_store_that_vanished_go_at_the_next_start() {
    each(|mut rig| {
        rig.create("a", None);
        let path = rig.mount("a");
        rig.engine().close();
        rig.engine = None;
        fs::remove_dir_all(rig.path("root/stores")).unwrap();
        rig.engine = Some(rig.open().unwrap());
        assert!(!path.exists() && !rig.path("run/m/main").exists());
        assert_eq!(rig.engine().status().problems, []);
    });
}

#[test]
fn a_mount_in_use_keeps_its_last_reference() {
    each(|rig| {
        rig.create("a", None);
        let path = rig.mount("a");
        let user = fs::File::create(path.join("file")).unwrap();
        assert_eq!(
            rig.engine()
                .store(STORE)
                .unwrap()
                .unmount("a", WhenBusy::Hold)
                .unwrap_err()
                .code(),
            "busy"
        );
        assert_eq!(rig.layer("a").mounts, 1);
        drop(user);
        assert_eq!(rig.unmount("a"), 0);
    });
}

#[test]
fn a_layer_with_children_is_mounted_read_only() {
    each(|rig| {
        rig.fill("base", None, "one");
        rig.create("child", Some("base"));
        let path = rig.mount("base");
        assert_eq!(
            fs::write(path.join("two"), "").unwrap_err().kind(),
            std::io::ErrorKind::ReadOnlyFilesystem
        );
        rig.unmount("base");
        let write = MountRequest {
            access: Some(Access::ReadWrite),
            ..MountRequest::default()
        };
        assert_eq!(
            rig.engine()
                .store(STORE)
                .unwrap()
                .mount("base", write)
                .unwrap_err()
                .code(),
            "has-children"
        );
    });
}

#[test]
fn an_archive_replaces_a_layer_whole_or_not_at_all() {
    each(|mut rig| {
        rig.fill("from", None, "one");
        rig.fill("to", None, "two");
        let archive = rig.archive("from");
        let apply = |rig: &Rig, bytes: &[u8]| {
            let source = Source::from_reader(Box::new(Cursor::new(bytes.to_vec())));
            rig.engine().layers(STORE).unwrap().apply(
                "to",
                ArchiveForm::Faithful,
                source,
                CancelToken::default(),
            )
        };
        let before = rig.layer("to");
        let half = archive.get(..700).unwrap();
        assert_eq!(apply(&rig, half).unwrap_err().code(), "invalid-archive");
        assert_eq!(rig.names("to"), ["two"]);
        assert_eq!(rig.layer("to"), before);
        apply(&rig, &archive).unwrap();
        assert_eq!(rig.names("to"), ["one", "two"]);
        let after = rig.layer("to");
        assert!(after.number > before.number && after.created == before.created);
        rig.restart();
        assert_eq!(rig.names("to"), ["one", "two"]);
        assert_eq!(rig.engine().status().problems, []);
    });
}

#[test]
fn a_second_daemon_is_refused() {
    each(|rig| {
        assert_eq!(rig.open().unwrap_err().code(), "locked");
    });
}

#[test]
fn a_swap_leaves_layers_and_mounts_alone() {
    each(|mut rig| {
        rig.create("a", None);
        let path = rig.mount("a");
        fs::write(path.join("file"), "x").unwrap();
        let report = rig
            .engine()
            .drivers()
            .swap(rig.driver, SwapRequest::default(), &CancelToken::default())
            .unwrap();
        assert!(report.bake_seconds == 0 && report.old_digest == report.new_digest);
        assert_eq!(
            rig.engine().drivers().get(rig.driver).unwrap().generation,
            2
        );
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "x");
        let bad = rig
            .engine()
            .drivers()
            .swap(
                rig.driver,
                component_of(b"\0asm\x0d\0\x01\0"),
                &CancelToken::default(),
            )
            .unwrap_err();
        assert_eq!(
            (bad.code(), bad.remedy().is_some()),
            ("driver-rejected", true)
        );
        assert_eq!(
            rig.engine().drivers().get(rig.driver).unwrap().generation,
            2
        );
        rig.engine()
            .drivers()
            .swap(
                rig.driver,
                component_of(component(rig.driver)),
                &CancelToken::default(),
            )
            .unwrap();
        assert_eq!(
            rig.engine().drivers().get(rig.driver).unwrap().origin,
            "uploaded"
        );
        rig.restart();
        assert_eq!(
            rig.engine().drivers().get(rig.driver).unwrap().origin,
            "uploaded"
        );
        assert_eq!(rig.unmount("a"), 0);
    });
}

#[test]
fn operations_on_different_layers_go_on_while_others_come_and_go() {
    each(|rig| {
        rig.fill("base", None, "one");
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let rig = &rig;
                scope.spawn(move || {
                    for round in 0..5 {
                        let id = format!("t{thread}-{round}");
                        rig.fill(&id, Some("base"), "two");
                        rig.engine().layers(STORE).unwrap().remove(&id).unwrap();
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..3 {
                    rig.engine()
                        .drivers()
                        .swap(rig.driver, SwapRequest::default(), &CancelToken::default())
                        .unwrap();
                }
            });
        });
        assert_eq!(rig.layer("base").children, 0);
        assert_eq!(rig.engine().status().running, 0);
    });
}

#[test]
fn a_store_without_layers_can_be_removed() {
    each(|rig| {
        rig.create("a", None);
        rig.engine().layers(STORE).unwrap().remove("a").unwrap();
        rig.engine().stores().remove(STORE).unwrap();
        assert_eq!(
            rig.engine().store(STORE).unwrap_err().code(),
            "unknown-store"
        );
        let left: Vec<_> = fs::read_dir(rig.path("root/stores")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn a_panic_in_the_middle_of_an_operation_leaves_nothing_locked() {
    struct Defect;
    impl Read for Defect {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("a defect of the host, below a call of the driver")
        }
    }
    each(|rig| {
        rig.fill("a", None, "one");
        for _ in 0..3 {
            let source = Source::from_reader(Box::new(Defect));
            let apply = || {
                let token = CancelToken::default();
                rig.engine()
                    .layers(STORE)
                    .unwrap()
                    .apply("a", ArchiveForm::Faithful, source, token)
            };
            assert!(catch_unwind(AssertUnwindSafe(apply)).is_err());
        }
        assert_eq!(rig.engine().status().running, 0);
        rig.fill("b", Some("a"), "two");
        for id in ["b", "a"] {
            rig.engine().layers(STORE).unwrap().remove(id).unwrap();
        }
    });
}

#[test]
fn a_layer_that_has_no_digests_yet_gets_them_from_the_next_daemon() {
    let waiting = |rig: &Rig| {
        let engine = rig.engine();
        let store = engine.stores().find(STORE).unwrap();
        engine.scrubber.begin_store(&store);
        engine.scrubber.waiting()
    };
    each(|mut rig| {
        rig.fill("a", None, "one");
        rig.restart();
        assert_eq!(rig.engine().scrubber.waiting(), 0);
        assert_eq!(waiting(&rig), 1);
        // What has them does not wait.
        let token = CancelToken::default();
        let verified = rig.engine().store(STORE).unwrap().verify("a", &token);
        verified.unwrap();
        rig.restart();
        assert_eq!(waiting(&rig), 0);
    });
}
