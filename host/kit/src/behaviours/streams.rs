//! Archives on their way: readers and senders that go away, and archives that are damaged.
//!
//! Invariant: a layer is what it was, or has all of an archive.

use crate::calls::{APPLY, DIFF, holds, refused, same, worked};
use crate::report::Mismatch;
use crate::stage::{Stage, Step};
use mica_cases::archive::{BLOCK, archive, entries};
use mica_cases::dump::print;
use mica_cases::script::noise;
use mica_engine::{ArchiveForm, CancelToken, DiffParent, Sink};
use std::io::{self, Read};
use std::time::Duration;

/// Some of everything that any place can hold.
const RICH: &str = "d dir mode=750 mtime=1000.5
    f dir/file data=hello mtime=1000.123456789
    f dir/big fill=3000
    h dir/hard to=dir/file
    l dir/link to=file
    p pipe mode=600
    f .wh.gone
    f last data=end";

/// A layer `target` on a base, with what it looks like.
fn target(stage: &Stage) -> Step<String> {
    stage.create("base", None)?;
    stage.write("base", "f gone data=1\nf kept data=2")?;
    stage.create("target", Some("base"))?;
    Ok(print(&stage.seen("target")?))
}

/// Removes it again.
fn done(stage: &Stage) -> Step<()> {
    stage.remove("target")?;
    stage.remove("base")
}

/// It looks as before.
fn unchanged(stage: &Stage, before: &str) -> Step<()> {
    same(APPLY, "target", before, &print(&stage.seen("target")?))
}

pub(super) fn reader_goes(stage: &Stage) -> Step<()> {
    stage.create("sent", None)?;
    stage.write("sent", "f a fill=3000000\nf b fill=3000000\nf c data=1")?;
    let whole = stage.diff("sent", DiffParent::None)?;
    let (sink, mut chunks) = Sink::channel(1);
    let answer = std::thread::scope(|scope| {
        scope.spawn(move || {
            let _first = chunks.blocking_recv();
        });
        stage.try_diff("sent", DiffParent::None, ArchiveForm::Faithful, sink)
    });
    refused(DIFF, "sent", answer, ("cancelled", ""))?;
    let again = stage.diff("sent", DiffParent::None)?;
    holds(again == whole, (DIFF, "sent"), "the same bytes", || {
        "others".to_owned()
    })?;
    stage.remove("sent")
}

/// Gives half an archive, and then what `after` says.
struct Sender {
    bytes: io::Cursor<Vec<u8>>,
    after: After,
}

enum After {
    /// It fails.
    Fails,
    /// It asks for the operation's end, and gives zeros for ever.
    Cancels(CancelToken),
}

impl Read for Sender {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        match (read, &self.after) {
            (0, After::Fails) => Err(io::Error::other("the sender has gone")),
            (0, After::Cancels(token)) => {
                token.cancel();
                // As slow as a client, so that little is written before it is noticed.
                std::thread::sleep(Duration::from_millis(10));
                buffer.fill(0);
                Ok(buffer.len())
            }
            _ => Ok(read),
        }
    }
}

/// An archive whose last file has a gibibyte, of which it has a block.
fn sent(after: After) -> Box<Sender> {
    let bytes = entries(&format!("{RICH}\nf huge data=1 size=1073741824"));
    let bytes = io::Cursor::new(bytes);
    Box::new(Sender { bytes, after })
}

pub(super) fn cancelled(stage: &Stage) -> Step<()> {
    let before = target(stage)?;
    let token = CancelToken::default();
    let sender = sent(After::Cancels(token.clone()));
    let answer = stage.apply_from("target", sender, token);
    refused(APPLY, "target", answer, ("cancelled", ""))?;
    unchanged(stage, &before)?;
    stage.apply("target", &archive(RICH))?;
    done(stage)
}

