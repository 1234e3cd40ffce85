#!/bin/bash
# `skopeo copy --dest-compress-format zstd:chunked` writes layers that are not the ones that the image's config names.
#
# Guess, written down before: zstd:chunked is a compression, so the decompressed layer has the digest (diff id) that the config names,
# and what cannot be kept so is refused.
# Seen with skopeo 1.9.3 (Debian 12): an archive that is padded to GNU tar's record of 10,240 bytes comes out as 3,584, without the
# padding; with a sparse file in PAX's format the holes are written out. The config is copied as it is and `skopeo copy` succeeds, so the
# image's layers have another digest than their diff ids: whoever compares them (containerd, Mica) refuses the image. With gzip all is
# right. skopeo 1.22.0 keeps the padding, but still writes the holes out.
#
# Needs zstd and jq. Fails when the behaviour changes.
set -euo pipefail

work=$(mktemp -d /var/tmp/skopeo-finding.XXXXXX)
trap 'cd /; rm -rf "$work"' EXIT
cd "$work"
mkdir package
(cd package && apt-get -qq download skopeo=1.9.3+ds1-1+b10 libgpgme11 libassuan0 libdevmapper1.02.1 2>/dev/null &&
    for one in *.deb; do dpkg -x "$one" .; done)
export LD_LIBRARY_PATH=$work/package/lib/x86_64-linux-gnu:$work/package/usr/lib/x86_64-linux-gnu

# Keeps a file as a blob, and prints its descriptor.
blob() {
    local digest
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    cp "$1" "image/blobs/sha256/$digest"
    jq -n --arg type "$2" --arg digest "sha256:$digest" --argjson size "$(stat --format %s "$1")" \
        '{mediaType: $type, digest: $digest, size: $size}'
}

# Makes an image of one layer, copies it with a compression, and prints the bytes of the layer and whether it is the one that is named.
copied() {
    rm -rf image copy && mkdir -p image/blobs/sha256
    local oci=application/vnd.oci.image layer config
    layer=$(blob "$1" $oci.layer.v1.tar)
    jq -n --argjson layer "$layer" \
        '{architecture: "amd64", os: "linux", config: {}, rootfs: {type: "layers", diff_ids: [$layer.digest]}}' >config
    config=$(blob config $oci.config.v1+json)
    jq -n --argjson config "$config" --argjson layer "$layer" '{schemaVersion: 2, config: $config, layers: [$layer]}' >manifest
    jq -n --argjson manifest "$(blob manifest $oci.manifest.v1+json)" '{schemaVersion: 2, manifests: [$manifest]}' >image/index.json
    echo '{"imageLayoutVersion": "1.0.0"}' >image/oci-layout
    package/usr/bin/skopeo --insecure-policy copy --quiet --dest-compress --dest-compress-format "$2" oci:image dir:copy
    jq -r '.layers[0].digest' copy/manifest.json | sed 's/sha256://' >name
    case $2 in
        gzip) gzip -dc "copy/$(cat name)" >found ;;
        *) zstd -qdc "copy/$(cat name)" >found ;;
    esac
    local named=another
    [ "sha256:$(sha256sum found | cut -d ' ' -f 1)" = "$(jq -r '.rootfs.diff_ids[0]' config)" ] && named=same
    echo "$(basename "$1") $2: $(stat --format %s "$1") bytes, then $(stat --format %s found), $named"
}

mkdir -p root/d
echo lower >root/d/foo
echo other >root/d/bar
tar -C root --format gnu -cf plain.tar d
truncate --size 8M root/file
printf middle | dd of=root/file bs=1 seek=4M conv=notrunc status=none
printf end | dd of=root/file bs=1 seek=8388605 conv=notrunc status=none
tar -C root --sparse --format posix -cf sparse.tar file
for archive in plain.tar sparse.tar; do
    for compression in gzip zstd:chunked; do
        copied $archive $compression
    done
done >seen
cat seen
cat >expected <<'EXPECTED'
plain.tar gzip: 10240 bytes, then 10240, same
plain.tar zstd:chunked: 10240 bytes, then 3584, another
sparse.tar gzip: 20480 bytes, then 20480, same
sparse.tar zstd:chunked: 20480 bytes, then 8391168, another
EXPECTED
cmp seen expected || { echo "changed"; exit 1; }
