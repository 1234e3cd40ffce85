#!/bin/sh
# Builds my-driver.wasm: QuickJS and driver.js become one component.
#
# COMPONENTIZE_QJS names a componentize-qjs that is installed; without it one is installed in node_modules beside this file.
# MICA names the program if it is not mica.
set -eu
cd "$(dirname "$0")"

version=0.4.5
if [ -z "${COMPONENTIZE_QJS:-}" ]; then
    COMPONENTIZE_QJS=node_modules/.bin/componentize-qjs
    [ -x "$COMPONENTIZE_QJS" ] || npm install --silent --no-save --no-package-lock "componentize-qjs@$version"
fi
# Without --sync it calls asynchronously, which this contract does not.
"$COMPONENTIZE_QJS" --sync --wit wit --world mica:driver/proto --js driver.js --output my-driver.wasm
"${MICA:-mica}" driver manifest add my-driver.wasm manifest.toml -o my-driver.wasm
