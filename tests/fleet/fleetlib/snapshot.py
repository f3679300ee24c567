# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that matters on a host, as lines of text by topic: equal when nothing differs that somebody configured."""

from __future__ import annotations

import collections
import json
import re

# Run on the host, as root. Left out is what moves by itself: counters, interface numbers, timers.
SCRIPT = r"""
say() { printf '\n\036%s\n' "$1"; }
network() { # network LABEL [COMMAND TO ENTER...]
    label=$1; shift
    for what in 'link show' 'address show' '-4 route show table all' '-6 route show table all' \
        '-4 rule show' '-6 rule show'; do
        say "$label json $what"; "$@" ip -details -json -N $what
    done
    say "$label neighbours"; "$@" ip neighbour show nud permanent | sort
    say "$label nft"; "$@" nft --stateless list ruleset
    say "$label sysctls"
    "$@" sh -c 'cd /proc/sys/net; grep -s . ipv4/ip_forward $(find ipv4/conf ipv6/conf -type f | sort | grep -E \
        "/(forwarding|mc_forwarding|rp_filter|route_localnet|accept_ra|accept_local|arp_[a-z]*|disable_ipv6|autoconf|proxy_[a-z]*)$")'
}
files() { # files DIRECTORY...
    find "$@" -printf '%p %y %m %u:%g %l\n' | sort
    find "$@" -type f -exec sha256sum {} + | sed 's/^\([0-9a-f]*\)  \(.*\)/\2 \1/' | sort
}
network host
for name in $(ip netns list | cut -d ' ' -f 1); do network "$name" ip netns exec "$name"; done
say namespaces
find /run/netns -mindepth 1 -printf '%f\n' 2>/dev/null | sort
say files
for directory in /etc /usr/local /var/lib/linuxnet-netns; do
    [ ! -e "$directory" ] || files "$directory"
done
say unit-files
systemctl list-unit-files --no-legend --no-pager --plain
say units
systemctl list-units --no-legend --no-pager --plain --state=active,failed --all
"""

#: Written by the system itself: /etc/.updated at boot, the caches of the linker and of accounts.
VOLATILE_FILES = re.compile(r"/etc/(\.updated|\.pwd\.lock|ld\.so\.cache|mtab|adjtime|resolv\.conf\.bak) ")
#: What is active because somebody is logged in, a device is there, or systemd is at work on its own; and a target that
#: stays reached though nobody wants it any more.
VOLATILE_UNITS = re.compile(
    r"(session-.*\.scope|user(-runtime-dir)?@\d+\.service|user-\d+\.slice|.*\.device|.*\.mount|.*\.swap|.*\.path|"
    r"systemd-(tmpfiles-clean|hostnamed|timedated|localed|networkd-wait-online|update-done)\.service|"
    r"system-.*\.slice|modprobe@.*\.service|systemd-ask-password.*|network-online\.target) "
)


def read(shell):
    """A snapshot: {topic: [line, ...]}. shell: a function that runs a script on the host and returns its output."""
    found = {}
    for part in shell(SCRIPT).split("\n\036")[1:]:
        topic, _, text = part.partition("\n")
        if " json " in topic:
            label, _, what = topic.partition(" json ")
            found["%s %s" % (label, what.split(" show")[0])] = _objects(what, json.loads(text or "[]"))
        else:
            found[topic] = [line.rstrip() for line in text.splitlines() if line.strip()]
    found["files"] = [line for line in found["files"] if not VOLATILE_FILES.match(line)]
    found["unit-files"] = [line for line in found["unit-files"] if not VOLATILE_UNITS.match(line)]
    # "UNIT LOAD ACTIVE SUB DESCRIPTION": the description of a scope or a job is of no interest.
    found["units"] = sorted(
        " ".join(line.split()[:4]) for line in found["units"] if not VOLATILE_UNITS.match(line.lstrip("●* "))
    )
    return found


def _objects(what, items):
    items = [item for item in items if item]
    if what.startswith("link"):
        return sorted(map(_link, items))
    if what.startswith("address"):
        return sorted(line for item in items for line in _addresses(item))
    if "route" in what:
        return sorted(_text(_route(item)) for item in items if not item.get("dst", "").startswith(("fe80:", "ff00:")))
    return sorted(map(_text, items))


def _link(item):
    kept = {key: item.get(key) for key in ("ifname", "mtu", "address", "master", "ifalias", "altnames", "group")}
    kept["up"] = "UP" in item.get("flags", ())
    kept["kind"] = item.get("linkinfo", {}).get("info_kind")
    return _text(kept)


def _addresses(item):
    for address in item.get("addr_info", ()):
        if not address.get("local", "").startswith("fe80:"):
            kept = {key: address.get(key) for key in ("local", "prefixlen", "broadcast", "scope", "label", "address")}
            yield _text(dict(kept, ifname=item.get("ifname")))


def _route(item):
    kept = {key: value for key, value in item.items() if key not in ("expires", "flags", "cache", "used", "age")}
    # Others are states of the link, not of the route.
    kept["onlink"] = "onlink" if "onlink" in item.get("flags", ()) else None
    return kept


def _text(fields):
    return " ".join("%s=%s" % (key, fields[key]) for key in sorted(fields) if fields[key] not in (None, "", []))


def difference(before, after):
    """The lines that differ between two snapshots: "- topic: line" was there before, "+ topic: line" is new."""
    lines = []
    for topic in sorted(set(before) | set(after)):
        old, new = before.get(topic, []), after.get(topic, [])
        gone, come = collections.Counter(old), collections.Counter(new)
        lines += ["- %s: %s" % (topic, line) for line in (gone - come).elements()]
        lines += ["+ %s: %s" % (topic, line) for line in (come - gone).elements()]
        if old != new and gone == come:
            lines.append("~ %s: other order" % topic)
    return lines
