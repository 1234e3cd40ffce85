//! The secret that a client of TCP shows.
//!
//! Invariant: a request without the right secret reaches no handler, and is not told whether there is what it asks for.

use crate::api::refusal::{Refusal, RequestError};
use crate::config::Access;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;

/// Refuses whoever may not ask.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    if may_ask(&access, request.headers()) {
        return next.run(request).await;
    }
    Refusal::from(RequestError::Unauthorized).into_response()
}

fn may_ask(access: &Access, headers: &HeaderMap) -> bool {
    let Access::Bearer(token) = access else {
        return true;
    };
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else {
        return false;
    };
    let Some((scheme, secret)) = shown.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use mica_client::Token;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_the_secret_itself_opens() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token");
        fs::write(&path, "0123456789abcdef").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let access = Access::Bearer(Token::read(&path).unwrap());
        let ask = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            may_ask(&access, &headers)
        };
        assert!(ask(&["Bearer 0123456789abcdef"]) && ask(&["bearer 0123456789abcdef"]));
        for wrong in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer 0123456789abcdeg"],
            &["Bearer 0123456789abcdef0"],
            &["Basic 0123456789abcdef"],
            &["0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert!(!ask(wrong), "{wrong:?}");
        }
        assert!(may_ask(&Access::Everyone, &HeaderMap::new()));
    }
}
