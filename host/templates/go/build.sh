#!/bin/sh
# Builds my-driver.wasm, with Go 1.25 or later.
#
# GO and MICA name the compiler and the program if they are not go and mica.
set -eu
cd "$(dirname "$0")"
core=$(mktemp)
trap 'rm "$core"' EXIT

# A reactor (c-shared), as the exports are called by name. The runtime of the bindings asks the Go runtime for memory before that
# has started, by a name that the linker keeps to itself unless it is told not to. The module it lies in is fetched once.
GOFLAGS="-mod=mod ${GOFLAGS:-}" GOOS=wasip1 GOARCH=wasm \
    "${GO:-go}" build -trimpath -buildmode=c-shared -ldflags='-s -w -checklinkname=0' -o "$core" .
"${MICA:-mica}" driver componentize "$core" --wit wit --world proto -o my-driver.wasm
"${MICA:-mica}" driver manifest add my-driver.wasm manifest.toml -o my-driver.wasm
