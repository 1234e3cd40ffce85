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
        "drivers.NAME.grants",
        "the standard grants",
        "Interfaces of `mica:host` that the driver may import.",
    ),
    text(
        "drivers.NAME.max_depth",
        "as `max_depth`",
        "Layers that a chain of its stores may have; the smaller of this and `max_depth` counts.",
    ),
];
