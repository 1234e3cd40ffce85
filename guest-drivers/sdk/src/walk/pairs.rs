//! The names of one directory on both sides, merged.
//!
//! Invariant: names come in byte order, each once.

use crate::tree::pages::Pages;
use crate::tree::{Directory, Listing};
use crate::{Code, Doing as _, Entry, Failure, Result};
use std::cmp::Ordering;

use super::compare::is_whiteout;

/// A name, on one side or both.
pub(super) struct Pair {
    /// On the new side.
    pub(super) new: Option<Entry>,
    /// On the old side.
    pub(super) old: Option<Entry>,
}

impl Pair {
    /// The name; a pair without sides has none.
    pub(super) fn name(&self) -> &[u8] {
        self.new
            .as_ref()
            .or(self.old.as_ref())
            .map(|entry| entry.name.as_slice())
            .unwrap_or_default()
    }
}

/// The names of one directory.
pub(super) struct Pairs<L> {
    new: Pages<L>,
    /// Empty where the new side alone says what differs.
    old: Pages<L>,
    whiteouts: bool,
    /// The names, where they are known beforehand; then neither side is listed.
    named: Option<std::vec::IntoIter<Vec<u8>>>,
}

impl<L: Listing> Pairs<L> {
    /// Begins to list both sides, or only the new one if it says what differs.
    pub(super) fn of<D: Directory<Listing = L>>(
        new: Option<&D>,
        old: Option<&D>,
        sparse: bool,
        whiteouts: bool,
        wanted: &[String],
    ) -> Result<Self, Failure> {
        let pages = |side: Option<&D>| {
            side.map_or_else(|| Ok(Pages::empty()), |side| Pages::of(side, wanted))
        };
        // A sparse side has only what changed; the other is asked for just those names.
        let old = if sparse { None } else { old };
        Ok(Self {
            new: pages(new)?,
            old: pages(old)?,
            whiteouts,
            named: None,
        })
    }

    /// Begins with the names that are to be looked at on both sides, in byte order.
    pub(super) fn named(names: Vec<Vec<u8>>) -> Self {
        Self {
            new: Pages::empty(),
            old: Pages::empty(),
            whiteouts: false,
            named: Some(names.into_iter()),
        }
    }

    /// Whether `advance` asks both directories for each name.
    pub(super) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// The name that comes next.
    pub(super) fn peek_name(&self) -> Option<&[u8]> {
        if let Some(names) = &self.named {
            return names.as_slice().first().map(Vec::as_slice);
        }
        match (self.new.peek(), self.old.peek()) {
            (Some(new), Some(old)) => Some(new.name.as_slice().min(old.name.as_slice())),
            (new, old) => new.or(old).map(|entry| entry.name.as_slice()),
        }
    }

    /// Takes the next name. `below` is the old directory, asked for each name where the new side is sparse; where the names
    /// are known, `here` is the new one, asked as well.
    pub(super) fn advance<D: Directory<Listing = L>>(
        &mut self,
        here: Option<&D>,
        below: Option<&D>,
        sparse: bool,
        wanted: &[String],
    ) -> Result<Option<Pair>, Failure> {
        loop {
            let pair = if let Some(names) = &mut self.named {
                let Some(name) = names.next() else {
                    return Ok(None);
                };
                let look = |side: Option<&D>| {
                    let found = side.map(|side| side.stat(&name, wanted).unless(Code::NotFound));
                    Ok(found.transpose()?.flatten())
                };
                Some(Pair {
                    new: look(here)?,
                    old: look(below)?,
                })
            } else if sparse {
                self.advance_sparse(below, wanted)?
            } else {
                self.advance_merged()?
            };
            match pair {
                // A whiteout of what is not there anyway, or a name that came and went.
                Some(Pair {
                    new: None,
                    old: None,
                }) => {}
                pair => return Ok(pair),
            }
        }
    }

    fn advance_sparse<D: Directory>(
        &mut self,
        below: Option<&D>,
        wanted: &[String],
    ) -> Result<Option<Pair>, Failure> {
        let Some(new) = self.new.advance()? else {
            return Ok(None);
        };
        let hidden = is_whiteout(&new.attributes);
        let Some(below) = below else {
            // Without anything to look into, a whiteout is taken at its word.
            let pair = if hidden {
                Pair {
                    new: None,
                    old: Some(new),
                }
            } else {
                Pair {
                    new: Some(new),
                    old: None,
                }
            };
            return Ok(Some(pair));
        };
        let old = below
            .stat(&new.name, wanted)
            .unless(Code::NotFound)?
            .map(|old| Entry {
                name: new.name.clone(),
                ..old
            });
        Ok(Some(Pair {
            new: (!hidden).then_some(new),
            old,
        }))
    }

    fn advance_merged(&mut self) -> Result<Option<Pair>, Failure> {
        let order = match (self.new.peek(), self.old.peek()) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(new), Some(old)) => new.name.cmp(&old.name),
        };
        let new = if order.is_le() {
            self.new.advance()?
        } else {
            None
        };
        let old = if order.is_ge() {
            self.old.advance()?
        } else {
            None
        };
        // In an upper that hides everything below, a whiteout says nothing more.
        let new = new.filter(|new| !(self.whiteouts && is_whiteout(&new.attributes)));
        Ok(Some(Pair { new, old }))
    }
}
