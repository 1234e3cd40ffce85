//! Every number that bounds a guest, in one table.
//!
//! Invariant: no other file of the sandbox holds a limit of its own.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The limits of the sandbox. Sizes are bytes, times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Guest memory of one operation, summed over all its memories: a walk keeps one page per level, far below.
    pub memory_bytes: usize,
    /// Table elements of one operation in sum; a Rust guest has a few hundred.
    pub table_elements: usize,
    /// Host handles that one operation may hold: 500 lowers and what a deep walk keeps open.
    pub handles: usize,
    /// Handles of the component model within one operation, borrowed ones included.
    pub component_handles: u32,
    /// Bytes that pass in one host call or one result: a page of entries is 256 KiB.
    pub call_bytes: usize,
    /// Entries of one page of a listing.
    pub page_entries: usize,
    /// Bytes of one page of a listing, one read or one write.
    pub page_bytes: usize,
    /// Host calls of one short operation, and of any operation to no handle (home, mounts, configuration, log): `get`
    /// of 500 layers needs 1,000.
    pub short_host_calls: u64,
    /// Bytes of names that one operation's listings may hold in the host: a million names of 24 bytes.
    pub listing_bytes: usize,
    /// Wall-clock time of a short operation (exists, status, metadata, put, describe).
    pub short_seconds: u64,
    /// Wall-clock time of init and get, which mount and probe.
    pub mount_seconds: u64,
    /// Wall-clock time of create, remove, diff, changes, apply and size, which walk trees of any size.
    pub long_seconds: u64,
    /// Processor time a guest may use without any host call before it counts as stuck: the longest that an honest one
    /// takes is a tenth of a second.
    pub stall_seconds: u64,
    /// Time a stream may stand still because the other side neither reads nor writes. It is no part of the operation's
    /// own time, however often it happens.
    pub stream_idle_seconds: u64,
    /// Options of one store or of one layer: drivers know a handful.
    pub options: usize,
    /// Bytes of an option's name.
    pub option_name_bytes: usize,
    /// Bytes of an option's value: a path.
    pub option_value_bytes: usize,
    /// Bytes of all extended attributes of one node, names and values, each with 32 more. An archive may hold 1 MiB of
    /// records for each entry, and those of a node must fit in with its paths.
    pub xattr_bytes: usize,
    /// Bytes of the index of an image, all of which the host reads before it mounts the image: an index of 6,700 nodes has 1 MB.
    pub index_bytes: usize,
    /// Log bytes of one operation.
    pub log_bytes: usize,
    /// Stack of a guest.
    pub stack_bytes: usize,
    /// Size of a component: one that brings the interpreter of Python has 18 MB.
    pub component_bytes: usize,
    /// Core instances of a component, with those of naive-diff if it is composed: a Rust driver has 6, one in Python without
    /// WASI 41.
    pub component_instances: u32,
    /// Memories of a component, in the same way.
    pub component_memories: u32,
    /// Tables of a component, in the same way.
    pub component_tables: u32,
    /// Functions of a component: compiling 300,000 tiny ones takes 1.7 GB.
    pub component_functions: u32,
    /// Size of one function's body.
    pub function_bytes: usize,
    /// Names of one component that are looked at: imports and exports.
    pub component_names: usize,
    /// CPU time of the process that checks and compiles a component.
    pub compile_seconds: u64,
    /// Wall-clock time of that process, which shares the processor with others.
    pub compile_wait_seconds: u64,
    /// Address space of that process.
    pub compile_memory_bytes: u64,
    /// Threads of that process: each takes address space for its stack and its heap.
    pub compile_threads: u32,
    /// Such processes at the same time; further components wait for their turn.
    pub compile_processes: u32,
    /// Compiled code of one component: three to four times the size of the drivers that ship, naive-diff included.
    pub compiled_bytes: usize,
    /// Operations that run at the same time, in all.
    pub operations: u32,
    /// Operations of one driver that run at the same time.
    pub driver_operations: u32,
    /// Host handles that all operations of one driver may hold together: each keeps a descriptor of the daemon open. The
    /// daemon lowers it to half of the descriptors that it may have, so one driver never holds them all.
    pub driver_handles: usize,
    /// Operations at the same time that read or write a client's stream. While one waits for its client, it counts
    /// here alone and not among `operations`, so slow clients keep no one from all else.
    pub streams: u32,
    /// Those of one driver among them.
    pub driver_streams: u32,
    /// Minutes in which faults of a driver are counted together.
    pub fault_minutes: u64,
    /// Faults in operations on one layer that are too many for that layer: one may be bad luck.
    pub layer_faults: usize,
    /// Faults in operations of one store that are too many for that store: two come from one layer at most, so more than
    /// one layer is behind them.
    pub store_faults: usize,
    /// Stores with faults that are too many for the driver as a whole. A client has one store, and the same image may get
    /// into Docker's and containerd's; a third is no one client's doing.
    pub driver_stores: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            table_elements: 100_000,
            handles: 2048,
            component_handles: 4096,
            call_bytes: 4 << 20,
            page_entries: 1024,
            page_bytes: 256 << 10,
            short_host_calls: 10_000,
            listing_bytes: 64 << 20,
            short_seconds: 2,
            mount_seconds: 30,
            long_seconds: 30 * 60,
            stall_seconds: 5,
            stream_idle_seconds: 5 * 60,
            options: 64,
            option_name_bytes: 256,
            option_value_bytes: 4096,
            xattr_bytes: 960 << 10,
            index_bytes: 32 << 20,
            log_bytes: 64 << 10,
            stack_bytes: 512 << 10,
            component_bytes: 32 << 20,
            component_instances: 64,
            component_memories: 8,
            component_tables: 16,
            component_functions: 20_000,
            function_bytes: 512 << 10,
            component_names: 1000,
            compile_seconds: 60,
            compile_wait_seconds: 10 * 60,
            compile_memory_bytes: 4 << 30,
            compile_threads: 4,
            compile_processes: 1,
            compiled_bytes: 256 << 20,
            operations: 128,
            driver_operations: 32,
            driver_handles: 16_384,
            streams: 128,
            driver_streams: 64,
            fault_minutes: 10,
            layer_faults: 2,
            store_faults: 3,
            driver_stores: 3,
        }
    }
}

impl Limits {
    /// How long a stream may stand still.
    #[must_use]
    pub fn stream_idle(&self) -> Duration {
        Duration::from_secs(self.stream_idle_seconds)
    }

    /// The time in which faults are counted together.
    #[must_use]
    pub fn fault_window(&self) -> Duration {
        Duration::from_secs(self.fault_minutes.saturating_mul(60))
    }

    /// Instances that can be there at the same time: a stream that waits for its client keeps its own.
    pub(crate) fn instances(&self) -> u32 {
        self.operations.saturating_add(self.streams)
    }
}

/// Which deadlines and budgets an operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Answers from what is at hand.
    Short,
    /// Mounts or probes.
    Mount,
    /// Walks trees; bounded by progress.
    Long,
}

impl Class {
    /// Wall-clock time in all.
    pub(crate) fn deadline(self, limits: &Limits) -> Duration {
        Duration::from_secs(match self {
            Self::Short => limits.short_seconds,
            Self::Mount => limits.mount_seconds,
            Self::Long => limits.long_seconds,
        })
    }

    /// Host calls in all.
    pub(crate) fn host_calls(self, limits: &Limits) -> u64 {
        match self {
            Self::Short | Self::Mount => limits.short_host_calls,
            Self::Long => u64::MAX,
        }
    }
}
