#!/bin/sh
# Builds my-driver.wasm: CPython and driver.py become one component. Wants python3 with venv, and PyPI.
# COMPONENTIZE_PY names a componentize-py that is installed; without it one is installed in .venv. MICA names the program if it is not
# mica.
set -eu
cd "$(dirname "$0")"

version=0.25.0
if [ -z "${COMPONENTIZE_PY:-}" ]; then
    COMPONENTIZE_PY=.venv/bin/componentize-py
    if [ ! -x "$COMPONENTIZE_PY" ]; then
        python3 -m venv .venv
        .venv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: "componentize-py==$version"
    fi
fi
"$COMPONENTIZE_PY" --wit-path wit --world mica:driver/proto componentize driver --output my-driver.wasm
"${MICA:-mica}" driver manifest add my-driver.wasm manifest.toml -o my-driver.wasm
