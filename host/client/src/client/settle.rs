//! What came of a request whose answer did not come.
//!
//! A request that changes something and can be sent again is sent again, with the key by which the daemon does it once. A daemon that was
//! started anew meanwhile knows no key of the one before, so what would be done twice goes only to the daemon that had it first. Of a
//! request whose body is gone, and of one that a signal ended, the daemon is asked what came of it.
//!
//! Invariant: nothing is told to be done or not done that the daemon has not said.

use super::marks::Marks;
use super::{ANSWER_BYTES, Client, segment};
use crate::failure::Failure;
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long it is waited before a request is sent again.
pub(super) const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(2),
];
/// How long it is waited for the end of an operation, and between two questions for it.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

type Answer = Result<Value, Failure>;

/// Where a request may be sent that may have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// To any daemon: done twice it is done once, or refused the second time.
    Anywhere,
    /// To the one that had it first, because only that knows its key.
    SameDaemon,
}

impl Again {
    /// Of a POST.
    pub(super) fn of(target: &str, document: Option<&Value>) -> Self {
        let path = target.split('?').next().unwrap_or_default();
        let has = |name: &str| document.and_then(|document| document.get(name));
        let is_named = has("reference").is_some_and(Value::is_string)
            || has("all") == Some(&Value::Bool(true));
        match path.rsplit('/').next() {
            // There is one already, the second time.
            Some("layers" | "stores" | "drivers") => Self::Anywhere,
            Some("layers:lookup" | "verify" | "release") => Self::Anywhere,
            Some("mount" | "unmount") if is_named => Self::Anywhere,
            _ => Self::SameDaemon,
        }
    }
}

/// Which daemon answers now.
enum Answering {
    /// The one that there was when a request was first sent; its start.
    Same(String),
    /// Another one.
    Other,
    /// Nobody, or one that does not tell.
    Unknown,
}

/// Nothing, if the request is to be sent again: its connection broke, or it is still being done. The first break is kept.
pub(super) fn is_to_be_asked_again(
    answer: Answer,
    has_key: bool,
    broken: &mut Option<Failure>,
) -> Option<Answer> {
    match answer {
        Err(failure @ Failure::Connection { .. }) if has_key => {
            broken.get_or_insert(failure);
            None
        }
        Err(Failure::Problem(problem)) if has_key && problem.code == "request-running" => None,
        answer => Some(last(answer, broken.take())),
    }
}

/// The answer of a request that may have been sent before. A daemon that was started anew meanwhile does not know what was done: then the
/// break is what is true, with what the daemon says now.
pub(super) fn last(answer: Answer, broken: Option<Failure>) -> Answer {
    let Some(Failure::Connection { doing, source }) = broken else {
        return answer;
    };
    let says = match answer {
        Err(Failure::Problem(problem)) if is_of_done(&problem.class) => problem.detail.clone(),
        Err(Failure::Unreachable { .. } | Failure::Connection { .. }) => {
            return Err(Failure::Connection { doing, source });
        }
        answer => return answer,
    };
    Err(Failure::Connection {
        doing: format!("{doing} (it may have been done: asked again, the daemon says that {says})"),
        source,
    })
}

/// What is told of a request that may have been carried out, and must not be sent again.
fn unclear(broken: Option<Failure>, why: &str) -> Failure {
    let may_be = format!("(it may have been done, and {why}: look before you do it again)");
    match broken {
        Some(Failure::Connection { doing, source }) => Failure::Connection {
            doing: format!("{doing} {may_be}"),
            source,
        },
        _ => Failure::Connection {
            doing: format!("ask the daemon {may_be}"),
            source: "there is no answer".into(),
        },
    }
}

/// Whether a request is refused so when it was done before.
fn is_of_done(class: &str) -> bool {
    matches!(class, "already-exists" | "not-found" | "precondition")
}

