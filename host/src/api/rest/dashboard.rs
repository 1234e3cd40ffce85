//! `/dashboard/`: a page for people. Its files lie in `dashboard/` and are part of the program; there is no step that builds them.
//!
//! All that the page shows it asks of `/v1`, with the rights of whoever looks at it, so it needs no rights of its own. `mica dashboard`
//! is how a browser comes to the unix socket.
//!
//! Invariant: the files are the same for everyone and tell nothing of this daemon. Nothing in them runs that does not come from here
//! as a file: the policy forbids scripts and styles within a page, and every other origin.

use super::Answer;
use super::extract::At;
use crate::api::refusal::RequestError;
use crate::api::types::Problem;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal $kind:ident,)*) => {
        &[$(($name, $kind, include_bytes!(concat!("dashboard/", $name)))),*]
    };
}

/// Names of the files, their types, and what is in them.
const FILES: &[(&str, &str, &[u8])] = files! {
    "index.html" HTML,
    "style.css" CSS,
    "icon.svg" SVG,
    "main.js" SCRIPT,
    "api.js" SCRIPT,
    "dialogs.js" SCRIPT,
    "dom.js" SCRIPT,
    "drivers.js" SCRIPT,
    "events.js" SCRIPT,
    "forest.js" SCRIPT,
    "format.js" SCRIPT,
    "operations.js" SCRIPT,
    "overview.js" SCRIPT,
    "sizes.js" SCRIPT,
    "store.js" SCRIPT,
    "stores.js" SCRIPT,
    "tree.js" SCRIPT,
};

/// What a browser may do with the page: run and show what comes from here as a file, and talk to where it comes from. Texts are never read as
/// HTML (trusted types), and no other page may show this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What goes with each file. A daemon of another version has other files under the same names, so none is kept.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// A page for a browser, which shows what the daemon has and does. `mica dashboard` opens it.
#[utoipa::path(get, path = "/dashboard/", operation_id = "get_dashboard", tag = "daemon", responses(
    (status = 200, description = "The page.", body = String, content_type = "text/html"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn page() -> Answer {
    answer("index.html")
}

/// A file that belongs to the page.
#[utoipa::path(get, path = "/dashboard/{file}", operation_id = "get_dashboard_file", tag = "daemon",
    params(("file" = String, Path, description = "Its name.")),
    responses(
    (status = 200, description = "The file.", body = String, content_type = "text/javascript"),
    (status = "default", description = "What went wrong.", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn file(At(name): At<String>) -> Answer {
    answer(&name)
}

/// Leads to the page from its name without the last slash, below which its files are.
pub(super) async fn beside() -> Redirect {
    Redirect::permanent("/dashboard/")
}

fn answer(name: &str) -> Answer {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let Some((_, kind, bytes)) = found else {
        return Err(RequestError::UnknownPath(format!("/dashboard/{name}")).into());
    };
    let mut answer = Response::new(Body::from(*bytes));
    let headers = answer.headers_mut();
    headers.extend(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(answer.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        let (.., bytes) = FILES.iter().find(|(known, ..)| *known == name).unwrap();
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn whatever_a_file_names_is_there() {
        for (name, ..) in FILES {
            for (mark, end) in [
                ("from \"./", '"'),
                ("import \"./", '"'),
                ("src=\"", '"'),
                ("href=\"", '"'),
            ] {
                for rest in text(name).split(mark).skip(1) {
                    let named = rest.split(end).next().unwrap();
                    let is_place = named.starts_with('#');
                    let is_there = FILES.iter().any(|(known, ..)| *known == named);
                    assert!(is_place || is_there, "{name} names {named}");
                }
            }
        }
    }

    #[test]
    fn no_file_has_what_the_policy_forbids() {
        for (name, kind, _) in FILES {
            let text = text(name);
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                "onclick=\"",
                "http://",
                "https://",
            ] {
                let is_namespace = *kind == SVG || text.contains("http://www.w3.org/2000/svg");
                assert!(
                    !text.contains(word) || (is_namespace && word == "http://"),
                    "{name}: {word}"
                );
            }
        }
        assert!(!text("index.html").contains("<style") && !text("index.html").contains("<script>"));
    }
}
