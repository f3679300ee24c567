#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# usage: unshare --mount sh plan.sh present|absent CONTENT
#
# Whether sshd would take the drop-in, or its removal, and mean it. Run in a mount namespace of its own, where the drop-in is
# put in place for this process alone: the host is not changed. Prints "reload UNIT" if sshd runs as a service, and
# "stale" if that service has not read the drop-in that is there.
set -eu
state=$1
content=$2
main=/etc/ssh/sshd_config
folder=/etc/ssh/sshd_config.d
name=50-linuxnet-netns.conf
PATH=/usr/sbin:/sbin:$PATH

die() {
    printf '%s Nothing was changed.\n' "$*" >&2
    exit 1
}

sshd=$(command -v sshd) || die "There is no sshd on this host."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Debian and Ubuntu call it ssh, others sshd; with a socket, or under another name, it may be neither.
for unit in ssh sshd; do
    systemctl is-active --quiet "$unit.service" 2>/dev/null || continue
    echo "reload $unit"
    # Reloading is a change of state; the time is that of the last one.
    since=$(TZ=UTC systemctl show --property StateChangeTimestamp "$unit.service")
    since=$(date -u -d "${since#*=}" +%s)
    if [ -e "$folder/$name" ] && [ "$(stat -c %Z "$folder/$name")" -gt "$since" ]; then echo stale; fi
    break
done

# sshd wants this directory for any look at its configuration; where a socket starts it, it comes and goes.
[ -d /run/sshd ] || { mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd; }

# The values that hold with the configuration in $1, one "name value" a line.
effective() {
    # With Match blocks, older releases want to hear of a connection.
    "$sshd" -T -f "$1" 2>"$scratch/errors" ||
        "$sshd" -T -C user=root,host=localhost,addr=127.0.0.1 -f "$1" 2>"$scratch/errors" ||
        die "sshd does not take this configuration: $(tr '\n' ' ' <"$scratch/errors")"
}

if [ "$state" = present ]; then
    echo 'Include /dev/null' >"$scratch/include"
    if "$sshd" -t -f "$scratch/include" 2>&1 | grep -q 'Bad configuration option: Include'; then
        die "The sshd of this host is older than 8.2: it knows no Include, and so no $folder."
    fi
    [ -d "$folder" ] || die "$main includes no drop-ins: $folder is not there."
fi

if [ -d "$folder" ]; then
    cp -a "$folder" "$scratch/folder"
    rm -f "$scratch/folder/$name"
    [ "$state" = absent ] || printf '%s' "$content" >"$scratch/folder/$name"
    mount --bind "$scratch/folder" "$folder"
fi
effective "$main" >"$scratch/is"

if [ "$state" = present ]; then
    # sshd keeps the first value that it reads. The drop-in before all else says what it means, in sshd's own spelling.
    { printf '%s\n' "$content" && cat "$main"; } >"$scratch/first"
    effective "$scratch/first" >"$scratch/should"
    names=$(printf '%s\n' "$content" | sed -n 's/^\([A-Za-z]\{1,\}\) .*/\1/p' | tr '[:upper:]' '[:lower:]')
    for option in $names; do
        is=$(grep "^$option " "$scratch/is" || :)
        should=$(grep "^$option " "$scratch/should" || :)
        [ "$is" = "$should" ] ||
            die "'$should' would have no effect, it stays '$is': $main does not include $folder/*.conf," \
                "or only after another value, or a drop-in before $name has one. sshd takes the first."
    done
fi
