#!/bin/bash
# Runs a real dockerd on Mica, from the first import to the last prune, and looks at every step whether Docker got what
# it should have. Everything happens in a mount and process namespace of its own, so that nothing is left behind, not
# even if the script is killed.
#
# usage: run.sh [overlay|btrfs|vfs]
#
#   MICA      the binary                        target/release/mica, target/debug/mica or the one in PATH
#   ROOTFS    a root file system to import      target/demo/rootfs.tar if it is there, which `make demo` makes
#   WORK      where to work                     a new directory below /var/tmp
set -euo pipefail

driver=${1:-overlay}
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

find_mica() {
    for candidate in "${MICA:-}" "$top/target/release/mica" "$top/target/debug/mica" "$(command -v mica || true)"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
    fail "there is no mica binary: run \`make build\`, or name one with MICA"
}

# The outer half: checks, makes the namespaces, and clears away what lies outside of them.
if [ -z "${MICA_EXAMPLE_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || fail "dockerd and mica need root"
    case $driver in overlay | btrfs | vfs) ;; *) fail "choose overlay, btrfs or vfs, not \`$driver\`" ;; esac
    for program in docker dockerd busybox unshare "mkfs.$([ "$driver" = btrfs ] && echo btrfs || echo ext4)"; do
        command -v "$program" >/dev/null || fail "$program is missing; Debian has docker.io, busybox-static, e2fsprogs and btrfs-progs"
    done
    ! ldd "$(command -v busybox)" >/dev/null 2>&1 || fail "busybox needs libraries: install busybox-static"
    MICA=$(find_mica)
    made=
    if [ -z "${WORK:-}" ]; then
        WORK=$(mktemp -d /var/tmp/mica-docker.XXXXXX)
        made=$WORK
    fi
    # dockerd puts a key there, which the namespace keeps to itself.
    keys=
    [ -d /etc/docker ] || { mkdir /etc/docker && keys=/etc/docker; }
    export MICA WORK MICA_EXAMPLE_INSIDE=$$
    status=0
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$here/run.sh" "$driver" || status=$?
    # Control groups belong to no namespace here.
    for _ in 1 2 3; do
        find /sys/fs/cgroup -depth -type d -path "*/mica-example-$$*" -exec rmdir {} + 2>/dev/null || true
    done
    if [ "$status" != 0 ]; then
        tail -n 20 "$WORK"/*.log >&2 2>/dev/null || true
    fi
    [ -z "$keys" ] || rmdir "$keys"
    [ -z "$made" ] || rm -rf "$made"
    exit "$status"
fi

# A file system of the right kind, from a sparse file: it goes with the namespace.
disk=$WORK/disk
kind=ext4
[ "$driver" = btrfs ] && kind=btrfs
mkdir -p "$disk"
truncate -s 8G "$WORK/image"
"mkfs.$kind" -q "$WORK/image" 2>&1 >/dev/null | sed '/^$/d; /^NOTE/,$d' >&2
mount -o loop "$WORK/image" "$disk"
# The usual places below /run, but not this machine's own.
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs tmpfs /etc/docker
mkdir -p "$disk/tmp"

export DOCKER_HOST=unix:///run/docker.sock DOCKER_BUILDKIT=0 DOCKER_CONFIG=$WORK/client MICA_SOCKET=/run/mica/mica.sock
export TMPDIR=$disk/tmp
mica_pid= dockerd_pid=

say() { echo "== $*"; }

until_works() {
    local what=$1 tries=0
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] && kill -0 "$!" || fail "$what does not answer"
        sleep 0.1
    done
}

start_mica() {
    "$MICA" serve --config "$here/mica.toml" --root "$disk/mica" >>"$WORK/mica.log" 2>&1 &
    mica_pid=$!
    until_works mica "$MICA" status
}

start_dockerd() {
    dockerd --config-file "$here/daemon.json" --storage-opt "mica.driver=$driver" --data-root "$disk/docker" \
        --exec-root /run/docker --pidfile /run/docker.pid --host "$DOCKER_HOST" --bridge none --iptables=false \
        --cgroup-parent "/mica-example-$MICA_EXAMPLE_INSIDE" \
        >>"$WORK/dockerd.log" 2>&1 &
    dockerd_pid=$!
    until_works dockerd docker version
}

# kill_hard PID: as the kernel does when memory runs out.
kill_hard() {
    kill -KILL "$1"
    wait "$1" 2>/dev/null || true
}

# same WHAT EXPECTED FOUND
same() { [ "$2" = "$3" ] || fail "$1: expected \`$2\`, found \`$3\`"; }
# has WHAT TEXT LINE
has() { grep -qxF -- "$3" <<<"$2" || fail "$1: no line \`$3\` in: $2"; }

run() { docker run --network none "$@"; }

say "start Mica and dockerd with the driver $driver"
start_mica
start_dockerd
version=$(docker version --format '{{.Server.Version}}')
has "docker info" "$(docker info --format '{{.Driver}}')" mica
has "docker info" "$(docker info --format '{{range .DriverStatus}}{{index . 0}}={{index . 1}}{{println}}{{end}}')" "Mica Driver=$driver"

say "import busybox and a root file system"
mkdir -p "$WORK/busybox/bin" "$WORK/busybox/tmp"
cp "$(command -v busybox)" "$WORK/busybox/bin/busybox"
for applet in sh cat ls mkdir rm echo touch sleep chmod test mknod ln stat; do
    ln -s busybox "$WORK/busybox/bin/$applet"
done
tar -C "$WORK/busybox" -c . | docker import --change 'CMD ["/bin/sh"]' - example/busybox >/dev/null
same "a program in an imported image" hello "$(run --rm example/busybox echo hello)"
rootfs=${ROOTFS:-$top/target/demo/rootfs.tar}
image=example/busybox
if [ -s "$rootfs" ]; then
    image=example/rootfs
    docker import "$rootfs" "$image" >/dev/null
    same "the root file system's release" "$(tar -xOf "$rootfs" ./etc/debian_version)" "$(run --rm "$image" cat /etc/debian_version)"
fi

say "run, change, compare, commit"
run --name work "$image" /bin/sh -c 'mkdir -p /a/b && echo new >/a/b/new && ln /a/b/new /a/link && rm /bin/ls && chmod 700 /tmp && ln -s nowhere /a/sym'
changes=$(docker diff work)
for line in "A /a" "A /a/b" "A /a/b/new" "A /a/link" "A /a/sym" "C /tmp"; do has "docker diff" "$changes" "$line"; done
grep -q '^D .*/bin/ls$' <<<"$changes" || fail "docker diff does not tell that ls is gone: $changes"
docker commit work example/committed >/dev/null
same "a committed file" new "$(run --rm example/committed cat /a/link)"
run --rm example/committed /bin/sh -c 'test ! -e /bin/ls && test "$(stat -c %h /a/link)" = 2 && test -L /a/sym' || fail "the committed image is another"

