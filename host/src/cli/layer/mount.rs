//! Mounts of layers.
//!
//! Invariant: what is printed for people is the path alone, so that a script can take it.

use serde_json::json;

use super::{MountArguments, target};
use crate::cli::context::Context;
use mica_client::Failure;
use mica_client::words;

pub(super) const EXAMPLES: &str = "\
Each mount is one reference; the layer stays mounted until `mica layer umount` gave all of them back.

Examples:
  root=$(mica layer mount box)
  chroot \"$root\" /bin/sh
  mica layer umount box";

/// Mounts a layer and prints where.
pub(super) fn mount(context: &Context, arguments: &MountArguments) -> Result<(), Failure> {
    let request = json!({
        "access": arguments.read_only.then_some("read-only"),
        "mount_label": arguments.mount_label,
    });
    let document = context
        .client
        .post(&target(context, &arguments.id, "/mount"), Some(&request))?;
    context
        .printer
        .result(&document, || words::field(&document, "path"))
}

/// Gives a reference back and says how many are left.
pub(super) fn unmount(context: &Context, id: &str) -> Result<(), Failure> {
    let document = context
        .client
        .post(&target(context, id, "/unmount"), None)?;
    context
        .printer
        .result(&document, || match words::number(&document, "references") {
            0 => format!("{id} unmounted"),
            1 => format!("{id} still mounted, 1 reference"),
            count => format!("{id} still mounted, {count} references"),
        })
}
