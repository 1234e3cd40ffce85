//! What no driver may say: text that drives a terminal, forges a line of the log, or is as long as a book.
//!
//! Built with `HOSTILE_FAULT=texts`, the driver says it wherever the contract lets it say something.

use crate::exports::mica::driver::proto_driver::{Description, Error};
use crate::mica::driver::types::{HostFailure, OwnContent};
use crate::mica::host::log::{self, Level};
use crate::mica::host::types::{Code, Failure};

/// A line end, an escape sequence, a bell, a character that turns the reading direction, one of C1, and one without width.
const EVIL: &str = "x\n2026-01-01T00:00:00Z ERROR forged\u{1b}[31m\u{7}\u{202e}\u{9b}1m\u{200b}";

fn long() -> String {
    EVIL.repeat((3 << 20) / EVIL.len())
}

pub(crate) fn describe(name: &str) -> Description {
    Description {
        name: name.to_owned(),
        version: EVIL.to_owned(),
        summary: long(),
        options: (0..5000)
            .map(|number| (format!("{number}{EVIL}"), EVIL.to_owned()))
            .collect(),
        content: OwnContent::Room,
    }
}

pub(crate) fn pairs() -> Vec<(String, String)> {
    vec![(EVIL.to_owned(), long())]
}

pub(crate) fn create(id: &str) -> Result<(), Error> {
    log::write(Level::Error, EVIL);
    match id {
        "say-invalid" => Err(Error::Invalid(long())),
        "say-host" => Err(Error::Host(HostFailure {
            doing: EVIL.to_owned(),
            failure: Failure {
                code: Code::Io,
                message: EVIL.to_owned(),
            },
        })),
        "say-panic" => panic!("{EVIL}"),
        "say-trap" => a_function_whose_name_a_test_exchanges_for_another(),
        _ => Ok(()),
    }
}

/// The test writes other bytes over this name in the component.
#[inline(never)]
fn a_function_whose_name_a_test_exchanges_for_another() -> ! {
    core::arch::wasm32::unreachable()
}
