use super::*;
use crate::disk::files;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const NAME: &str = "rows.sqlite";

fn put(key: &str) -> RowChange {
    RowChange::PutSnapshot(key.into(), format!("{{\"key\":\"{key}\"}}"))
}

fn open(home: &Path) -> (Arc<Rows>, Loaded) {
    Rows::open(home, Durability::Commit).unwrap()
}

fn keys(loaded: &Loaded) -> Vec<&str> {
    loaded.found.snapshots.keys().map(String::as_str).collect()
}

/// A home with rows on several pages, and their keys.
fn filled() -> (TempDir, BTreeSet<String>) {
    let home = TempDir::new().unwrap();
    let (rows, _) = open(home.path());
    let wanted: BTreeSet<_> = (0..400)
        .map(|number| format!("{number:03}/{}", "k".repeat(60)))
        .collect();
    for key in &wanted {
        rows.note(put(key));
    }
    rows.note(RowChange::PutLayer(7, "{}".into()));
    rows.close();
    (home, wanted)
}

#[test]
fn what_was_changed_is_there_after_a_start() {
    let home = TempDir::new().unwrap();
    let long = "k".repeat(4000);
    let (rows, loaded) = open(home.path());
    assert!(keys(&loaded).is_empty() && loaded.findings.is_empty() && !loaded.is_behind);
    let puts = ["a/b", "\0", "ünï", &long].map(put);
    rows.commit(puts.to_vec(), After::Layers).unwrap();
    let removal = [
        RowChange::DropSnapshot("a/b".into()),
        RowChange::PutRemoval(7, "id".into()),
    ];
    rows.commit(removal.to_vec(), After::Nothing).unwrap();
    // Nothing was moved out of the write-ahead log, as after a kill.
    let (_, loaded) = open_copy(home.path());
    assert_eq!(keys(&loaded), ["\0", &long, "ünï"]);
    assert_eq!(loaded.found.removals, HashMap::from([(7, "id".to_owned())]));
    assert!(loaded.findings.is_empty() && !loaded.is_behind);
    rows.commit(vec![RowChange::DropRemoval(7)], After::Nothing)
        .unwrap();
    rows.close();
    drop(rows);
    let (_, loaded) = open(home.path());
    assert!(loaded.found.removals.is_empty());
    let mode = fs::metadata(home.path().join(NAME)).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
}

/// Opens what a kill would leave of a home now.
fn open_copy(home: &Path) -> (TempDir, Loaded) {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(home).unwrap().flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let (_, loaded) = open(copy.path());
    (copy, loaded)
}

#[test]
fn changes_at_once_share_a_few_transactions() {
    let home = TempDir::new().unwrap();
    let (rows, _) = open(home.path());
    let before = rows.written();
    std::thread::scope(|scope| {
        let held = rows.file();
        for number in 0..64 {
            let rows = &rows;
            scope.spawn(move || {
                rows.commit(vec![put(&format!("{number:02}"))], After::Layers)
                    .unwrap();
            });
        }
        // One of them leads and waits for the file, so all others gather.
        while rows.group.waiting() < 63 {
            std::thread::yield_now();
        }
        drop(held);
    });
    assert_eq!(rows.written() - before, 2);
    assert_eq!(open_copy(home.path()).1.found.snapshots.len(), 64);
}

#[test]
fn a_change_that_does_not_fit_fails_alone_and_leaves_everything_as_it_was() {
    let (home, _) = filled();
    let (rows, loaded) = open(home.path());
    let before = loaded.found.snapshots.clone();
    rows.file().limit_pages();
    let large = RowChange::PutSnapshot("large".into(), "x".repeat(1 << 20));
    let first = before.keys().next().unwrap();
    let outcomes = rows.write_all(vec![
        Batch {
            changes: vec![RowChange::DropSnapshot(first.clone()), large],
            after: After::Layers,
        },
        Batch {
            changes: vec![RowChange::DropSnapshot(first.clone())],
            after: After::Nothing,
        },
    ]);
    let kind = outcomes[0].as_ref().unwrap_err().kind;
    assert_eq!(
        (kind, outcomes[1].is_ok()),
        (io::ErrorKind::StorageFull, true)
    );
    assert!(rows.refusal().is_none());
    let after = open_copy(home.path()).1.found.snapshots;
    assert_eq!((before.len() - after.len(), after.get(first)), (1, None));
}

