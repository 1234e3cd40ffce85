use super::*;
use crate::disk::home::{Reaper, Record, Syncing};
use crate::layers::Owner;
use std::os::fd::AsFd;
use tempfile::TempDir;

struct Rig {
    layers: Arc<LayerSet>,
    reaper: Arc<Reaper>,
    _directory: TempDir,
}

impl Rig {
    /// A store with `base` and, built on it, `child`.
    fn new() -> Self {
        let (directory, reaper) = (TempDir::new().unwrap(), Reaper::start().unwrap());
        let owner = Owner {
            store: "main".into(),
            driver: "test".into(),
            options: Vec::new(),
        };
        let layers = LayerSet::open_scratch(owner, directory.path(), &reaper).unwrap();
        let rig = Self {
            layers,
            reaper,
            _directory: directory,
        };
        rig.publish("base", None);
        rig.publish("child", Some("base"));
        rig
    }

    fn publish(&self, name: &str, parent: Option<&str>) {
        let staged = self.layers.home().stage().unwrap();
        let record = Record::new(id(name), parent.map(id), LayerKind::Content, "test");
        self.layers.publish(staged, record, Syncing::Now).unwrap();
    }

    fn scope(&self, subject: &str, intent: Intent) -> Arc<Scope> {
        Scope::layer(&self.layers, &id(subject), intent)
    }

    fn create(&self, subject: &str) -> Arc<Scope> {
        self.scope(
            subject,
            Intent::Create(Some(id("child")), LayerKind::ReadWrite),
        )
    }
}

fn id(text: &str) -> LayerId {
    LayerId::parse(text).unwrap()
}

fn code<T>(answer: Answer<T>) -> Code {
    answer.err().unwrap().code
}

#[test]
fn only_the_subject_can_be_changed_and_only_where_the_intent_allows() {
    let rig = Rig::new();
    let copy = || {
        rig.layers
            .copy(
                &id("child"),
                rig.layers.table().get("child").unwrap().number,
            )
            .unwrap()
    };
    let (only, write) = (Access::ReadOnly, Access::ReadWrite);
    for (intent, expected) in [
        (Intent::Look, only),
        (Intent::View(only), only),
        (Intent::View(write), write),
        (Intent::Remove, only),
        (Intent::Apply(copy()), write),
    ] {
        let scope = rig.scope("child", intent);
        assert_eq!(
            scope.open("child").unwrap().access,
            expected,
            "{:?}",
            scope.intent
        );
        assert_eq!(
            scope.open("base").unwrap().access,
            only,
            "{:?}",
            scope.intent
        );
    }
}

#[test]
fn a_layer_that_is_created_exists_for_its_operation_from_its_publication_on() {
    let rig = Rig::new();
    let scope = rig.create("new");
    assert!(!scope.exists("new").unwrap());
    assert_eq!(code(scope.open("new")), Code::NotFound);
    scope.publish(scope.stage().unwrap(), "new").unwrap();
    assert!(scope.exists("new").unwrap());
    assert_eq!(scope.open("new").unwrap().access, Access::ReadWrite);
    assert_eq!(scope.ancestors("new").unwrap(), ["child", "base"]);
    assert_eq!(scope.inspect("new").unwrap().kind, LayerKind::ReadWrite);
    assert!(
        !rig.scope("child", Intent::Look).exists("new").unwrap(),
        "no one else sees it"
    );
    assert_eq!(
        code(scope.publish(scope.stage().unwrap(), "new")),
        Code::Exists
    );
}

#[test]
fn what_was_not_asked_for_is_denied() {
    let rig = Rig::new();
    let scope = rig.create("new");
    assert_eq!(
        code(scope.publish(scope.stage().unwrap(), "other")),
        Code::Denied
    );
    assert_eq!(code(scope.discard("new")), Code::Denied);
    for intent in [
        Intent::Look,
        Intent::View(Access::ReadWrite),
        Intent::Remove,
    ] {
        let scope = rig.scope("child", intent);
        assert_eq!(code(scope.stage()), Code::Denied);
        let staged = Box::new(rig.layers.home().stage().unwrap());
        assert_eq!(code(scope.publish(staged, "child")), Code::Denied);
    }
    assert_eq!(
        code(rig.scope("child", Intent::Look).discard("child")),
        Code::Denied
    );
    assert_eq!(
        code(rig.scope("child", Intent::Remove).discard("base")),
        Code::Denied
    );
    assert_eq!(rig.layers.table().len(), 2);
}

#[test]
fn what_a_driver_wished_for_is_not_done_before_the_engine_does_it() {
    let rig = Rig::new();
    let scope = rig.scope("child", Intent::Remove);
    scope.discard("child").unwrap();
    assert!(scope.is_discarded() && !scope.exists("child").unwrap());
    assert_eq!(code(scope.discard("child")), Code::NotFound);
    assert!(rig.layers.open_room("child").unwrap().is_some());
    let scope = rig.create("new");
    scope.publish(scope.stage().unwrap(), "new").unwrap();
    drop(scope);
    assert!(rig.layers.table().get("new").is_none());
    rig.reaper.settle();
    assert!(
        mica_sys::node::names(rig.layers.home().layout().top())
            .unwrap()
            .len()
            >= 3
    );
}

#[test]
fn an_id_that_is_a_path_is_just_not_there() {
    let rig = Rig::new();
    let scope = rig.scope("child", Intent::Look);
    for hostile in ["", ".", "..", "../base", "/", "base/", "1", "base\0"] {
        assert!(!scope.exists(hostile).unwrap());
        assert_eq!(code(scope.open(hostile)), Code::NotFound);
        assert_eq!(code(scope.ancestors(hostile)), Code::NotFound);
    }
}

#[test]
fn a_replaced_layer_has_the_copy_s_content_and_keeps_its_id() {
    let rig = Rig::new();
    let number = rig.layers.table().get("child").unwrap().number;
    let copy = rig.layers.copy(&id("child"), number).unwrap();
    let room = copy.open_room().unwrap();
    let name = mica_sys::Name::new(b"file").unwrap();
    mica_sys::node::create_regular(room.as_fd(), &name, 0o644).unwrap();
    rig.layers.replace(copy, &id("child")).unwrap();
    let now = rig.layers.open_room("child").unwrap().unwrap();
    assert!(mica_sys::node::stat(now.as_fd(), &name).is_ok());
    let table = rig.layers.table();
    assert!(table.get("child").unwrap().number > number);
    assert_eq!(table.get("base").unwrap().children.len(), 1);
}
