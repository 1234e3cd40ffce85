//! Pages of lists.
//!
//! Invariant: a list has one order, by a key that each entry has alone; whoever goes on after a key misses none of those that were there
//! all the time, and sees none twice.

use serde::Deserialize;

/// Entries of a page when nothing else is asked for, and at most.
const DEFAULT_PAGE: usize = 1000;
const MAX_PAGE: usize = 10_000;

/// Which page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// The page begins after this key.
    pub(super) after: Option<String>,
    limit: Option<usize>,
    /// Only entries whose key begins so.
    pub(super) prefix: Option<String>,
    /// Only entries of this driver.
    pub(super) driver: Option<String>,
    /// Only entries that are in this state.
    pub(super) state: Option<String>,
}

impl PageQuery {
    /// Entries that it may have.
    pub(super) fn limit(&self) -> usize {
        limit(self.limit)
    }

    /// Whether the list has an entry of this key.
    pub(super) fn takes(&self, key: &str) -> bool {
        self.prefix
            .as_ref()
            .is_none_or(|prefix| key.starts_with(prefix.as_str()))
    }

    /// Whether the list has entries of this driver.
    pub(super) fn takes_driver(&self, driver: &str) -> bool {
        self.driver.as_deref().is_none_or(|asked| asked == driver)
    }

    /// Takes the page out of a whole list, which is in byte order of its keys. Answers where the next one begins, if there is one.
    pub(super) fn cut<T>(&self, list: &mut Vec<T>, key: impl Fn(&T) -> &str) -> Option<String> {
        list.retain(|entry| self.takes(key(entry)));
        if let Some(after) = &self.after {
            let first = list.partition_point(|entry| key(entry) <= after.as_str());
            list.drain(..first);
        }
        end(list, self.limit(), |entry| key(entry).to_owned())
    }
}

/// Entries of a page of which so many were asked for.
pub(super) fn limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
}

/// Cuts a list off at the end of a page. Answers the key of the last entry, if there are more.
pub(super) fn end<T, K>(list: &mut Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> Option<K> {
    let is_last = list.len() <= limit;
    list.truncate(limit);
    list.last().filter(|_| !is_last).map(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: serde_json::Value, keys: &[&str]) -> (Vec<String>, Option<String>) {
        let query: PageQuery = serde_json::from_value(query).unwrap();
        let mut list: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let next = query.cut(&mut list, |key| key);
        (list, next)
    }

    #[test]
    fn pages_follow_one_another() {
        let keys = ["a", "b1", "b2", "b3", "c"];
        let (first, next) = page(serde_json::json!({"limit": 2, "prefix": "b"}), &keys);
        assert_eq!(
            (first.join(" ").as_str(), next.as_deref()),
            ("b1 b2", Some("b2"))
        );
        let (last, next) = page(serde_json::json!({"after": "b2", "prefix": "b"}), &keys);
        assert_eq!((last.join(" ").as_str(), next), ("b3", None));
        let (all, next) = page(serde_json::json!({"limit": 0}), &keys);
        assert_eq!((all.join(" ").as_str(), next.as_deref()), ("a", Some("a")));
    }
}
