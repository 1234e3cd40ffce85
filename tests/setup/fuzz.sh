#!/bin/sh
# Runs the fuzz targets, each for some seconds, and fails when one finds something. What it finds lies in
# target/fuzz/artifacts; `cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none TARGET FILE` shows it again.
#
# usage: fuzz.sh SECONDS [TARGET ...]
set -eu

seconds=$1
shift
[ $# -gt 0 ] || set -- archive image index host_calls rest docker containerd

# cargo-fuzz is a cargo subcommand, and libFuzzer is compiled by a C++ compiler.
command -v cargo-fuzz >/dev/null 2>&1 || cargo install cargo-fuzz --locked --version 0.13.2 --quiet
# Coverage counters are stable flags of the compiler; sanitizers are not, and there is next to no unsafe code.
build="--fuzz-dir tests/fuzz --sanitizer none --target-dir target/fuzz"
# shellcheck disable=SC2086 # several words
cargo fuzz build $build
for name in "$@"; do
    echo "fuzz $name for $seconds s"
    corpus=target/fuzz/corpus/$name
    artifacts=target/fuzz/artifacts/$name
    mkdir -p "$corpus" "$artifacts"
    # shellcheck disable=SC2086
    cargo fuzz run $build "$name" "$corpus" "tests/fuzz/corpus/$name" -- -max_total_time="$seconds" \
        -artifact_prefix="$artifacts/" -timeout=60 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
done
