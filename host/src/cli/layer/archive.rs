//! Layers as archives, out and in.
//!
//! Invariant: an output file is complete or not there.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::{ApplyArguments, DiffArguments, target};
use crate::api::types::{ApplyReport, DiffReport};
use crate::cli::context::Context;
use mica_client::progress::{Watched, bytes_bar};
use mica_client::{Failure, NewFile, read, segment, words};

pub(super) const DIFF_EXAMPLES: &str = "\
The archive is PAX tar with whiteouts as in the OCI image layer format. The same layer gives the same bytes every time.

Examples:
  mica layer diff box -o box.tar
  mica layer diff box --whole | zstd > box.tar.zst
  mica layer diff box --parent base | tar -tv
  mica layer diff one other | tar -tv       any two layers: what changes from `one` to `other`";

pub(super) const APPLY_EXAMPLES: &str = "\
The layer gets all of the archive or, if anything fails, nothing of it. Gzip and zstd are recognised.

Examples:
  mica layer apply base rootfs.tar.zst
  mica layer diff box | mica layer apply copy";

/// What a command says of an archive that it cannot use.
pub(super) fn refused(error: mica_archives::Error) -> Failure {
    use mica_archives::Error;
    match error {
        Error::Io { doing, source } if source.kind() != io::ErrorKind::InvalidData => {
            Failure::Io { doing, source }
        }
        Error::Choice { what, remedy } => Failure::Archive {
            what,
            remedy: Some(remedy),
        },
        other => Failure::Archive {
            what: mica_text::with_causes(&other),
            remedy: None,
        },
    }
}

/// Bytes that are gathered before a write: a pipe's and a disk's favourite.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes the difference to a file or to standard output.
pub(super) fn diff(context: &Context, arguments: &DiffArguments) -> Result<(), Failure> {
    let target = arguments.compare.target(context, "diff");
    match &arguments.file {
        Some(file) if file != Path::new("-") => diff_to_file(context, &target, file),
        _ if io::stdout().is_terminal() => Err(Failure::Usage {
            what: "an archive is not for a terminal".to_owned(),
            remedy: "name a file with `-o FILE`, or send it through a pipe",
        }),
        _ => {
            let received = context
                .client
                .get_archive(&target, &mut io::stdout().lock())?;
            let report = report(context, received.operation.as_deref())?;
            let left_out = left_out(&report);
            if !left_out.is_empty() {
                context.printer.note_document(&report, &left_out);
            }
            Ok(())
        }
    }
}

/// What the daemon tells of an archive that it has written; nothing if it is an older one.
fn report(context: &Context, operation: Option<&str>) -> Result<Value, Failure> {
    let Some(operation) = operation else {
        return Ok(Value::Null);
    };
    let target = format!("/v1/operations/{}", segment(operation));
    let mut document = context.client.get(&target)?;
    Ok(document
        .get_mut("report")
        .map(Value::take)
        .unwrap_or_default())
}

/// What an archive does not hold of its layer, one line each; empty if it holds all.
fn left_out(report: &Value) -> String {
    let (count, first) = match read(report) {
        Some(Some(DiffReport {
            left_out_count,
            first_left_out,
            ..
        })) => (left_out_count, first_left_out),
        Some(None) => return String::new(),
        // A daemon of another version says it otherwise.
        None => return format!("the daemon tells of the archive: {report}"),
    };
    if count == 0 {
        return String::new();
    }
    let mut text = format!("the archive does not hold {count} of the layer's nodes and attributes");
    text.extend(
        first
            .iter()
            .map(|one| format!("\n  left out: {}", words::safe(one))),
    );
    if count > first.len() as u64 {
        text.push_str("\n  …");
    }
    text
}

fn diff_to_file(context: &Context, target: &str, file: &Path) -> Result<(), Failure> {
    let doing = || format!("write `{}`", file.display());
    let bar = bytes_bar(format!("{}", file.display()), None);
    let new = NewFile::create(file).map_err(Failure::io(doing()))?;
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, Watched::new(new.file(), &bar));
    let received = context
        .client
        .get_archive(target, &mut Unflushed(&mut writer))?;
    writer.flush().map_err(Failure::io(doing()))?;
    drop(writer);
    bar.finish_and_clear();
    new.complete(file).map_err(Failure::io(doing()))?;
    let report = report(context, received.operation.as_deref())?;
    let left_out = left_out(&report);
    let count_bytes = received.count_bytes;
    let mut document = json!({ "file": file.display().to_string(), "bytes": count_bytes, "diff_id": received.digest });
    for name in ["left_out_count", "first_left_out"] {
        if let (Some(told), Some(fields)) = (report.get(name), document.as_object_mut()) {
            fields.insert(name.to_owned(), told.clone());
        }
    }
    context.printer.result(&document, || {
        let written = format!("{}  {}", file.display(), words::bytes(count_bytes));
        format!("{written}\n{left_out}").trim_end().to_owned()
    })
}

/// A writer that is flushed only by its owner: pieces of a stream are gathered.
struct Unflushed<'a, W: io::Write>(&'a mut W);

impl<W: io::Write> io::Write for Unflushed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Applies an archive.
pub(super) fn apply(context: &Context, arguments: &ApplyArguments) -> Result<(), Failure> {
    let (source, total_bytes) = open(&arguments.file)?;
    let context = &context.heeding()?;
    let bar = bytes_bar(format!("apply to {}", arguments.id), total_bytes);
    let answer = context.client.put_stream(
        &target(context, &arguments.id, "/diff"),
        Watched::new(source, &bar),
    );
    bar.finish_and_clear();
    let report = answer.map_err(|failure| unapplied(failure, &arguments.id))?;
    if context.client.is_interrupted() {
        context
            .printer
            .note("the interruption came too late: the archive was applied");
    }
    let text = |report: &ApplyReport| applied(&arguments.id, report);
    context.printer.view(&report, text)
}

/// What a signal that ended the command has left.
fn unapplied(failure: Failure, id: &str) -> Failure {
    match failure {
        Failure::Interrupted(told) if told.is_empty() => {
            let id = words::safe(id);
            Failure::Interrupted(format!(": nothing was applied to layer `{id}`"))
        }
        failure => failure,
    }
}

/// The archive, and its bytes where they are known.
fn open(file: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if file == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::Usage {
                what: "a terminal is no archive".to_owned(),
                remedy: "name a file, or send the archive through a pipe",
            });
        }
        return Ok((Box::new(io::stdin()), None));
    }
    let doing = || format!("read `{}`", file.display());
    let opened = File::open(file).map_err(Failure::io(doing()))?;
    let found = opened.metadata().map_err(Failure::io(doing()))?;
    if found.is_dir() {
        return Err(Failure::Usage {
            what: format!("`{}` is a directory", file.display()),
            remedy: "make an archive of it: `tar -C DIR -c . | mica layer apply ID`",
        });
    }
    Ok((Box::new(opened), found.is_file().then_some(found.len())))
}

fn applied(id: &str, report: &ApplyReport) -> String {
    let ApplyReport {
        entries,
        size_bytes,
        xattrs_skipped,
        first_left_out,
    } = report;
    let plural = if *entries == 1 { "entry" } else { "entries" };
    let mut text = format!("{id}: {entries} {plural}, {}", words::bytes(*size_bytes));
    match xattrs_skipped {
        0 => {}
        skipped => text.push_str(&format!(", {skipped} extended attributes skipped")),
    }
    for left_out in first_left_out {
        text.push_str(&format!("\n  left out: {}", words::safe(left_out)));
    }
    text
}
