use super::*;
use std::collections::BTreeMap;
use std::io;

type Row = (Error, u16, &'static str);

fn text() -> String {
    "x".to_owned()
}

/// One of every variant, with its status and code.
fn every_error() -> Vec<Row> {
    [
        about_names(),
        about_layers(),
        about_the_world(),
        about_the_host(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn about_names() -> Vec<Row> {
    vec![
        (
            Error::InvalidId {
                id: text(),
                reason: "r",
            },
            400,
            "invalid-id",
        ),
        (
            Error::InvalidName {
                name: text(),
                reason: "r",
            },
            400,
            "invalid-name",
        ),
        (Error::Invalid(text()), 400, "invalid-option"),
        (Error::UnknownStore(text()), 404, "unknown-store"),
        (
            Error::UnknownDriver {
                driver: text(),
                known: vec![],
            },
            404,
            "unknown-driver",
        ),
        (
            Error::UnknownTrace {
                driver: text(),
                request: text(),
            },
            404,
            "unknown-trace",
        ),
        (Error::DriverShips(text()), 409, "driver-ships"),
        (
            Error::UnknownLayer {
                store: text(),
                layer: text(),
            },
            404,
            "unknown-layer",
        ),
        (
            Error::UnknownParent {
                store: text(),
                parent: text(),
            },
            404,
            "unknown-parent",
        ),
    ]
}

fn about_layers() -> Vec<Row> {
    vec![
        (
            Error::LayerExists {
                store: text(),
                layer: text(),
            },
            409,
            "layer-exists",
        ),
        (Error::StoreExists(text()), 409, "store-exists"),
        (Error::DriverExists(text()), 409, "driver-exists"),
        (
            Error::HasChildren {
                layer: text(),
                child: text(),
                children: 1,
            },
            409,
            "has-children",
        ),
        (
            Error::Mounted {
                layer: text(),
                path: "/".into(),
                references: 1,
            },
            409,
            "mounted",
        ),
        (
            Error::MountedOtherwise {
                layer: text(),
                what: text(),
            },
            409,
            "mounted",
        ),
        (
            Error::NotMounted {
                store: text(),
                layer: text(),
            },
            409,
            "not-mounted",
        ),
    ]
}

fn about_the_world() -> Vec<Row> {
    vec![
        (Error::Busy(text()), 409, "busy"),
        (
            Error::TooDeep {
                layer: text(),
                depth: 2,
                limit: 1,
            },
            422,
            "too-deep",
        ),
        (Error::NotSupported(text()), 501, "not-supported"),
        (Error::Prerequisites(text()), 412, "prerequisites"),
        (Error::IncompatibleFs(text()), 412, "incompatible-fs"),
        (Error::InvalidArchive(text()), 422, "invalid-archive"),
        (Error::NoSpace(text()), 507, "no-space"),
    ]
}

fn about_the_host() -> Vec<Row> {
    vec![
        (
            Error::DriverRejected {
                reason: text(),
                remedy: text(),
            },
            422,
            "driver-rejected",
        ),
        (
            Error::DriverFailed {
                driver: text(),
                reason: text(),
            },
            500,
            "driver-failed",
        ),
        (
            Error::Quarantined {
                driver: text(),
                store: Some(text()),
                layer: None,
                reason: text(),
            },
            503,
            "quarantined",
        ),
        (Error::TimedOut(text()), 504, "timed-out"),
        (Error::LimitReached(text()), 422, "limit-reached"),
        (Error::Cancelled, 503, "cancelled"),
        (Error::Overloaded(text()), 503, "overloaded"),
        (Error::Locked { path: "/".into() }, 409, "locked"),
        (
            Error::Io {
                doing: text(),
                source: io::ErrorKind::BrokenPipe.into(),
            },
            500,
            "io",
        ),
        (
            Error::Corrupt {
                path: "/".into(),
                reason: text(),
            },
            500,
            "corrupt",
        ),
        (Error::Sandbox(text()), 500, "io"),
    ]
}

#[test]
fn every_error_of_the_engine_has_its_status_and_code() {
    let mut titles = BTreeMap::new();
    for (error, status, code) in every_error() {
        let problem = Refusal::from(error).problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (status, code),
            "{problem:?}"
        );
        assert_eq!(problem.kind, format!("urn:mica:problem:{code}"));
        assert!(
            !problem.detail.is_empty() && !problem.detail.ends_with('.'),
            "{problem:?}"
        );
        let title = titles.entry(code).or_insert_with(|| problem.title.clone());
        assert_eq!(*title, problem.title, "one title for `{code}`");
    }
    let distinct: std::collections::BTreeSet<_> = titles.values().collect();
    assert_eq!(distinct.len(), titles.len(), "two codes share a title");
}