impl Client {
    /// Sends a request until it is answered, but no oftener than it may be.
    pub(super) async fn until_answered(
        &self,
        marks: &mut Marks,
        again: Again,
        send: impl AsyncFn(&Marks) -> Answer,
    ) -> Answer {
        let first = Instant::now();
        let mut broken = None;
        let mut may_send = true;
        for pause in PAUSES {
            if may_send {
                let answer = send(marks).await;
                if let Some(answer) = is_to_be_asked_again(answer, marks.has_key(), &mut broken) {
                    return answer;
                }
            }
            tokio::time::sleep(pause).await;
            may_send = match again {
                Again::Anywhere => true,
                Again::SameDaemon => match self.answering(first).await {
                    Answering::Same(start) => {
                        marks.only_for(start);
                        true
                    }
                    Answering::Other => {
                        return Err(unclear(broken, "the daemon was started anew since"));
                    }
                    Answering::Unknown => false,
                },
            };
        }
        match may_send {
            true => last(send(marks).await, broken),
            false => Err(unclear(broken, "the daemon cannot be asked")),
        }
    }

    /// Whether the daemon that answers now had been started when a request was first sent. That is so if it has run for longer than the
    /// time since, measured when its answer has come; both clocks only count, so it does not matter what they show.
    async fn answering(&self, first: Instant) -> Answering {
        let marks = Marks::default();
        let asked = super::Body::empty();
        let Ok(answer) = self.send(&Method::GET, "/healthz", asked, &marks).await else {
            return Answering::Unknown;
        };
        let elapsed = first.elapsed();
        let header = |name: &str| answer.headers().get(name)?.to_str().ok();
        let up = header("mica-uptime").and_then(|text| text.parse().ok());
        match (header("mica-start"), up.map(Duration::from_millis)) {
            (Some(start), Some(up)) if up >= elapsed => Answering::Same(start.to_owned()),
            (Some(_), Some(_)) => Answering::Other,
            _ => Answering::Unknown,
        }
    }

    /// What came of a request that was sent and not answered. One that a signal ended is asked to end.
    pub(super) fn settle(&self, failure: Failure, marks: &Marks) -> Answer {
        let is_interrupted = matches!(failure, Failure::Interrupted(_));
        let is_open = is_interrupted || matches!(failure, Failure::Connection { .. });
        let Some(id) = marks.id().filter(|_| is_open) else {
            return Err(failure);
        };
        let deadline = Instant::now() + PATIENCE;
        self.runtime.block_on(async {
            if is_interrupted {
                let target = format!("/v1/operations/{}", segment(id));
                let asked = super::Body::empty();
                // Whether it was heard shows below.
                let _asked = self
                    .send(&Method::DELETE, &target, asked, &Marks::default())
                    .await;
            }
            while Instant::now() < deadline {
                match self.outcome(id).await {
                    Some(Ok(Some(result))) => return Ok(result),
                    Some(Err(_)) if is_interrupted => return Err(failure),
                    Some(Err(reason)) => return Err(reason),
                    Some(Ok(None)) => tokio::time::sleep(PAUSE).await,
                    None => return Err(unknown(failure)),
                }
            }
            Err(match failure {
                Failure::Interrupted(_) => Failure::Interrupted(format!(
                    "; what was begun has not ended: `mica operation inspect {id}` tells what comes of it"
                )),
                failure => failure,
            })
        })
    }

    /// What came of an operation: its result, nothing while it runs, or why it failed. None if the daemon does not know it.
    pub(super) async fn outcome(&self, operation: &str) -> Option<Result<Option<Value>, Failure>> {
        let target = format!("/v1/operations/{}", segment(operation));
        let marks = Marks::default();
        let response = self.send(&Method::GET, &target, super::Body::empty(), &marks);
        let response = response.await.ok()?;
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES);
        let bytes = body.collect().await.ok()?.to_bytes();
        let mut document: Value = serde_json::from_slice(&bytes).ok()?;
        match document.get("state")?.as_str()? {
            "running" => Some(Ok(None)),
            "done" => {
                let result = document.get_mut("result").map(Value::take);
                Some(Ok(Some(result.unwrap_or_default())))
            }
            _ => {
                let problem = serde_json::from_value(document.get_mut("problem")?.take()).ok()?;
                Some(Err(Failure::Problem(Box::new(problem))))
            }
        }
    }
}

