#!/bin/sh
# An overlay mounted without CAP_DAC_READ_SEARCH gives two names of one file two inode numbers.
#
# Guess, written down before: CAP_DAC_OVERRIDE permits all that CAP_DAC_READ_SEARCH does, so a daemon that keeps the first and
# drops the second mounts the same overlays.
# Seen on Linux 6.18 with libcap2-bin 1:2.66-4+deb12u3+b1 (capsh): the mount works and nothing is logged. But overlayfs encodes no
# file handle of what it copies up (`ovl_can_decode_fh` asks for that capability alone), so `trusted.overlay.origin` is empty: a
# lower file that gets a hard link keeps its old inode number under the old name while the new name has the number of the
# upper file. tar, du and rsync, which tell links by number, then see two files.
#
# Needs root and a kernel with overlayfs. Fails when the behaviour changes.
set -eu

work=$(mktemp -d)
trap 'cd /; umount "$work"/*/merged 2>/dev/null || true; umount "$work" 2>/dev/null || true; rmdir "$work"' EXIT
mount -t tmpfs overlay-finding "$work"
cd "$work"
mkdir package
(cd package && apt-get -qq download libcap2-bin=1:2.66-4+deb12u3+b1 && dpkg -x libcap2-bin_*.deb .)
capsh=$work/package/sbin/capsh
[ -x "$capsh" ] || capsh=$work/package/usr/sbin/capsh

# Prints the inode numbers of both names after a lower file got a link.
numbers() {
    mkdir -p "$1/lower" "$1/upper" "$1/work" "$1/merged"
    echo content >"$1/lower/old"
    "$capsh" $2 -- -c "mount -t overlay overlay -o lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work $1/merged"
    stat -c %i "$1/merged/old" >/dev/null
    ln "$1/merged/old" "$1/merged/new"
    stat -c %i "$1/merged/old" "$1/merged/new" | tr '\n' ' '
}

# shellcheck disable=SC2046 # two numbers
set -- $(numbers "$work/with" "") $(numbers "$work/without" "--drop=cap_dac_read_search")
echo "with CAP_DAC_READ_SEARCH: $1 and $2; without: $3 and $4"
[ "$1" = "$2" ] || { echo "changed: with the capability the numbers differ"; exit 1; }
[ "$3" != "$4" ] || { echo "changed: without the capability the numbers are the same"; exit 1; }
