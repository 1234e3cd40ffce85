#!/bin/sh
# Makes the root file system that the demo and the benchmarks work on: a Debian minbase tree, as a tar archive.
# Without a network, or without root, there is none, and the demo takes this machine's own /usr and /etc.
#
# usage: rootfs.sh ARCHIVE
set -eu

archive=$1
[ -s "$archive" ] && exit 0
mkdir -p "$(dirname "$archive")"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/mica-rootfs.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

# The mirror and the release that this machine installs from.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 2>/dev/null | sed -n "s/^$codename //p" | head -n 1)

echo "make a Debian $codename minbase tree (once; about a minute)"
# shellcheck disable=SC2086 # no mirror is no argument
if debootstrap --variant=minbase "$codename" "$work/tree" $mirror >"$work/log" 2>&1; then
    tar -C "$work/tree" --create --format=posix --xattrs --numeric-owner --one-file-system --sort=name \
        --file "$archive.new" .
    mv "$archive.new" "$archive"
else
    echo "debootstrap did not work; the demo will use this machine's own /usr and /etc:" >&2
    tail -n 3 "$work/log" >&2
fi
