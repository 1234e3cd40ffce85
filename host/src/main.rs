//! The program `mica`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mica::run()
}
