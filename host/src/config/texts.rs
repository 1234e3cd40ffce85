//! The settings that are no numbers, in words.
//!
//! Invariant: every key of the file is here or a number; a test compares both with what the parser knows.

use serde::Serialize;

/// A setting that is no number.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Text {
    /// Its name, with its section.
    pub(crate) name: &'static str,
    /// What it is unless something else is said, as the file would have it.
    pub(crate) default: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
}

const fn text(name: &'static str, default: &'static str, about: &'static str) -> Text {
    Text {
        name,
        default,
        about,
    }
}

/// All of them.
pub(crate) const TEXTS: &[Text] = &[
    text("root", "\"/var/lib/mica\"", "Holds stores and drivers."),
    text(
        "run_dir",
        "\"/run/mica\"",
        "Holds mounts and their state; best on a file system that ends with the boot.",
    ),
    text(
        "socket",
        "RUN_DIR/mica.sock",
        "The unix socket of REST and the command line.",
    ),
    text(
        "tcp",
        "none",
        "A loopback address and port to listen on as well, such as \"127.0.0.1:7777\".",
    ),
    text(
        "token_file",
        "none",
        "A file of mode 0600 with the secret that clients of `tcp` show as `Authorization: Bearer`.",
    ),
    text(
        "tcp_unauthenticated",
        "false",
        "Whether `tcp` answers everyone on this machine; without it `tcp` needs a `token_file`.",
    ),
    text(
        "driver",
        "none",
        "The driver of stores that name none; without it one is chosen, see `prior_drivers`.",
    ),
    text(
        "prior_drivers",
        "\"choose\"",
        "Which driver a store gets that names none: `choose` takes the one that has layers already, else the first that works; `warn` always the first that works.",
    ),
    text(
        "drivers_dir",
        "none",
        "A directory whose `*.wasm` files add or override drivers.",
    ),
    text(
        "durability",
        "\"commit\"",
        "When a layer counts as published: `commit` when it is on the device, `none` when the kernel has it.",
    ),
    text(
        "log",
        "\"info\"",
        "What is logged: off, error, warn, info, debug, trace, or directives such as \"mica_engine=debug,info\".",
    ),
    text(
        "slow_call_seconds",
        "0.0",
        "Seconds after which the log tells of a call that took longer, without what it waited for its client: 0 to 86400; 0 tells of none.",
    ),
    text(
        "metrics.listen",
        "none",
        "A loopback address and port where `/metrics`, `/healthz` and `/readyz` are answered as well, to everyone on this machine.",
    ),
    text(
        "scrub.digests",
        "\"new\"",
        "Which layers get digests of their files, once they have settled: `off` none, `new` those that are made from now on, `all`.",
    ),
    text(
        "scrub.stores",
        "{}",
        "The same for single stores, by their names: { images = \"all\", scratch = \"off\" }.",
    ),
    text(
        "scrub.damaged",
        "\"serve\"",
        "What becomes of a layer that is known to be damaged, and of those built on it: `serve` shows it and tells the log, `refuse` does not.",
    ),
    text(
        "scrub.repair",
        "false",
        "Whether a layer that is found damaged in the background is made again at once: of the archive that another store has, or of the blob in containerd's content store. Layers in use stay until a later pass.",
    ),
    text(
        "telemetry.otlp_endpoint",
        "none",
        "Where traces are sent, by OTLP over HTTP in protobuf: a collector of this machine, \"http://127.0.0.1:4318\" or \"unix:///run/collector.sock\".",
    ),
    text(
        "telemetry.ratio",
        "1.0",
        "The part of calls that are recorded of those whose clients say nothing of it, from 0 to 1; a client's `traceparent` decides for its calls.",
    ),
    text(
        "docker.socket",
        "none",
        "The socket of Docker's plugin protocol, where dockerd finds it: \"/run/docker/plugins/mica.sock\".",
    ),
    text("docker.store", "\"docker\"", "The store that dockerd gets."),
    text(
        "docker.driver",
        "none",
        "The driver of that store when dockerd does not say `--storage-opt mica.driver=NAME`.",
    ),
    text(
        "containerd.socket",
        "none",
        "The socket of the services for containerd.",
    ),
    text(
        "containerd.store",
        "\"containerd\"",
        "The store, for one containerd alone; made at the first start.",
    ),
    text(
        "containerd.driver",
        "none",
        "The driver of the store, when it is made.",
    ),
    text(
        "containerd.options",
        "{}",
        "The driver's options, when the store is made.",
    ),
    text(
        "containerd.content_root",
        "as `containerd.address` says",
        "Where containerd keeps content, for the diff service; without an address that of a containerd with the usual root.",
    ),
    text(
        "containerd.address",
        "none",
        "containerd's own socket: blobs that are not below `content_root` are asked for there, and differences written.",
    ),
    text(
        "containerd.share_content",
        "false",
        "Whether content that one namespace has unpacked is used for others, who need only know its digest.",
    ),
    text(
        "drivers.grants_file",
        "none",
        "A file of grants for many machines, or a directory with a file NAME.toml for each driver; read when a driver is loaded, and asked for drivers whose grants the configuration does not say.",
    ),
    text(
        "drivers.require_manifest",
        "false",
        "Whether a component that is loaded or swapped must have a manifest.",
    ),
    text(
        "drivers.NAME.grants",
        "the standard grants, and what was approved",
        "Interfaces of `mica:host` that the driver may import. It gets those of them that it asks for.",
    ),
    text(
        "drivers.NAME.mounts",
        "[\"bind\", \"overlay\"]",
        "Kinds of views that it may make.",
    ),
    text(
        "drivers.NAME.xattrs",
        "[\"user\", \"security.capability\", \"system.posix_acl_access\", \"system.posix_acl_default\"]",
        "Extended attributes that it may set; a copy of a layer has those that the layer has.",
    ),
    text(
        "drivers.NAME.device_nodes",
        "true",
        "Whether it may make block and character devices.",
    ),
    text(
        "drivers.NAME.audit",
        "false",
        "Whether what it is not granted is allowed, and told as an event and in numbers: to learn what it needs. No rule for safety is one of these.",
    ),
    text(
        "drivers.NAME.max_depth",
        "as `max_depth`",
        "Layers that a chain of its stores may have; the smaller of this and `max_depth` counts.",
    ),
    text(
        "drivers.trust.name",
        "all names",
        "In an entry `[[drivers.trust]]`, of which the first that is about a driver counts: the names of drivers that it is about, `*` for any letters.",
    ),
    text(
        "drivers.trust.registry",
        "all registries, and files",
        "The registry that it is about, or a name there with what is below it: \"registry.example/team\".",
    ),
    text(
        "drivers.trust.keys",
        "[]",
        "Files with public keys of minisign. A driver that it is about must be signed by one of them.",
    ),
    text(
        "drivers.trust.identity",
        "none",
        "Who is trusted too, by a certificate of sigstore: an address of mail or of a workflow, exactly as it stands there.",
    ),
    text(
        "drivers.trust.issuer",
        "none",
        "Who must have vouched for `identity`, as it stands in the certificate.",
    ),
    text(
        "drivers.trust.trust_root",
        "none",
        "A file with the authorities and logs of sigstore that certificate and signature are compared with: `trusted_root.json`. It is never fetched.",
    ),
    text(
        "drivers.trust.unsigned",
        "\"refuse\", and \"allow\" for files where nobody is trusted",
        "What becomes of a driver without a signature: `refuse`, `warn` or `allow`; one from a registry is then still taken only with `--allow-unsigned`.",
    ),
];
