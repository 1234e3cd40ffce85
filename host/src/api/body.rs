//! Reading the bodies of requests that are documents.
//!
//! Invariant: a size is checked before anything is parsed, and no more is set aside than has come.

use super::refusal::{Refusal, RequestError};
use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long a client may be silent within a small body.
pub(in crate::api) const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that are set aside for a body before any came.
const RESERVE_BYTES: usize = 64 << 10;

/// Reads a JSON document; an empty body stands for `empty`, if it is given.
pub(in crate::api) async fn json<T: DeserializeOwned>(
    body: Body,
    limit: usize,
    empty: Option<T>,
) -> Result<T, Refusal> {
    let bytes = whole(body, limit).await?;
    if let (true, Some(empty)) = (bytes.is_empty(), empty) {
        return Ok(empty);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| RequestError::Invalid(format!("the body: {error}")).into())
}

/// Reads a body of at most `limit` bytes.
pub(in crate::api) async fn whole(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let too_large = || RequestError::TooLarge { limit_bytes: limit };
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if least > limit {
        return Err(too_large().into());
    }
    let mut bytes = Vec::with_capacity(least.min(RESERVE_BYTES));
    loop {
        let seconds = BODY_IDLE_TIMEOUT.as_secs();
        let frame = tokio::time::timeout(BODY_IDLE_TIMEOUT, body.frame())
            .await
            .or(Err(RequestError::Slow { seconds }))?;
        let Some(frame) = frame else {
            return Ok(bytes.into());
        };
        let frame = frame.map_err(|error| RequestError::BrokeOff(error.to_string()))?;
        let Some(part) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + part.len() > limit {
            return Err(too_large().into());
        }
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::{LayerRequest, MountRequest};

    /// What is read, or whether the body was too large.
    fn read<T: DeserializeOwned>(body: Vec<u8>, empty: Option<T>) -> Result<T, bool> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let result = runtime.block_on(json(Body::from(body), 1000, empty));
        result.map_err(|refusal| matches!(refusal, Refusal::Request(RequestError::TooLarge { .. })))
    }

    #[test]
    fn a_body_is_capped_and_an_unknown_field_refused() {
        let fine = read::<LayerRequest>(br#"{"id":"a","parent":null}"#.to_vec(), None).unwrap();
        assert_eq!((fine.id.as_str(), fine.parent), ("a", None));
        for (body, is_large) in [
            (Vec::new(), false),
            (b"{\"id\":\"\xff\"}".to_vec(), false),
            (br#"{"id":"a","parnet":"b"}"#.to_vec(), false),
            (br#"{"id":"a","id":"b"}"#.to_vec(), false),
            (vec![b'['; 999], false),
            (vec![b' '; 1001], true),
        ] {
            assert_eq!(read::<LayerRequest>(body, None).unwrap_err(), is_large);
        }
        let none = read(Vec::new(), Some(MountRequest::default())).unwrap();
        assert_eq!(none, MountRequest::default());
    }
}
