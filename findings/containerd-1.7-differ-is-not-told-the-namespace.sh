#!/bin/sh
# containerd 1.7.24 calls a proxy differ without the header `containerd-namespace`.
#
# Guess, written down before: every call that a client causes has the header, so a differ that asks containerd's content service
# back uses the namespace of its caller. (containerd 1.7.34 and 2.x send it.)
# Seen with containerd 1.7.24 of Debian 13 (trixie) and grpcio 1.85.3: the client's request has the header, the diff service runs
# in that namespace, and its call to the proxy has none. The content service refuses requests without it, so such a differ cannot
# read blobs or write differences by what it is told. What it does get is the namespace at the beginning of a proxy snapshotter's
# keys, `<namespace>/<number>/<key>`.
#
# Needs root, python3 with pip, and a mirror of Debian 13 that apt is configured with. Fails when the behaviour changes.
set -eu

work=$(mktemp -d)
containerd= spy=
trap 'kill $containerd $spy 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
    grep -v security | head -n 1)
mkdir -p apt/lists/partial apt/cache/archives/partial package
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >apt/sources.list
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root "$@"
}
apt update
(cd package && apt download containerd=1.7.24~ds1-6+deb13u1 && dpkg -x containerd_*.deb .)
PATH=$work/package/usr/bin:$PATH
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --only-binary :all: \
    --target python grpcio==1.85.3

# A differ that does nothing but write down the headers of each call; containerd's own comes after it.
cat >spy.py <<'END'
import sys
from concurrent import futures
import grpc

class Spy(grpc.GenericRpcHandler):
    def service(self, call):
        print(call.method, sorted(name for name, _ in call.invocation_metadata), flush=True)
        def refuse(request, context):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
        return grpc.unary_unary_rpc_method_handler(refuse)

server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Spy()])
server.add_insecure_port("unix:" + sys.argv[1])
server.start()
print("ready", flush=True)
server.wait_for_termination()
END
PYTHONPATH=python python3 spy.py "$work/spy.sock" >calls &
spy=$!
for _ in $(seq 300); do grep -q ready calls && break; sleep 0.1; done
cat >config.toml <<END
version = 2
root = "$work/root"
state = "$work/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$work/containerd.sock"
[proxy_plugins.spy]
  type = "diff"
  address = "$work/spy.sock"
[plugins."io.containerd.service.v1.diff-service"]
  default = ["spy", "walking"]
END
containerd --config config.toml >containerd.log 2>&1 &
containerd=$!
for _ in $(seq 100); do ctr --address "$work/containerd.sock" version >/dev/null 2>&1 && break; sleep 0.1; done

# An image of one layer, unpacked with containerd's own snapshotter `native` in the namespace `mine`.
mkdir image && echo content >file && tar -cf image/layer.tar file
digest=$(sha256sum image/layer.tar | cut -d' ' -f1)
printf '{"architecture":"%s","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(dpkg --print-architecture)" "$digest" >image/config.json
printf '[{"Config":"config.json","RepoTags":["docker.io/example/x:latest"],"Layers":["layer.tar"]}]' >image/manifest.json
tar -C image -cf image.tar config.json manifest.json layer.tar
ctr --address "$work/containerd.sock" --namespace mine images import --snapshotter native image.tar >/dev/null
ctr --address "$work/containerd.sock" --namespace mine images rm --sync docker.io/example/x:latest >/dev/null

cat calls
grep -q 'containerd.services.diff.v1.Diff/Apply' calls || { echo "changed: the proxy differ was not asked"; exit 1; }
if grep -q containerd-namespace calls; then echo "changed: the header is there"; exit 1; fi
echo "containerd $(containerd --version | cut -d' ' -f3): no call of the differ tells a namespace"
