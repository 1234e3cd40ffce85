//! The rights of this process, as the kernel lists them.
//!
//! Invariant: reads `/proc/self/status` and nothing else.

/// A capability that the daemon uses: its bit, its name, and for what.
pub(super) struct Capability {
    bit: u32,
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
}

/// The set that the daemon needs; every other may be dropped. The bits are those of `linux/capability.h`.
pub(super) const NEEDED: [Capability; 7] = [
    Capability {
        bit: 21,
        name: "SYS_ADMIN",
        reason: "mounts, and xattrs named trusted",
    },
    Capability {
        bit: 1,
        name: "DAC_OVERRIDE",
        reason: "reads and writes files of others",
    },
    Capability {
        bit: 0,
        name: "CHOWN",
        reason: "gives files their owners",
    },
    Capability {
        bit: 3,
        name: "FOWNER",
        reason: "sets modes and times of others' files",
    },
    Capability {
        bit: 4,
        name: "FSETID",
        reason: "keeps set-user-id bits",
    },
    Capability {
        bit: 27,
        name: "MKNOD",
        reason: "makes device nodes",
    },
    Capability {
        bit: 31,
        name: "SETFCAP",
        reason: "restores file capabilities",
    },
];

/// The capabilities that this process has in effect, as bits; none if the kernel does not say.
pub(super) fn effective() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| parse(&status))
}

fn parse(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or(0)
}

impl Capability {
    /// Whether the bits have it.
    pub(super) fn is_in(&self, bits: u64) -> bool {
        bits >> self.bit & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read() {
        let bits = parse("Name:\tx\nCapPrm:\t0\nCapEff:\t0000000000200002\n");
        let names: Vec<_> = NEEDED
            .iter()
            .filter(|needed| needed.is_in(bits))
            .map(|needed| needed.name)
            .collect();
        assert_eq!(names, ["SYS_ADMIN", "DAC_OVERRIDE"]);
    }
}
