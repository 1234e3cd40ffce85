//! The files of a layer, without a mount.
//!
//! Invariant: asks by path and reads what comes; nothing of a layer is ever a path of this machine unless it is copied there.

use std::io;

use serde_json::{Value, json};

use super::target;
use crate::api::types::{FileKind, FileView};
use crate::cli::context::Context;
use mica_client::{Column, Failure, read, segment, table, words};
use mica_engine::Moment;
use mica_text::bytes_of;

pub(super) const LS_EXAMPLES: &str = "\
Without a layer this lists the layers of the store; with one the files at a path of it, as a process would see them whose root the
layer is. Nothing is mounted for it, and a layer that is mounted can be looked at too.

Examples:
  mica layer ls
  mica layer ls base /etc
  mica --json layer ls base / --recursive | jq '.files[] | select(.mode == \"4755\").path'";

pub(super) const CAT_EXAMPLES: &str = "\
Examples:
  mica layer cat base /etc/os-release
  mica layer cat base /usr/bin/ls > ls";

pub(super) const FIND_EXAMPLES: &str = "\
A pattern is one of names, not of paths: `*` stands for any characters, `?` for one, `[a-z]` for one of these.

Examples:
  mica layer find base --name '*.so.*' --kind regular
  mica layer find base /var -z | xargs -0 -n1 echo";

/// Which files of a layer.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArguments {
    /// The layer; without one the layers of the store are listed
    id: Option<String>,
    /// The path from the layer's root
    #[arg(default_value = "/")]
    path: String,
    /// What is in directories of the directory too
    #[arg(short = 'R', long, requires = "id")]
    recursive: bool,
    /// Only ids, or paths of files, one a line
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// End each path with a NUL byte, and write its exact bytes
    #[arg(short = 'z', long = "null", requires = "id")]
    is_null: bool,
}

/// One file of a layer.
#[derive(Debug, clap::Args)]
pub(crate) struct FileArguments {
    /// The layer
    pub(super) id: String,
    /// The path from the layer's root
    pub(super) path: String,
}

/// Arguments of `mica layer find`.
#[derive(Debug, clap::Args)]
pub(crate) struct FindArguments {
    /// The layer
    id: String,
    /// The directory to begin at
    #[arg(default_value = "/")]
    path: String,
    /// Only names that this pattern fits
    #[arg(long, value_name = "PATTERN", value_parser = glob::Pattern::new)]
    name: Option<glob::Pattern>,
    /// Only files of this kind
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only files of at least so many bytes
    #[arg(long, value_name = "BYTES")]
    min_size: Option<u64>,
    /// End each path with a NUL byte, and write its exact bytes
    #[arg(short = 'z', long = "null")]
    is_null: bool,
}

/// Kinds of files, as arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Regular files
    Regular,
    /// Directories
    Directory,
    /// Symbolic links
    Symlink,
    /// Devices, of either kind
    Device,
    /// Named pipes
    Fifo,
    /// Sockets
    Socket,
}

impl Kind {
    fn fits(self, kind: FileKind) -> bool {
        match kind {
            FileKind::Regular => self == Self::Regular,
            FileKind::Directory => self == Self::Directory,
            FileKind::Symlink => self == Self::Symlink,
            FileKind::BlockDevice | FileKind::CharacterDevice => self == Self::Device,
            FileKind::Fifo => self == Self::Fifo,
            FileKind::Socket => self == Self::Socket,
        }
    }
}

