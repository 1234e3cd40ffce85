//! What every operation of the OpenAPI document has, so that no handler has to say it: the header with the id, the statuses of
//! refusals, the rules for names and ids, and bodies that are bytes.
//!
//! Invariant: adds to what the handlers say of themselves, and changes none of their words.

use super::retry;
use serde_json::{Map, Value, json};

/// Types of bodies that are bytes; a derived schema calls them a list of numbers.
const BYTES: [&str; 3] = [
    "application/x-tar",
    "application/wasm",
    "application/octet-stream",
];

/// Statuses of refusals, and what they mean. `README.md` has the codes of each.
const REFUSALS: [(&str, &str); 15] = [
    ("400", "The request, an id, a name or an option is wrong."),
    ("401", "Over TCP: no secret, or a wrong one."),
    (
        "403",
        "Over TCP: meant for another host, or from a page of another origin.",
    ),
    ("404", "There is no such thing."),
    ("408", "The client stopped sending the body."),
    (
        "409",
        "It exists, is in use, is mounted, is not mounted, has children, or is being done (`Retry-After`).",
    ),
    (
        "412",
        "What the driver needs is missing, the file system is wrong, the layer is none of those that `If-Match` names, or the daemon is none that `Mica-Start` names.",
    ),
    ("413", "The body is too large."),
    ("415", "The body is encoded in a way that is not known."),
    (
        "422",
        "It can be read and cannot be taken, or asks for more than the sandbox gives.",
    ),
    ("500", "The driver, the disk or the daemon broke."),
    (
        "501",
        "The driver cannot work on this kernel, or is not part of this build.",
    ),
    (
        "503",
        "There is no room, the driver is quarantined, or the daemon ends.",
    ),
    ("504", "A deadline has passed."),
    ("507", "The file system is full, or a quota is reached."),
];

/// What any request can be refused with, what one with a body can, and what one that needs a driver can.
const ANY: [&str; 5] = ["400", "401", "403", "500", "503"];
const WITH_BODY: [&str; 3] = ["408", "413", "422"];
const WITH_DRIVER: [&str; 5] = ["412", "422", "501", "504", "507"];

/// Completes a document.
pub(super) fn complete(document: &mut Value) {
    let components = below(document, "components");
    let id =
        json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._-]+$"});
    below(components, "parameters")["RequestId"] = json!({
        "name": "x-request-id",
        "in": "header",
        "description": "The id of the request: 1 to 64 letters, digits, `-`, `_` and `.`; what is no such text is replaced by one.",
        "schema": {"type": "string"},
    });
    below(components, "headers")["RequestId"] = json!({
        "description": "The id of the request, as the log, problems and events have it.",
        "schema": id,
    });
    below(components, "parameters")["IdempotencyKey"] = json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A text that no other request has. A request that comes again with it gets the answer of the first time, with the header \
            `Idempotent-Replayed`, and changes nothing.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 130, "pattern": "^[!-~]+$"},
    });
    below(components, "headers")["Replayed"] = json!({
        "description": "`true`: the answer of an earlier request with the same `Idempotency-Key`.",
        "schema": {"type": "string"},
    });
    below(components, "parameters")["Start"] = json!({
        "name": "Mica-Start", "in": "header",
        "description": "The start of the daemon that a request with an `Idempotency-Key` is meant for, because it was sent there before. Any other refuses it: \
            412, `daemon-started-anew`.",
        "schema": {"type": "string"},
    });
    below(components, "headers")["Start"] = json!({
        "description": "Tells one start of the daemon from another.",
        "schema": {"type": "string"},
    });
    below(components, "headers")["Uptime"] = json!({
        "description": "Milliseconds since the daemon was started.", "schema": {"type": "integer", "minimum": 0},
    });
    for (status, description) in REFUSALS {
        below(components, "responses")[name_of(status)] = json!({
            "description": description,
            "headers": every_answers_headers(),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
    }
    for (place, of) in [
        ("/components/schemas/LayerRequest/properties/id", "id"),
        ("/components/schemas/StoreRequest/properties/name", "store"),
        ("/components/schemas/RenameRequest/properties/name", "store"),
    ] {
        if let (Some(schema), Some(rule)) = (document.pointer_mut(place), rule(of)) {
            extend(schema, rule);
        }
    }
    for (path, item) in fields(document.get_mut("paths")) {
        for (method, operation) in fields(Some(item)) {
            complete_operation(path, method, operation);
        }
    }
}

fn every_answers_headers() -> Value {
    json!({
        "x-request-id": {"$ref": "#/components/headers/RequestId"},
        "Mica-Start": {"$ref": "#/components/headers/Start"},
        "Mica-Uptime": {"$ref": "#/components/headers/Uptime"},
    })
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    write_bytes(operation.pointer_mut("/requestBody/content"));
    let responses = below(operation, "responses");
    for status in statuses(path, method, has_body) {
        if responses.get(status).is_none() {
            responses[status] =
                json!({"$ref": format!("#/components/responses/{}", name_of(status))});
        }
    }
    for (_, response) in fields(Some(responses)) {
        if response.get("$ref").is_none() {
            extend(below(response, "headers"), every_answers_headers());
            if retry::may_change(path, method) {
                below(response, "headers")["Idempotent-Replayed"] =
                    json!({"$ref": "#/components/headers/Replayed"});
            }
            write_bytes(response.get_mut("content"));
        }
    }
    let parameters = operation.as_object_mut().map(|operation| {
        let parameters = operation.entry("parameters");
        parameters.or_insert_with(|| json!([]))
    });
    let Some(parameters) = parameters.and_then(Value::as_array_mut) else {
        return;
    };
    for parameter in parameters.iter_mut() {
        let is_of_path = parameter.get("in").is_some_and(|place| place == "path");
        let name = parameter.get("name").and_then(Value::as_str);
        if let (true, Some(rule)) = (is_of_path, name.and_then(rule)) {
            extend(below(parameter, "schema"), rule);
        }
    }
    parameters.push(json!({"$ref": "#/components/parameters/RequestId"}));
    if retry::may_change(path, method) {
        parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        parameters.push(json!({"$ref": "#/components/parameters/Start"}));
    }
}

/// What an operation can be refused with.
fn statuses(path: &str, method: &str, has_body: bool) -> Vec<&'static str> {
    let changes = method != "get";
    let needs_driver =
        path.starts_with("/v1/stores") || (path.starts_with("/v1/drivers") && changes);
    let mut statuses = ANY.to_vec();
    statuses.extend(path.contains('{').then_some("404"));
    statuses.extend(
        changes
            .then_some(["409", "412", "422"])
            .into_iter()
            .flatten(),
    );
    statuses.extend((method == "put").then_some("415"));
    statuses.extend(has_body.then_some(WITH_BODY).into_iter().flatten());
    statuses.extend(needs_driver.then_some(WITH_DRIVER).into_iter().flatten());
    statuses
}