say "copy in and out, export"
echo copied >"$WORK/in"
docker cp "$WORK/in" work:/a/in
docker cp work:/a/in "$WORK/out"
same "docker cp" copied "$(cat "$WORK/out")"
same "docker export" copied "$(docker export work | tar -xO a/in)"
docker ps --all --size --format '{{.Names}} {{.Size}}' | grep -q '^work [1-9]' || fail "docker ps -s does not tell the size of \`work\`"

say "build, in one stage and in two, with whiteouts and opaque directories"
docker build --quiet -t example/single - >/dev/null 2>>"$WORK/client.log" <<'DOCKERFILE'
FROM example/busybox
RUN mkdir -p /keep/sub && echo 1 > /keep/sub/one && echo 2 > /keep/two
RUN rm -rf /keep/sub && mkdir /keep/sub && echo 3 > /keep/sub/three && rm /keep/two
DOCKERFILE
same "a directory made anew in a build" "three" "$(run --rm example/single ls /keep/sub)"
same "a file removed in a build" "sub" "$(run --rm example/single ls /keep)"
docker build --quiet -t example/stages "$here/stages" >/dev/null 2>>"$WORK/client.log"
same "a build in two stages" "stays new /made: old stays /made/old: other" "$(run --rm example/stages | xargs)"