impl ListArguments {
    /// The layer, if files are asked for.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// A file as the daemon tells it, and what this program knows of it.
pub(super) struct Told {
    document: Value,
    /// `None` from a daemon of another version that tells it in another form.
    pub(super) view: Option<FileView>,
}

/// Lists the files at a path.
pub(super) fn ls(context: &Context, id: &str, arguments: &ListArguments) -> Result<(), Failure> {
    let files = ask(context, (id, &arguments.path), arguments.recursive, &|_| {
        true
    })?;
    if arguments.is_null {
        return write_null(context, &files);
    }
    show(context, &files, |views| {
        if arguments.quiet {
            return paths(&views);
        }
        let columns = [
            Column::Text("mode"),
            Column::Number("links"),
            Column::Number("uid"),
            Column::Number("gid"),
            Column::Number("size"),
            Column::Text("modified"),
            Column::Text("path"),
        ];
        table(&columns, views.into_iter().map(row).collect())
    })
}

fn row(file: &FileView) -> Vec<String> {
    let path = words::safe(&file.path);
    let size = file.size_bytes.to_string();
    vec![
        mode(file),
        file.links.to_string(),
        file.uid.to_string(),
        file.gid.to_string(),
        file.device.as_deref().map_or(size, words::safe),
        modified(file),
        match &file.target {
            Some(target) => format!("{path} -> {}", words::safe(target)),
            None => path,
        },
    ]
}

/// Prints files: for programs as they came, for people as `text` has them.
fn show(
    context: &Context,
    files: &[Told],
    text: impl FnOnce(Vec<&FileView>) -> String,
) -> Result<(), Failure> {
    let documents: Vec<_> = files.iter().map(|file| &file.document).collect();
    let document = json!({ "files": documents });
    context.printer.result(&document, || {
        let views: Option<Vec<_>> = files.iter().map(|file| file.view.as_ref()).collect();
        views.map_or_else(|| format!("{document:#}"), text)
    })
}

/// Writes a file to standard output.
pub(super) fn cat(context: &Context, arguments: &FileArguments) -> Result<(), Failure> {
    let FileArguments { id, path } = arguments;
    let mut output = io::stdout().lock();
    context
        .client
        .get_stream(
            &target(context, id, &format!("/content?path={}", segment(path))),
            &mut output,
        )
        .map(drop)
}

/// Prints the paths of files.
pub(super) fn find(context: &Context, arguments: &FindArguments) -> Result<(), Failure> {
    // What is told in another form is shown rather than left out.
    let fits = |file: Option<&FileView>| file.is_none_or(|view| arguments.fits(view));
    let files = ask(context, (&arguments.id, &arguments.path), true, &fits)?;
    if arguments.is_null {
        return write_null(context, &files);
    }
    show(context, &files, |views| paths(&views))
}

/// Paths, one a line.
fn paths(views: &[&FileView]) -> String {
    let lines = views.iter();
    lines
        .map(|view| format!("{}\n", words::safe(&view.path)))
        .collect()
}

/// Writes the exact bytes of paths, with a NUL behind each.
fn write_null(context: &Context, files: &[Told]) -> Result<(), Failure> {
    let paths = files.iter().filter_map(|file| file.view.as_ref());
    let paths = paths.flat_map(|view| {
        let mut path = bytes_of(&view.path, view.path_base64.as_deref());
        path.push(0);
        path
    });
    context.printer.bytes(&paths.collect::<Vec<_>>())
}

impl FindArguments {
    fn fits(&self, file: &FileView) -> bool {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        self.name
            .as_ref()
            .is_none_or(|pattern| pattern.matches(name))
            && self.kind.is_none_or(|kind| kind.fits(file.kind))
            && self.min_size.is_none_or(|least| file.size_bytes >= least)
    }
}

/// Asks for the files at a path of a layer; those that `keep` refuses take no memory.
pub(super) fn ask(
    context: &Context,
    (id, path): (&str, &str),
    is_recursive: bool,
    keep: &dyn Fn(Option<&FileView>) -> bool,
) -> Result<Vec<Told>, Failure> {
    let path = segment(path);
    let what = format!("/files?path={path}&recursive={is_recursive}");
    let mut files = Vec::new();
    context
        .client
        .get_lines(&target(context, id, &what), &mut |document| {
            let view = read(&document);
            if keep(view.as_ref()) {
                files.push(Told { document, view });
            }
            Ok(())
        })?;
    Ok(files)
}

/// The target of a file's content.
pub(super) fn content(context: &Context, id: &str, file: &FileView) -> String {
    let query = match &file.path_base64 {
        Some(exact) => format!("path_base64={}", segment(exact)),
        None => format!("path={}", segment(&file.path)),
    };
    target(context, id, &format!("/content?{query}"))
}

/// The time of the last change, to the second.
fn modified(file: &FileView) -> String {
    match u64::try_from(file.modified_seconds) {
        Ok(seconds) => words::seconds(&Moment {
            seconds,
            nanoseconds: file.modified_nanoseconds,
        }),
        Err(_before_1970) => format!("{} s", file.modified_seconds),
    }
}

/// Kind and permissions, as `ls` writes them.
fn mode(file: &FileView) -> String {
    let kind = match file.kind {
        FileKind::Regular => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::BlockDevice => 'b',
        FileKind::CharacterDevice => 'c',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    };
    let Ok(bits) = u32::from_str_radix(&file.mode, 8) else {
        return words::safe(&file.mode);
    };
    let mut text = String::from(kind);
    for (place, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let part = bits >> place;
        text.push(if part & 4 == 0 { '-' } else { 'r' });
        text.push(if part & 2 == 0 { '-' } else { 'w' });
        text.push(match (part & 1 != 0, bits & special != 0) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
        });
    }
    text
}
