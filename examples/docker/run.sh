#!/bin/bash
# Runs a real dockerd on Mica, from the first import to the last prune, and looks at every step whether Docker got what
# it should have. dockerd up to 27 takes Mica as its storage driver, by the plugin protocol; from 28 on it has its images
# in a containerd that has Mica as its snapshotter. Everything happens in mount, process and network namespaces of its
# own, so that nothing is left behind, not even if the script is killed.
#
# usage: run.sh [overlay|erofs|btrfs|vfs] [DIRECTORY ...]
#
# Each DIRECTORY holds unpacked packages (dpkg-deb --extract) of another dockerd or containerd, or of docker-registry;
# their programs come before the machine's own.
#
#   MICA      the binary                        target/release/mica, target/debug/mica or the one in PATH
#   ROOTFS    a root file system to import      target/demo/rootfs.tar if it is there, which `make demo` makes
#   THROUGH   plugin or containerd              plugin for a dockerd up to 27, which can do both from 25 on
#   WORK      where to work                     a new directory below /var/tmp
set -euo pipefail

driver=${1:-overlay}
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
peers=()
for directory in "${@:2}"; do
    directory=$(realpath "$directory")
    peers+=("$directory")
    PATH=$directory/usr/bin:$directory/usr/sbin:$PATH
done

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
    case $driver in overlay | erofs | btrfs | vfs) ;; *) fail "choose overlay, erofs, btrfs or vfs, not \`$driver\`" ;; esac
    for program in docker dockerd containerd busybox jq unshare "mkfs.$([ "$driver" = btrfs ] && echo btrfs || echo ext4)"; do
        command -v "$program" >/dev/null || fail "$program is missing; Debian has docker.io, containerd, busybox-static, jq, e2fsprogs and btrfs-progs"
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
    unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc \
        "$here/run.sh" "$driver" "${peers[@]}" || status=$?
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
mkdir -p "$disk/tmp" "$WORK/client"
# For a registry, on an address that nobody else sees.
busybox ip link set lo up

version=$(dockerd --version | sed 's/^Docker version \([0-9.]*\).*/\1/')
through=${THROUGH:-$([ "${version%%.*}" -ge 28 ] && echo containerd || echo plugin)}
export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$WORK/client MICA_SOCKET=/run/mica/mica.sock
export TMPDIR=$disk/tmp
# Where a client finds what builds with BuildKit.
plugins=()
for directory in "${peers[@]}"; do
    [ ! -d "$directory/usr/libexec/docker/cli-plugins" ] || plugins+=("$directory/usr/libexec/docker/cli-plugins")
done
jq -n '{cliPluginsExtraDirs: $ARGS.positional}' --args "${plugins[@]}" >"$WORK/client/config.json"
# The classic builder, unless there is no other way: for BuildKit clients want docker-buildx.
export DOCKER_BUILDKIT=$([ "$through" = containerd ] && echo 1 || echo 0)
mica_pid= containerd_pid= dockerd_pid=

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

# eventually WHAT COMMAND ...: what happens in the background, within a minute.
eventually() {
    local what=$1 tries=0
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || fail "$what"
        sleep 0.1
    done
}

# The configurations are those of the examples, with places of their own.
configure() {
    case $through in
    plugin)
        cp "$here/mica.toml" "$WORK/mica.toml"
        cp "$here/daemon.json" "$WORK/daemon.json"
        ;;
    containerd)
        local examples=$top/examples/containerd config without=()
        { echo "run_dir = \"/run/mica\"" && sed -n '/^\[containerd\]/,$p' "$examples/mica.toml" && echo "driver = \"$driver\""; } >"$WORK/mica.toml"
        cp "$examples/docker-29/daemon.json" "$WORK/daemon.json"
        case $(containerd --version) in
        *" 1.7."* | *" v1.7."*) config=$examples/containerd-1.7.toml ;;
        *) config=$examples/docker-29/containerd.toml ;;
        esac
        # `rebase` is for drivers that stack directories, `remap-ids` for those whose directories are no mounts of their own.
        case $driver in overlay) ;; erofs) without=(-e 's/"remap-ids", "rebase"//') ;; *) without=(-e 's/, "rebase"//') ;; esac
        sed "${without[@]}" -e "/^version/a root = \"$disk/containerd\"" "$config" >"$WORK/containerd.toml"
        # By itself it would make directories in /opt.
        printf '[plugins."io.containerd.internal.v1.opt"]\n  path = "%s"\n' "$disk/opt" >>"$WORK/containerd.toml"
        ;;
    *) fail "THROUGH is plugin or containerd, not \`$through\`" ;;
    esac
}

start_mica() {
    "$MICA" serve --config "$WORK/mica.toml" --root "$disk/mica" >>"$WORK/mica.log" 2>&1 &
    mica_pid=$!
    until_works mica "$MICA" status
}

