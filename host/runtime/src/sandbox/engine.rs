//! The one wasmtime engine.
//!
//! Invariant: every setting of SANDBOX's table is here, explicitly, and no other file configures wasmtime.

use crate::{Error, Limits};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wasmtime::{
    Config, CustomCodeMemory, Enabled, Engine, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig, Strategy, WasmBacktraceDetails,
};

/// The release of wasmtime that `Cargo.toml` pins.
pub(super) const WASMTIME: &str = "48";
/// Memory of a slot that is kept resident and cleared by hand when it is used again: cheaper than asking the kernel. Where
/// the kernel tells what was written to (Linux 6.7), nothing else is cleared.
const KEEP_RESIDENT: usize = 256 << 10;

/// Bytes that are never mapped behind a memory that is made on demand.
const GUARD_BYTES: u64 = 64 << 10;

/// Where the memory of instances comes from. Code must be compiled for the one that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Allocation {
    /// From a pool that was reserved at the start.
    Pool,
    /// From the kernel, for each instance, where the address space is too small for a pool.
    OnDemand,
}

impl Allocation {
    /// The word for it in `mica status`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pool => "pooling",
            Self::OnDemand => "on-demand",
        }
    }
}

/// Makes the engine, with a pool of instances if the address space has room for one.
pub(super) fn new(limits: &Limits) -> Result<(Engine, Allocation), Error> {
    let mut config = base(limits, Allocation::Pool);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    match Engine::new(&config) {
        Ok(engine) => Ok((engine, Allocation::Pool)),
        Err(error) => {
            tracing::warn!("no pool of instances, they are made on demand: {error:#}");
            let config = base(limits, Allocation::OnDemand);
            Ok((made(&config)?, Allocation::OnDemand))
        }
    }
}

/// An engine for the process that only compiles, for instances of this allocation, in a small address space.
pub(super) fn for_compilation(limits: &Limits, allocation: Allocation) -> Result<Engine, Error> {
    let mut config = base(limits, allocation);
    config.with_custom_code_memory(Some(Arc::new(NeverRun)));
    made(&config)
}

fn made(config: &Config) -> Result<Engine, Error> {
    Engine::new(config).map_err(|error| Error::runtime("make the engine", format!("{error:#}")))
}

/// Leaves compiled code as data: the process that compiles may make no memory executable, and never runs what it compiled.
struct NeverRun;

impl CustomCodeMemory for NeverRun {
    fn required_alignment(&self) -> usize {
        1
    }

    fn publish_executable(&self, _ptr: *const u8, _len: usize) -> wasmtime::Result<()> {
        Ok(())
    }

    fn unpublish_executable(&self, _ptr: *const u8, _len: usize) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// What the engine that compiles and the one that runs must have in common.
fn base(limits: &Limits, allocation: Allocation) -> Config {
    let mut config = Config::new();
    if allocation == Allocation::OnDemand {
        // A pool reserves 4 GiB for each memory, so that most bounds need no check. Where the address space is short, a memory
        // gets what it may grow to and the smallest guard, and bounds are checked.
        config
            .memory_reservation(limits.memory_bytes as u64)
            .memory_reservation_for_growth(0)
            .memory_guard_size(GUARD_BYTES);
    }
    config
        // wasmtime would ask a variable of the environment, and code that was compiled with the other answer does not load.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .wasm_memory64(false)
        // Its results differ between processors; a driver has to do the same everywhere.
        .wasm_relaxed_simd(false)
        .shared_memory(false)
        .wasm_component_model(true)
        // Else each store would get the data for concurrent guests, of which no operation has any.
        .concurrency_support(false)
        // A new instance maps the memory of the component instead of copying it.
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    // A few more than may run: an instance gives its place back a moment after its permit.
    let operations = limits.instances().saturating_add(8);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(operations)
        .max_core_instances_per_component(limits.component_instances)
        // A number that is counted to, nothing is reserved for it.
        .total_core_instances(operations.saturating_mul(limits.component_instances))
        .max_memories_per_component(limits.component_memories)
        // Each is a reservation of 4 GiB, so there are as many as drivers use that ship or were tried, and not
        // `component_memories` for each: a driver of many memories has fewer operations at the same time.
        .total_memories(operations.saturating_mul(2).max(limits.component_memories))
        .max_tables_per_component(limits.component_tables)
        .total_tables(operations.saturating_mul(8).max(limits.component_tables))
        .table_elements(limits.table_elements)
        .max_memory_size(limits.memory_bytes)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(16);
    pool
}
