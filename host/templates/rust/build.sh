#!/bin/sh
# Builds my-driver.wasm. Wants Rust with the target: rustup target add wasm32-wasip2
# MICA names the program if it is not mica.
set -eu
cd "$(dirname "$0")"
cargo build --release --target wasm32-wasip2
cp "${CARGO_TARGET_DIR:-target}/wasm32-wasip2/release/driver.wasm" my-driver.wasm
"${MICA:-mica}" driver manifest add my-driver.wasm manifest.toml -o my-driver.wasm
