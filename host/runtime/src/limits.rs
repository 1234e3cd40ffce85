//! Every number that bounds a guest, in one table.
//!
//! Invariant: no other file of the sandbox holds a limit of its own.

use crate::numbers;
use std::collections::BTreeMap;
use std::time::Duration;

numbers! {
    /// The limits of the sandbox. Sizes are bytes, times are seconds.
    pub struct Limits {
        /// Guest memory of one operation, summed over all its memories: a walk keeps one page per level, far below.
        memory_bytes: usize = 128 << 20, 8 << 20 => 4 << 30;
        /// Table elements of one operation in sum; a Rust guest has a few hundred.
        table_elements: usize = 100_000, 2000 => 10_000_000;
        /// Host handles that one operation may hold: 500 lowers and what a deep walk keeps open.
        handles: usize = 2048, 64 => 1_000_000;
        /// Handles of the component model within one operation, borrowed ones included.
        component_handles: u32 = 4096, 64 => 1_000_000;
        /// Bytes that pass in one host call or one result: a page of entries is 256 KiB.
        call_bytes: usize = 4 << 20, 1 << 20 => 256 << 20;
        /// Entries of one page of a listing.
        page_entries: usize = 1024, 16 => 65_536;
        /// Bytes of one page of a listing, one read or one write.
        page_bytes: usize = 256 << 10, 256 << 10 => 16 << 20;
        /// Host calls of one short operation, and of any operation to no handle (home, mounts, configuration, log): `get`
        /// of 500 layers needs 1,000.
        short_host_calls: u64 = 10_000, 200 => 100_000_000;
        /// Bytes of names that one operation's listings may hold in the host: a million names of 24 bytes.
        listing_bytes: usize = 64 << 20, 1 << 20 => 4 << 30;
        /// Wall-clock time of a short operation (exists, status, metadata, put, describe).
        short_seconds: u64 = 2, 1 => 3600;
        /// Wall-clock time of init and get, which mount and probe.
        mount_seconds: u64 = 30, 1 => 3600;
        /// Wall-clock time of create, remove, diff, changes, apply and size, which walk trees of any size.
        long_seconds: u64 = 30 * 60, 1 => 7 * 24 * 60 * 60;
        /// Processor time a guest may use without any host call before it counts as stuck: the longest that an honest one
        /// takes is a tenth of a second.
        stall_seconds: u64 = 5, 1 => 3600;
        /// Time a stream may stand still because the other side neither reads nor writes. It is no part of the operation's
        /// own time, however often it happens.
        stream_idle_seconds: u64 = 5 * 60, 1 => 24 * 60 * 60;
        /// Options of one store or of one layer: drivers know a handful.
        options: usize = 64, 1 => 10_000;
        /// Bytes of an option's name.
        option_name_bytes: usize = 256, 16 => 64 << 10;
        /// Bytes of an option's value: a path.
        option_value_bytes: usize = 4096, 256 => 1 << 20;
        /// Bytes of all extended attributes of one node, names and values, each with 32 more. An archive may hold 1 MiB of
        /// records for each entry, and those of a node must fit in with its paths.
        xattr_bytes: usize = 960 << 10, 4 << 10 => 960 << 10;
        /// Bytes of the index of an image, all of which the host reads before it mounts the image: an index of 6,700 nodes has 1 MB.
        index_bytes: usize = 32 << 20, 1 << 20 => 1 << 30;
        /// Bytes that one operation may say, on its standard error and output and by `log`; what is more is counted and left out.
        log_bytes: usize = 64 << 10, 256 => 16 << 20;
        /// Bytes that a driver may have written into the daemon's own log in a minute: the lines of its `log`, where it broke,
        /// and what it was denied again. What is more is counted there; what it says is kept for `mica driver logs`, and denials are
        /// counted, as always.
        journal_bytes: usize = 256 << 10, 0 => 64 << 20;
        /// Bytes that are kept in memory of what a driver said last.
        driver_log_bytes: usize = 1 << 20, 4 << 10 => 256 << 20;
        /// Bytes of host calls, with their arguments and answers, that are recorded of one operation; 0 records nothing. Of one
        /// that makes more the first are kept, and it cannot be replayed.
        trace_bytes: usize = 256 << 10, 0 => 256 << 20;
        /// Bytes of memory for the recorded operations of a driver: half for those that failed, half for the others. One takes a
        /// quarter at most, whatever `trace_bytes` says.
        driver_trace_bytes: usize = 4 << 20, 64 << 10 => 1 << 30;
        /// Stack of a guest.
        stack_bytes: usize = 512 << 10, 128 << 10 => 1 << 20;
        /// Size of a component: one that brings the interpreter of Python has 18 MB.
        component_bytes: usize = 32 << 20, 1 << 20 => 1 << 30;
        /// Core instances of a component, with those of naive-diff if it is composed: a Rust driver has 6, one in Python without
        /// WASI 41.
        component_instances: u32 = 64, 4 => 10_000;
        /// Memories of a component, in the same way.
        component_memories: u32 = 8, 1 => 100;
        /// Tables of a component, in the same way.
        component_tables: u32 = 16, 1 => 1000;
        /// Functions of a component: compiling 300,000 tiny ones takes 1.7 GB.
        component_functions: u32 = 20_000, 4000 => 1_000_000;
        /// Size of one function's body.
        function_bytes: usize = 512 << 10, 128 << 10 => 7 << 20;
        /// Names of one component that are looked at: imports and exports.
        component_names: usize = 1000, 100 => 100_000;
        /// CPU time of the process that checks and compiles a component.
        compile_seconds: u64 = 60, 1 => 60 * 60;
        /// Wall-clock time of that process, which shares the processor with others.
        compile_wait_seconds: u64 = 10 * 60, 10 => 24 * 60 * 60;
        /// Address space of that process.
        compile_memory_bytes: u64 = 4 << 30, 256 << 20 => 1 << 40;
        /// Threads of that process: each takes address space for its stack and its heap.
        compile_threads: u32 = 4, 1 => 64;
        /// Such processes at the same time; further components wait for their turn.
        compile_processes: u32 = 1, 1 => 64;
        /// Compiled code of one component: three to four times the size of the drivers that ship, naive-diff included.
        compiled_bytes: usize = 256 << 20, 1 << 20 => 4 << 30;
        /// Operations that run at the same time, in all.
        operations: u32 = 128, 1 => 4096;
        /// Operations of one driver that run at the same time.
        driver_operations: u32 = 32, 1 => 4096;
        /// Host handles that all operations of one driver may hold together: each keeps a descriptor of the daemon open. The
        /// daemon lowers it to half of the descriptors that it may have, so one driver never holds them all.
        driver_handles: usize = 16_384, 64 => 1_000_000;
        /// Operations at the same time that read or write a client's stream. While one waits for its client, it counts
        /// here alone and not among `operations`, so slow clients keep no one from all else.
        streams: u32 = 128, 1 => 4096;
        /// Those of one driver among them.
        driver_streams: u32 = 64, 1 => 4096;
        /// Minutes in which faults of a driver are counted together.
        fault_minutes: u64 = 10, 1 => 7 * 24 * 60;
        /// Faults in operations on one layer that are too many for that layer: one may be bad luck.
        layer_faults: usize = 2, 1 => 1000;
        /// Faults in operations of one store that are too many for that store: two come from one layer at most, so more than
        /// one layer is behind them.
        store_faults: usize = 3, 1 => 1000;
        /// Stores with faults that are too many for the driver as a whole. A client has one store, and the same image may get
        /// into Docker's and containerd's; a third is no one client's doing.
        driver_stores: usize = 3, 1 => 1000;
    }
}

