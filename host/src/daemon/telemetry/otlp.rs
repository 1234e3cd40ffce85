//! The messages of OTLP that carry spans, and how spans become them.
//!
//! From opentelemetry-proto (https://github.com/open-telemetry/opentelemetry-proto), `trace/v1`, `common/v1`, `resource/v1` and
//! `collector/trace/v1`: names, numbers and types of the fields that are used. A reader leaves out what it does not know, so
//! fields that are never set are not here.
//!
//! Invariant: data only. A test has the bytes read by OpenTelemetry's own definitions.

use mica_engine::{Attribute, Span as Ended, SpanKind};
use prost::Message;

/// What instrumented it, as a collector shows it.
const SCOPE: &str = "mica";
/// Of `Span.kind`.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
/// Of `Status.code`.
const FAILED: i32 = 2;
/// Of `Span.flags`: the trace is sampled; it is known whether the parent is remote; it is.
const SAMPLED: u32 = 1;
const KNOWN_PARENT: u32 = 1 << 8;
const REMOTE_PARENT: u32 = 1 << 9;

/// A request of the trace service.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

/// Its answer.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTraceServiceResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<ExportTracePartialSuccess>,
}

/// What of a request was not taken.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTracePartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// Spans of one process.
#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

/// A process.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

/// Spans of one instrumentation.
#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

/// What instrumented a process.
#[derive(Clone, PartialEq, Message)]
struct InstrumentationScope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// A span.
#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

/// How a span ended.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// Its value.
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

/// The types of values that are used.
#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::Text(value.into()))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

impl Resource {
    /// This process, by attributes with the names of OpenTelemetry's conventions.
    pub(super) fn new(attributes: &[(&str, &str)]) -> Self {
        let attributes = attributes.iter().map(|(key, value)| text(key, *value));
        Self {
            attributes: attributes.collect(),
        }
    }
}

/// The bytes of a request with these spans, and how many they are.
pub(super) fn request(resource: &Resource, ended: Vec<Ended>) -> (Vec<u8>, u64) {
    let spans: Vec<Span> = ended.into_iter().flat_map(spans).collect();
    let count = spans.len() as u64;
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans,
            }],
        }],
    };
    (request.encode_to_vec(), count)
}

/// The span of something, and those of the host calls in it.
fn spans(mut ended: Ended) -> Vec<Span> {
    let host_calls = std::mem::take(&mut ended.host_calls);
    let own = u64::from_be_bytes(ended.id);
    let blank = Span {
        trace_id: ended.trace.to_vec(),
        trace_state: ended.state.to_string(),
        flags: SAMPLED | KNOWN_PARENT,
        ..Span::default()
    };
    let mut spans = Vec::with_capacity(1 + host_calls.len());
    spans.push(Span {
        span_id: ended.id.to_vec(),
        parent_span_id: ended.parent.map(Vec::from).unwrap_or_default(),
        name: ended.name,
        kind: match ended.kind {
            SpanKind::Request => SERVER,
            SpanKind::Operation => INTERNAL,
        },
        start_time_unix_nano: ended.began,
        end_time_unix_nano: ended.ended,
        attributes: ended.attributes.into_iter().map(attribute).collect(),
        status: ended.error.map(|message| Status {
            message,
            code: FAILED,
        }),
        flags: match ended.is_parent_remote {
            true => blank.flags | REMOTE_PARENT,
            false => blank.flags,
        },
        ..blank.clone()
    });
    spans.extend((1..).zip(host_calls).map(|(number, call)| {
        Span {
            span_id: id_of_call(own, number).to_vec(),
            parent_span_id: ended.id.to_vec(),
            name: call.function,
            kind: INTERNAL,
            start_time_unix_nano: call.began,
            end_time_unix_nano: call.ended,
            // What a driver is refused is part of its work: it asks for what may not be there.
            attributes: call
                .failure
                .map(|code| text("error.type", code))
                .into_iter()
                .collect(),
            ..blank.clone()
        }
    }));
    spans
}

fn attribute((key, value): (&'static str, Attribute)) -> KeyValue {
    match value {
        Attribute::Text(value) => text(key, value),
        Attribute::Number(number) => pair(
            key,
            Value::Number(i64::try_from(number).unwrap_or(i64::MAX)),
        ),
    }
}

/// The id of a host call's span. It is made of its operation's, so that it needs no room before it is sent; a multiplication by an odd
/// number keeps ids of one operation apart.
fn id_of_call(operation: u64, number: u64) -> [u8; 8] {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let id = operation.wrapping_add(number.wrapping_mul(ODD));
    // Zero is no id.
    id.max(1).to_be_bytes()
}
