//! What runs, and operations whose answer is a stream.

use super::CallView;
use mica_engine::{OperationState, Report};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Requests that are being answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OperationList {
    /// The oldest first.
    pub(crate) operations: Vec<CallView>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<u64>,
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OperationView {
    /// Its id, as the header `Mica-Operation` gave it.
    pub(crate) id: String,
    /// What it does: `diff`, `changes`, `files`, `content`, `create`, `remove`, `apply`, `mount`, `repair`, `verify`, `move`, or to a driver `load`,
    /// `swap` or `rollback`.
    pub(crate) kind: String,
    /// The store; empty where it is about a driver.
    pub(crate) store: String,
    /// The layer, or the driver.
    pub(crate) layer: String,
    /// When it began: RFC 3339, UTC.
    pub(crate) began: String,
    /// The id of its request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    /// `running`, `done` or `failed`.
    pub(crate) state: String,
    /// Bytes that came from the client or went to it, until now or the end.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// Whether somebody asked it to end.
    #[serde(default)]
    pub(crate) cancelled: bool,
    /// When it ended: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<String>,
    /// What its client was answered, or would have been, when it is done: of `create` the layer, of `mount` the mount, of `apply` its report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) result: Option<serde_json::Value>,
    /// Whether `result` is left out because it is longer than what is kept (64 KiB).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) result_left_out: bool,
    /// Of a `diff` that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<DiffReport>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<LateProblem>,
}

/// What an archive of a layer holds, and what it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct DiffReport {
    /// Entries of the archive.
    pub(crate) entries: u64,
    /// Bytes of the archive, with headers and padding.
    pub(crate) archive_bytes: u64,
    /// Nodes and attributes of the layer that the archive does not hold.
    pub(crate) left_out_count: u64,
    /// The first of them, in words; 16 at most.
    pub(crate) first_left_out: Vec<String>,
}

/// Why an operation failed. RFC 9457, without what belongs to the status of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LateProblem {
    /// `urn:mica:problem:` and the code.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The stable word for programs.
    pub(crate) code: String,
    /// What kind of failure it is, as in other problem documents.
    pub(crate) class: String,
    /// What was being done, to what, and why it did not work.
    pub(crate) detail: String,
    /// What would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl From<mica_engine::OperationView> for OperationView {
    fn from(view: mica_engine::OperationView) -> Self {
        let kind = view.kind.word();
        let (mut report, mut result, mut result_left_out) = (None, None, false);
        let (state, problem) = match view.state {
            OperationState::Running => ("running", None),
            OperationState::Done(done) => {
                match done {
                    None => {}
                    Some(Report::Diff(told)) => report = Some(DiffReport::from(told)),
                    Some(Report::Document(told)) => result = serde_json::from_str(&told).ok(),
                    Some(Report::TooLong) => result_left_out = true,
                }
                ("done", None)
            }
            OperationState::Failed {
                code,
                class,
                detail,
                remedy,
            } => {
                let problem = LateProblem {
                    kind: format!("urn:mica:problem:{code}"),
                    code: code.to_owned(),
                    class: class.word().to_owned(),
                    detail: detail.into(),
                    remedy: remedy.map(Into::into),
                };
                ("failed", Some(problem))
            }
        };
        Self {
            id: view.id,
            kind: kind.to_owned(),
            store: view.store,
            layer: view.layer,
            began: view.began.to_string(),
            request: view.request,
            state: state.to_owned(),
            bytes: view.bytes,
            cancelled: view.is_cancelled,
            ended: view.ended.map(|ended| ended.to_string()),
            result,
            result_left_out,
            report,
            problem,
        }
    }
}

impl From<mica_engine::DiffReport> for DiffReport {
    fn from(report: mica_engine::DiffReport) -> Self {
        Self {
            entries: report.entries,
            archive_bytes: report.archive_bytes,
            left_out_count: report.left_out_count,
            first_left_out: report.first_left_out,
        }
    }
}
