#!/bin/bash
# A real containerd with Mica as its snapshotter, and from 1.7.4 on as its differ: two images, containers, restarts of both
# daemons, and nothing left.
#
# usage: run.sh [overlay|erofs|btrfs|vfs] [DIRECTORY ...]
#
# Each DIRECTORY holds an unpacked package (dpkg-deb --extract) of another containerd, or of docker-registry; without it the
# machine's own runs. Without a registry nothing is pushed and pulled.
#
# Needs root, and containerd, ctr, runc, busybox (static), setcap, getfattr, jq; for btrfs also mkfs.btrfs. The program
# is $MICA, or `mica` of target/ or of the path. Everything happens in mount and process namespaces of their own and in
# one temporary directory: whatever ends this script ends it all.
set -euo pipefail

driver=${1:-overlay}
for directory in "${@:2}"; do PATH=$(realpath "$directory")/usr/bin:$PATH; done
here=$(cd "$(dirname "$0")" && pwd)

if [[ ${MICA_EXAMPLE_INSIDE-} != yes ]]; then
    [[ $(id -u) == 0 ]] || { echo "this mounts and runs containers: start it as root" >&2; exit 1; }
    for program in containerd ctr runc busybox setcap getfattr jq unshare; do
        command -v "$program" >/dev/null || { echo "$program is needed" >&2; exit 1; }
    done
    if [[ -z ${MICA-} ]]; then
        for MICA in "$here"/../../target/release/mica "$here"/../../target/debug/mica $(command -v mica || true); do
            [[ -x $MICA ]] && break
        done
    fi
    [[ -x ${MICA-} ]] || { echo "mica is needed: cargo build --release, or set MICA" >&2; exit 1; }
    MICA=$(realpath "$MICA")
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/mica-containerd.XXXXXX")
    export MICA MICA_EXAMPLE_INSIDE=yes MICA_EXAMPLE_WORK=$work
    status=0
    unshare --mount --propagation private --net --pid --fork --kill-child --mount-proc "$0" "$driver" || status=$?
    # What was mounted in there has ended with it; a loop device goes with its last mount.
    find /sys/fs/cgroup -depth -type d -path "*/${work##*/}*" -exec rmdir {} + 2>/dev/null || true
    rm -rf --one-file-system "$work"
    exit "$status"
fi

work=$MICA_EXAMPLE_WORK
cd "$work"
step() { printf '\n== %s\n' "$*"; }
fail() {
    echo "FAILED: $*" >&2
    tail -n 20 ctr.log mica.log containerd.log >&2 2>/dev/null || true
    exit 1
}
same() { [[ $1 == "$2" ]] || fail "$3: \`$1\` is not \`$2\`"; }
eventually() { # a command that becomes true within 20 s
    for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    fail "$*"
}

# containerd's shims keep sockets below /run, whatever its configuration says: this one is ours alone.
mount -t tmpfs tmpfs /run
# For a registry, on an address that nobody else sees.
busybox ip link set lo up
mkdir -p fs
if [[ $driver == btrfs ]]; then
    truncate -s 2G disk
    mkfs.btrfs -q disk
    mount -o loop disk fs
fi
cat >mica.toml <<END
root = "$work/fs/mica"
run_dir = "/run/mica"
[containerd]
socket = "/run/mica/containerd.sock"
driver = "$driver"
address = "/run/containerd-example/containerd.sock"
END
version=$(containerd --version | grep -o ' v\?[0-9]\+\.[0-9]\+\.[0-9]\+' | tr -d ' v' | head -n 1)
case $version in
    1.6.*) example=containerd-1.6.toml cni=grpc.v1.cri differ=no ;;
    1.7.[0-3]) example=containerd-1.7.toml cni=grpc.v1.cri differ=no ;;
    1.7.*) example=containerd-1.7.toml cni=grpc.v1.cri differ=yes ;;
    2.*) example=containerd-2.toml cni=cri.v1.runtime differ=listed ;;
    *) fail "this example knows containerd 1.6, 1.7 and 2.x, not $version" ;;
esac
# `rebase` is for drivers that stack directories, `remap-ids` for those whose directories are no mounts of their own.
sed_capabilities=()
case $driver in
    overlay) ;;
    erofs) sed_capabilities=(-e 's/"remap-ids", "rebase"//') ;;
    *) sed_capabilities=(-e 's/, "rebase"//') ;;
