#!/bin/sh
# Builds the comparison with containerd's own snapshotter, from Debian's sources of containerd.
#
# usage: build.sh DIRECTORY     writes DIRECTORY/bench
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
directory=$(cd "$1" && pwd)
package=$directory/go/src/mica/bench
mkdir -p "$package"
cp "$here/main.go" "$package/"
cd "$package"
export GO111MODULE=off GOFLAGS= GOPATH="$directory/go:/usr/share/gocode" GOCACHE="$directory/cache" CGO_ENABLED=0
exec go build -o "$directory/bench" .
