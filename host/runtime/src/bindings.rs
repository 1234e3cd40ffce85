//! Rust for the contract in `wit/`, generated.
//!
//! Invariant: nothing here is written by hand but the choice of Rust types for the resources.

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "package mica:runtime; world driver { include mica:driver/all-host-functions@1.0.0; include mica:driver/full@1.0.0; }",
    world: "mica:runtime/driver",
    imports: { default: trappable },
    trappable_error_type: { "mica:host/types.failure" => crate::capability::HostError },
    with: {
        "mica:host/directory.directory": crate::capability::directory::Directory,
        "mica:host/directory.file": crate::capability::file::File,
        "mica:host/directory.listing": crate::capability::listing::Listing,
        "mica:host/streams.sink": crate::capability::streams::Sink,
        "mica:host/streams.source": crate::capability::streams::Source,
        "mica:host/streams.change-sink": crate::capability::streams::ChangeSink,
        "mica:host/mounts.mount": crate::capability::mounts::Mount,
        "mica:host/home.staged-layer": crate::capability::home::StagedLayer,
    },
    additional_derives: [PartialEq, Eq, serde::Serialize, serde::Deserialize],
});
