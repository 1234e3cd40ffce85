//! Who may speak to the daemon over TCP: programs of this machine, but no page in a browser.
//!
//! A page of another site can send requests to a loopback address, and with DNS rebinding read the answers. Its
//! browser tells the site's name as `Host` or as `Origin`.
//!
//! Invariant: over TCP, every request names this machine as its host, and none comes from another origin.

use crate::api::refusal::{Refusal, RequestError};
use axum::extract::Request;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::net::IpAddr;

/// Refuses what is not meant for this machine.
pub(super) async fn check(request: Request, next: Next) -> Response {
    match foreign(request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(reason) => Refusal::from(RequestError::Foreign(reason)).into_response(),
    }
}

fn foreign(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(Ok(host)) = hosts.next().map(|host| host.to_str()) else {
        return Some("the request names no host".to_owned());
    };
    if hosts.next().is_some() {
        return Some("the request names two hosts".to_owned());
    }
    if !is_here(host) {
        return Some("the request is meant for another host".to_owned());
    }
    if uri
        .authority()
        .is_some_and(|authority| !is_here(authority.as_str()))
    {
        return Some("the request is meant for another host".to_owned());
    }
    for origin in headers.get_all(header::ORIGIN) {
        let site = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("http://"));
        if !site.is_some_and(is_here) {
            return Some("the request comes from a page of another origin".to_owned());
        }
    }
    None
}

/// Says whether a host, with or without a port, is this machine.
fn is_here(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn refused(uri: &'static str, pairs: &[(header::HeaderName, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        foreign(&Uri::from_static(uri), &headers).is_some()
    }

    #[test]
    fn this_machine_by_any_name_is_accepted() {
        for host in [
            "localhost",
            "LocalHost:80",
            "127.0.0.1",
            "127.0.0.1:7777",
            "127.1.2.3:1",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(!refused("/v1/status", &[(header::HOST, host)]), "{host}");
        }
        let own = [
            (header::HOST, "localhost:1"),
            (header::ORIGIN, "http://localhost:1"),
        ];
        assert!(!refused("/", &own));
    }

    #[test]
    fn other_hosts_and_origins_are_refused() {
        for host in [
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "10.0.0.1:80",
            "",
            "localhost:",
            "localhost:80:80",
            "[::1",
        ] {
            assert!(refused("/", &[(header::HOST, host)]), "{host}");
        }
        assert!(refused("/", &[]));
        assert!(refused(
            "/",
            &[(header::HOST, "localhost"), (header::HOST, "localhost")]
        ));
        assert!(refused(
            "http://evil.example/",
            &[(header::HOST, "localhost")]
        ));
        for origin in [
            "http://evil.example",
            "null",
            "https://evil.example",
            "http://localhost.evil.example",
        ] {
            assert!(
                refused(
                    "/",
                    &[(header::HOST, "localhost"), (header::ORIGIN, origin)]
                ),
                "{origin}"
            );
        }
    }
}
