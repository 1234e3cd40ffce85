//! Layers that are unpacked by several programs: made by chance from a seed, in the dialects of several writers.
//!
//! All layers lie on one base, which has something of everything that a layer can run into. A layer never contradicts
//! itself: no two entries have one path, and nothing lies below an entry that is no directory.
//!
//! Invariant: a seed gives the same cases everywhere.

use std::collections::BTreeSet;
use std::fmt;

use crate::archive::{archive, entries};

/// What lies below every layer.
pub const BASE: &str = "d dir
    f dir/old data=old
    f dir/kept data=kept own=5:6 mode=640
    d dir/sub mode=711
    f dir/sub/deep data=deep
    d target
    f target/keep data=keep
    l link to=target
    l abs to=/target
    f file data=file
    d empty mode=700
    h dir/hard to=file
    p pipe mode=600";

/// Names of the base that lead elsewhere.
const LINKS: [&str; 2] = ["link", "abs"];
/// Names of the base that are neither directories nor links.
const LEAVES: [&str; 7] = [
    "dir/old",
    "dir/kept",
    "dir/sub/deep",
    "target/keep",
    "file",
    "dir/hard",
    "pipe",
];
/// Directories of the base.
const DIRECTORIES: [&str; 4] = ["dir", "dir/sub", "target", "empty"];

/// What a layer may bring: type, path, and what else stands in a script's line.
const MENU: [(&str, &str, &str); 44] = [
    ("d", "dir", "mode=750 own=1:2"),
    ("d", "dir/sub", "mode=700"),
    ("d", "empty", "mode=755"),
    ("d", "target", "mode=711"),
    ("d", "link", "mode=755"),
    ("d", "abs", "mode=700"),
    ("d", "file", "mode=755"),
    ("d", "new", "mode=751 own=3:4"),
    ("d", "new/a", "mode=755"),
    ("d", "dir/old", "mode=755"),
    ("f", "dir/old", "data=other mode=600"),
    ("f", "dir/kept", "data=changed own=7:8 mode=4755"),
    ("f", "dir/new", "data=new x:user.a=1"),
    ("f", "dir/sub/deep", "data=deeper"),
    ("f", "dir/sub/more", "data=more"),
    ("f", "dir/sub", "data=file"),
    ("f", "link/x", "data=x"),
    ("f", "link/keep", "data=mine"),
    ("f", "link", "data=file"),
    ("f", "abs/y/z", "data=y"),
    ("f", "target/keep", "data=theirs"),
    ("f", "target/z", "data=z"),
    ("f", "file", "data=other"),
    ("f", "file/below", "data=below"),
    ("f", "pipe/below", "data=below"),
    ("f", "empty/e", "data=e"),
    ("f", "new/f", "data=f"),
    ("f", "new/a/b", "data=b"),
    ("f", "top", "data=top mode=1644"),
    ("l", "dir/s", "to=old"),
    ("l", "new/l", "to=../dir"),
    ("l", "link", "to=/dir"),
    ("l", "file", "to=target"),
    ("p", "dir/pipe", "mode=622"),
    ("c", "dev", "rdev=1:3 mode=666"),
    ("w", "dir/old", ""),
    ("w", "dir/sub", ""),
    ("w", "link", ""),
    ("w", "link/keep", ""),
    ("w", "dir/none", ""),
    ("w", "file/none", ""),
    ("o", "dir", ""),
    ("o", "link", ""),
    ("o", "new", ""),
];

/// How a writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// POSIX ustar.
    Ustar,
    /// Names begin with `./`, as those of `tar -C DIR .` do.
    DotSlash,
    /// Names begin with a slash, as kaniko's did.
    Absolute,
    /// Names and times in PAX records, as Go writes them.
    Pax,
    /// GNU's own format.
    Gnu,
    /// The format of 1979.
    V7,
    /// Without the blocks of zeros at the end.
    NoEnd,
    /// Names that go up and down again.
    Parent,
}

const DIALECTS: [Dialect; 8] = [
    Dialect::Ustar,
    Dialect::DotSlash,
    Dialect::Absolute,
    Dialect::Pax,
    Dialect::Gnu,
    Dialect::V7,
    Dialect::NoEnd,
    Dialect::Parent,
];

/// One entry of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    verb: &'static str,
    path: &'static str,
    rest: &'static str,
}

/// A layer.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number.
    pub number: u64,
    /// How it is written.
    pub dialect: Dialect,
    items: Vec<Item>,
}

impl fmt::Display for Case {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "case {} as {:?}:", self.number, self.dialect)?;
        write!(to, "{}", self.script())
    }
}

