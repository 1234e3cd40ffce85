//! Reading requests: paths, queries, bodies.
//!
//! Invariant: what cannot be read is a refusal that says which part and why; a size is checked before anything is
//! parsed.

use super::problem::{Refusal, RequestError};
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long a client may be silent within a small body.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes that are set aside for a body before any came.
const RESERVE_BYTES: usize = 64 << 10;

/// Names and ids of the path, percent-decoded.
#[derive(Debug)]
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(path)) => Ok(Self(path)),
            Err(PathRejection::FailedToDeserializePathParams(failed))
                if matches!(failed.kind(), ErrorKind::InvalidUtf8InPathParam { .. }) =>
            {
                Err(RequestError::NotUtf8.into())
            }
            Err(other) => Err(RequestError::Invalid(other.body_text()).into()),
        }
    }
}

/// The query; a key that is not known is refused.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(RequestError::Invalid(rejection.body_text()).into()),
        }
    }
}

/// Reads a JSON document; an empty body stands for `empty`, if it is given.
pub(super) async fn json<T: DeserializeOwned>(
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
pub(super) async fn whole(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let too_large = || RequestError::TooLarge { limit_bytes: limit };
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if least > limit {
        return Err(too_large().into());
    }
    let mut bytes = Vec::with_capacity(least.min(RESERVE_BYTES));
    loop {
        let seconds = IDLE.as_secs();
        let frame = tokio::time::timeout(IDLE, body.frame())
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

    fn read<T: DeserializeOwned>(body: Vec<u8>, empty: Option<T>) -> Result<T, u16> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let result = runtime.block_on(json(Body::from(body), 1000, empty));
        result.map_err(|refusal| refusal.problem().status)
    }

    #[test]
    fn a_body_is_capped_and_an_unknown_field_refused() {
        let fine = read::<LayerRequest>(br#"{"id":"a","parent":null}"#.to_vec(), None).unwrap();
        assert_eq!((fine.id.as_str(), fine.parent), ("a", None));
        for (body, status) in [
            (Vec::new(), 400),
            (b"{\"id\":\"\xff\"}".to_vec(), 400),
            (br#"{"id":"a","parnet":"b"}"#.to_vec(), 400),
            (br#"{"id":"a","id":"b"}"#.to_vec(), 400),
            (vec![b'['; 999], 400),
            (vec![b' '; 1001], 413),
        ] {
            assert_eq!(read::<LayerRequest>(body, None).unwrap_err(), status);
        }
        let none = read(Vec::new(), Some(MountRequest::default())).unwrap();
        assert_eq!(none, MountRequest::default());
    }
}
