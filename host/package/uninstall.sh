#!/bin/sh
# Removes what install.sh has put in place, but for the configuration, and no layer.
#
# usage: uninstall.sh      with the PREFIX and DESTDIR of the installation
set -eu

from=${DESTDIR:-}${PREFIX:-/usr/local}
rm -f "$from/bin/mica" "$from"/share/man/man1/mica.1.gz "$from"/share/man/man1/mica-*.1.gz \
    "$from/share/bash-completion/completions/mica" "$from/share/zsh/vendor-completions/_mica" "$from/share/zsh/site-functions/_mica" \
    "$from/share/fish/vendor_completions.d/mica.fish" \
    "$from/lib/systemd/system/mica.service" "$from/lib/systemd/system/mica.socket"
echo "the configuration in /etc/mica and the layers in /var/lib/mica are still there"
