#!/bin/sh
# A layer that has a file and, behind it, a whiteout of the same name: one storage driver refuses it, the other loses the file.
#
# Guess, written down before: OCI's image specification says that a whiteout hides only what lies in the layers below, so every
# driver keeps the layer's own file, whatever the order of the two.
# Seen with containers-storage 1.43.0 (Debian 12): with the whiteout first both drivers keep the file. Behind the file the driver
# overlay fails, because it makes the whiteout with mknod where the file already is ("file exists"), and vfs removes the layer's own
# file and says nothing. The same archive is refused by containerd 1.6.20 and 2.1.9 with overlayfs ("failed to convert whiteout
# file") and by dockerd 20.10.24 with overlay2; dockerd's vfs loses the file. umoci 0.4.7 keeps it.
#
# Needs root. Fails when the behaviour changes.
set -eu

work=$(mktemp -d /var/tmp/whiteout-finding.XXXXXX)
trap 'cd /; umount "$work"/*/graph/overlay 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
cd "$work"
mkdir package
(cd package && apt-get -qq download containers-storage=1.43.0+ds1-8+b2 libdevmapper1.02.1 2>/dev/null &&
    for one in *.deb; do dpkg -x "$one" .; done)
export LD_LIBRARY_PATH="$work/package/lib/x86_64-linux-gnu"

mkdir -p base/d layer/d
echo lower >base/d/foo
echo upper >layer/d/foo
: >layer/d/.wh.foo
tar -C base -cf base.tar d
tar -C layer -cf first.tar d/.wh.foo d/foo
tar -C layer -cf behind.tar d/foo d/.wh.foo

# What is there of the file when a driver has applied an archive to a child of the base.
applied() {
    driver=$1 archive=$2
    storage() {
        "$work/package/usr/bin/containers-storage" --graph "$work/$driver-$archive/graph" --run "$work/$driver-$archive/run" \
            --storage-driver "$driver" "$@"
    }
    parent=$(storage create-layer | tail -n 1)
    storage apply-diff --file base.tar "$parent"
    child=$(storage create-layer "$parent" | tail -n 1)
    if ! storage apply-diff --file "$archive.tar" "$child" 2>"$driver-$archive.error"; then
        echo "refused: $(grep -o 'file exists' "$driver-$archive.error" | head -n 1)"
        return
    fi
    mounted=$(storage mount "$child")
    cat "$mounted/d/foo" 2>/dev/null || echo lost
    storage unmount "$child" >/dev/null
}

for driver in overlay vfs; do
    for archive in first behind; do
        echo "$driver, whiteout $archive: $(applied $driver $archive)"
    done
done >seen
cat seen
cat >expected <<'EXPECTED'
overlay, whiteout first: upper
overlay, whiteout behind: refused: file exists
vfs, whiteout first: upper
vfs, whiteout behind: lost
EXPECTED
cmp seen expected || { echo "changed"; exit 1; }
