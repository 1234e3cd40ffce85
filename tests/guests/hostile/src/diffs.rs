//! What no driver may say of the difference between two layers. Only the build with the feature `diffs` exports it.
//!
//! Invariant: as in `crimes`; of any other layer the difference is nothing.

use crate::crimes::{answers, reach};
use crate::exports::mica::driver::diff_driver::{ApplyReport, ArchiveForm, DiffReport, Guest};
use crate::exports::mica::driver::proto_driver::Error;
use crate::mica::host::directory::Directory;
use crate::mica::host::home;
use crate::mica::host::streams::{ChangeSink, Sink, Source};
use crate::mica::host::types::{Change, ChangeKind, Failure};
use crate::late::{Deed, act};
use crate::{Hostile, TREE, failed};
use std::cell::RefCell;

const BLOCK: usize = 512;

thread_local! {
    /// Handles that outlive the call which got them.
    static KEPT: RefCell<Vec<Directory>> = const { RefCell::new(Vec::new()) };
}

/// The header of a file without an owner.
fn header(size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..1].copy_from_slice(b"f");
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[148..156].fill(b' ');
    block[156] = b'0';
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    block
}

fn report(entries: u64, archive_bytes: u64) -> DiffReport {
    DiffReport {
        entries,
        archive_bytes,
        left_out_count: 0,
        first_left_out: Vec::new(),
    }
}

fn endless(sink: &Sink) -> Result<DiffReport, Failure> {
    loop {
        sink.write(&header(0).repeat(500))?;
    }
}

/// Keeps all that it can open.
fn hoard(id: &str, sink: &Sink) -> Result<DiffReport, Failure> {
    let room = home::open(id)?;
    let mut kept = Vec::new();
    while let Ok(handle) = room.open_directory(TREE) {
        kept.push(handle);
    }
    endless(sink)
}

fn write(id: &str, sink: &Sink) -> Result<DiffReport, Failure> {
    let end = vec![0; 2 * BLOCK];
    match id {
        "diff-nothing" => Ok(report(0, 0)),
        "diff-junk" => {
            sink.write(&b"junk".repeat(20_000))?;
            Ok(report(1, 80_000))
        }
        "diff-no-end" => {
            sink.write(&header(0))?;
            Ok(report(1, 512))
        }
        "diff-short" => {
            sink.write(&[header(5000), vec![1; BLOCK]].concat())?;
            Ok(report(1, 1024))
        }
        "diff-size" => {
            let mut block = header(0);
            block[124..136].fill(0xff);
            sink.write(&block)?;
            Ok(report(1, 512))
        }
        "diff-more-behind" => {
            sink.write(&[end, header(0)].concat())?;
            Ok(report(1, 1536))
        }
        "diff-tells-bytes" => {
            sink.write(&end)?;
            Ok(report(0, u64::MAX))
        }
        "diff-tells-entries" => {
            sink.write(&end)?;
            Ok(report(u64::MAX, 1024))
        }
        "diff-tells-left-out" => {
            sink.write(&end)?;
            let left_out_count = u64::MAX;
            Ok(DiffReport {
                left_out_count,
                ..report(0, 1024)
            })
        }
        "diff-trap" => {
            sink.write(&header(0))?;
            core::arch::wasm32::unreachable()
        }
        "diff-endless" => endless(sink),
        "diff-hoard" => hoard(id, sink),
        _ => {
            sink.write(&end)?;
            Ok(report(0, 1024))
        }
    }
}