/// The same, of a request of which the daemon does not tell what came.
fn unknown(failure: Failure) -> Failure {
    let text = "it is not known what came of it: look before you do it again";
    match failure {
        Failure::Interrupted(_) => Failure::Interrupted(format!("; {text}")),
        Failure::Connection { doing, source } => Failure::Connection {
            doing: format!("{doing} ({text})"),
            source,
        },
        failure => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Failure {
        Failure::Connection {
            doing: "ask".to_owned(),
            source: "it broke".into(),
        }
    }

    fn problem(code: &str, class: &str) -> Failure {
        let problem = serde_json::json!({"code": code, "class": class, "detail": "it is there"});
        Failure::Problem(Box::new(serde_json::from_value(problem).unwrap()))
    }

    #[test]
    fn what_broke_is_asked_again_and_what_was_answered_is_not() {
        let mut kept = None;
        assert!(is_to_be_asked_again(Err(broken()), true, &mut kept).is_none());
        let running = problem("request-running", "in-use");
        assert!(is_to_be_asked_again(Err(running), true, &mut kept).is_none());
        assert!(kept.is_some());
        let answer = is_to_be_asked_again(Ok(Value::Null), true, &mut kept);
        assert!(answer.unwrap().is_ok());
        for failure in [broken(), problem("request-running", "in-use")] {
            assert!(is_to_be_asked_again(Err(failure), false, &mut kept).is_some());
        }
    }

    #[test]
    fn only_what_is_done_once_goes_to_any_daemon() {
        let of = |target: &str, document: Value| Again::of(target, Some(&document));
        let (mount, named) = (
            "/v1/stores/s/layers/a/mount",
            serde_json::json!({"reference": "r"}),
        );
        for (target, document) in [
            ("/v1/stores/s/layers", serde_json::json!({"id": "a"})),
            ("/v1/drivers?name=a", Value::Null),
            (mount, named.clone()),
            (
                "/v1/stores/s/layers/a/unmount",
                serde_json::json!({"all": true}),
            ),
        ] {
            assert_eq!(of(target, document), Again::Anywhere, "{target}");
        }
        for (target, document) in [
            (mount, Value::Null),
            (
                "/v1/stores/s/layers/a/unmount",
                serde_json::json!({"all": false}),
            ),
            ("/v1/drivers/overlay/rollback", named),
            ("/v1/drivers/overlay/swap?shadow=1", Value::Null),
        ] {
            assert_eq!(of(target, document), Again::SameDaemon, "{target}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_told_as_nothing() {
        for failure in [broken(), Failure::Interrupted(String::new())] {
            let told = unknown(failure).text();
            assert!(told.contains("not known"), "{told}");
        }
        let told = unclear(Some(broken()), "it was started anew").text();
        assert!(
            told.contains("may have been done") && told.contains("it broke"),
            "{told}"
        );
        assert!(unclear(None, "x").text().contains("may have been done"));
    }

    #[test]
    fn a_daemon_that_forgot_it_is_not_believed() {
        let exists = || Err(problem("layer-exists", "already-exists"));
        assert!(matches!(last(exists(), None), Err(Failure::Problem(_))));
        let told = last(exists(), Some(broken())).unwrap_err().text();
        assert!(
            told.contains("it is there") && told.contains("it broke"),
            "{told}"
        );
        let full = last(Err(problem("no-space", "exhausted")), Some(broken()));
        assert!(matches!(full, Err(Failure::Problem(_))));
    }
}
