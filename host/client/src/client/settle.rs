//! What came of a request whose answer did not come.
//!
//! A request that changes something and can be sent again is sent again, with the key by which the daemon does it once. Of one whose body
//! is gone, and of one that a signal ended, the daemon is asked what came of it.
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

/// Whether a request is refused so when it was done before.
fn is_of_done(class: &str) -> bool {
    matches!(class, "already-exists" | "not-found" | "precondition")
}

impl Client {
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
                    None => return Err(failure),
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
