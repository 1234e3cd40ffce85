#!/bin/sh
# Keeps the contract of this source as a released version: its text, and components that are built against it. CONTRIBUTING.md says when.
#
# usage: contract.sh VERSION
# makes  tests/fixtures/contract/VERSION
set -eu

version=$1
cd "$(dirname "$0")/../.."
to=tests/fixtures/contract/$version
if [ -e "$to" ]; then
    echo "$to is there: what was released stays as it was" >&2
    exit 1
fi
grep --quiet "@$version;" wit/types.wit || { echo "this source has another version than $version" >&2; exit 1; }
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# C, Go, JavaScript: what the templates build.
MICA_KEEP_COMPONENTS=$made cargo nextest run --workspace --test template -E 'test(passes_every_case)'
rm -f "$made/proto-rust.wasm"
export CARGO_TARGET_DIR="$PWD/target/test-guests"
for crate in examples/hello-driver guest-drivers/vfs; do
    cargo build --release --target wasm32-wasip2 --manifest-path "$crate/Cargo.toml"
done
built=$CARGO_TARGET_DIR/wasm32-wasip2/release
cp "$built/hello_driver.wasm" "$made/hello-rust.wasm"
cp "$built/mica_driver_vfs.wasm" "$made/full-rust.wasm"

mkdir -p "$to/wit/deps/host"
cp wit/*.wit "$to/wit/"
cp wit/deps/host/*.wit "$to/wit/deps/host/"
for component in "$made"/*.wasm; do
    gzip -9 --no-name --stdout "$component" >"$to/$(basename "$component").gz"
done
