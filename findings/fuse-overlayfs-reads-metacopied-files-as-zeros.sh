#!/bin/sh
# Over an upper directory that the kernel's overlay wrote, fuse-overlayfs shows zeros for content and an empty directory for a full one.
#
# Guess, written down before: fuse-overlayfs writes the kernel's format as root (whiteouts, `trusted.overlay.opaque`), so it reads
# `metacopy` and `redirect` too, or refuses a layer that has them.
# Seen with fuse-overlayfs 1.10 (Debian 12) and 1.14 on Linux 6.18: a file whose mode was changed with `metacopy=on` has its size and
# that many zeros; a directory that was renamed with `redirect_dir=on` is empty. Both calls succeed. The kernel's own overlay shows
# both, so a store whose layers were made with these options cannot be handed to fuse-overlayfs.
#
# Needs root and /dev/fuse. Fails when the behaviour changes.
set -eu

work=$(mktemp -d /var/tmp/fuse-finding.XXXXXX)
trap 'cd /; umount "$work/disk/merged" 2>/dev/null || true; umount "$work/disk" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
cd "$work"
mkdir package disk
(cd package && apt-get -qq download fuse-overlayfs=1.10-1 libfuse3-3 2>/dev/null && for one in *.deb; do dpkg -x "$one" .; done)
export LD_LIBRARY_PATH="$work/package/lib/x86_64-linux-gnu:$work/package/usr/lib/x86_64-linux-gnu"
mount -t tmpfs fuse-finding disk
cd disk
mkdir -p lower/directory upper work merged
echo content >lower/file
echo deep >lower/directory/inner

mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,metacopy=on,redirect_dir=on merged
chmod 600 merged/file
mv merged/directory merged/renamed
kernel="$(cat merged/file) $(cat merged/renamed/inner)"
umount merged

rm -rf work && mkdir work
"$work/package/usr/bin/fuse-overlayfs" -o lowerdir=lower,upperdir=upper,workdir=work merged 2>/dev/null
size=$(stat --format %s merged/file)
zeros=$(tr -d '\0' <merged/file | wc -c)
entries=$(find merged/renamed -mindepth 1 | wc -l)
umount merged

echo "the kernel: $kernel; fuse-overlayfs: $size bytes of which $zeros are not zero, $entries entries in the renamed directory"
[ "$kernel" = "content deep" ] || { echo "changed: the kernel's own view"; exit 1; }
[ "$size $zeros $entries" = "8 0 0" ] || { echo "changed"; exit 1; }