impl Case {
    /// Makes a case.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut chance = Chance(
            seed.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ number.wrapping_mul(0xc4ce_b9fe_1a85_ec53),
        );
        let mut items: Vec<Item> = Vec::new();
        for _ in 0..=chance.below(6) {
            let (verb, path, rest) = MENU[chance.below(MENU.len())];
            let item = Item { verb, path, rest };
            if items.iter().all(|other| !contradict(&item, other)) {
                items.push(item);
            }
        }
        // Half of the writers put a directory before what is in it.
        if chance.below(2) == 0 {
            items.sort_by_key(|item| (item.path.len(), item.path));
        }
        let dialect = DIALECTS[chance.below(DIALECTS.len())];
        let has_device = items.iter().any(|item| item.verb == "c");
        Self {
            number,
            // The old format has no place for the numbers of a device.
            dialect: match dialect {
                Dialect::V7 if has_device => Dialect::Ustar,
                dialect => dialect,
            },
            items,
        }
    }

    /// The same layer with its entries in another order.
    pub fn shuffled(&self, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut items = self.items.clone();
        for at in (1..items.len()).rev() {
            items.swap(at, chance.below(at + 1));
        }
        Self {
            items,
            ..self.clone()
        }
    }

    /// The entries, as the script of an archive.
    pub fn script(&self) -> String {
        let lines = self.items.iter().map(|item| self.line(item));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&self, item: &Item) -> String {
        let Item { verb, path, rest } = item;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let slash = if parent.is_empty() { "" } else { "/" };
        let (verb, path) = match *verb {
            "w" => ("f", format!("{parent}{slash}.wh.{name}")),
            "o" => ("f", format!("{path}/.wh..wh..opq")),
            "d" => ("d", format!("{path}/")),
            verb => (verb, (*path).to_owned()),
        };
        match self.dialect {
            Dialect::Ustar | Dialect::NoEnd => format!("{verb} {path} {rest}"),
            Dialect::DotSlash => format!("{verb} ./{path} {rest}"),
            Dialect::Absolute => format!("{verb} /{path} {rest}"),
            Dialect::Pax => format!("{verb} short {rest} pax:path={path} pax:mtime=1234567890.5"),
            Dialect::Gnu => format!("{verb} {path} {rest} octal:magic=\"ustar  \\x00\""),
            Dialect::V7 => format!("{verb} {path} {rest} octal:magic=\"\""),
            Dialect::Parent => format!("{verb} up/../{path} {rest}"),
        }
    }

    /// The archive.
    pub fn archive(&self) -> Vec<u8> {
        match self.dialect {
            Dialect::NoEnd => entries(&self.script()),
            _ => archive(&self.script()),
        }
    }

    /// The traits of the layer by which programs differ, by the names that they have in the table.
    pub fn traits(&self) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        for (at, item) in self.items.iter().enumerate() {
            found.extend(self.traits_of(at, item));
        }
        if self.dialect == Dialect::NoEnd {
            found.insert("no-end");
        }
        found
    }

    fn traits_of(&self, at: usize, item: &Item) -> Vec<&'static str> {
        let mut found = Vec::new();
        let hides = |other: &Item| other.verb == "w" && within(item.path, other.path);
        let opaque = |other: &Item| other.verb == "o" && below(item.path, other.path);
        let is_node = !matches!(item.verb, "w" | "o");
        if is_node && self.items.iter().any(hides) {
            found.push("whiteout-and-name");
        }
        if is_node && self.items.iter().skip(at).any(opaque) {
            found.push("name-before-opaque");
        }
        for link in LINKS.iter().filter(|link| below(item.path, link)) {
            let settles = |other: &Item| {
                (matches!(other.verb, "d" | "o" | "l") && other.path == *link)
                    || (other.verb == "w" && within(link, other.path))
                    || (other.verb == "o" && below(link, other.path))
            };
            match self.items.iter().position(settles) {
                None => found.push("through-a-link"),
                Some(settled) if settled > at => found.push("link-settled-late"),
                Some(_) => {}
            }
        }
        let described = |above: &str| {
            let own = |other: &Item| other.verb == "d" && other.path == above;
            self.items.iter().any(own)
        };
        let implied = |above: &&&str| below(item.path, above) && !described(above);
        if DIRECTORIES.iter().any(|above| implied(&above)) {
            found.push("implied-directory");
        }
        let is_leaf = |leaf: &&&str| below(item.path, leaf);
        if is_node && LEAVES.iter().any(|leaf| is_leaf(&leaf)) {
            found.push("below-a-file");
        }
        if item.verb == "w" {
            let parent = item.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let made = |other: &Item| other.verb == "d" && other.path == parent;
            if !parent.is_empty() && !DIRECTORIES.contains(&parent) && !self.items.iter().any(made)
            {
                found.push("whiteout-below-no-directory");
            }
        }
        if item.verb == "o" {
            found.push("opaque");
        }
        if item.verb == "o" && !DIRECTORIES.contains(&item.path) {
            found.push("opaque-of-no-directory");
        }
        found
    }
}

/// Whether a path lies below another.
fn below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn within(path: &str, above: &str) -> bool {
    path == above || below(path, above)
}

/// Whether two entries have one path, or one lies below another that is no directory.
fn contradict(one: &Item, other: &Item) -> bool {
    let is_leaf = |item: &Item| !matches!(item.verb, "d" | "w" | "o");
    let lies_below = |low: &Item, high: &Item| {
        is_leaf(high) && (below(low.path, high.path) || (low.verb == "o" && low.path == high.path))
    };
    let same = one.path == other.path && (one.verb == "w") == (other.verb == "w");
    let both_marks = one.verb == "o" || other.verb == "o";
    (same && (!both_marks || one.verb == other.verb))
        || lies_below(one, other)
        || lies_below(other, one)
}

/// Numbers that look like chance: splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound as u64).expect("a small number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_cases_and_none_contradicts_itself() {
        for number in 0..500 {
            let (case, again) = (Case::new(1, number), Case::new(1, number));
            assert_eq!(case.to_string(), again.to_string());
            for (at, one) in case.items.iter().enumerate() {
                for other in &case.items[at + 1..] {
                    assert!(!contradict(one, other), "{case}");
                }
            }
        }
    }
}
