//! By what the daemon knows a request again.
//!
//! Invariant: no two requests have the same id, but for one that is sent again.

use std::hash::{BuildHasher as _, RandomState};

/// Headers that tell one request from all others.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The id of the request.
    id: Option<String>,
    /// Whether the id is the key by which it is done once.
    is_key: bool,
    /// Whether what follows an answer is taken.
    takes_trailers: bool,
}

impl Marks {
    /// Of a request that is done once, however often it is sent.
    pub(super) fn of_change() -> Self {
        Self {
            is_key: true,
            ..Self::of_stream()
        }
    }

    /// Of a request that cannot be sent again, because what it sends is gone then; the daemon can be asked what came of it.
    pub(super) fn of_stream() -> Self {
        // The keys of a hasher are random; what is hashed need not be.
        let random = RandomState::new();
        let [one, two] = ["one", "two"].map(|text| random.hash_one(text));
        Self {
            id: Some(format!("{one:016x}{two:016x}")),
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

    /// The headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let id = self.id().map(|id| ("x-request-id", id));
        let key = self.id().filter(|_| self.is_key);
        let trailers = self.takes_trailers.then_some(("te", "trailers"));
        let key = key.map(|key| ("idempotency-key", key));
        id.into_iter().chain(key).chain(trailers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_differ() {
        let (one, other) = (Marks::of_change(), Marks::of_change());
        assert_ne!(one.id(), other.id());
        assert_eq!(
            (one.headers().count(), Marks::of_stream().headers().count()),
            (2, 1)
        );
        assert_eq!(Marks::default().headers().count(), 0);
    }
}