/// The rule for a name or an id of a path. That `.` and `..` are no ids is left to the words, for patterns of some languages cannot say it.
fn rule(of: &str) -> Option<Value> {
    Some(match of {
        "id" => json!({"minLength": 1, "maxLength": 255, "pattern": r"^[^/\x00-\x1f\x7f-\x9f]+$"}),
        "store" => json!({"minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9][a-z0-9._-]*$"}),
        "driver" => json!({"minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9.-]+$"}),
        "operation" => json!({"minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._-]+$"}),
        "key" => json!({"minLength": 1}),
        _ => return None,
    })
}

fn name_of(status: &str) -> String {
    format!("Refused{status}")
}

/// Calls bodies of bytes what they are.
fn write_bytes(content: Option<&mut Value>) {
    for (kind, body) in fields(content) {
        if BYTES.contains(&kind.as_str()) {
            body["schema"] = json!({"type": "string", "format": "binary"});
        }
    }
}

/// The object of this name within another; it is made if it is not there.
fn below<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    if object.get(name).is_none() {
        object[name] = Value::Object(Map::new());
    }
    &mut object[name]
}

fn extend(object: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}

fn fields(object: Option<&mut Value>) -> impl Iterator<Item = (&String, &mut Value)> {
    let fields = object.and_then(Value::as_object_mut);
    fields.into_iter().flat_map(Map::iter_mut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_gets_what_it_does_not_say_itself() {
        let mut document = json!({"paths": {"/v1/stores/{store}/layers/{id}/diff": {"put": {
            "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}],
            "requestBody": {"content": {"application/x-tar": {"schema": {"type": "array"}}}},
            "responses": {"200": {"description": "Done."}, "409": {"description": "Its own words."}},
        }}}});
        complete(&mut document);
        let operation = &document["paths"]["/v1/stores/{store}/layers/{id}/diff"]["put"];
        assert_eq!(
            operation["requestBody"]["content"]["application/x-tar"]["schema"]["format"],
            "binary"
        );
        assert_eq!(operation["parameters"][0]["schema"]["maxLength"], 255);
        assert_eq!(
            operation["responses"]["409"]["description"],
            "Its own words."
        );
        for status in ["400", "404", "408", "415", "422", "507"] {
            let reference = format!("#/components/responses/Refused{status}");
            assert_eq!(operation["responses"][status]["$ref"], reference);
            assert!(document["components"]["responses"][name_of(status)].is_object());
        }
        assert!(operation["responses"]["200"]["headers"]["x-request-id"].is_object());
    }
}
