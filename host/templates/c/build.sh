#!/bin/sh
# Builds my-driver.wasm. Debian's packages: clang lld wasi-libc libclang-rt-dev-wasm32
#
# CLANG and MICA name the compiler and the program if they are not clang and mica; SYSROOT has the libraries of wasi-libc.
set -eu
cd "$(dirname "$0")"
clang=${CLANG:-clang}
libraries=${SYSROOT:-/usr}/lib/wasm32-wasi
objects=$(mktemp -d)
trap 'rm -r "$objects"' EXIT

"$clang" --target=wasm32-wasi -Oz -Wall -Wextra -c driver.c -o "$objects/driver.o"
"$clang" --target=wasm32-wasi -Oz -Wall -Wextra -c copy.c -o "$objects/copy.o"
"$clang" --target=wasm32-wasi -Oz -w -c bindings/proto.c -o "$objects/proto.o"
# A reactor is called many times, a command once. The stack carries the recursion over directories, and lies first, so that
# what overflows it is a trap.
"$clang" --target=wasm32-wasi -nostartfiles -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=1048576 \
    "$libraries/crt1-reactor.o" "$objects"/*.o bindings/proto_component_type.o -o "$objects/core.wasm"
"${MICA:-mica}" driver componentize "$objects/core.wasm" -o my-driver.wasm
"${MICA:-mica}" driver manifest add my-driver.wasm manifest.toml -o my-driver.wasm
