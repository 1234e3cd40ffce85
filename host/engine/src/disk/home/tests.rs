use super::layout::Area;
use super::*;
use crate::LayerId;
use crate::disk::files;
use crate::snapshots::Told;
use mica_runtime::LayerKind;
use mica_sys::node;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use tempfile::TempDir;

/// A home in a temporary directory that can be closed, changed behind its back, and opened again.
struct Rig {
    directory: TempDir,
    reaper: Arc<Reaper>,
}

impl Rig {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            reaper: Reaper::start().unwrap(),
        }
    }

    fn open(&self) -> (Arc<Home>, Recovered) {
        self.open_described(|_| {})
    }

    fn open_described(&self, change: impl FnOnce(&mut Described)) -> (Arc<Home>, Recovered) {
        let (path, durability) = (self.directory.path(), Durability::Commit);
        let (rows, mut loaded) = Rows::open(path, durability).unwrap();
        let (_, mut described) = Told::new(&mut loaded, "test");
        change(&mut described);
        Home::open(path, durability, &self.reaper, &rows, &described).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Ids that the home has, with their numbers.
    fn layers(&self) -> Vec<(String, u64)> {
        let (_home, recovered) = self.open();
        let mut layers: Vec<_> = recovered
            .layers
            .into_iter()
            .map(|(number, record)| (record.id.to_string(), number))
            .collect();
        layers.sort();
        layers
    }

    /// Names in one of the home's directories, once everything is deleted that is to be.
    fn names(&self, area: &str) -> Vec<String> {
        self.reaper.settle();
        let entries = fs::read_dir(self.path(area)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn copy_layer(&self, from: u64, to: u64) {
        let (from, to) = (
            self.path(&format!("layers/{from}")),
            self.path(&format!("layers/{to}")),
        );
        fs::create_dir_all(to.join("d")).unwrap();
        fs::copy(from.join("record.json"), to.join("record.json")).unwrap();
    }
}

/// Directories that are no layers.
fn unknown(recovered: &Recovered) -> usize {
    let findings = recovered.findings.iter();
    findings
        .filter(|finding| finding.kind == crate::FindingKind::LayerUnknown)
        .count()
}

fn record(id: &str) -> Record {
    Record::new(
        LayerId::parse(id).unwrap(),
        None,
        LayerKind::Content,
        "test",
    )
}

fn publish(home: &Home, id: &str) -> u64 {
    let staged = home.stage().unwrap();
    let room = staged.open_room().unwrap();
    node::create_regular(room.as_fd(), &layout::name(b"file").unwrap(), 0o644).unwrap();
    home.publish(staged, &record(id), Syncing::Now).unwrap()
}

#[test]
fn what_was_published_is_there_after_a_restart_and_what_was_not_is_gone() {
    let rig = Rig::new();
    let (home, recovered) = rig.open();
    assert!(recovered.layers.is_empty());
    let number = publish(&home, "a");
    let left = home.stage().unwrap();
    drop(home);
    std::mem::forget(left);
    assert_eq!(rig.layers(), [("a".to_owned(), number)]);
    assert!(rig.path(&format!("layers/{number}/d/file")).exists());
    assert!(rig.names("staging").is_empty());
}

#[test]
fn a_layer_is_what_rows_say_or_its_own_record_or_for_a_person_to_look_at() {
    let rig = Rig::new();
    let (home, _) = rig.open();
    let [told, old, moved, lost, doomed, given_up] =
        ["told", "old", "moved", "lost", "doomed", "given-up"].map(|id| publish(&home, id));
    home.give_up(given_up).unwrap();
    drop(home);
    rig.remove_rows();
    for number in [told, lost, doomed] {
        rig.remove_records(number);
    }
    let of_rows = |id: &str| {
        let parent = Some(LayerId::parse("old").unwrap());
        let created = crate::Moment::now();
        let id = LayerId::parse(id).unwrap();
        Record::described(id, parent, LayerKind::ReadWrite, created, "test")
    };
    let rows = [
        (told, of_rows("told")),
        (moved, of_rows("moved")),
        (777, of_rows("gone")),
    ];
    for _ in 0..2 {
        let (_home, recovered) = rig.open_described(|described| {
            let rows = rows.iter().cloned();
            described.snapshots = rows.map(|(number, record)| (number, (record, 1))).collect();
            described.removals = HashMap::from([(doomed, LayerId::parse("doomed").unwrap())]);
        });
        assert_eq!(unknown(&recovered), 1);
        let found: HashMap<_, _> = recovered.layers.into_iter().collect();
        assert_eq!(found.len(), 5);
        assert_eq!((&found[&told], &found[&moved]), (&rows[0].1, &rows[1].1));
        assert_eq!(
            (found[&old].id.as_str(), &found[&old].purpose),
            ("old", &None)
        );
        for (number, id) in [(doomed, "doomed"), (given_up, "given-up")] {
            let found = &found[&number];
            let nothing = Some(Purpose::Nothing);
            assert_eq!((found.id.as_str(), &found.purpose), (id, &nothing));
        }
    }
    // Where rows say nothing, one without a record is for a person to look at.
    let (_home, recovered) = rig.open();
    assert_eq!(unknown(&recovered), 3);
}

#[test]
fn what_a_power_cut_left_of_a_prepare_is_nobodys() {
    let rig = Rig::new();
    let (home, _) = rig.open();
    let [bare, zeros, other, twice] =
        ["bare", "zeros", "other", "twice"].map(|id| publish(&home, id));
    drop(home);
    for (number, left) in [(bare, ""), (zeros, "\0\0\0"), (other, "{"), (twice, "")] {
        fs::write(rig.path(&format!("layers/{number}/record.json")), left).unwrap();
        if number != twice {
            fs::remove_file(rig.path(&format!("layers/{number}/record-2.json"))).unwrap();
        }
    }
    let left = |is_behind| {
        let (_home, recovered) = rig.open_described(|described| {
            described.snapshots = HashMap::from([(777, (record("gone"), 1))]);
            described.is_behind = is_behind;
            described.records.clear();
        });
        (rig.names("layers").len(), unknown(&recovered))
    };
    // Rows that may be older than the layers prove nothing, and a layer that was described twice was told to someone.
    assert_eq!(left(true), (4, 3));
    assert_eq!(left(false), (2, 1));
}

#[test]
fn a_layer_that_nobody_waited_for_counts_by_its_row_or_goes() {
    let rig = Rig::new();
    let (home, _) = rig.open();
    let make = |id: &str| {
        let staged = home.stage().unwrap();
        // Only snapshots are made so, and their records have no rows of their own.
        let row = serde_json::Value::Null;
        let purpose = Purpose::Snapshot { written: 0, row };
        let record = record(id).for_purpose(Some(purpose));
        home.publish(staged, &record, Syncing::Unwaited).unwrap()
    };
    let [told, lost, empty, kept] = ["told", "lost", "empty", "kept"].map(make);
    home.keep(kept).unwrap();
    drop(home);
    // As a journal leaves it whose files were not written.
    let cut = rig.path(&format!("layers/{empty}/record.json"));
    fs::write(cut, "").unwrap();
    let described = |is_behind: bool| {
        let row = (record("told"), 1);
        move |described: &mut Described| {
            described.snapshots = HashMap::from([(told, row)]);
            described.is_behind = is_behind;
        }
    };
    // Rows that may be incomplete say nothing of a layer whose record is whole.
    for (is_behind, wanted) in [(true, vec![told, lost, kept]), (false, vec![told, kept])] {
        let (_home, recovered) = rig.open_described(described(is_behind));
        let mut found: Vec<_> = recovered.layers.iter().map(|(number, _)| *number).collect();
        found.sort_unstable();
        assert_eq!((found, unknown(&recovered)), (wanted.clone(), 0));
        let mut left: Vec<u64> = rig
            .names("layers")
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        left.sort_unstable();
        assert_eq!(left, wanted);
    }
}

#[test]
fn a_staged_layer_goes_with_its_handle() {
    let rig = Rig::new();
    let (home, _) = rig.open();
    drop(home.stage().unwrap());
    assert!(rig.names("staging").is_empty());
}

#[test]
fn a_discarded_layer_is_gone_at_once_and_its_files_soon() {
    let rig = Rig::new();
    let (home, _) = rig.open();
    let number = publish(&home, "a");
    home.discard(number, Syncing::Now).unwrap();
    assert!(!rig.path(&format!("layers/{number}")).exists());
    assert!(rig.names("trash").is_empty());
    drop(home);
    assert!(rig.layers().is_empty());
}

#[test]
fn staging_and_trash_are_empty_after_a_start() {
    let rig = Rig::new();
    drop(rig.open());
    for area in ["staging/0a/d/x/y", "trash/0b/d/x/y", "trash/0c"] {
        fs::create_dir_all(rig.path(area)).unwrap();
    }
    fs::write(rig.path("trash/file"), "x").unwrap();
    drop(rig.open());
    assert!(rig.names("staging").is_empty() && rig.names("trash").is_empty());
}

#[test]
fn a_number_is_never_given_twice() {
    let rig = Rig::new();
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let (home, _) = rig.open();
        for id in ["a", "b", "c"] {
            let number = publish(&home, id);
            assert!(seen.insert(number), "{number} was used before");
            home.discard(number, Syncing::Now).unwrap();
        }
    }
}

#[test]
fn without_the_file_of_numbers_the_layers_tell_what_is_in_use() {
    let rig = Rig::new();
    let number = publish(&rig.open().0, "a");
    for content in [None, Some("nonsense")] {
        let _gone = fs::remove_file(rig.path("numbers"));
        if let Some(content) = content {
            fs::write(rig.path("numbers"), content).unwrap();
        }
        let (home, _) = rig.open();
        let next = publish(&home, "b");
        assert!(next > number);
        home.discard(next, Syncing::Now).unwrap();
    }
}

#[test]
fn the_index_may_be_missing_empty_or_damaged() {
    let rig = Rig::new();
    let (home, _) = rig.open();
    let numbers = ["a", "b"].map(|id| publish(&home, id));
    home.rows().close();
    drop(home);
    let whole = fs::read(rig.path("rows.sqlite")).unwrap();
    let mut scribbled = whole.clone();
    scribbled
        .iter_mut()
        .skip(4096)
        .step_by(97)
        .for_each(|byte| *byte ^= 0x5a);
    let damages: [Option<&[u8]>; 5] = [
        None,
        Some(b""),
        Some(b"this is no database"),
        Some(&whole[..whole.len() / 2]),
        Some(&scribbled),
    ];
    for damage in damages {
        rig.remove_rows();
        if let Some(bytes) = damage {
            fs::write(rig.path("rows.sqlite"), bytes).unwrap();
        }
        let expected = [("a".to_owned(), numbers[0]), ("b".to_owned(), numbers[1])];
        assert_eq!(rig.layers(), expected, "{:?}", damage.map(<[u8]>::len));
    }
}

/// Whether something is there, damaged or missing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Whole,
    Damaged,
    Missing,
}

