//! A ProtoDriver and naive-diff become one component: the original's `NaiveDiffDriver(ProtoDriver) Driver`.
//!
//! Invariant: happens to bytes, before compilation; nothing of either component is changed.

use crate::Error;
use crate::contract::DRIVER;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId};

/// Composes `driver`, which exports its `proto-driver` under the full name `exported`, with the naive-diff component that is
/// part of this program.
pub(super) fn with_naive_diff(driver: &[u8], exported: &str) -> Result<Vec<u8>, Error> {
    compose(driver, exported, mica_artifacts::NAIVE_DIFF).map_err(|detail| {
        Error::rejected(
            format!("it cannot be composed with naive-diff: {detail}"),
            "build it against the `wit` directory of this release",
        )
    })
}

fn compose(driver: &[u8], exported: &str, naive_diff: &[u8]) -> Result<Vec<u8>, String> {
    let (proto_name, diff_name) = (
        DRIVER.interface("proto-driver"),
        DRIVER.interface("diff-driver"),
    );
    let mut graph = CompositionGraph::new();
    let driver = register(&mut graph, "mica:composed-driver", driver)?;
    let naive_diff = register(&mut graph, "mica:naive-diff", naive_diff)?;
    let driver = graph.instantiate(driver);
    let naive_diff = graph.instantiate(naive_diff);
    let proto = graph
        .alias_instance_export(driver, exported)
        .map_err(|error| error.to_string())?;
    graph
        .set_instantiation_argument(naive_diff, &proto_name, proto)
        .map_err(|error| error.to_string())?;
    let diff = graph
        .alias_instance_export(naive_diff, &diff_name)
        .map_err(|error| error.to_string())?;
    graph
        .export(proto, &proto_name)
        .map_err(|error| error.to_string())?;
    graph
        .export(diff, &diff_name)
        .map_err(|error| error.to_string())?;
    graph
        .encode(EncodeOptions::default())
        .map_err(|error| error.to_string())
}

fn register(graph: &mut CompositionGraph, name: &str, bytes: &[u8]) -> Result<PackageId, String> {
    let package = Package::from_bytes(name, None, bytes, graph.types_mut())
        .map_err(|error| format!("{error:#}"))?;
    graph
        .register_package(package)
        .map_err(|error| error.to_string())
}