start_containerd() {
    containerd --config "$WORK/containerd.toml" >>"$WORK/containerd.log" 2>&1 &
    containerd_pid=$!
    until_works containerd ctr version
}

start_dockerd() {
    local options=()
    [ "$through" = containerd ] || options=(--storage-opt "mica.driver=$driver")
    dockerd --config-file "$WORK/daemon.json" "${options[@]}" --data-root "$disk/docker" \
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

say "start Mica and dockerd $version, by $through, with the driver $driver"
configure
start_mica
[ "$through" = plugin ] || start_containerd
start_dockerd
has "docker info" "$(docker info --format '{{.Driver}}')" mica
status=$(docker info --format '{{range .DriverStatus}}{{index . 0}}={{index . 1}}{{println}}{{end}}')
case $through in
plugin) has "docker info" "$status" "Mica Driver=$driver" ;;
containerd) has "docker info" "$status" "driver-type=io.containerd.snapshotter.v1" ;;
esac

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
build() { docker build --quiet --network none "$@"; }
build -t example/single - >/dev/null 2>>"$WORK/client.log" <<'DOCKERFILE'
FROM example/busybox
RUN mkdir -p /keep/sub && echo 1 > /keep/sub/one && echo 2 > /keep/two
RUN rm -rf /keep/sub && mkdir /keep/sub && echo 3 > /keep/sub/three && rm /keep/two
DOCKERFILE
same "a directory made anew in a build" "three" "$(run --rm example/single ls /keep/sub)"
same "a file removed in a build" "sub" "$(run --rm example/single ls /keep)"
build -t example/stages "$here/stages" >/dev/null 2>>"$WORK/client.log"
same "a build in two stages" "stays new /made: old stays /made/old: other" "$(run --rm example/stages | xargs)"

say "save, remove, load, save: the same layers"
# Their digests, uncompressed, whatever the archive's form; at least one.
layers() {
    local layer
    mkdir "$1" && tar -C "$1" -x <"$1.tar"
    jq -r '.[].Layers[]' "$1/manifest.json" | sort -u | while read -r layer; do
        { gzip -dc "$1/$layer" 2>/dev/null || cat "$1/$layer"; } | sha256sum | cut -d' ' -f1
    done | sort | grep .
}
images="example/committed example/single example/stages"
docker rm work >/dev/null
ids=$(docker inspect --format '{{.Id}} {{json .RootFS.Layers}}' $images)
docker save -o "$WORK/first.tar" $images
docker rmi $images >/dev/null
docker load -q -i "$WORK/first.tar" >/dev/null
same "images after save and load" "$ids" "$(docker inspect --format '{{.Id}} {{json .RootFS.Layers}}' $images)"
docker save -o "$WORK/second.tar" $images
same "archives of layers" "$(layers "$WORK/first")" "$(layers "$WORK/second")"
same "a loaded image" "stays new /made: old stays /made/old: other" "$(run --rm example/stages | xargs)"

if command -v docker-registry >/dev/null; then
    say "push, remove, pull: the same image"
    cat >"$WORK/registry.yml" <<REGISTRY
version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: "$disk/registry" } }
http: { addr: "127.0.0.1:5000" }
REGISTRY
    docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 &
    until_works docker-registry busybox wget -q -O /dev/null http://127.0.0.1:5000/v2/
    pushed=127.0.0.1:5000/example/stages:1
    docker tag example/stages "$pushed"
    docker push --quiet "$pushed" >/dev/null
    rootfs_of() { docker inspect --format '{{json .RootFS.Layers}}' "$1"; }
    before=$(rootfs_of "$pushed")
    docker rmi "$pushed" example/stages >/dev/null
    docker pull --quiet "$pushed" >/dev/null
    same "layers after push and pull" "$before" "$(rootfs_of "$pushed")"
    same "an image that was pulled" "stays new /made: old stays /made/old: other" "$(run --rm "$pushed" | xargs)"
    docker tag "$pushed" example/stages
    docker rmi "$pushed" >/dev/null
else
    say "there is no docker-registry: push and pull are left out"
fi

say "bring an image to a store of Mica's own, and from there to Docker"
imported=$("$MICA" layer import "$WORK/first.tar" --image example/stages:latest)
same "layers that are imported again" "$imported" "$("$MICA" layer import "$WORK/first.tar" --image example/stages:latest 2>/dev/null)"
"$MICA" layer export "$imported" --name example/back:1 --config <(echo '{"config":{"Cmd":["/bin/ls","/made","/made/old"]}}') | docker load -q >/dev/null
same "an image that was away" "/made: old stays /made/old: other" "$(run --rm example/back:1 | xargs)"
same "its layers" "$("$MICA" layer ls -q | wc -l)" "$(docker inspect --format '{{len .RootFS.Layers}}' example/back:1)"
"$MICA" layer ls -q | xargs "$MICA" layer rm --recursive >/dev/null