esac
# The second would make directories in /opt, the third in /etc.
{
    sed "${sed_capabilities[@]}" -e '/^root = /d' -e '/^state = /d' -e '/^\[grpc\]/,/^$/d' \
        -e "/^version/a root = \"$work/containerd\"\nstate = \"/run/containerd-example\"" "$here/$example"
    cat <<END
[grpc]
  address = "/run/containerd-example/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$work/opt"
[plugins."io.containerd.$cni".cni]
  bin_dir = "$work/cni"
  conf_dir = "$work/cni"
END
    # The example leaves this list to its reader.
    if [[ $differ == listed ]]; then
        printf '[plugins."io.containerd.service.v1.diff-service"]\n  default = ["mica-diff", "walking"]\n'
    fi
} >containerd.toml

ctr() { command ctr --address /run/containerd-example/containerd.sock "$@"; }
mica() { "$MICA" --socket /run/mica/mica.sock "$@"; }
start_mica() {
    "$MICA" serve --config mica.toml >>mica.log 2>&1 &
    mica_pid=$!
    for _ in $(seq 900); do
        [[ -S /run/mica/containerd.sock ]] && mica status >/dev/null 2>&1 && return
        kill -0 "$mica_pid" 2>/dev/null || fail "mica does not start"
        sleep 0.1
    done
    fail "mica does not answer"
}
start_containerd() {
    containerd --config containerd.toml >>containerd.log 2>&1 &
    containerd_pid=$!
    eventually ctr version
}
stop() { kill -"$1" "$2" && { wait "$2" || true; } 2>/dev/null; }
run=(run --snapshotter mica)
cgroup() { echo "/${work##*/}-$1"; }

# --- images: layers are trees with the marks of the image format, archived so that they are the same in each run.
# image NAME TREE...
image() {
    local name=$1 layers=() digests=() tree digest
    shift
    rm -rf archive && mkdir archive
    for tree in "$@"; do
        tar -C "$tree" --create --file archive/layer --format=posix --sort=name --numeric-owner --mtime=@1000000000 \
            --pax-option=exthdr.name=%d/%f.pax,delete=atime,delete=ctime --xattrs \
            --xattrs-include=security.capability .
        digest=$(sha256sum archive/layer | cut -d' ' -f1)
        mv archive/layer "archive/$digest.tar"
        layers+=("$digest.tar")
        digests+=("sha256:$digest")
    done
    jq -n '{architecture: $arch, os: "linux", config: {Cmd: ["/bin/sh"], Env: ["PATH=/bin"]},
            rootfs: {type: "layers", diff_ids: $ARGS.positional}}' \
        --arg arch "$(dpkg --print-architecture 2>/dev/null || echo amd64)" --args "${digests[@]}" >archive/config.json
    jq -n '[{Config: "config.json", RepoTags: [$name], Layers: $ARGS.positional}]' \
        --arg name "docker.io/example/$name:latest" --args "${layers[@]}" >archive/manifest.json
    tar -C archive --create --file "$name.tar" .
    printf '%s\n' "${digests[@]}" >"$name.layers"
}
base() { # a root file system of busybox
    mkdir -p "$1"/{bin,etc,proc,sys,dev,tmp,root}
    chmod 1777 "$1/tmp"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for applet in sh ls cat echo sleep stat rm mkdir touch test true id; do ln -s busybox "$1/bin/$applet"; done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
}
build_images() {
    umask 022
    base one
    image busybox one

    base a
    mkdir a/opaque a/kept && echo old >a/opaque/old && echo kept >a/kept/file && echo gone >a/gone
    echo linked >a/link-1 && ln a/link-1 a/link-2 && ln a/link-1 a/link-3
    echo program >a/setuid && chmod 4755 a/setuid
    echo program >a/capable && chmod 755 a/capable && setcap cap_net_raw+ep a/capable
    mkfifo -m 600 a/fifo && mknod -m 640 a/device c 1 3 && chown 12:34 a/kept/file
    mkdir -p b/opaque && touch b/.wh.gone b/opaque/.wh..wh..opq && echo new >b/opaque/new && echo second >b/second
    mkdir -p c/kept && touch c/.wh.link-2 && echo third >c/kept/third && chmod 700 c/kept
    image three a b c
}

step "build two images"
build_images

step "start mica with a store of driver $driver, and containerd"
start_mica
start_containerd
# Not `grep -q`: it ends at the first match, and whoever still writes to it fails.
ctr plugins ls | grep 'io.containerd.snapshotter.v1 *mica .*ok' >/dev/null || fail "containerd does not use mica"

step "import, and import again"
for name in busybox three; do
    ctr images import --snapshotter mica --base-name "docker.io/example/$name" "$name.tar"
    ctr images import --snapshotter mica --base-name "docker.io/example/$name" "$name.tar" >/dev/null
