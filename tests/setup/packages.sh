#!/bin/sh
# Installs what the build, the tests and the demo need and this machine lacks: Debian's packages, and the target that
# drivers are compiled for. Does nothing, and needs no network, where all of it is there.
#
# usage: packages.sh [PROGRAM=PACKAGE | /PATH=PACKAGE ...]     what is needed besides the compiler
set -eu

missing=
is_there() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}
for pair in cc=gcc "$@"; do
    is_there "${pair%%=*}" || missing="$missing ${pair#*=}"
done
if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
        echo "these packages are needed and cannot be installed from here:$missing" >&2
        exit 1
    fi
    echo "install$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # one word for each package
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

command -v cargo >/dev/null 2>&1 || {
    echo "cargo is needed: install Rust 1.95 or later with rustup" >&2
    exit 1
}
rustup target list --installed | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2
