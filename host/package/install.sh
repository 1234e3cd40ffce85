#!/bin/sh
# Installs Mica as any program of the machine, or into a directory from which a package is made.
#
# usage: install.sh BINARY      PREFIX=/usr/local: below it the program, manual pages, completions and systemd's units
#                               DESTDIR=: what stands before all paths
# The configuration goes to /etc/mica/mica.toml, unless there is one. Running it again replaces the program and what belongs to it.
set -eu

binary=$1
prefix=${PREFIX:-/usr/local}
to=${DESTDIR:-}$prefix
configuration=${DESTDIR:-}/etc/mica/mica.toml
here=$(cd "$(dirname "$0")" && pwd)
# Debian's zsh looks for what packages bring elsewhere than for what an operator installs.
case $prefix in /usr) zsh=vendor-completions ;; *) zsh=site-functions ;; esac
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# Everything is made before anything is put in place.
"$binary" man --directory "$work"
gzip -9 -n "$work"/*.1
for shell in bash zsh fish; do
    "$binary" completion "$shell" >"$work/$shell"
done
sed "s|/usr/local/bin/|$prefix/bin/|" "$here/../../examples/containerd/mica.service" >"$work/mica.service"

install -D -m 755 "$binary" "$to/bin/mica"
install -d "$to/share/man/man1"
install -m 644 "$work"/*.1.gz "$to/share/man/man1/"
install -D -m 644 "$work/bash" "$to/share/bash-completion/completions/mica"
install -D -m 644 "$work/zsh" "$to/share/zsh/$zsh/_mica"
install -D -m 644 "$work/fish" "$to/share/fish/vendor_completions.d/mica.fish"
install -D -m 644 "$work/mica.service" "$to/lib/systemd/system/mica.service"
install -D -m 644 "$here/mica.socket" "$to/lib/systemd/system/mica.socket"
[ -e "$configuration" ] || install -D -m 644 "$here/mica.toml" "$configuration"
