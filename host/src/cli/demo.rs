//! `mica demo` is the program `mica-demo`, because what only shows the product has no place in what runs as root.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mica_client::Failure;

/// The program's name.
const PROGRAM: &str = "mica-demo";

/// Becomes that program, with this one as the daemon that it starts.
///
/// # Errors
/// That it is not there, or what starting it says.
pub(super) fn run(arguments: &[OsString]) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(Failure::io("find this program"))?;
    let program = beside(&own);
    let error = Command::new(&program)
        .arg0("mica demo")
        .env("MICA_DEMO_DAEMON", &own)
        .args(arguments)
        .exec();
    if error.kind() == io::ErrorKind::NotFound {
        return Err(Failure::NotSupported {
            what: format!("`{PROGRAM}` is not installed"),
            remedy: format!(
                "build it with `make demo`, or put it beside `{}`",
                own.display()
            ),
        });
    }
    Err(Failure::io(format!("start `{}`", program.display()))(error))
}

/// The program beside `own`, else that name, which is looked for in the search path.
fn beside(own: &Path) -> PathBuf {
    let program = own.with_file_name(PROGRAM);
    if program.exists() {
        program
    } else {
        PROGRAM.into()
    }
}
