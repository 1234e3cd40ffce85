//! The rights of this process, as the kernel lists them.
//!
//! Invariant: one table says which capabilities the daemon uses; it keeps those and no other.
//!
//! See docs/decisions/0030-nine-capabilities-stay.md.

/// A capability that the daemon uses: its bit, its name, and for what.
pub(super) struct Capability {
    bit: u32,
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
}

/// The set that the daemon uses; it drops every other at its start. The bits are those of `linux/capability.h`.
///
/// An overlay works with the credentials of whoever mounted it, so what processes in a container may do to files of their
/// layer is bounded by these as well: `LINUX_IMMUTABLE` is for their `chattr +i`. And without `DAC_READ_SEARCH` the kernel
/// keeps no origin of a file that it copies up (`ovl_can_decode_fh`), so a file's inode number changes with its first write and
/// two names of one file have two numbers.
pub(super) const NEEDED: [Capability; 9] = [
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
        bit: 2,
        name: "DAC_READ_SEARCH",
        reason: "inode numbers of overlays that stay",
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
    Capability {
        bit: 9,
        name: "LINUX_IMMUTABLE",
        reason: "sets and clears immutable bits",
    },
];

/// The bits of the set that the daemon uses.
pub(crate) fn needed_capabilities() -> u64 {
    NEEDED.iter().fold(0, |bits, needed| bits | 1 << needed.bit)
}

/// Capabilities by their names, those that the daemon has no use for by their numbers.
pub(crate) fn capability_names(bits: u64) -> Vec<String> {
    let name = |bit: u32| {
        let known = NEEDED.iter().find(|needed| needed.bit == bit);
        known.map_or_else(|| bit.to_string(), |needed| needed.name.to_owned())
    };
    let is_in = |bit: &u32| bits >> bit & 1 == 1;
    (0..u64::BITS).filter(is_in).map(name).collect()
}

/// The capabilities that this process has in effect, as bits; none if the kernel does not say.
pub(super) fn effective() -> u64 {
    mica_sys::privileges().map_or(0, |has| has.effective)
}

/// Whether this process may raise its hard limits (`CAP_SYS_RESOURCE`), before the daemon drops that.
pub(super) fn may_raise_limits() -> bool {
    effective() >> 24 & 1 == 1
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
    fn names_and_bits_are_those_of_one_table() {
        let bits = needed_capabilities();
        let mut names: Vec<_> = NEEDED.iter().map(|needed| needed.name).collect();
        let mut found = capability_names(bits);
        names.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, names);
        assert!(NEEDED.iter().all(|needed| needed.is_in(bits)));
        assert_eq!(capability_names(1 << 21 | 1 << 25), ["SYS_ADMIN", "25"]);
    }
}
