//! Programs that run with a layer as their root.
//!
//! Invariant: the mount is held while this process lives, and no longer, however it ends.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use serde_json::json;

use super::target;
use crate::api::types::{Access, MountRequest, MountView, UnmountRequest};
use crate::cli::context::Context;
use mica_client::Failure;

pub(super) const EXAMPLES: &str = "\
The layer is mounted for as long as the program runs, by the reference `exec-PID`, and the program's exit code is that of mica: 125 to 127
are those of `chroot`, which starts it. It needs root, and sees the layer alone: no /proc and no /dev but what the layer holds.

Examples:
  mica layer exec box -- sh -c 'echo hello > /etc/motd'
  mica layer exec --read-only base -- cat /etc/os-release
  mica layer shell box";

/// Arguments of `mica layer exec`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExecArguments {
    /// The layer
    id: String,
    /// Refuse every write; without it a layer that has no children can be written to
    #[arg(long)]
    read_only: bool,
    /// The program, by its path in the layer or by its name, and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM"
    )]
    program: Vec<String>,
}

/// Arguments of `mica layer shell`.
#[derive(Debug, clap::Args)]
pub(crate) struct ShellArguments {
    /// The layer
    id: String,
    /// Refuse every write; without it a layer that has no children can be written to
    #[arg(long)]
    read_only: bool,
}

impl From<ShellArguments> for ExecArguments {
    fn from(shell: ShellArguments) -> Self {
        Self {
            id: shell.id,
            read_only: shell.read_only,
            program: vec!["/bin/sh".to_owned()],
        }
    }
}

/// Runs a program, and ends as it did.
pub(super) fn run(context: &Context, arguments: &ExecArguments) -> Result<(), Failure> {
    let client = &context.client;
    let reference = format!("exec-{}", std::process::id());
    let request = MountRequest {
        access: arguments.read_only.then_some(Access::ReadOnly),
        mount_label: None,
        reference: Some(reference.clone()),
        while_pid: Some(0),
        client: None,
    };
    // Before the mount: from then on it is given back by what follows.
    client.leave_interrupts_to_others()?;
    let mount = client.post(
        &target(context, &arguments.id, "/mount"),
        Some(&json!(request)),
    )?;
    let mount: MountView = serde_json::from_value(mount).map_err(|error| Failure::Connection {
        doing: "understand the daemon's answer".to_owned(),
        source: error.into(),
    })?;
    let ended = Command::new("chroot")
        .arg(&mount.path)
        .args(&arguments.program)
        .status();
    let request = UnmountRequest {
        reference: Some(reference),
        all: false,
    };
    client.post(
        &target(context, &arguments.id, "/unmount"),
        Some(&json!(request)),
    )?;
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => std::process::exit(code(status)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Untrue {
            what: "there is no program `chroot` on this machine".to_owned(),
            remedy: Some(
                "install coreutils, or use `mica layer mount` and a tool of your own".to_owned(),
            ),
        }),
        Err(error) => Err(Failure::io(format!(
            "run a program in layer `{}`",
            arguments.id
        ))(error)),
    }
}

/// As a shell tells it: a signal is 128 and its number.
fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