if [ "$image" = example/rootfs ]; then
    say "build Mica's own image, and run it as a daemon with the rights that Kubernetes gives it"
    BASE=$image "$top/host/package/image.sh" "$MICA" example/mica >/dev/null 2>>"$WORK/client.log"
    rights=(--cap-drop ALL --read-only --security-opt seccomp=unconfined --security-opt no-new-privileges)
    # Nobody gives away what this environment does not have itself.
    here_are=,$(setpriv --dump | sed -n 's/^Capability bounding set: //p'),
    for right in $(sed -n 's/^ *- \([A-Z_]*\)  *# .*/\1/p' "$top/examples/containerd/kubernetes.yaml"); do
        case $here_are in *",${right,,},"*) rights+=(--cap-add "$right") ;; *) echo "there is no $right here" ;; esac
    done
    inner() { "$MICA" --socket /run/inner/mica.sock "$@"; }
    start_inner() { run --detach --name inner "${rights[@]}" -v "$disk/inner:/var/lib/mica" -v /run/inner:/run/mica example/mica >/dev/null; }
    mkdir "$disk/inner" /run/inner
    start_inner
    inner status --wait 60 >/dev/null
    # Owners, modes and devices of a whole root file system, and a mount.
    inner layer create base >/dev/null
    inner layer apply base "$rootfs" >/dev/null
    inner layer create child --parent base >/dev/null
    inner layer mount child >/dev/null
    inner layer umount child >/dev/null
    docker rm --force inner >/dev/null
    start_inner
    inner status --wait 60 >/dev/null
    same "layers after an upgrade of the container" "base child" "$(inner layer ls -q | sort | xargs)"
    docker rm --force inner >/dev/null
fi

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
# It ends when it is asked to, so that nobody waits for it.
run --detach --name lasting example/busybox /bin/sh -c 'trap "exit 0" TERM; echo before > /state; sleep 1000 & wait' >/dev/null
lasting=/proc/$(docker inspect --format '{{.State.Pid}}' lasting)/root
kill_hard "$mica_pid"
# dockerd cannot say much now, but the container goes on.
same "files of a container without Mica" before "$(cat "$lasting/state")"
echo between >>"$lasting/state"
start_mica
docker exec lasting /bin/sh -c 'echo after >> /state'
same "files of a container that outlived Mica" "before between after" "$(docker exec lasting cat /state | xargs)"
# containerd's client dials again only after a moment.
runs() { [ "$(run --rm example/busybox echo hello)" = hello ]; }
eventually "no new container after Mica's restart" runs
same "the changes since" "A /state" "$(docker diff lasting)"

if [ "$through" = containerd ]; then
    say "kill containerd while a container runs, start it again and go on"
    kill_hard "$containerd_pid"
    same "files of a container without containerd" "before between after" "$(xargs <"$lasting/state")"
    start_containerd
    eventually "no new container after containerd's restart" runs
fi

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
# BuildKit keeps what it knows of each build among containerd's blobs.
[ "$through" = plugin ] || docker buildx history rm --all >/dev/null
docker image ls --all --quiet | sort -u | xargs -r docker rmi --force >/dev/null
same "images that are left" "" "$(docker image ls --all --quiet)"
case $through in
plugin)
    # What dockerd itself still knows. dockerd 26 forgets to release the layer of a container that was exported, with every driver
    # (findings/dockerd-26-export-leaves-a-layer.sh); the others know of nothing.
    known() { (cd "$disk/docker/image/mica/layerdb" && find . -regex ".*/\($1\)" -exec sh -c 'cat "$1" && echo' - {} \; | sort); }
    left=$(known 'cache-id\|init-id\|mount-id')
    case $version in 26.*) echo "dockerd $version has not released: "$left ;; *) same "layers that dockerd has not released" "" "$left" ;; esac
    same "layers that are left" "$left" "$("$MICA" --store docker layer ls -q | sort)"
    same "mounts that are left" "$(known mount-id | wc -l)" "$("$MICA" --output json store inspect docker | jq .mounts)"
    ;;
containerd)
    nothing() { [ -z "$(find "$@" 2>/dev/null)" ]; }
    snapshots() { "$MICA" --output json snapshot ls --store containerd | jq '.snapshots | length'; }
    none() { [ "$(snapshots)" = 0 ]; }
    eventually "snapshots are left" none
    for place in layers staging trash l; do
        eventually "files are left in $place" nothing "$disk/mica/stores/containerd/$place" -mindepth 1
    done
    eventually "blobs are left" nothing "$disk/containerd/io.containerd.content.v1.content/blobs" -type f
    ;;
esac
kill -TERM "$dockerd_pid" && wait "$dockerd_pid"
if [ "$through" = plugin ]; then
    [ -n "$left" ] || "$MICA" store rm docker >/dev/null
else
    kill -TERM "$containerd_pid" && wait "$containerd_pid"
fi
kill -TERM "$mica_pid" && wait "$mica_pid"
say "done: dockerd $version worked on Mica's $driver by $through"