#[test]
fn every_mix_of_directory_record_room_and_row_has_its_outcome() {
    use Shape::{Damaged, Missing, Whole};
    for has_row in [true, false] {
        for record in [Whole, Damaged, Missing] {
            for room in [Whole, Damaged, Missing] {
                check_mix(has_row, record, room);
            }
        }
    }
}

fn check_mix(has_row: bool, record: Shape, room: Shape) {
    let rig = Rig::new();
    let number = publish(&rig.open().0, "a");
    let layer = rig.path(&format!("layers/{number}"));
    if !has_row {
        rig.remove_rows();
    }
    for name in ["record.json", "record-2.json"] {
        match record {
            Shape::Whole => {}
            Shape::Damaged => fs::write(layer.join(name), "{\"version\":1,").unwrap(),
            Shape::Missing => fs::remove_file(layer.join(name)).unwrap(),
        }
    }
    if room != Shape::Whole {
        fs::remove_dir_all(layer.join("d")).unwrap();
    }
    if room == Shape::Damaged {
        fs::write(layer.join("d"), "no directory").unwrap();
    }
    let is_layer = (record == Shape::Whole || has_row) && room == Shape::Whole;
    for start in 0..2 {
        let (_home, recovered) = rig.open();
        let found = (recovered.layers.len(), unknown(&recovered));
        let expected = if is_layer { (1, 0) } else { (0, 1) };
        assert_eq!(
            found, expected,
            "row {has_row}, record {record:?}, room {room:?}, start {start}"
        );
        assert!(layer.exists(), "nothing is deleted that is not understood");
    }
}

