#!/bin/sh
# Runs the whole suite, with nextest where it is there: one process, and so one mount namespace, for each test.
set -eu
if command -v cargo-nextest >/dev/null 2>&1; then
    cargo nextest run --workspace --profile "${MICA_TEST_PROFILE:-default}" "$@"
else
    cargo test --workspace --no-fail-fast "$@"
fi
