# Everything a person needs is here; each target installs what it lacks.
.PHONY: help demo test prepare check bench fuzz crash soak build static install uninstall deb image clean

PROGRAMS = mkfs.ext4=e2fsprogs mkfs.xfs=xfsprogs mkfs.btrfs=btrfs-progs dpkg-shlibdeps=dpkg-dev getfattr=attr setcap=libcap2-bin strace=strace qemu-storage-daemon=qemu-system-common zstd=zstd \
	go=golang-go clang=clang wasm-ld=lld /usr/lib/wasm32-wasi/libc.a=wasi-libc \
	/usr/lib/llvm-14/lib/clang/14.0.6/lib/wasi=libclang-rt-dev-wasm32 dockerd=docker.io \
	containerd=containerd runc=runc busybox=busybox-static jq=jq umoci=umoci pip3=python3-pip \
	chromium=chromium minisign=minisign openssl=openssl /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf=fonts-dejavu-core \
	/usr/share/gocode/src/github.com/containerd/containerd=golang-github-containerd-containerd-dev \
	/usr/share/gocode/src/github.com/docker/docker=golang-github-docker-docker-dev \
	/usr/share/gocode/src/github.com/moby/sys=golang-github-moby-sys-dev \
	/usr/share/gocode/src/github.com/vbatts/tar-split=golang-github-vbatts-tar-split-dev \
	/usr/share/gocode/src/gotest.tools=golang-github-gotestyourself-gotest.tools-dev
CRASH = --test crash --test containerd_crash --test sick_disk --test repair --test damage --test scrub --test flips --test power
ROOTFS ?= target/demo/rootfs.tar

help:
	@echo 'make demo    the main job on a real root file system (ROOTFS=file.tar[.gz|.zst] for another)'
	@echo 'make test    the whole suite; as root'
	@echo 'make check   formatting, lints, licences and advisories'
	@echo 'make bench   ratios: sandboxed to native, Mica to its peers; as root (JOBS="diff apply" for some,'
	@echo '             JOBS="builds --before FILE" to stand this build beside an earlier one)'
	@echo 'make fuzz    the fuzz targets, SECONDS=60 each (TARGETS="archive rest" for some); as root'
	@echo 'make crash   kills, errors, damaged files and flipped bits in their long forms, ROUNDS=1; as root'
	@echo 'make soak    clients of all protocols under swaps for DURATION=3600 seconds, and a third of that without; as root'
	@echo 'make build   target/release/mica, and mica-demo'
	@echo 'make static  target/ARCHITECTURE-unknown-linux-musl/release/mica, linked statically'
	@echo 'make deb     a Debian package in target/'
	@echo 'make image   a container image, NAME=mica:latest, by BUILDER=docker (or podman, buildah) on BASE=debian:bookworm-slim'
	@echo 'make install the program, units, manual pages and completions below PREFIX=/usr/local; make uninstall'

build:
	@tests/setup/packages.sh
	cargo build --release --workspace --bin mica --bin mica-demo

# Linked with musl: it needs nothing of the machine but its kernel, and certificates to ask a registry.
STATIC ?= $(shell uname -m)-unknown-linux-musl
static:
	@tests/setup/packages.sh musl-gcc=musl-tools
	rustup target add $(STATIC)
	CC_$(subst -,_,$(STATIC))=musl-gcc cargo build --release --workspace --bin mica --target $(STATIC)
	@echo target/$(STATIC)/release/mica

demo:
	@tests/setup/packages.sh debootstrap=debootstrap
	@if [ "$(ROOTFS)" = target/demo/rootfs.tar ]; then tests/setup/rootfs.sh $(ROOTFS); fi
	cargo build --release --workspace --bin mica --bin mica-demo
	target/release/mica demo $(if $(wildcard $(ROOTFS)),--rootfs $(ROOTFS))

test: prepare
	tests/setup/run.sh

# What the tests need beside the compiler: packages, a root file system, peers.
prepare:
	@tests/setup/packages.sh $(PROGRAMS) debootstrap=debootstrap
	@tests/setup/rootfs.sh target/demo/rootfs.tar
	@tests/setup/peers.sh target/peers

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

image: build
	host/package/image.sh target/release/mica $(or $(NAME),mica:latest)

deb: build
	@tests/setup/packages.sh dpkg-shlibdeps=dpkg-dev
	host/package/deb.sh target/release/mica target

# Without `build`, because who may write below PREFIX is not who should compile.
export PREFIX DESTDIR BUILDER BASE
install:
	@test -x target/release/mica || { echo 'run `make build` first' >&2; exit 1; }
	host/package/install.sh target/release/mica

uninstall:
	host/package/uninstall.sh

# Each round has flips of its own; what is killed is killed at other moments by itself.
crash:
	@tests/setup/packages.sh $(PROGRAMS)
	for round in $$(seq $(or $(ROUNDS),1)); do \
		MICA_DAMAGE=all MICA_FLIPS=300 MICA_CUTS=300 MICA_SEED=$$round MICA_TEST_PROFILE=long tests/setup/run.sh $(CRASH) || exit 1; \
	done

soak:
	@tests/setup/packages.sh $(PROGRAMS)
	MICA_SOAK_SECONDS=$(or $(DURATION),3600) MICA_TEST_PROFILE=long tests/setup/run.sh --test soak

clean:
	cargo clean