#[test]
fn of_two_records_one_is_enough_and_the_damaged_one_is_told() {
    for (name, is_told) in [("record.json", true), ("record-2.json", false)] {
        let rig = Rig::new();
        let number = publish(&rig.open().0, "a");
        rig.remove_rows();
        let path = rig.path(&format!("layers/{number}/{name}"));
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.replace("\"a\"", "\"b\"")).unwrap();
        let (home, recovered) = rig.open();
        assert_eq!(recovered.layers[0].1.id.as_str(), "a", "{name}");
        // A start does not read what it does not need.
        assert_eq!(recovered.findings.len(), usize::from(is_told), "{name}");
        let id = LayerId::parse("a").unwrap();
        let damaged = find_damaged_records(home.layout(), [(number, &id)].into_iter());
        assert_eq!(damaged[0].path.as_ref(), Some(&path));
        assert_eq!(damaged.len(), 1);
    }
}

#[test]
fn a_row_without_a_directory_is_forgotten() {
    let rig = Rig::new();
    let number = publish(&rig.open().0, "a");
    fs::remove_dir_all(rig.path(&format!("layers/{number}"))).unwrap();
    assert!(rig.layers().is_empty());
    // It does not come back with another layer's number.
    rig.copy_layer_of("b", number);
    rig.remove_rows();
    assert_eq!(rig.layers(), [("b".to_owned(), number)]);
}

impl Rig {
    fn remove_rows(&self) {
        for name in ["rows.sqlite", "rows.sqlite-wal"] {
            files::remove(&self.path(name)).unwrap();
        }
    }

