"""A collector of traces: takes OTLP over HTTP and reads it by OpenTelemetry's own definitions.

usage: collector.py PORT | collector.py /SOCKET

Prints `ready`, then one line of JSON for each span, in the order in which they came. What the definitions do not know, or a request that
is not of the protocol's form, ends it with the reason.
"""

import json
import os
import socketserver
import sys
from http.server import BaseHTTPRequestHandler

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

OUTPUT = sys.stdout


def fail(reason):
    print(reason, file=sys.stderr, flush=True)
    os._exit(1)


def check(message):
    """Nothing in a message is unknown, at any depth."""
    unknown = UnknownFieldSet(message)
    if len(unknown):
        fail(f"{type(message).__name__} has unknown fields: {[field.field_number for field in unknown]}")
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                check(part)


def attributes(pairs):
    names = [pair.key for pair in pairs]
    if len(names) != len(set(names)):
        fail(f"an attribute is there twice: {names}")
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def document(span, resource, scope):
    return {
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": span.SpanKind.Name(span.kind),
        "began": span.start_time_unix_nano,
        "ended": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "status": span.status.StatusCode.Name(span.status.code),
        "message": span.status.message,
        "resource": resource,
        "scope": scope,
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        kind, path = self.headers["content-type"], self.path
        if (kind, path) != ("application/x-protobuf", "/v1/traces"):
            fail(f"{path} of {kind}")
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        check(request)
        for part in request.resource_spans:
            resource = attributes(part.resource.attributes)
            for group in part.scope_spans:
                for span in group.spans:
                    if len(span.trace_id) != 16 or len(span.span_id) != 8 or len(span.parent_span_id) not in (0, 8):
                        fail(f"ids of another length: {span}")
                    print(json.dumps(document(span, resource, group.scope.name)), file=OUTPUT)
        OUTPUT.flush()
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass

    def address_string(self):
        return "the daemon"


class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


place = sys.argv[1]
server = Unix(place, Handler) if place.startswith("/") else Tcp(("127.0.0.1", int(place)), Handler)
print("ready", file=OUTPUT, flush=True)
server.serve_forever()
