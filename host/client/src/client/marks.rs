//! By what the daemon knows a request again.
//!
//! Invariant: no two requests have the same id, but for one that is sent again.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The header with the id.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// What the ids of a client's requests begin with. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Name {
    base: String,
    count: Arc<AtomicU64>,
}

impl Name {
    pub(super) fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            count: Arc::default(),
        }
    }

    /// The id of requests that change nothing.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// An id that no other request has.
    fn next(&self) -> String {
        self.id(self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn id(&self, number: u64) -> String {
        format!("{}.{}", self.base, number + 1)
    }

    /// All ids that were given.
    pub(super) fn given(&self) -> Vec<String> {
        let count = self.count.load(Ordering::Relaxed);
        let numbered = (0..count).map(|number| self.id(number));
        std::iter::once(self.base.clone()).chain(numbered).collect()
    }
}

/// Headers that tell one request from all others.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The id of the request.
    id: Option<String>,
    /// Whether the id is the key by which it is done once.
    is_key: bool,
    /// The start of the daemon that the request is meant for, once it was sent there.
    start: Option<String>,
    /// Whether what follows an answer is taken.
    takes_trailers: bool,
}

impl Marks {
    /// Of a request that is done once, however often it is sent.
    pub(super) fn of_change(name: Option<&Name>) -> Self {
        Self {
            is_key: true,
            ..Self::of_stream(name)
        }
    }

    /// Of a request that cannot be sent again, because what it sends is gone then; the daemon can be asked what came of it.
    pub(super) fn of_stream(name: Option<&Name>) -> Self {
        let id = name.map_or_else(random, Name::next);
        Self {
            id: Some(id),
            ..Self::default()
        }
    }

    /// Of a request for an archive, which is followed by its digest.
    pub(super) fn of_archive() -> Self {
        Self {
            takes_trailers: true,
            ..Self::default()
        }
    }

    /// The id of the request.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether the request can be sent again.
    pub(super) fn has_key(&self) -> bool {
        self.is_key
    }

    /// From now on the request is only for the daemon with this start.
    pub(super) fn only_for(&mut self, start: String) {
        self.start = Some(start);
    }

    /// The headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let id = self.id().map(|id| (REQUEST_ID, id));
        let key = self.id().filter(|_| self.is_key);
        let trailers = self.takes_trailers.then_some(("te", "trailers"));
        let key = key.map(|key| ("idempotency-key", key));
        let start = self.start.as_deref().map(|start| ("mica-start", start));
        id.into_iter().chain(key).chain(start).chain(trailers)
    }
}

/// An id by chance.
fn random() -> String {
    // The keys of a hasher are random; what is hashed need not be.
    let random = RandomState::new();
    let [one, two] = ["one", "two"].map(|text| random.hash_one(text));
    format!("{one:016x}{two:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_differ() {
        let (one, other) = (Marks::of_change(None), Marks::of_change(None));
        assert_ne!(one.id(), other.id());
        assert_eq!(
            (
                one.headers().count(),
                Marks::of_stream(None).headers().count()
            ),
            (2, 1)
        );
        assert_eq!(Marks::default().headers().count(), 0);
    }

    #[test]
    fn marks_of_a_named_client_are_found_by_its_ids() {
        let name = Name::new("trace-1");
        let (one, other) = (
            Marks::of_change(Some(&name)),
            Marks::of_stream(Some(&name.clone())),
        );
        assert_eq!(one.id(), Some("trace-1.1"));
        assert_eq!(other.id(), Some("trace-1.2"));
        assert_eq!(name.given(), ["trace-1", "trace-1.1", "trace-1.2"]);
    }
}
