#!/bin/sh
# Builds what Mica is compared with from Debian's package of moby's sources: moby's graphtest suite behind its own plugin
# proxy (OUT/graphtest), its archives (OUT/archive), and its overlay2 driver for `make bench` (OUT/bench). Needs golang-go and golang-github-docker-docker-dev, no
# network.
#
# usage: build.sh OUT
set -eu

out=${1:?usage: build.sh OUT}
here=$(cd "$(dirname "$0")" && pwd)
sources=/usr/share/gocode
moby=src/github.com/docker/docker
if [ ! -d "$sources/$moby/daemon/graphdriver/graphtest" ]; then
    echo "moby's sources are missing: apt-get install golang-github-docker-docker-dev" >&2
    exit 1
fi
command -v go >/dev/null || { echo "go is missing: apt-get install golang-go" >&2; exit 1; }

mkdir -p "$out"
out=$(cd "$out" && pwd)
tree=$out/gopath
rm -rf "$tree"
mkdir -p "$tree/$moby" "$tree/src/gotest.tools" "$tree/src/mica"
cp -r "$here"/stand-ins/* "$tree/$moby/"
cp -r "$here"/graphtest "$here"/archive "$here"/bench "$tree/src/mica/"
# Debian names this library without its version; moby names it with.
cp -r "$sources/src/gotest.tools" "$tree/src/gotest.tools/v3"
grep -rl '"gotest.tools/' "$tree/src/gotest.tools/v3" | xargs sed -i -E 's#"gotest.tools/(v3/)?#"gotest.tools/v3/#'
find "$tree/src/gotest.tools/v3" -name '*_test.go' -delete

export GO111MODULE=off GOPATH="$tree:$sources" GOFLAGS= GOCACHE="$out/cache" CGO_ENABLED=0
cd "$tree/src/mica"
go test -c -o "$out/graphtest" ./graphtest
go build -o "$out/archive" ./archive
go build -o "$out/bench" ./bench
