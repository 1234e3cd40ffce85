#!/bin/sh
# Runs the fuzz targets, each for some seconds and two at a time, and fails when one finds something. The input that did it
# lies in target/fuzz/artifacts, and `target/debug/fuzz-TARGET FILE` shows it again.
#
# usage: fuzz.sh SECONDS [TARGET ...]
set -eu

seconds=$1
shift
[ $# -gt 0 ] || set -- archive image index host_calls rest docker containerd authority

bins=
for name in "$@"; do bins="$bins --bin fuzz-$name"; done
# shellcheck disable=SC2086 # several words
RUSTC_WORKSPACE_WRAPPER="$PWD/tests/setup/instrument.sh" \
    cargo build --workspace --features mica-fuzz/libfuzzer $bins

fuzz() {
    corpus=target/fuzz/corpus/$1
    artifacts=target/fuzz/artifacts/$1
    mkdir -p "$corpus" "$artifacts"
    if "target/debug/fuzz-$1" "$corpus" "tests/fuzz/corpus/$1" -max_total_time="$seconds" \
        -artifact_prefix="$artifacts/" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 >"target/fuzz/$1.log" 2>&1; then
        echo "fuzz $1: $(sed -n 's/^stat::number_of_executed_units: *//p' "target/fuzz/$1.log") inputs, nothing found"
    else
        tail -n 40 "target/fuzz/$1.log"
        echo "fuzz $1: found something, see above and $artifacts"
        return 1
    fi
}

mkdir -p target/fuzz
failed=0
while [ $# -gt 0 ]; do
    fuzz "$1" &
    first=$!
    shift
    if [ $# -gt 0 ]; then
        fuzz "$1" || failed=1
        shift
    fi
    wait "$first" || failed=1
done
exit "$failed"
