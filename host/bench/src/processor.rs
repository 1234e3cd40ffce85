//! Processor time of this process and of all that it has started, however deep: daemons, tools, and what those have started.
//!
//! Invariant: what a process that has ended took is counted with whoever waited for it, so nothing is lost when one ends.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// What a tick of the kernel's counts is: the kernel tells it in hundredths of a second, whatever it counts in.
const TICK: Duration = Duration::from_millis(10);

/// A process as the kernel tells it.
struct Process {
    parent: u32,
    /// Its own time and that of the children it waited for.
    ticks: u32,
}

/// All that was spent until now.
pub(crate) fn spent() -> Result<Duration> {
    let processes: HashMap<u32, Process> = fs::read_dir("/proc")?
        .filter_map(|entry| {
            let number = entry.ok()?.file_name().to_str()?.parse().ok()?;
            // One that has just ended is counted with its parent.
            Some((number, process(number)?))
        })
        .collect();
    let own = std::process::id();
    processes.get(&own).context("this process is not listed")?;
    let is_ours = |number: u32| {
        let mut at = number;
        // A chain of parents ends at the first process; a number that was used again within it could make it endless.
        for _ in 0..processes.len() {
            if at == own {
                return true;
            }
            match processes.get(&at) {
                Some(process) => at = process.parent,
                None => return false,
            }
        }
        false
    };
    let ours = processes
        .iter()
        .filter(|(number, _)| is_ours(**number))
        .map(|(_, process)| process.ticks);
    Ok(TICK * ours.sum::<u32>())
}

/// The fields of `/proc/PID/stat` behind the name, which may hold anything: state, parent, …; the fourteenth to the seventeenth
/// of the whole line are the times.
fn process(number: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(Process {
        parent: field(1)?,
        ticks: field(11)? + field(12)? + field(13)? + field(14)?,
    })
}
