//! `mica fsmagic`: the original's GetFSMagic and FsNames for people.
//!
//! Invariant: needs no daemon, and changes nothing.

use std::path::Path;

use serde_json::json;

use crate::machine;
use mica_client::{Failure, Printer, pairs};

/// Prints name, magic number and constant of the file system below a path.
pub(crate) fn run(printer: &Printer, path: &Path) -> Result<(), Failure> {
    let doing = format!("find the file system of `{}`", path.display());
    let found = machine::file_system(path).map_err(Failure::io(doing))?;
    let magic = format!("{:#010x}", found.magic);
    let document = json!({
        "path": path.display().to_string(),
        "name": found.name,
        "magic": found.magic,
        "magic_hex": magic,
        "constant": found.constant,
    });
    printer.result(&document, || {
        pairs([
            ("name", found.name.to_owned()),
            ("magic", magic.clone()),
            ("constant", found.constant.unwrap_or("-").to_owned()),
        ])
    })
}
