#!/bin/sh
# Stands between cargo and the compiler for the crates of this workspace (RUSTC_WORKSPACE_WRAPPER): compiles them for the
# fuzz targets, with counters that libFuzzer reads, optimised, and with every check of a debug build. The crates that they
# depend on come from the build that the tests use too. Counters are stable flags of the compiler; sanitizers are not, and
# there is next to no unsafe code.
#
# Build scripts and macros run at build time, where no libFuzzer is linked, so they are compiled as ever.
set -eu
for argument in "$@"; do
    case $argument in
    build_script_build | proc-macro | *wasm32*) exec "$@" ;;
    esac
done
exec "$@" --cfg fuzzing -Copt-level=1 -Cdebug-assertions=on -Coverflow-checks=on \
    -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