pub(super) fn broken(stage: &Stage) -> Step<()> {
    let before = target(stage)?;
    let answer = stage.apply_from("target", sent(After::Fails), CancelToken::default());
    if answer.is_ok() {
        let seen = "half of an archive was taken";
        return Err(Mismatch::new(APPLY, Some("target"), "an error", seen));
    }
    unchanged(stage, &before)?;
    stage.apply("target", &archive(RICH))?;
    done(stage)
}

pub(super) fn ends_early(stage: &Stage) -> Step<()> {
    let before = target(stage)?;
    let whole = archive(RICH);
    let mut end = 0;
    let mut ends = vec![0];
    for line in RICH.lines() {
        end += entries(line).len();
        ends.push(end);
    }
    // An end between two entries is an end: many writers leave the blocks of zeros out.
    let cuts = (0..end)
        .step_by(BLOCK)
        .flat_map(|at| [at, at + 1, at + 511]);
    for cut in cuts.filter(|cut| !ends.contains(cut)) {
        let part = whole.get(..cut).unwrap_or_default();
        let call = format!("{APPLY} of {cut} of {} bytes", whole.len());
        let answer = stage.try_apply("target", part);
        refused(&call, "target", answer, ("invalid-archive", ""))?;
    }
    unchanged(stage, &before)?;
    stage.apply("target", &whole)?;
    done(stage)
}

pub(super) fn flipped(stage: &Stage) -> Step<()> {
    let whole = archive(RICH);
    for number in 0..24_u32 {
        let before = target(stage)?;
        let random = noise(&number.to_le_bytes(), 8);
        let [low, high, bits, ..] = random[..] else {
            continue;
        };
        let at = usize::from(u16::from_le_bytes([low, high])) % whole.len();
        let mut bytes = whole.clone();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= bits | 1;
        }
        if let Err(error) = stage.try_apply("target", &bytes) {
            let call = format!("{APPLY} with byte {at} changed");
            refused::<()>(&call, "target", Err(error), ("invalid-archive", ""))?;
            unchanged(stage, &before)?;
        }
        done(stage)?;
    }
    Ok(())
}

pub(super) fn junk(stage: &Stage) -> Step<()> {
    let before = target(stage)?;
    let noise = noise(b"junk", 100_000);
    let junk: [&[u8]; 5] = [b"x", b"short", &[0; 511], b"\0asm", &noise];
    for junk in junk {
        let answer = stage.try_apply("target", junk);
        refused(APPLY, "target", answer, ("invalid-archive", ""))?;
    }
    unchanged(stage, &before)?;
    done(stage)
}

pub(super) fn large(stage: &Stage) -> Step<()> {
    stage.create("large", None)?;
    stage.write("large", "f large fill=9437184\nf small data=1")?;
    let expected = print(&stage.seen("large")?);
    let diff = stage.diff("large", DiffParent::Own)?;
    stage.create("copy", None)?;
    stage.apply("copy", &diff)?;
    same(APPLY, "copy", &expected, &print(&stage.seen("copy")?))?;
    stage.remove("copy")?;
    stage.remove("large")
}

pub(super) fn moby(stage: &Stage) -> Step<()> {
    target(stage)?;
    stage.write("target", "- gone\nd d\nf d/f data=1\nh d/g to=d/f")?;
    let form = || stage.diff_in_form("target", DiffParent::Own, ArchiveForm::Moby);
    let (diff, again) = (form()?, form()?);
    holds(diff == again, (DIFF, "target"), "the same bytes", || {
        "others".to_owned()
    })?;
    stage.create("copy", Some("base"))?;
    stage.apply("copy", &diff)?;
    let right = DiffParent::Layer("target".to_owned());
    let names = |changes: &str| -> String {
        // moby's form has times in whole seconds, so all that it brings differs in its time.
        let lines = changes.lines().filter(|line| !line.starts_with("C "));
        lines.map(|line| format!("{line}\n")).collect()
    };
    let told = names(&stage.changes("copy", &right)?);
    same(APPLY, "copy", "", &told)?;
    worked("remove", "copy", stage.try_remove("copy"))?;
    done(stage)
}