done
same "$(mica snapshot ls --output json --store containerd | jq '.snapshots | length')" 4 "snapshots after the imports"
if [[ $differ != no ]]; then
    same "$(grep -c 'unpacked a layer' mica.log)" 4 "layers that mica's driver has unpacked"
else
    echo "containerd $version knows no proxy differ, it has unpacked the layers by itself: that needs 1.7.4 or later"
fi

step "the files of the three layers are as the image says"
mkdir mounted
ctr images mount --snapshotter mica docker.io/example/three:latest mounted >/dev/null
same "$(cd mounted && ls | tr '\n' ' ')" \
    "bin capable dev device etc fifo kept link-1 link-3 opaque proc root second setuid sys tmp " "names"
same "$(ls mounted/opaque)" new "an opaque directory"
same "$(stat -c %h%i mounted/link-1)" "$(stat -c %h%i mounted/link-3)" "hard links"
same "$(stat -c %a mounted/setuid) $(stat -c %F mounted/fifo) $(stat -c '%F %t:%T' mounted/device)" \
    "4755 fifo character special file 1:3" "modes and nodes"
same "$(stat -c %u:%g mounted/kept/file) $(stat -c %a mounted/kept) $(stat -c %a mounted)" "12:34 700 755" "owners"
getfattr --absolute-names -n security.capability mounted/capable >/dev/null || fail "the file capability is lost"
ctr images unmount --rm --snapshotter mica mounted >/dev/null

step "the differences of the committed layers"
for key in $(ctr snapshots --snapshotter mica ls | awk '$NF == "Committed" { print $1 }'); do
    ctr snapshots --snapshotter mica diff "$key" | gzip -dc >diff.tar
    tar -tf diff.tar >/dev/null || fail "the difference of $key"
    echo "sha256:$(sha256sum diff.tar | cut -d' ' -f1)"
done | sort >differences
same "$(wc -l <differences)" 4 "differences"
if [[ $differ != no && $driver == erofs ]]; then
    same "$(cat differences)" "$(cat busybox.layers three.layers | sort)" "layers that are kept as their archives"
    same "$(grep -c 'wrote the archive of a layer' mica.log)" 4 "archives that mica has written"
fi

if command -v docker-registry >/dev/null; then
    step "push, remove, pull: the same image"
    cat >registry.yml <<END
version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: "$work/registry" } }
http: { addr: "127.0.0.1:5000" }
END
    docker-registry serve registry.yml >registry.log 2>&1 &
    eventually busybox wget -q -O /dev/null http://127.0.0.1:5000/v2/
    pushed=127.0.0.1:5000/example/three:1
    ctr images tag docker.io/example/three:latest "$pushed" >/dev/null
    ctr images push --plain-http "$pushed" >/dev/null
    ctr images rm --sync "$pushed" docker.io/example/three:latest >/dev/null
    before=$(grep -c 'unpacked a layer' mica.log || true)
    ctr images pull --plain-http --snapshotter mica "$pushed" >/dev/null
    [[ $differ == no ]] || same "$(($(grep -c 'unpacked a layer' mica.log) - before))" 3 "layers that mica's driver has unpacked"
    same "$(ctr "${run[@]}" --rm --cgroup "$(cgroup pulled)" "$pushed" pulled /bin/sh -c \
        'cat /opaque/new /kept/third && test ! -e /gone' | tr '\n' ' ')" "new third " "a container of what was pulled"
    ctr images tag "$pushed" docker.io/example/three:latest >/dev/null
    ctr images rm --sync "$pushed" >/dev/null
else
    echo "there is no docker-registry: push and pull are left out"
fi

step "run a container that ends, and one that stays"
same "$(ctr "${run[@]}" --rm --cgroup "$(cgroup 1)" docker.io/example/three:latest once /bin/sh -c \
    'echo ok >/new && cat /new /opaque/new /kept/third && test ! -e /gone' | tr '\n' ' ')" "ok new third " "a container"
ctr "${run[@]}" --rm --read-only --cgroup "$(cgroup 2)" docker.io/example/three:latest fixed /bin/sh -c \
    'echo x >/new' 2>/dev/null && fail "a read-only container wrote"
ctr "${run[@]}" --detach --cgroup "$(cgroup 3)" docker.io/example/three:latest stays /bin/sleep 3600
in_container() { ctr tasks exec --exec-id "x$RANDOM$RANDOM" stays /bin/sh -c "$1"; }
in_container 'echo written >/written && rm /second && mkdir /made'
same "$(in_container 'cat /written')" written "exec"

