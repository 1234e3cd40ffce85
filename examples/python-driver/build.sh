#!/bin/sh
# Builds the driver: CPython and driver.py become one component.
#
# usage: build.sh [OUTPUT.wasm]    driver.wasm beside this file unless it is named
# COMPONENTIZE_PY names a componentize-py that is installed; without it one is installed in .venv beside this file.
set -eu

output=${1:-driver.wasm}
case $output in /*) ;; *) [ $# = 0 ] || output=$PWD/$output ;; esac
cd "$(dirname "$0")"

version=0.25.0
if [ -z "${COMPONENTIZE_PY:-}" ]; then
    COMPONENTIZE_PY=.venv/bin/componentize-py
    if [ ! -x "$COMPONENTIZE_PY" ]; then
        python3 -m venv .venv
        .venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: "componentize-py==$version"
    fi
fi
"$COMPONENTIZE_PY" --wit-path ../../wit --world mica:driver/proto componentize driver --output "$output"