    fn remove_records(&self, number: u64) {
        for name in ["record.json", "record-2.json"] {
            fs::remove_file(self.path(&format!("layers/{number}/{name}"))).unwrap();
        }
    }

    fn copy_layer_of(&self, id: &str, number: u64) {
        let layer = self.path(&format!("layers/{number}"));
        fs::create_dir_all(layer.join("d")).unwrap();
        fs::write(layer.join("record.json"), record(id).to_bytes().unwrap()).unwrap();
    }
}

#[test]
fn of_two_numbers_with_one_id_the_higher_revision_is_the_layer() {
    for with_index in [true, false] {
        let rig = Rig::new();
        let (home, _) = rig.open();
        let first = publish(&home, "a");
        let next = record("a").next_revision();
        let second = home
            .publish(home.stage().unwrap(), &next, Syncing::Now)
            .unwrap();
        drop(home);
        if !with_index {
            rig.remove_rows();
        }
        assert_eq!(rig.layers(), [("a".to_owned(), second)]);
        assert_eq!(rig.names("layers"), [second.to_string()]);
        assert!(first < second && rig.names("trash").is_empty());
    }
}

#[test]
fn of_two_equal_revisions_the_higher_number_is_the_layer() {
    let rig = Rig::new();
    let number = publish(&rig.open().0, "a");
    rig.copy_layer(number, number + 7);
    assert_eq!(rig.layers(), [("a".to_owned(), number + 7)]);
}

#[test]
fn what_is_no_layer_by_name_is_reported_and_stays() {
    let rig = Rig::new();
    drop(rig.open());
    for name in ["x", "007", "-1", "18446744073709551616"] {
        fs::create_dir(rig.path("layers").join(name)).unwrap();
    }
    let (home, recovered) = rig.open();
    assert_eq!((recovered.layers.len(), unknown(&recovered)), (0, 4));
    assert_eq!(
        node::names(home.layout().area(Area::Layers)).unwrap().len(),
        4
    );
}

#[test]
fn a_record_with_a_bad_id_or_another_version_is_reported() {
    let rig = Rig::new();
    let text = String::from_utf8(record("good").to_bytes().unwrap()).unwrap();
    drop(rig.open());
    for (number, bad) in [
        text.replace("good", "../x"),
        text.replace("\"version\": 1", "\"version\": 2"),
    ]
    .iter()
    .enumerate()
    {
        let layer = rig.path(&format!("layers/{number}"));
        fs::create_dir_all(layer.join("d")).unwrap();
        fs::write(layer.join("record.json"), bad).unwrap();
    }
    let (_home, recovered) = rig.open();
    assert_eq!(
        (recovered.layers.len(), unknown(&recovered)),
        (0, 2),
        "{recovered:?}"
    );
}

#[test]
fn a_copy_shares_files_and_has_its_own_directories() {
    use std::os::unix::fs::MetadataExt;
    let rig = Rig::new();
    let (home, _) = rig.open();
    let first = publish(&home, "a");
    let copy = home.stage_copy(first).unwrap();
    let second = home
        .publish(copy, &record("a").next_revision(), Syncing::Now)
        .unwrap();
    let inode = |below: &str| fs::metadata(rig.path(below)).unwrap().ino();
    assert_eq!(
        inode(&format!("layers/{first}/d/file")),
        inode(&format!("layers/{second}/d/file"))
    );
    assert_ne!(
        inode(&format!("layers/{first}/d")),
        inode(&format!("layers/{second}/d"))
    );
}

#[test]
fn twenty_thousand_layers_open_quickly() {
    let rig = Rig::new();
    drop(rig.open());
    for number in 1..=20_000 {
        let layer = rig.path(&format!("layers/{number}"));
        fs::create_dir_all(layer.join("d")).unwrap();
        fs::write(
            layer.join("record.json"),
            record(&format!("layer-{number}")).to_bytes().unwrap(),
        )
        .unwrap();
    }
    // At the ends and in the middle of what is looked at together.
    for number in [1, 10_000, 20_000] {
        fs::remove_dir(rig.path(&format!("layers/{number}/d"))).unwrap();
    }
    let timed = || {
        let started = std::time::Instant::now();
        let (home, recovered) = rig.open();
        let taken = started.elapsed();
        home.rows().close();
        let numbers: BTreeSet<u64> = recovered.layers.iter().map(|layer| layer.0).collect();
        (numbers.len(), unknown(&recovered), taken)
    };
    let (cold, warm) = (timed(), timed());
    println!("without index {:?}, with index {:?}", cold.2, warm.2);
    assert_eq!((cold.0, cold.1), (19_997, 3));
    assert_eq!((warm.0, warm.1), (19_997, 3));
    assert!(warm.2.as_secs() < 5);
}