step "what it takes, how it is mounted, what it changed"
mica snapshot ls --store containerd
ctr snapshots --snapshotter mica usage
key=$(mica snapshot ls --output json --store containerd | jq -r '.snapshots[].key | select(endswith("/stays"))')
mica snapshot usage --store containerd "$key"
ctr snapshots --snapshotter mica mounts /target stays
ctr snapshots --snapshotter mica diff stays >diff.tar.gz
same "$(tar -tzf diff.tar.gz | grep -v -e '^proc' -e '^sys' -e '^dev' -e '^etc' -e '^run' | LC_ALL=C sort | tr '\n' ' ')" \
    ".wh.second made/ written " "the difference"

step "containerd is killed and started again while the container runs"
stop KILL "$containerd_pid"
start_containerd
# It takes up its tasks while it answers already.
eventually eval '[[ $(in_container "cat /written" 2>>ctr.log) == written ]]'

step "mica is killed and started again while the container runs"
stop KILL "$mica_pid"
same "$(in_container 'cat /written')" written "exec without mica"
start_mica
# containerd's client dials again only after a moment.
runs() {
    local name=after$RANDOM
    [[ $(ctr "${run[@]}" --rm --cgroup "$(cgroup "$name")" docker.io/example/busybox:latest "$name" /bin/echo ok \
        2>>ctr.log) == ok ]]
}
eventually runs
same "$(in_container 'cat /written')" written "exec after a restart of mica"

if [[ $differ == listed ]]; then
    step "run a container with users of its own"
    # Files keep their owners on the disk, and the kernel maps them in the container's mounts. With erofs containerd makes a copy.
    labels=(--remap-labels)
    [[ $driver != erofs ]] || labels=()
    # ctr ends when the container has, and may not have printed all of its output by then.
    are_mapped() {
        local name=mapped$RANDOM
        ctr "${run[@]}" --rm --cgroup "$(cgroup "$name")" --uidmap 0:100000:65536 --gidmap 0:100000:65536 "${labels[@]}" \
            docker.io/example/three:latest "$name" /bin/sh -c \
            'cat /proc/self/uid_map && stat -c %u:%g /kept/file /bin && touch /new && stat -c %u:%g /new' >mapped 2>>ctr.log
        [[ $(tr -s ' \n' ' ' <mapped) == " 0 100000 65536 12:34 0:0 0:0 " ]]
    }
    eventually are_mapped
fi

step "kill it, commit what it wrote, and build on that"
ctr tasks kill --signal KILL stays
eventually eval 'ctr tasks ls | grep "^stays .*STOPPED" >/dev/null'
ctr tasks delete stays >/dev/null 2>&1 || true
ctr snapshots --snapshotter mica commit committed stays
ctr snapshots --snapshotter mica prepare next committed >/dev/null
eval "$(ctr snapshots --snapshotter mica mounts "$work/mounted" next)"
same "$(cat mounted/written)$(ls mounted/second 2>/dev/null)" written "what was committed"
umount mounted
ctr containers delete stays

step "export: the layers are the ones that were imported"
ctr images export --platform "linux/$(dpkg --print-architecture 2>/dev/null || echo amd64)" exported.tar \
    docker.io/example/three:latest
mkdir exported && tar -C exported -xf exported.tar
manifest=$(jq -r '.manifests[0].digest' exported/index.json)
same "$(ctr images ls | awk '$1 == "docker.io/example/three:latest" { print $3 }')" "$manifest" "the manifest's digest"
same "$(jq -r '.layers[].digest' "exported/blobs/${manifest/://}")" "$(cat three.layers)" "the layers' digests"
for digest in $(cat three.layers); do
    same "sha256:$(sha256sum "exported/blobs/${digest/://}" | cut -d' ' -f1)" "$digest" "an exported layer"
done

step "remove everything: not one file is left"
ctr snapshots --snapshotter mica rm next
ctr snapshots --snapshotter mica rm committed
ctr images rm --sync docker.io/example/three:latest docker.io/example/busybox:latest
is_empty() { [[ -z $(ls -A "$1") ]]; }
eventually eval '[[ $(mica snapshot ls --output json --store containerd | jq ".snapshots | length") == 0 ]]'
for place in layers staging trash l; do eventually is_empty "fs/mica/stores/containerd/$place"; done

step "stop"
stop TERM "$containerd_pid"
stop TERM "$mica_pid"
grep -E ' (WARN|ERROR) ' mica.log && fail "mica has warned"
echo "all of it works with driver $driver and containerd $version"
