//! Hands a request to the daemon and its answer back, both as streams.
//!
//! Invariant: what is about the browser and this command goes no further: cookies, where a page comes from, and how a
//! connection is used.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use mica_client::{Failure, Place};

use super::answers::problem;

/// Headers that are about one connection (RFC 9110, 7.6.1), beside those that `Connection` names.
const OF_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];
/// Headers that are for this command alone.
const OF_BROWSER: [HeaderName; 4] = [
    header::COOKIE,
    header::ORIGIN,
    header::REFERER,
    header::EXPECT,
];

/// Asks the daemon.
pub(super) async fn ask(place: &Place, mut request: Request) -> Response {
    for name in OF_BROWSER {
        request.headers_mut().remove(name);
    }
    strip(request.headers_mut());
    // In an answer to whoever names the host in the request line, too.
    let target = request
        .uri()
        .path_and_query()
        .map(|target| target.as_str().parse());
    if let Some(Ok(target)) = target {
        *request.uri_mut() = target;
    }
    match place.send(request).await {
        Ok(answer) => {
            let mut answer = answer.map(Body::new);
            strip(answer.headers_mut());
            answer
        }
        Err(failure) => away(&failure),
    }
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_CONNECTION) {
        headers.remove(name);
    }
}

/// Tells the page that the daemon does not answer; it asks again.
fn away(failure: &Failure) -> Response {
    let remedy = "start the daemon again; the page goes on by itself";
    problem(
        StatusCode::BAD_GATEWAY,
        ("unreachable", "unavailable"),
        "the daemon does not answer",
        &failure.text(),
        remedy,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_a_connection_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Own"),
            ("x-own", "1"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/plain"),
        ] {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        strip(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-type"]);
    }
}
