//! What a store knows of its layers without asking the disk.
//!
//! Invariant: `children` of a layer are exactly the layers whose `parent` it is; `depth` is the length of its chain.

use crate::check::{Finding, FindingKind};
use crate::disk::home::Record;
use crate::{Error, LayerId, Result};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

/// A layer.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The number of its directory.
    pub(crate) number: u64,
    /// What its record says.
    pub(crate) record: Record,
    /// Layers of its chain, itself included.
    pub(crate) depth: u64,
    /// Layers built on it.
    pub(crate) children: BTreeSet<LayerId>,
}

/// What is known of a layer, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The number of its directory.
    pub(crate) number: u64,
    /// What its record says.
    pub(crate) record: Record,
    /// Layers of its chain, itself included.
    pub(crate) depth: u64,
    /// How many layers are built on it.
    pub(crate) children: u64,
    /// One of them.
    pub(crate) child: Option<LayerId>,
}

/// The layers of a store by id.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: BTreeMap<LayerId, Entry>,
    /// Layers whose parent is lost, by that parent.
    orphans: BTreeMap<LayerId, BTreeSet<LayerId>>,
    /// Numbers of directories that could not be read when the others were.
    unseen: HashSet<u64>,
}

impl Table {
    /// Takes what a home has.
    pub(crate) fn load(layers: Vec<(u64, Record)>) -> Self {
        let mut table = Self::default();
        let mut links = Vec::with_capacity(layers.len());
        for (number, record) in layers {
            links.push((record.parent.clone(), record.id.clone()));
            let entry = Entry {
                number,
                depth: 0,
                children: BTreeSet::new(),
                record,
            };
            table.entries.insert(entry.record.id.clone(), entry);
        }
        for (parent, id) in &links {
            let Some(parent) = parent else { continue };
            let siblings = match table.entries.get_mut(parent) {
                Some(entry) => &mut entry.children,
                None => table.orphans.entry(parent.clone()).or_default(),
            };
            siblings.insert(id.clone());
        }
        for (_, id) in &links {
            table.measure(id);
        }
        table
    }

    /// Notes which directories could not be read, so that they are not taken for lost.
    pub(crate) fn with_unseen(self, unseen: HashSet<u64>) -> Self {
        Self { unseen, ..self }
    }

    /// Whether the layer of this number may be there, and cannot be read now.
    pub(crate) fn is_unseen(&self, number: u64) -> bool {
        self.unseen.contains(&number)
    }

    /// Fills in the depth of a layer and of those below it.
    fn measure(&mut self, id: &LayerId) {
        let mut chain = Vec::new();
        let mut at = Some(id.clone());
        let mut depth = 0;
        while let Some(id) = at {
            let Some(entry) = self.entries.get_mut(&id) else {
                break;
            };
            if entry.depth > 0 {
                depth = entry.depth;
                break;
            }
            // Counts as measured from now on, so that records that form a ring end the walk.
            entry.depth = 1;
            at = entry.record.parent.clone();
            chain.push(id);
        }
        for id in chain.iter().rev() {
            depth += 1;
            if let Some(entry) = self.entries.get_mut(id) {
                entry.depth = depth;
            }
        }
    }

    /// Number of layers.
    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// A layer.
    pub(crate) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Parents that are lost though layers are built on them.
    pub(crate) fn find_orphans(&self) -> Vec<Finding> {
        let orphans = self.orphans.iter();
        let found = orphans.filter_map(|(parent, orphans)| {
            let child = orphans.first()?;
            let detail = format!(
                "layer `{parent}` is lost, but layers are built on it, for instance `{child}`"
            );
            let finding = Finding::new(FindingKind::ParentLost, detail);
            Some(finding.of_layer(parent.as_str()))
        });
        found.collect()
    }

    /// One of the layers that were built on a lost layer of this id.
    pub(crate) fn orphan_of(&self, id: &str) -> Option<&LayerId> {
        self.orphans.get(id)?.first()
    }

