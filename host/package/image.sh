#!/bin/sh
# Makes an image of a binary.
#
# usage: image.sh BINARY NAME      BUILDER=docker: docker, podman or buildah
#                                  BASE=: an image of Debian, instead of the one that the Containerfile names
set -eu

binary=$1 name=$2
builder=${BUILDER:-docker}
here=$(cd "$(dirname "$0")" && pwd)
command -v "$builder" >/dev/null || {
    echo "$builder is needed, or another that BUILDER names: docker, podman or buildah" >&2
    exit 1
}
context=$(mktemp -d)
trap 'rm -r "$context"' EXIT

# The image has these modes, whatever the umask.
install -m 755 "$binary" "$context/mica"
install -m 644 "$here/mica.toml" "$here/Containerfile" "$context/"
"$builder" build ${BASE:+--build-arg "BASE=$BASE"} --tag "$name" --file "$context/Containerfile" "$context"
