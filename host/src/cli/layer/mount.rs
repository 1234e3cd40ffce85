//! Mounts of layers.
//!
//! Invariant: what is printed for people is the path alone, so that a script can take it.

use serde_json::json;

use super::{MountArguments, UnmountArguments, target};
use crate::api::types::{
    Access, HolderView, MountList, MountRequest, MountView, MountedLayer, UnmountRequest,
    UnmountView,
};
use crate::cli::context::Context;
use mica_client::{Column, Failure, segment, table, words};

pub(super) const EXAMPLES: &str = "\
Each mount is one reference; the layer stays mounted until `mica layer umount` gave all of them back.

Examples:
  root=$(mica layer mount box)
  chroot \"$root\" /bin/sh
  mica layer umount box
  mica layer mount box --reference build-7 --while-pid $$     given back when this shell ends
  mica layer umount box --reference build-7";

/// Mounts a layer and prints where.
pub(super) fn mount(context: &Context, arguments: &MountArguments) -> Result<(), Failure> {
    let request = MountRequest {
        access: arguments.read_only.then_some(Access::ReadOnly),
        mount_label: arguments.mount_label.clone(),
        reference: arguments.reference.clone(),
        while_pid: arguments.while_pid,
        client: None,
    };
    let document = context.client.post(
        &target(context, &arguments.id, "/mount"),
        Some(&json!(request)),
    )?;
    context
        .printer
        .view(&document, |mount: &MountView| words::told(&mount.path))
}

/// Gives references back and says how many are left.
pub(super) fn unmount(context: &Context, arguments: &UnmountArguments) -> Result<(), Failure> {
    let UnmountArguments { id, reference, all } = arguments;
    let request = UnmountRequest {
        reference: reference.clone(),
        all: *all,
    };
    let document = (request != UnmountRequest::default()).then(|| json!(request));
    let target = target(context, id, "/unmount");
    let document = context.client.post(&target, document.as_ref())?;
    context
        .printer
        .view(&document, |left: &UnmountView| match left.references {
            0 => format!("{id} unmounted"),
            1 => format!("{id} still mounted, 1 reference"),
            count => format!("{id} still mounted, {count} references"),
        })
}

/// Lists the mounts of the store.
pub(super) fn list(context: &Context) -> Result<(), Failure> {
    let target = format!("/v1/stores/{}/mounts", segment(&context.store));
    let document = json!({ "mounts": context.all(&target, "mounts")? });
    context.printer.view(&document, |list: &MountList| {
        let rows = list.mounts.iter().map(|MountedLayer { layer, mount }| {
            vec![
                words::told(layer),
                words::told(&mount.access),
                mount.references.to_string(),
                words::or_dash(held_by(&mount.holders).join(", ")),
                words::told(&mount.path),
            ]
        });
        let columns = [
            Column::Text("layer"),
            Column::Text("access"),
            Column::Number("references"),
            Column::Text("held by"),
            Column::Text("path"),
        ];
        table(&columns, rows.collect())
    })
}

/// Who holds a mount, in words.
pub(in crate::cli) fn held_by(holders: &[HolderView]) -> Vec<String> {
    let holders = holders.iter().map(|holder| {
        let name = words::safe(&holder.reference);
        match (holder.while_pid, holder.has_ended) {
            (Some(pid), false) => format!("{name} (while process {pid})"),
            (Some(pid), true) => format!("{name} (process {pid} has ended)"),
            (None, _) => name,
        }
    });
    holders.collect()
}
