//! Mounts of layers.
//!
//! Invariant: what is printed for people is the path alone, so that a script can take it.

use serde_json::json;

use super::{MountArguments, target};
use crate::api::types::{Access, MountRequest, MountView, UnmountView};
use crate::cli::context::Context;
use mica_client::{Failure, words};

pub(super) const EXAMPLES: &str = "\
Each mount is one reference; the layer stays mounted until `mica layer umount` gave all of them back.

Examples:
  root=$(mica layer mount box)
  chroot \"$root\" /bin/sh
  mica layer umount box";

/// Mounts a layer and prints where.
pub(super) fn mount(context: &Context, arguments: &MountArguments) -> Result<(), Failure> {
    let request = MountRequest {
        access: arguments.read_only.then_some(Access::ReadOnly),
        mount_label: arguments.mount_label.clone(),
    };
    let document = context.client.post(
        &target(context, &arguments.id, "/mount"),
        Some(&json!(request)),
    )?;
    context
        .printer
        .view(&document, |mount: &MountView| words::told(&mount.path))
}

/// Gives a reference back and says how many are left.
pub(super) fn unmount(context: &Context, id: &str) -> Result<(), Failure> {
    let document = context
        .client
        .post(&target(context, id, "/unmount"), None)?;
    context
        .printer
        .view(&document, |left: &UnmountView| match left.references {
            0 => format!("{id} unmounted"),
            1 => format!("{id} still mounted, 1 reference"),
            count => format!("{id} still mounted, {count} references"),
        })
}