say "save, remove, load, save: the same layers"
layers() { tar -C "$1" -x <"$1.tar" && (cd "$1" && find . -name layer.tar -type f -exec sha256sum {} + | cut -d' ' -f1 | sort); }
images="example/committed example/single example/stages"
docker rm work >/dev/null
ids=$(docker inspect --format '{{.Id}} {{json .RootFS.Layers}}' $images)
mkdir "$WORK/first" "$WORK/second"
docker save -o "$WORK/first.tar" $images
docker rmi $images >/dev/null
docker load -q -i "$WORK/first.tar" >/dev/null
same "images after save and load" "$ids" "$(docker inspect --format '{{.Id}} {{json .RootFS.Layers}}' $images)"
docker save -o "$WORK/second.tar" $images
same "archives of layers" "$(layers "$WORK/first")" "$(layers "$WORK/second")"
same "a loaded image" "stays new /made: old stays /made/old: other" "$(run --rm example/stages | xargs)"

say "bring an image to a store of Mica's own, and from there to Docker"
imported=$("$MICA" layer import "$WORK/first.tar" --image example/stages:latest)
same "layers that are imported again" "$imported" "$("$MICA" layer import "$WORK/first.tar" --image example/stages:latest 2>/dev/null)"
"$MICA" layer export "$imported" --name example/back:1 --config <(echo '{"config":{"Cmd":["/bin/ls","/made","/made/old"]}}') | docker load -q >/dev/null
same "an image that was away" "/made: old stays /made/old: other" "$(run --rm example/back:1 | xargs)"
same "its layers" "$("$MICA" layer ls -q | wc -l)" "$(docker inspect --format '{{len .RootFS.Layers}}' example/back:1)"
"$MICA" layer ls -q | xargs "$MICA" layer rm --recursive >/dev/null

say "six containers at once"
for number in 1 2 3 4 5 6; do
    run --name "six-$number" example/single /bin/sh -c "echo $number > /mine && cat /mine /keep/sub/three" >"$WORK/six-$number" &
    runs[number]=$!
done
for number in 1 2 3 4 5 6; do
    wait "${runs[number]}" || fail "container $number failed"
    same "container $number" "$number 3" "$(xargs <"$WORK/six-$number")"
done
docker rm six-1 six-2 six-3 six-4 six-5 six-6 >/dev/null

say "kill Mica while a container runs, start it again and go on"
run --detach --name lasting example/busybox /bin/sh -c 'echo before > /state && sleep 1000' >/dev/null
lasting=/proc/$(docker inspect --format '{{.State.Pid}}' lasting)/root
kill_hard "$mica_pid"
# dockerd cannot say much now, but the container goes on.
same "files of a container without Mica" before "$(cat "$lasting/state")"
echo between >>"$lasting/state"
start_mica
docker exec lasting /bin/sh -c 'echo after >> /state'
same "files of a container that outlived Mica" "before between after" "$(docker exec lasting cat /state | xargs)"
same "a new container after Mica's restart" hello "$(run --rm example/busybox echo hello)"
same "the changes since" "A /state" "$(docker diff lasting)"

say "kill dockerd while a container runs, start it again and go on"
kill_hard "$dockerd_pid"
rm -f /run/docker.pid
start_dockerd
docker start lasting >/dev/null
same "files of a container that outlived dockerd" "before" "$(docker exec lasting cat /state | xargs)"
same "images after dockerd's restart" "three" "$(run --rm example/single ls /keep/sub)"

say "remove everything"
docker rm --force lasting >/dev/null
docker system prune --all --force >/dev/null
docker image ls --all --quiet | xargs -r docker rmi --force >/dev/null
same "images that are left" "" "$(docker image ls --all --quiet)"
same "layers that are left" 0 "$("$MICA" --output json store inspect docker | grep -o '"layers": *[0-9]*' | grep -o '[0-9]*$')"
same "mounts that are left" 0 "$("$MICA" --output json store inspect docker | grep -o '"mounts": *[0-9]*' | grep -o '[0-9]*$')"
kill -TERM "$dockerd_pid" && wait "$dockerd_pid"
"$MICA" store rm docker >/dev/null
kill -TERM "$mica_pid" && wait "$mica_pid"
say "done: dockerd $version worked on Mica's $driver"