fn list(id: &str, sink: &ChangeSink) -> Result<(), Failure> {
    let push = |paths: &[&str]| {
        let change = |path: &&str| Change {
            path: path.as_bytes().to_vec(),
            kind: ChangeKind::Add,
        };
        sink.push(&paths.iter().map(change).collect::<Vec<_>>())
    };
    match id {
        "changes-above" => push(&["/../../etc/passwd"]),
        "changes-relative" => push(&["../x"]),
        "changes-dots" => push(&["/a/./b"]),
        "changes-nul" => push(&["/a\0b"]),
        "changes-order" => push(&["/b", "/a"]),
        "changes-twice" => push(&["/a"]).and_then(|()| push(&["/a"])),
        "changes-many" => push(&["/a"; 2000]),
        "changes-trap" => push(&["/a"]).map(|()| core::arch::wasm32::unreachable()),
        "changes-endless" => {
            for number in 0.. {
                push(&[&format!("/{number:020}")])?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn read(source: &Source) -> Result<u64, Failure> {
    let mut bytes = 0;
    loop {
        let part = source.read(64 << 10)?.len() as u64;
        if part == 0 {
            return Ok(bytes);
        }
        bytes += part;
    }
}

fn applied(size_bytes: u64, entries: u64, xattrs_skipped: u64) -> ApplyReport {
    ApplyReport {
        size_bytes,
        entries,
        xattrs_skipped,
        first_left_out: Vec::new(),
    }
}

fn apply(id: &str, source: &Source) -> Result<ApplyReport, Error> {
    let doing = "apply";
    let room = home::open(id).map_err(failed(doing))?;
    let tree = room.open_directory(TREE).map_err(failed(doing))?;
    let none = applied(0, 0, 0);
    let report = match id {
        "apply-nothing" => return Ok(none),
        "apply-half" => {
            source.read(700).map_err(failed(doing))?;
            return Ok(none);
        }
        "apply-trap" => {
            tree.create_file(b"planted", 0o644).ok();
            tree.remove_tree(b"d").ok();
            core::arch::wasm32::unreachable()
        }
        "apply-others" => {
            let victim = home::open("victim").map_err(failed(doing))?;
            let kept = victim.open_directory(TREE).map_err(failed(doing))?;
            let results = vec![
                victim.create_file(b"planted", 0o644).map(drop),
                kept.create_file(b"planted", 0o644).map(drop),
                kept.link(b"f", &tree, b"stolen"),
                tree.rename(b"d", &kept, b"planted"),
                home::discard("victim"),
            ];
            KEPT.with_borrow_mut(|all| all.extend([victim, kept]));
            return Err(answers(results));
        }
        "apply-behind" => {
            read(source).map_err(failed(doing))?;
            let results = vec![source.read(1).map(drop), source.skip(1)];
            return Err(answers(results));
        }
        "apply-tells-size" => applied(u64::MAX, 0, 0),
        "apply-tells-entries" => applied(0, u64::MAX, 0),
        "apply-tells-attributes" => applied(0, 0, u64::MAX),
        _ => none,
    };
    read(source).map_err(failed(doing))?;
    Ok(report)
}

impl Guest for Hostile {
    fn diff(
        id: String,
        _parent: Option<String>,
        _form: ArchiveForm,
        sink: &Sink,
    ) -> Result<DiffReport, Error> {
        reach(&id, "diff")?;
        if act("diff", &id)? == Deed::Lie {
            let lie = || {
                sink.write(&[header(0), vec![0; 2 * BLOCK]].concat())?;
                Ok(report(1, 1536))
            };
            return lie().map_err(failed("write the archive"));
        }
        write(&id, sink).map_err(failed("write the archive"))
    }

    fn changes(id: String, _parent: Option<String>, sink: &ChangeSink) -> Result<(), Error> {
        reach(&id, "changes")?;
        if act("changes", &id)? == Deed::Lie {
            let change = Change {
                path: b"/lie".to_vec(),
                kind: ChangeKind::Add,
            };
            return sink.push(&[change]).map_err(failed("list changes"));
        }
        list(&id, sink).map_err(failed("list changes"))
    }

    fn apply_diff(
        id: String,
        _parent: Option<String>,
        _form: ArchiveForm,
        source: &Source,
    ) -> Result<ApplyReport, Error> {
        reach(&id, "apply")?;
        act("apply", &id)?;
        apply(&id, source)
    }

    fn diff_size(id: String, _parent: Option<String>) -> Result<u64, Error> {
        reach(&id, "size")?;
        if act("size", &id)? == Deed::Lie {
            return Ok(4711);
        }
        match id.as_str() {
            "size-largest" => Ok(u64::MAX),
            "size-negative" => Ok(1 << 63),
            "size-trap" => core::arch::wasm32::unreachable(),
            _ => Ok(0),
        }
    }
}
