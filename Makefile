# Everything a person needs is here; each target installs what it lacks.
.PHONY: help demo test check bench fuzz build clean

PROGRAMS = mkfs.ext4=e2fsprogs mkfs.xfs=xfsprogs mkfs.btrfs=btrfs-progs getfattr=attr setcap=libcap2-bin strace=strace zstd=zstd \
	go=golang-go dockerd=docker.io containerd=containerd runc=runc busybox=busybox-static jq=jq umoci=umoci pip3=python3-pip \
	chromium=chromium /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf=fonts-dejavu-core \
	/usr/share/gocode/src/github.com/containerd/containerd=golang-github-containerd-containerd-dev \
	/usr/share/gocode/src/github.com/docker/docker=golang-github-docker-docker-dev \
	/usr/share/gocode/src/github.com/moby/sys=golang-github-moby-sys-dev \
	/usr/share/gocode/src/github.com/vbatts/tar-split=golang-github-vbatts-tar-split-dev \
	/usr/share/gocode/src/gotest.tools=golang-github-gotestyourself-gotest.tools-dev
ROOTFS ?= target/demo/rootfs.tar

help:
	@echo 'make demo    the main job on a real root file system (ROOTFS=file.tar[.gz|.zst] for another)'
	@echo 'make test    the whole suite; as root'
	@echo 'make check   formatting, lints, licences and advisories'
	@echo 'make bench   ratios: sandboxed to native, Mica to its peers; as root (JOBS="diff apply" for some,'
	@echo '             JOBS="builds --before FILE" to stand this build beside an earlier one)'
	@echo 'make fuzz    the fuzz targets, SECONDS=60 each (TARGETS="archive rest" for some); as root'
	@echo 'make build   target/release/mica, and mica-demo'

build:
	@tests/setup/packages.sh
	cargo build --release --workspace --bin mica --bin mica-demo

demo:
	@tests/setup/packages.sh debootstrap=debootstrap
	@if [ "$(ROOTFS)" = target/demo/rootfs.tar ]; then tests/setup/rootfs.sh $(ROOTFS); fi
	cargo build --release --workspace --bin mica --bin mica-demo
	target/release/mica demo $(if $(wildcard $(ROOTFS)),--rootfs $(ROOTFS))

test:
	@tests/setup/packages.sh $(PROGRAMS) debootstrap=debootstrap
	@tests/setup/rootfs.sh target/demo/rootfs.tar
	@tests/setup/peers.sh target/peers
	tests/setup/run.sh

check:
	@tests/setup/packages.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --log-level error check; \
	else echo 'cargo-deny is not installed: licences and advisories were not checked'; fi

bench:
	@tests/setup/packages.sh $(PROGRAMS) debootstrap=debootstrap mkfs.erofs=erofs-utils
	@tests/setup/rootfs.sh target/demo/rootfs.tar
	@tests/setup/peers.sh target/peers
	cargo build --release --workspace --bin mica --bin mica-bench
	target/release/mica-bench $(JOBS)

fuzz:
	@tests/setup/packages.sh c++=g++
	tests/setup/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

clean:
	cargo clean
