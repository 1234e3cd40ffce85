//! A client of the daemon, and what a command-line program of Mica needs beside it: errors with a remedy, exit codes,
//! tables, progress.
//!
//! Invariant: it knows the daemon by its REST interface alone.

mod client;
mod exit;
mod failure;
mod interrupt;
mod new_file;
mod output;
mod print;
pub mod progress;
mod template;
mod token;
pub mod words;

pub use client::{Client, Place, Received, query, segment};
pub use exit::{EXIT_CODES, Exit};
pub use failure::{Failure, Problem};
pub use new_file::NewFile;
pub use output::{Output, printable_json, shown};
pub use print::{Column, Printer, pairs, read, table};
pub use token::Token;
