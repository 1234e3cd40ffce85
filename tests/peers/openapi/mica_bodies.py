"""Tells schemathesis how bodies are sent that are bytes."""

import schemathesis
from schemathesis.transport.serialization import serialize_binary


@schemathesis.serializer("application/wasm", "application/x-tar")
def as_bytes(ctx, value):
    return serialize_binary(value)