/// Names the limits of which a driver may have its own, which its manifest asks for.
macro_rules! own_limits {
    ($($name:ident),* $(,)?) => {
        impl Limits {
            /// The limits of which a driver may have lower ones: those of one operation that concern no other driver.
            pub const OWN: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The same, but not above what a driver asks for.
            pub(crate) fn lowered_to(&self, wanted: &BTreeMap<&'static str, u64>) -> Self {
                let mut limits = self.clone();
                $(if let Some(&wanted) = wanted.get(stringify!($name)) {
                    // What does not fit into the number is more than it.
                    let wanted = wanted.try_into().unwrap_or(limits.$name);
                    limits.$name = limits.$name.min(wanted);
                })*
                limits
            }
        }
    };
}

own_limits! {
    memory_bytes, table_elements, handles, component_handles, short_host_calls, listing_bytes,
    short_seconds, mount_seconds, long_seconds, stall_seconds, index_bytes, log_bytes,
}

/// Operations that the recorder of a driver has room for at least, those that failed and the others together.
const RECORDED_AT_LEAST: usize = 4;

impl Limits {
    /// Bytes of host calls that are recorded of one operation.
    #[must_use]
    pub fn recorded_bytes(&self) -> usize {
        self.trace_bytes
            .min(self.driver_trace_bytes / RECORDED_AT_LEAST)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_gets_the_smaller_of_what_it_wants_and_what_is_configured() {
        let limits = Limits::default();
        let wanted = BTreeMap::from([("memory_bytes", 16 << 20), ("handles", 1_000_000)]);
        let own = limits.lowered_to(&wanted);
        assert_eq!(own.memory_bytes, 16 << 20);
        assert_eq!(own.handles, limits.handles);
        assert_eq!(limits.lowered_to(&BTreeMap::new()), limits);
    }

    #[test]
    fn a_limit_of_one_driver_is_a_limit() {
        let numbers = Limits::default().numbers();
        for own in Limits::OWN {
            assert!(numbers.iter().any(|number| number.name == *own), "{own}");
        }
    }
}
