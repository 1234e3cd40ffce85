"""Uses a client that openapi-python-client has made of the description: creates, applies, compares, mounts and swaps.

usage: generated_client.py SOCKET ARCHIVE COMPONENT, with the module `mica_client` in PYTHONPATH
"""

import hashlib
import io
import sys

import httpx
from mica_client import Client
from mica_client.api.differences import apply_layer, cancel_operation, diff_layer, get_operation, list_layer_changes
from mica_client.api.drivers import load_driver, swap_driver
from mica_client.api.layers import create_layer, list_layers, look_up_layers, mount_layer, remove_layer, unmount_layer
from mica_client.api.stores import list_stores
from mica_client.models import LayerLookup, LayerRequest, MountRequest, Problem, UnmountRequest
from mica_client.types import File

socket, archive, component = sys.argv[1:]
STORE = "default"
client = Client(
    base_url="http://mica",
    httpx_args={"transport": httpx.HTTPTransport(uds=socket)},
    timeout=httpx.Timeout(120),
)


def done(answer):
    """What was answered, which is no problem."""
    assert answer.status_code < 300 and not isinstance(answer.parsed, Problem), answer
    return answer.parsed


assert [store.name for store in done(list_stores.sync_detailed(client=client)).stores] == [STORE]
ask = {"client": client, "body": LayerRequest(id="a"), "idempotency_key": "create-a"}
layers = [done(create_layer.sync_detailed(STORE, **ask)) for _ in range(2)]
assert layers[0] == layers[1], layers
refused = create_layer.sync_detailed(STORE, client=client, body=LayerRequest(id="a"))
assert refused.status_code == 409 and refused.parsed.code == "layer-exists", refused
with open(archive, "rb") as content:
    report = done(apply_layer.sync_detailed(STORE, "a", client=client, body=File(content), x_request_id="apply-a"))
assert report.entries == 1, report
operation = done(get_operation.sync_detailed("apply-a", client=client))
assert (operation.state, operation.kind) == ("done", "apply"), operation
assert done(cancel_operation.sync_detailed("apply-a", client=client)).state == "done"
whole = diff_layer.sync_detailed(STORE, "a", client=client)
assert done(whole).payload.read() == whole.content and len(whole.content) >= 1024
if "mica-diff-id" in whole.headers:
    assert whole.headers["mica-diff-id"] == "sha256:" + hashlib.sha256(whole.content).hexdigest()
changes = done(list_layer_changes.sync_detailed(STORE, "a", client=client)).changes
assert "/f" in [change.path for change in changes], changes
for _ in range(2):
    mount = done(mount_layer.sync_detailed(STORE, "a", client=client, body=MountRequest(reference="mine")))
    assert mount.references == 1 and mount.holders[0].reference == "mine", mount
left = done(unmount_layer.sync_detailed(STORE, "a", client=client, body=UnmountRequest(reference="mine")))
assert left.references == 0, left
found = done(look_up_layers.sync_detailed(STORE, client=client, body=LayerLookup(ids=["a", "none"])))
assert [layer.id for layer in found.layers] == ["a"] and found.unknown == ["none"], found
with open(component, "rb") as content:
    bytes = content.read()
loaded = done(load_driver.sync_detailed(client=client, body=File(io.BytesIO(bytes))))
report = done(swap_driver.sync_detailed(loaded.name, client=client, body=File(io.BytesIO(bytes))))
assert report.driver == loaded.name, report
assert remove_layer.sync_detailed(STORE, "a", client=client).status_code == 204
assert done(list_layers.sync_detailed(STORE, client=client)).layers == []
print("done")
