//! The one wasmtime engine and its clock.
//!
//! Invariant: every setting of SANDBOX's table is here, explicitly, and no other file configures wasmtime.

use crate::{Error, Limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    Strategy,
};

/// The release of wasmtime that `Cargo.toml` pins.
pub(super) const WASMTIME: &str = "48";
/// Time between two ticks of the epoch: how late a stuck guest is noticed.
const TICK: Duration = Duration::from_millis(10);
/// Core instances of one component: a driver, naive-diff, and the adapters that the linker puts around each.
const INSTANCES_PER_COMPONENT: u32 = 40;
/// Memories of one component: one each of a driver and naive-diff, and what other languages' runtimes bring.
const MEMORIES_PER_COMPONENT: u32 = 4;
/// Memory of a slot that is kept resident and cleared by hand when it is used again: cheaper than asking the kernel. Where
/// the kernel tells what was written to (Linux 6.7), nothing else is cleared.
const KEEP_RESIDENT: usize = 256 << 10;

/// Makes the engine, with a pool of instances if the address space has room for one.
pub(super) fn new(limits: &Limits) -> Result<(Engine, &'static str), Error> {
    let mut config = base(limits);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    match Engine::new(&config) {
        Ok(engine) => Ok((engine, "pooling")),
        Err(error) => {
            tracing::warn!("no pool of instances, they are made on demand: {error:#}");
            let mut config = base(limits);
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            config.memory_reservation(limits.memory_bytes as u64);
            let engine =
                Engine::new(&config).map_err(|error| Error::Runtime(format!("{error:#}")))?;
            Ok((engine, "on-demand"))
        }
    }
}

/// An engine for the process that only compiles: the same code for any allocator, in a small address space.
pub(super) fn for_compilation(limits: &Limits) -> Result<Engine, Error> {
    Engine::new(&base(limits)).map_err(|error| Error::Runtime(format!("{error:#}")))
}

fn base(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .shared_memory(false)
        .wasm_component_model(true)
        .concurrency_support(false)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let operations = limits.instances().saturating_add(8);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(operations)
        .max_core_instances_per_component(INSTANCES_PER_COMPONENT)
        .total_core_instances(operations.saturating_mul(INSTANCES_PER_COMPONENT))
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .total_memories(operations.saturating_mul(2))
        .max_tables_per_component(16)
        .total_tables(operations.saturating_mul(8))
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

/// Advances the epoch until it is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (engine, stopped) = (engine.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("mica-epoch".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            })
            .map_err(|error| Error::Runtime(format!("start the epoch thread: {error}")))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been reported by itself.
            drop(thread.join());
        }
    }
}