#[test]
fn what_nobody_waits_for_outlives_a_kill_and_its_loss_says_nothing() {
    let home = TempDir::new().unwrap();
    let (rows, _) = open(home.path());
    rows.commit(vec![put("a")], After::Layers).unwrap();
    assert!(!rows.unwaited.are_left());
    let before = open_copy(home.path());
    rows.commit(vec![put("b")], After::Unwaited).unwrap();
    assert_eq!(keys(&open_copy(home.path()).1), ["a", "b"]);
    assert!(rows.unwaited.are_left());
    // A power cut may take the transaction and leave the mark.
    let mark = "rows.mark";
    fs::copy(home.path().join(mark), before.0.path().join(mark)).unwrap();
    let (_, loaded) = open(before.0.path());
    assert_eq!(keys(&loaded), ["a"]);
    assert!(loaded.findings.is_empty() && !loaded.is_behind);
    // What is made during a sync may not be on the device after it.
    let sync = || rows.commit(vec![put("c")], After::Unwaited);
    rows.during_sync(sync).unwrap();
    assert!(rows.unwaited.are_left());
    rows.commit(vec![put("d")], After::Nothing).unwrap();
    assert!(!rows.unwaited.are_left());
    assert_eq!(keys(&open_copy(home.path()).1), ["a", "b", "c", "d"]);
}

/// Every row that is found is one that was written, and what is lost is told.
#[track_caller]
fn check_damage(home: &Path, wanted: &BTreeSet<String>, what: &str) {
    let damaged = fs::read(home.join(NAME)).unwrap_or_default();
    let (rows, loaded) = open(home);
    for (key, row) in &loaded.found.snapshots {
        assert!(wanted.contains(key), "{what}: {key:?}");
        assert_eq!(row.text, format!("{{\"key\":\"{key}\"}}"), "{what}");
    }
    let layers = &loaded.found.layers;
    assert!(layers.is_empty() || layers == &HashMap::from([(7, "{}".to_owned())]));
    let lost = wanted.len() - loaded.found.snapshots.len();
    assert!(
        lost == 0 || (loaded.is_behind && !loaded.findings.is_empty()),
        "{what}: {lost} are lost"
    );
    let kept = fs::read(home.join("rows.sqlite.damaged-1"));
    if let Ok(kept) = kept {
        assert!(kept == damaged, "{what}: it was changed");
    }
    // It can be used, and has everything that was found after a further start.
    let (found, again) = (loaded.found.snapshots, put("new"));
    rows.commit(vec![again], After::Layers).unwrap();
    drop(rows);
    let (_, loaded) = open(home);
    assert_eq!(loaded.found.snapshots.len(), found.len() + 1, "{what}");
    assert!(loaded.findings.is_empty() && !loaded.is_behind, "{what}");
}

fn with_damage(home: &Path, wanted: &BTreeSet<String>, what: &str, bytes: &[u8]) {
    let place = TempDir::new().unwrap();
    fs::copy(home.join("rows.mark"), place.path().join("rows.mark")).unwrap();
    fs::write(place.path().join(NAME), bytes).unwrap();
    check_damage(place.path(), wanted, what);
}

