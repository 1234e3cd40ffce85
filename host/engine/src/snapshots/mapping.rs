//! Other owners than files have: what a user namespace sees.
//!
//! A mapping comes from a runtime as two texts of ranges, `container:host:size` with commas between them, and goes
//! back to it as mount options: whoever mounts makes the mapping. The ranges are the kernel's (user_namespaces(7)).
//!
//! Invariant: no range is empty, wraps or meets another one, on either side, and the root user and group have a place.

use crate::{Error, Result, SafeText};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Ranges of one map: the kernel's limit.
const MAX_RANGES: usize = 340;

/// Ids of a range, and those that they become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    container: u32,
    host: u32,
    size: u32,
}

impl Range {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let fields: Vec<&str> = text.split(':').collect();
        let [container, host, size] = fields[..] else {
            return Err(format!("`{text}` is not `container:host:size`"));
        };
        let number = |field: &str| {
            let is_number = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| field.parse().ok()).flatten();
            number.ok_or_else(|| format!("`{field}` is no number of 32 bits"))
        };
        let range = Self {
            container: number(container)?,
            host: number(host)?,
            size: number(size)?,
        };
        // The last number means that an owner stays as it is, and so is none.
        let fits = |first: u32| {
            first
                .checked_add(range.size)
                .is_some_and(|end| range.size > 0 && end < u32::MAX)
        };
        if fits(range.container) && fits(range.host) {
            return Ok(range);
        }
        Err(format!("`{text}` is empty or ends beyond 4294967294"))
    }
}

/// The ranges of users or of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Map(Vec<Range>);

impl Map {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let ranges = text.split(',').map(Range::parse);
        let ranges = ranges.collect::<std::result::Result<Vec<_>, _>>()?;
        if ranges.len() > MAX_RANGES {
            return Err(format!(
                "{} ranges; {MAX_RANGES} are possible",
                ranges.len()
            ));
        }
        for side in [|range: &Range| range.container, |range: &Range| range.host] {
            let mut sorted: Vec<_> = ranges
                .iter()
                .map(|range| (side(range), range.size))
                .collect();
            sorted.sort_unstable();
            let meets = |pair: &[(u32, u32)]| matches!(pair, [(first, size), (next, _)] if first + size > *next);
            if sorted.windows(2).any(meets) {
                return Err("two ranges have ids in common".into());
            }
        }
        Ok(Self(ranges))
    }

    fn root(&self) -> Option<u32> {
        let range = self.0.iter().find(|range| range.container == 0);
        range.map(|range| range.host)
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let Range {
                container,
                host,
                size,
            } = range;
            write!(f, "{comma}{container}:{host}:{size}")?;
        }
        Ok(())
    }
}

/// What owners become in a mount of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Texts", into = "Texts")]
pub struct IdMapping {
    users: Map,
    groups: Map,
    root: (u32, u32),
}

/// A mapping as it is written down.
#[derive(Serialize, Deserialize)]
struct Texts {
    users: String,
    groups: String,
}

impl IdMapping {
    /// Reads the ranges of users and of groups.
    ///
    /// # Errors
    /// [`Error::Invalid`], which says what is wrong with which of the two.
    pub fn parse(users: &str, groups: &str) -> Result<Self> {
        let map = |what: &str, text: &str| {
            let map = Map::parse(text);
            let map = map.and_then(|map| match map.root() {
                Some(root) => Ok((map, root)),
                None => Err("root has no place in it".into()),
            });
            map.map_err(|reason| {
                let text = SafeText::label(text);
                Error::Invalid(format!("the mapping `{text}` of {what}: {reason}"))
            })
        };
        let (users, uid) = map("users", users)?;
        let (groups, gid) = map("groups", groups)?;
        Ok(Self {
            users,
            groups,
            root: (uid, gid),
        })
    }

    /// What the root user and group become.
    pub(crate) fn root(&self) -> (u32, u32) {
        self.root
    }

    /// The options that ask for it, as containerd reads them.
    pub(crate) fn options(&self) -> [String; 2] {
        [
            format!("uidmap={}", self.users),
            format!("gidmap={}", self.groups),
        ]
    }
}

impl TryFrom<Texts> for IdMapping {
    type Error = Error;

    fn try_from(texts: Texts) -> Result<Self> {
        Self::parse(&texts.users, &texts.groups)
    }
}

impl From<IdMapping> for Texts {
    fn from(mapping: IdMapping) -> Self {
        Self {
            users: mapping.users.to_string(),
            groups: mapping.groups.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept_and_root_is_found() {
        let text = "1000:0:1,0:100000:1000";
        let mapping = IdMapping::parse(text, "0:7:4294967287").unwrap();
        assert_eq!(mapping.root(), (100_000, 7));
        let options = [format!("uidmap={text}"), "gidmap=0:7:4294967287".into()];
        assert_eq!(mapping.options(), options);
        let row = serde_json::to_string(&mapping).unwrap();
        assert_eq!(serde_json::from_str::<IdMapping>(&row).unwrap(), mapping);
    }

    #[test]
    fn what_the_kernel_would_refuse_or_wrap_is_refused() {
        let many: Vec<_> = (0..=MAX_RANGES).map(|at| format!("{at}:{at}:1")).collect();
        for bad in [
            "",
            "0:0",
            "0:0:0",
            "0:0:1:1",
            "a:0:1",
            "-1:0:1",
            "+0:0:1",
            "0: 0:1",
            "0:0:4294967295",
            "0:4294967295:1",
            "0:4294967290:10",
            "0:4294967296:1",
            "0:0:10,5:100:1",
            "0:0:10,10:9:1",
            "1:100000:65536",
            "0:0:1,",
            &many.join(","),
        ] {
            let error = IdMapping::parse(bad, "0:0:1").unwrap_err();
            assert!(error.to_string().contains("of users"), "{bad}: {error}");
            let error = IdMapping::parse("0:0:1", bad).unwrap_err();
            assert!(error.to_string().contains("of groups"), "{bad}: {error}");
        }
    }
}
