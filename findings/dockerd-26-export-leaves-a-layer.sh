#!/bin/bash
# dockerd 26.1.5 keeps the layer of a container that was exported, also after the container has been removed.
#
# Guess, written down before: the three layers that are left in Mica after dockerd 26.1.5 has removed everything are there because
# Mica's plugin failed a removal.
# Seen with dockerd 26.1.5 on its own overlay2: dockerd never asks for the removal. `docker export` takes a reference to the
# container's layer and gives it back only if it fails, so `docker rm` removes the container but not its layer, its `-init` layer and
# what is below. They stay in image/overlay2/layerdb/mounts, over restarts. `docker ps --size`, `inspect --size`, `cp`, `diff` and
# `commit` leave nothing. dockerd 20.10.24 leaves nothing. The bug is 48516 of moby, mended by 48517.
#
# usage: dockerd-26-export-leaves-a-layer.sh [DIRECTORY]    with an unpacked dockerd 26 (tests/setup/peers.sh: target/peers/docker-26)
#
# Needs root, and Debian's docker.io and busybox-static. Fails when the behaviour changes.
set -euo pipefail

if [ -z "${INSIDE:-}" ]; then
    peer=$(realpath "${1:-target/peers/docker-26}")
    work=$(mktemp -d /var/tmp/docker-finding.XXXXXX)
    made=
    [ -d /etc/docker ] || { mkdir /etc/docker && made=/etc/docker; }
    status=0
    INSIDE=yes WORK=$work PATH=$peer/usr/bin:$peer/usr/sbin:$PATH unshare --mount --propagation private --net --pid --fork \
        --kill-child --mount-proc "$0" || status=$?
    find /sys/fs/cgroup -depth -type d -path "*/${work##*/}*" -exec rmdir {} + 2>/dev/null || true
    [ -z "$made" ] || rmdir "$made"
    rm -rf --one-file-system "$work"
    exit "$status"
fi

truncate -s 1G "$WORK/image"
mkfs.ext4 -q "$WORK/image"
mkdir "$WORK/disk" && mount -o loop "$WORK/image" "$WORK/disk"
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs tmpfs /etc/docker
export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$WORK/client
dockerd --storage-driver overlay2 --data-root "$WORK/disk/docker" --exec-root /run/docker --pidfile /run/docker.pid \
    --host "$DOCKER_HOST" --bridge none --iptables=false --cgroup-parent "/${WORK##*/}" >"$WORK/log" 2>&1 &
until docker version >/dev/null 2>&1; do
    kill -0 $! || { tail "$WORK/log" >&2; exit 1; }
    sleep 0.1
done
version=$(docker version --format '{{.Server.Version}}')
case $version in
    26.1.5*) ;;
    *) echo "this is about dockerd 26.1.5, not $version: name a directory that has it" >&2 && exit 1 ;;
esac
mkdir -p "$WORK/root/bin"
cp "$(command -v busybox)" "$WORK/root/bin/busybox"
tar -C "$WORK/root" -c . | docker import - busybox >/dev/null

# Layers of containers that are left after a container has been used so and removed.
left_after() {
    docker run --network none --name one busybox /bin/busybox true
    "$@" >/dev/null
    docker rm one >/dev/null
    find "$WORK/disk/docker/image/overlay2/layerdb/mounts" -mindepth 1 -maxdepth 1 | wc -l
}
sizes=$(left_after docker ps --all --size)
exported=$(left_after docker export one)
echo "dockerd $version: $sizes layers of containers are left after \`ps --size\`, $exported after \`export\`"
[ "$sizes" = 0 ] || { echo "changed: \`docker ps --size\` leaves a layer"; exit 1; }
[ "$exported" = 1 ] || { echo "changed: \`docker export\` leaves no layer"; exit 1; }