#[test]
fn a_file_that_is_damaged_anywhere_gives_no_wrong_row_and_is_kept() {
    let (home, wanted) = filled();
    let whole = fs::read(home.path().join(NAME)).unwrap();
    let check = |what: &str, bytes: &[u8]| with_damage(home.path(), &wanted, what, bytes);
    check("whole", &whole);
    check("empty", b"");
    check("zeroed", &vec![0; whole.len()]);
    check("junk", &vec![7; 50_000]);
    for length in [1, 99, 512, 4096, 5000, whole.len() / 2, whole.len() - 1] {
        check(&format!("cut to {length}"), &whole[..length]);
    }
    let pages = whole.len() / 4096;
    for page in 0..pages {
        let mut zeroed = whole.clone();
        zeroed[page * 4096..][..4096].fill(0);
        check(&format!("page {page} zeroed"), &zeroed);
        for at in [0, 9, 100, 2000, 4000, 4095] {
            let mut flipped = whole.clone();
            flipped[page * 4096 + at] ^= 1 << (at % 8);
            check(&format!("byte {at} of page {page} flipped"), &flipped);
        }
    }
}

#[test]
fn rows_behind_a_damaged_page_are_found() {
    let (home, wanted) = filled();
    let mut bytes = fs::read(home.path().join(NAME)).unwrap();
    let row = wanted.iter().nth(200).unwrap().as_bytes();
    let at = bytes.windows(row.len()).position(|window| window == row);
    let page = at.unwrap() / 4096 * 4096;
    bytes[page..page + 4096].fill(0xff);
    fs::write(home.path().join(NAME), bytes).unwrap();
    let (_, loaded) = open(home.path());
    let found = loaded.found.snapshots.len();
    assert!((300..400).contains(&found), "{found}");
    assert!(loaded.findings[0].detail.contains("rows.sqlite.damaged-1"));
}

#[test]
fn a_file_that_is_lost_or_older_is_noticed() {
    let (home, _) = filled();
    let path = home.path().join(NAME);
    let old = fs::read(&path).unwrap();
    let (rows, _) = open(home.path());
    rows.commit(vec![put("later")], After::Layers).unwrap();
    // The write-ahead log is lost, or its head is damaged.
    let mut log = fs::read(home.path().join("rows.sqlite-wal")).unwrap();
    log[3] ^= 1;
    drop(rows);
    for damage in [None, Some(&log)] {
        fs::write(&path, &old).unwrap();
        let at = home.path().join("rows.sqlite-wal");
        match damage {
            Some(log) => fs::write(&at, log).unwrap(),
            None => files::remove(&at).unwrap(),
        }
        let (_, loaded) = open(home.path());
        assert!(loaded.is_behind && !loaded.found.snapshots.contains_key("later"));
        assert!(loaded.findings[0].detail.contains("older than the layers"));
    }
    files::remove(&path).unwrap();
    files::remove(&home.path().join("rows.sqlite-wal")).unwrap();
    let (rows, loaded) = open(home.path());
    assert!(loaded.is_behind && loaded.findings[0].detail.contains("are lost"));
    // Numbers go on, so that a record can be told from a newer row.
    let before = rows.written();
    rows.commit(vec![put("new")], After::Layers).unwrap();
    assert!(before > 1 && rows.written() == before + 1);
    drop(rows);
    assert!(!open(home.path()).1.is_behind);
}

#[test]
fn a_row_that_an_operator_changed_counts_without_a_checksum() {
    let (home, wanted) = filled();
    let first = wanted.first().unwrap();
    let change = |sum: &str| {
        let connection = rusqlite::Connection::open(home.path().join(NAME)).unwrap();
        let text = format!("UPDATE snapshots SET row = '{{}}', sum = {sum} WHERE key = ?1");
        assert_eq!(connection.execute(&text, [first]).unwrap(), 1);
    };
    change("NULL");
    let (rows, loaded) = open(home.path());
    assert_eq!(loaded.found.snapshots[first].text, "{}");
    drop(rows);
    change("5");
    let (_, loaded) = open(home.path());
    assert!(!loaded.found.snapshots.contains_key(first) && loaded.is_behind);
}

#[test]
fn a_file_of_a_later_release_is_left_alone() {
    let (home, _) = filled();
    let path = home.path().join(NAME);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let error = Rows::open(home.path(), Durability::Commit).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert!(fs::read(&path).unwrap() == before);
}
