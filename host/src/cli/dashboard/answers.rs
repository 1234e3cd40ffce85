//! What `mica dashboard` answers by itself.
//!
//! Invariant: nothing of a request is in it.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::is_page;

/// What a page of this file may do: nothing.
const POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Why a request is refused.
pub(super) struct Refused {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    remedy: &'static str,
}

pub(super) fn denied(status: StatusCode, detail: &str) -> Refused {
    Refused {
        status,
        code: "unauthorized",
        title: "a secret is needed",
        detail: detail.to_owned(),
        remedy: "open the address that `mica dashboard` printed; if it was used already, run `mica dashboard` again",
    }
}

pub(super) fn foreign(detail: &str) -> Refused {
    Refused {
        status: StatusCode::FORBIDDEN,
        code: "foreign-host",
        title: "the request is meant for another host",
        detail: detail.to_owned(),
        remedy: "open the address that `mica dashboard` printed, as it is",
    }
}

impl Refused {
    pub(super) fn answer(self, path: &str) -> Response {
        if is_page(path) {
            let text = format!(
                "<!doctype html><html lang=en><meta charset=utf-8><title>Mica</title><h1>Mica: {}</h1><p>{}.</p><p>Try: {}.</p></html>\n",
                self.title, self.detail, self.remedy
            );
            return page(self.status, text);
        }
        problem(
            self.status,
            (self.code, "denied"),
            self.title,
            &self.detail,
            self.remedy,
        )
    }
}

/// Goes on to the page. A redirect would not do: a browser that was led here by a file keeps the cookie from requests that
/// it is redirected to, for the first of them did not come from here.
pub(super) fn lead_on() -> Response {
    let text = "<!doctype html><html lang=en><meta charset=utf-8><title>Mica</title>\
        <meta http-equiv=refresh content=\"0;url=/dashboard/\"><p><a href=\"/dashboard/\">Go on to the dashboard</a></p></html>\n";
    page(StatusCode::OK, text.to_owned())
}

fn page(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, Body::from(text)).into_response()
}

/// A problem document as the daemon's.
pub(super) fn problem(
    status: StatusCode,
    (code, class): (&str, &str),
    title: &str,
    detail: &str,
    remedy: &str,
) -> Response {
    let document = json!({
        "type": format!("urn:mica:problem:{code}"),
        "title": title,
        "status": status.as_u16(),
        "code": code,
        "class": class,
        "detail": detail,
        "remedy": remedy,
    });
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, headers, Body::from(document.to_string())).into_response()
}