    /// Layers in byte order of their ids, those after `after`, at most `limit`.
    pub(crate) fn page(&self, after: Option<&str>, limit: usize) -> impl Iterator<Item = &Entry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take(limit)
    }

    /// Layers in byte order of their ids, from `first` on and after `after`.
    pub(crate) fn entries_from(
        &self,
        first: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = &Entry> {
        let from = match after.filter(|after| *after >= first) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(first),
        };
        let entries = self.entries.range::<str, _>((from, Bound::Unbounded));
        entries.map(|(_, entry)| entry)
    }

    /// The layers below one, nearest first; `None` when it is not there or its chain is broken.
    pub(crate) fn ancestors(&self, id: &str) -> Option<Vec<String>> {
        let mut found = Vec::new();
        let mut at = self.get(id)?.record.parent.as_ref();
        while let Some(parent) = at {
            if found.len() >= self.entries.len() {
                return None;
            }
            at = self.get(parent.as_str())?.record.parent.as_ref();
            found.push(parent.as_str().to_owned());
        }
        Some(found)
    }

    /// Takes a published layer, or the newer revision of one.
    pub(crate) fn insert(&mut self, number: u64, record: Record) {
        if let Some(entry) = self.entries.get_mut(&record.id) {
            entry.number = number;
            entry.record = record;
            return;
        }
        let mut depth = 1;
        if let Some(parent) = record
            .parent
            .as_ref()
            .and_then(|parent| self.entries.get_mut(parent))
        {
            depth += parent.depth;
            parent.children.insert(record.id.clone());
        }
        let entry = Entry {
            number,
            depth,
            children: BTreeSet::new(),
            record,
        };
        self.entries.insert(entry.record.id.clone(), entry);
    }

    /// Forgets a layer.
    pub(crate) fn remove(&mut self, id: &LayerId) {
        let Some(entry) = self.entries.remove(id) else {
            return;
        };
        let Some(parent) = entry.record.parent else {
            return;
        };
        if let Some(parent) = self.entries.get_mut(&parent) {
            parent.children.remove(id);
        } else if let Some(orphans) = self.orphans.get_mut(&parent) {
            orphans.remove(id);
            if orphans.is_empty() {
                self.orphans.remove(&parent);
            }
        }
    }
}

impl Facts {
    /// Refuses a layer that others are built on.
    pub(crate) fn check_childless(&self) -> Result<()> {
        match &self.child {
            Some(child) => Err(Error::HasChildren {
                layer: self.record.id.as_str().to_owned(),
                child: child.as_str().to_owned(),
                children: self.children,
            }),
            None => Ok(()),
        }
    }
}

impl Entry {
    /// The id.
    pub(crate) fn id(&self) -> &LayerId {
        &self.record.id
    }

    /// The layer below.
    pub(crate) fn parent(&self) -> Option<&LayerId> {
        self.record.parent.as_ref()
    }

    /// Everything but the list of children, which may be long.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            number: self.number,
            record: self.record.clone(),
            depth: self.depth,
            children: self.children.len() as u64,
            child: self.children.first().cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mica_runtime::LayerKind;

    fn id(text: &str) -> LayerId {
        LayerId::parse(text).unwrap()
    }

    fn record(name: &str, parent: Option<&str>) -> Record {
        Record::new(id(name), parent.map(id), LayerKind::Content, "test")
    }

    #[test]
    fn depths_and_children_do_not_depend_on_the_order_of_loading() {
        let layers = vec![
            (3, record("c", Some("b"))),
            (1, record("a", None)),
            (2, record("b", Some("a"))),
            (4, record("d", Some("a"))),
        ];
        let table = Table::load(layers);
        let depths: Vec<_> = table
            .page(None, 9)
            .map(|entry| (entry.id().to_string(), entry.depth))
            .collect();
        assert_eq!(
            depths,
            [
                ("a".into(), 1),
                ("b".into(), 2),
                ("c".into(), 3),
                ("d".into(), 2)
            ]
        );
        assert_eq!(table.get("a").unwrap().children.len(), 2);
        assert_eq!(table.ancestors("c").unwrap(), ["b", "a"]);
    }

    #[test]
    fn a_lost_parent_and_a_ring_of_parents_end_no_walk_in_a_loop() {
        let table = Table::load(vec![
            (1, record("a", Some("b"))),
            (2, record("b", Some("a"))),
            (3, record("x", Some("lost"))),
        ]);
        assert_eq!(table.ancestors("a"), None);
        assert_eq!(table.ancestors("x"), None);
        assert_eq!(table.orphan_of("lost"), Some(&id("x")));
    }

    #[test]
    fn pages_follow_one_another_without_gap() {
        let mut table = Table::default();
        for number in 0..10 {
            table.insert(number, record(&format!("l{number}"), None));
        }
        let first: Vec<_> = table
            .page(None, 4)
            .map(|entry| entry.id().to_string())
            .collect();
        let next: Vec<_> = table
            .page(Some("l3"), 4)
            .map(|entry| entry.id().to_string())
            .collect();
        assert_eq!(
            (first.join(" "), next.join(" ")),
            ("l0 l1 l2 l3".into(), "l4 l5 l6 l7".into())
        );
        assert_eq!(
            table.page(Some("l33"), 1).next().unwrap().id().as_str(),
            "l4"
        );
    }

    #[test]
    fn removing_a_child_frees_its_parent() {
        let mut table = Table::default();
        table.insert(1, record("a", None));
        table.insert(2, record("b", Some("a")));
        table.remove(&id("b"));
        assert!(table.get("a").unwrap().children.is_empty());
        assert_eq!(table.len(), 1);
    }
}
