//! `mica man`: what is made from the description of the command line.
//!
//! Invariant: the description is the only source; nothing is said twice.

use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::arguments::Arguments;
use mica_client::{Failure, Printer};

/// Prints the manual page of `mica`, or writes those of all commands to a directory.
pub(crate) fn manual(printer: &Printer, directory: Option<&Path>) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    match directory {
        None => printer.bytes(&render(command).map_err(Failure::io("make the manual page"))?),
        Some(directory) => {
            let doing = format!("write manual pages to `{}`", directory.display());
            write_pages(command, "", directory).map_err(Failure::io(doing))
        }
    }
}

fn render(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

fn write_pages(command: clap::Command, prefix: &str, directory: &Path) -> io::Result<()> {
    let name = format!("{prefix}{}", command.get_name());
    let below: Vec<_> = command
        .get_subcommands()
        // A page about help tells nothing: every page is help.
        .filter(|below| !below.is_hide_set() && below.get_name() != "help")
        .cloned()
        .collect();
    for subcommand in below {
        write_pages(subcommand, &format!("{name}-"), directory)?;
    }
    std::fs::write(
        directory.join(format!("{name}.1")),
        render(command.name(name))?,
    )
}
