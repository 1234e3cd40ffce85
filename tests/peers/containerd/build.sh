#!/bin/sh
# Builds containerd's own snapshotter suite, from Debian's sources of containerd, as one program.
#
# usage: build.sh DIRECTORY     writes DIRECTORY/suite
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
directory=$(cd "$1" && pwd)
package=$directory/go/src/mica/suite
rm -rf "$package"
mkdir -p "$package"
cp "$here"/*_test.go "$package/"
cd "$package"
export GO111MODULE=off GOFLAGS= GOPATH="$directory/go:/usr/share/gocode" GOCACHE="$directory/cache" CGO_ENABLED=1
exec go test -c -o "$directory/suite" .
