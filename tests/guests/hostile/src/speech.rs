//! What the driver says: a little, and far too much.

use crate::mica::host::log::{self, Level};
use std::io::Write as _;

/// Lines of a flood: some 6 MB.
const FLOOD_LINES: usize = 100_000;

/// Speaks for layers whose ids ask for it.
pub(crate) fn before_create(id: &str) {
    match id {
        "chatty" => {
            eprintln!("hello from standard error");
            println!("hello from standard output");
            log::write(Level::Warn, "hello from the log");
            eprint!("a line \x1b[31mwithout end");
        }
        "deluge" => {
            let mut stderr = std::io::stderr().lock();
            let page = "the same line again and again, which nobody wants to read\n".repeat(1000);
            for _ in 0..FLOOD_LINES / 1000 {
                // Whether it is heard makes no difference here.
                let _ = stderr.write_all(page.as_bytes());
            }
            log::write(Level::Error, "too late");
        }
        "panic" => panic!("so that it is told where"),
        _ => {}
    }
}
