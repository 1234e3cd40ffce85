//! The contract in `wit/`, as Rust: one set of types, shared by every world.
//!
//! Invariant: nothing here is written by hand but which world reuses which types.

#![expect(missing_docs, reason = "generated from documented WIT")]

/// What the host provides.
pub mod host_functions {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "mica:driver/all-host-functions",
        generate_all,
        additional_derives: [PartialEq, Eq],
        additional_derives_ignore: ["mount", "staged-layer"],
    });
}

// The worlds below name only what their exports are made of, so that a new interface of the host is no matter of theirs.

/// Export glue of a driver without diffs.
pub mod proto {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package mica:sdk; world proto { export mica:driver/proto-driver@1.0.0; }",
        world: "mica:sdk/proto",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_proto_world",
        default_bindings_module: "::mica_sdk::bindings::proto",
        with: {
            "mica:host/types@1.0.0": crate::bindings::host_functions::mica::host::types,
            "mica:host/directory@1.0.0": crate::bindings::host_functions::mica::host::directory,
            "mica:host/mounts@1.0.0": crate::bindings::host_functions::mica::host::mounts,
        },
        additional_derives: [PartialEq, Eq],
    });
}

/// Export glue of the diffs: beside `proto` for a full driver, alone for the naive-diff component.
pub mod diff {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package mica:sdk; world diff { export mica:driver/diff-driver@1.0.0; }",
        world: "mica:sdk/diff",
        pub_export_macro: true,
        export_macro_name: "export_diff_world",
        default_bindings_module: "::mica_sdk::bindings::diff",
        with: {
            "mica:host/types@1.0.0": crate::bindings::host_functions::mica::host::types,
            "mica:host/directory@1.0.0": crate::bindings::host_functions::mica::host::directory,
            "mica:host/streams@1.0.0": crate::bindings::host_functions::mica::host::streams,
            "mica:driver/types@1.0.0": crate::bindings::proto::mica::driver::types,
        },
        additional_derives: [PartialEq, Eq],
    });
}

/// The driver that the naive-diff component is composed with, as an import.
pub mod inner {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package mica:sdk; world inner { import mica:driver/proto-driver@1.0.0; }",
        world: "mica:sdk/inner",
        generate_all,
        with: {
            "mica:host/types@1.0.0": crate::bindings::host_functions::mica::host::types,
            "mica:host/directory@1.0.0": crate::bindings::host_functions::mica::host::directory,
            "mica:host/mounts@1.0.0": crate::bindings::host_functions::mica::host::mounts,
            "mica:driver/types@1.0.0": crate::bindings::proto::mica::driver::types,
        },
        additional_derives: [PartialEq, Eq],
    });
}
