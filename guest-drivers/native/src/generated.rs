//! The contract's data and the traits of a driver, generated from the WIT.
//!
//! Invariant: resources are not taken from here but from `host`, because theirs would have nothing to call.

#![expect(missing_docs, reason = "generated from documented WIT")]
#![expect(
    unreachable_pub,
    reason = "generated: what is of use is named by the crate"
)]

/// Everything that the host provides.
pub mod host_functions {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "mica:driver/all-host-functions",
        generate_all,
        additional_derives: [PartialEq, Eq],
        additional_derives_ignore: ["mount", "staged-layer"],
    });
}

/// What a driver exports.
pub mod exported {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package mica:native; world full { export mica:driver/proto-driver@1.0.0; export mica:driver/diff-driver@1.0.0; }",
        world: "mica:native/full",
        generate_all,
        with: {
            "mica:host/types@1.0.0": crate::mica::host::types,
            "mica:host/directory@1.0.0": crate::mica::host::directory,
            "mica:host/mounts@1.0.0": crate::mica::host::mounts,
            "mica:host/streams@1.0.0": crate::mica::host::streams,
        },
        additional_derives: [PartialEq, Eq],
    });
}

/// The driver that the naive-diff component imports.
pub mod inner {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package mica:native; world inner { import mica:driver/proto-driver@1.0.0; }",
        world: "mica:native/inner",
        generate_all,
        with: {
            "mica:host/types@1.0.0": crate::mica::host::types,
            "mica:host/directory@1.0.0": crate::mica::host::directory,
            "mica:host/mounts@1.0.0": crate::mica::host::mounts,
            "mica:driver/types@1.0.0": crate::mica::driver::types,
        },
        additional_derives: [PartialEq, Eq],
    });
}
