#!/bin/sh
# Adds Mica to a node's containerd, and takes it away again, byte for byte.
#
# usage: node.sh managed|restored CONFIGURATION FILES [RESTART]
#
# CONFIGURATION is containerd's directory with config.toml. FILES has what is added to its end: containerd-2.toml for a file
# that has `version = 2`, containerd-3.toml for 3. RESTART is a command that runs if something has changed.
# What is there already is not written again, so that every start of the pod may ask for it. If RESTART fails, the file is as it was before,
# because a containerd that does not start takes the node along, and because the next start of the pod has to try it again.
#
# It is not a file of its own that config.toml imports, because containerd 1.7 takes an imported table of a plugin in place of
# the whole table: the node's own settings for Kubernetes would be lost.
set -eu

what=$1 directory=$2 files=$3 restart=${4-}
main=$directory/config.toml
# Beside the file, with its owner and mode, and in its place in one step.
new=$main.mica-new
old=$main.mica-old
begin='# Mica begins here, and is taken away when it is restored'
cut='# Mica begins here, after a line that had no end, and is taken away when it is restored'
end='# Mica ends here'

refuse() {
    echo "$main: $1" >&2
    exit 1
}

# The file as it is without Mica.
plain() {
    if grep -qxF "$cut" "$main"; then
        sed "/^$cut\$/,/^$end\$/d" "$main" | head -c -1
    else
        sed "/^$begin\$/,/^$end\$/d" "$main"
    fi
}

managed() {
    version=$(sed -n 's/^version *= *\([0-9]*\).*/\1/p' "$main" | head -n 1)
    [ -e "$files/containerd-$version.toml" ] ||
        refuse "it has version \`$version\`, and Mica knows 2 and 3: \`containerd config migrate\` makes the newest that your containerd knows"
    ! plain | grep -q '^ *\[.*\(proxy_plugins\|runtimes\)\.["'\'']\?mica\>' ||
        refuse 'it has a snapshotter or a runtime `mica` already: take it away, or set node.configuration=untouched'
    plain >>"$new"
    if [ -n "$(plain | tail -c 1)" ]; then printf '\n%s\n' "$cut"; else echo "$begin"; fi >>"$new"
    cat "$files/containerd-$version.toml" >>"$new"
    echo "$end" >>"$new"
}

restored() {
    plain >>"$new"
}

[ ! -L "$main" ] || refuse 'it is a symbolic link, and would become a file: change what makes it, and set node.configuration=untouched'
[ -e "$main" ] || refuse 'there is no such file: run `containerd config default >config.toml` on the node first'
# Without the second mark all that follows would be taken away.
marks=$(grep -xF -e "$begin" -e "$cut" -e "$end" "$main" || true)
case $marks in
'' | "$begin
$end" | "$cut
$end") ;;
*) refuse 'the marks around the lines of Mica are not both there: take these lines and the marks away' ;;
esac
rm -f "$new"
cp -p "$main" "$new"
: >"$new"
trap 'rm -f "$new" "$old"' EXIT
case $what in
managed | restored) "$what" ;;
*) refuse "it can be managed or restored, not \`$what\`" ;;
esac
if cmp -s "$new" "$main"; then
    echo "$main is $what already"
    exit
fi
# On the device before it has the name: a power failure leaves the one file or the other.
sync "$new"
cp -p "$main" "$old"
mv "$new" "$main"
if [ -n "$restart" ]; then
    echo "$main is $what: $restart"
    $restart || {
        mv "$old" "$main"
        $restart || true
        refuse "containerd could not be restarted, and the file is as it was: \`journalctl -u containerd\` on the node may tell why"
    }
else
    echo "$main is $what: restart containerd on this node"
fi
