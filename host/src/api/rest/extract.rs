//! Reading requests: paths and queries.
//!
//! Invariant: what cannot be read is a refusal that says which part and why.

use crate::api::refusal::{Refusal, RequestError};
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

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
