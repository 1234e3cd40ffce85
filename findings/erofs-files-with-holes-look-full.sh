#!/bin/sh
# GNU tar and cp write out the holes of files that lie in EROFS, though EROFS says where they are.
#
# Guess, written down before: EROFS answers SEEK_HOLE and SEEK_DATA for files in chunks, so `tar --sparse` and `cp` keep the holes, as they do
# on ext4, and a tree that is copied out of an image takes the room that it took before.
# Seen with erofs-utils 1.8.6 (Debian 13), GNU tar 1.34 and coreutils 9.1 on Linux 6.18: SEEK_DATA finds the one block of a file of 16 MiB, but
# the kernel's st_blocks counts the holes too (32,768 blocks of 512 bytes; ext4: 8). Both tools look there first, take the file for one
# without holes and write 16 MiB; du tells 16 MiB. The image itself takes 28 KiB. `cp --sparse=always` makes the holes again, because it looks
# at the bytes; tar has no such switch. Whoever packs a tree out of EROFS has to ask for holes whatever st_blocks says.
#
# Needs root, a kernel with EROFS, and a mirror of Debian 13 that apt is configured with. Fails when the behaviour changes.
set -eu

work=$(mktemp -d /var/tmp/erofs-finding.XXXXXX)
trap 'cd /; umount "$work/image" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
cd "$work"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
    grep -v security | head -n 1)
mkdir -p apt/lists/partial apt/cache/archives/partial package tree image
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >apt/sources.list
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root "$@"
}
apt update
# The program with the libraries of its suite, because Debian 12's are older.
(cd package && apt download erofs-utils=1.8.6-1 libc6 libselinux1 libuuid1 liblz4-1 liblzma5 zlib1g libdeflate0 libzstd1 libxxhash0 libpcre2-8-0 &&
    for one in *.deb; do dpkg -x "$one" .; done)
libraries=$work/package/usr/lib/x86_64-linux-gnu

truncate --size 16M tree/sparse
printf x | dd of=tree/sparse bs=1 seek=8000000 conv=notrunc status=none
"$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" package/usr/bin/mkfs.erofs --quiet --chunksize=4096 files.erofs tree
mount -t erofs -o loop,ro files.erofs image

data=$(python3 -c 'import os; f = os.open("image/sparse", os.O_RDONLY); print(os.lseek(f, 0, os.SEEK_HOLE), os.lseek(f, 0, os.SEEK_DATA))')
blocks=$(stat --format %b image/sparse)
tar --sparse -cf before.tar -C tree sparse
tar --sparse -cf after.tar -C image sparse
cp tree/sparse before && cp image/sparse after && cp --sparse=always image/sparse always
tars="$(($(stat --format %s before.tar) / 1048576)) $(($(stat --format %s after.tar) / 1048576))"
copies="$(($(stat --format %b before) / 2048)) $(($(stat --format %b after) / 2048)) $(($(stat --format %b always) / 2048))"
image=$(stat --format %s files.erofs)

echo "image $image bytes; hole and data at $data; st_blocks $blocks; MiB of tar before and after: $tars; of copies before, after, always: $copies"
[ "$image" -lt 65536 ] && [ "$data" = "0 7999488" ] || { echo "changed: the image or what SEEK_HOLE tells"; exit 1; }
[ "$blocks" = 32768 ] && [ "$tars" = "0 16" ] && [ "$copies" = "0 16 0" ] || { echo "changed"; exit 1; }
