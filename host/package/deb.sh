#!/bin/sh
# Makes a Debian package of a binary.
#
# usage: deb.sh BINARY DIRECTORY      prints the path of the package, which replaces one of the same version
#                                     COMPRESSION=xz: what dpkg-deb knows
set -eu

command -v dpkg-shlibdeps >/dev/null || {
    echo "dpkg-shlibdeps is needed, which is in the package dpkg-dev" >&2
    exit 1
}
binary=$(realpath "$1")
directory=$(mkdir -p "$2" && cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
version=$("$binary" --version | cut -d ' ' -f 2)
architecture=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -r "$tree"' EXIT
chmod 755 "$tree"

DESTDIR=$tree PREFIX=/usr "$here/install.sh" "$binary"
install -D -m 644 "$here/copyright" "$tree/usr/share/doc/mica/copyright"
install -D -m 644 "$here/../../docs/operating.md" "$tree/usr/share/doc/mica/operating.md"
mkdir "$tree/DEBIAN"
for script in postinst prerm postrm; do
    install -m 755 "$here/debian/$script" "$tree/DEBIAN/$script"
done
# What dpkg asks about before it replaces it, if an operator has changed it.
echo /etc/mica/mica.toml >"$tree/DEBIAN/conffiles"
size=$(du -sk --exclude=DEBIAN "$tree" | cut -f 1)
mkdir "$tree/debian"
: >"$tree/debian/control"
libraries=$(cd "$tree" && dpkg-shlibdeps -O usr/bin/mica 2>debian/told) || {
    cat "$tree/debian/told" >&2
    exit 1
}
rm -r "$tree/debian"
libraries=$(echo "$libraries" | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || {
    echo "dpkg-shlibdeps tells of no library that $binary needs" >&2
    exit 1
}
cat >"$tree/DEBIAN/control" <<CONTROL
Package: mica
Version: $version
Architecture: $architecture
Maintainer: The Mica developers <mica@localhost>
Installed-Size: $size
Depends: $libraries
Suggests: containerd, docker.io, xfsprogs, btrfs-progs
Section: admin
Priority: optional
Description: layered-filesystem drivers, run safely
 Mica keeps the layers of images and containers for containerd, dockerd and
 whoever speaks REST. Its storage drivers are WebAssembly components without
 rights of their own, which are loaded and replaced while containers run.
CONTROL
package=$directory/mica_${version}_$architecture.deb
dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$tree" "$package.new" >/dev/null
mv "$package.new" "$package"
echo "$package"
