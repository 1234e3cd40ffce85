#!/bin/sh
# On btrfs a write into a file is not in the transaction that is committed after it, not even its time.
#
# Guess, written down before: once a transaction is committed (BTRFS_IOC_START_SYNC and BTRFS_IOC_WAIT_SYNC, which `btrfs
# subvolume delete --commit-after` calls), the file system's trees tell of every file that was written before by its inode item
# (transid, time), even if the content is not on the device yet. So a search by generation would need no more than that.
# Seen on Linux 6.18 with btrfs-progs 6.2-1+deb12u2: the inode item of a file that was appended to has its old size, old
# time and old transid after the commit; nothing tells that it was touched, while stat does. A new file beside it is there. The
# kernel updates the inode when the content has been written (`btrfs_write_check` leaves it to that), up to half a
# minute later, or by `btrfs filesystem sync`. Whoever asks btrfs what changed has to write the content out first.
#
# Needs root and a kernel with btrfs. Fails when the behaviour changes.
set -eu

work=$(mktemp -d)
trap 'cd /; umount "$work/fs" 2>/dev/null || true; umount "$work" 2>/dev/null || true; rmdir "$work"' EXIT
mount -t tmpfs btrfs-finding "$work"
cd "$work"
mkdir package fs
(cd package && apt-get -qq download btrfs-progs=6.2-1+deb12u2 && dpkg -x btrfs-progs_*.deb .)
btrfs=$work/package/bin/btrfs
[ -x "$btrfs" ] || btrfs=$work/package/usr/bin/btrfs
mkfs=$(dirname "$btrfs")/mkfs.btrfs
[ -x "$mkfs" ] || mkfs=$work/package/sbin/mkfs.btrfs

truncate -s 300M image
"$mkfs" -q image >/dev/null
mount -o loop,commit=300 image fs
"$btrfs" -q subvolume create fs/layer
echo old >fs/layer/file
"$btrfs" filesystem sync fs
inode=$(stat -c %i fs/layer/file)
id=$("$btrfs" inspect-internal rootid fs/layer)

# Prints transid and size of the file's inode item, of the tree as it is on the device.
item() {
    "$btrfs" inspect-internal dump-tree -t "$id" image |
        grep -A1 "key ($inode INODE_ITEM 0)" | sed -n 's/.*transid \([0-9]*\) size \([0-9]*\).*/\1 \2/p'
}

before=$(item)
"$btrfs" -q subvolume create fs/other
echo more >>fs/layer/file
echo new >fs/layer/beside
"$btrfs" -q subvolume delete --commit-after fs/other
committed=$(item)
beside=$("$btrfs" inspect-internal dump-tree -t "$id" image | grep -c 'name: beside' || true)
"$btrfs" filesystem sync fs
synced=$(item)
echo "transid and size before: $before; after the commit: $committed; after filesystem sync: $synced; stat: $(stat -c %s fs/layer/file)"
[ "$beside" != 0 ] || { echo "changed: the commit does not hold a new file"; exit 1; }
[ "$before" = "$committed" ] || { echo "changed: the commit holds the write"; exit 1; }
[ "$before" != "$synced" ] || { echo "changed: not even a sync of the file system holds the write"; exit 1; }
