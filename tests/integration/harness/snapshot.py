# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is configured in a stack, as text: two snapshots are equal when nothing differs that somebody configured.

Left out is what moves by itself: interface numbers, counters, timers, carrier, link-local and multicast entries.
"""

from __future__ import annotations

import collections
import json
import re

SCRIPT = r"""
say() { printf '\n\036%s\n' "$1"; }
say ip4
printf '%s\n' 'link show' 'address show' 'route show table all' 'rule show' | ip -j -d -N -4 -batch -
say ip6
printf '%s\n' 'address show' 'route show table all' 'rule show' | ip -j -d -N -6 -batch -
say neighbours
ip neighbour show nud permanent | sort
say nft
nft -s list ruleset
say sysctls
grep -rs . /proc/sys/net/ipv4 /proc/sys/net/ipv6 || :
"""

FILES = r"""
set +e
exec 2>/dev/null
for dir in /etc/netns /var/lib/linuxnet-netns /run/netns; do
    # What cannot be read, as the files of namespaces, still ends its line.
    find "$dir" -type f ! -path "*lock*" -printf '%p %m %u written=%T@ ' \
        \( -exec sha256sum -b {} \; -o -printf '\n' \) | sed 's/ \*.*//'
    find "$dir" ! -type f ! -path "*lock*" -printf '%p %y %m %u %l\n'
done | grep -v -e '^/run/netns d ' -e '^/var/lib/linuxnet-netns d ' | sort
grep ' /run/netns/' /proc/self/mountinfo | cut -d ' ' -f 4-5 | sort
:
"""

# Not configuration: filled in by the kernel when first needed.
IGNORED_SYSCTLS = ("/tcp_fastopen_key", "/stable_secret")


def snapshot(host):
    """Everything configured on a host, by namespace and topic."""
    found = files_snapshot(host)
    found.update(stack_snapshot(host, "host"))
    for name in host.namespaces():
        found.update(stack_snapshot(host.ns(name), name))
    return found


def files_snapshot(host):
    return {"files": host.sh(FILES).splitlines()}


def stack_snapshot(stack, label):
    parts = dict(part.partition("\n")[::2] for part in stack.sh(SCRIPT).split("\n\036")[1:])
    # One line of JSON per command; an empty answer is "[ ]" or "[{}]".
    links, addresses4, routes4, rules4 = _json_lines(parts["ip4"])
    addresses6, routes6, rules6 = _json_lines(parts["ip6"])
    read = {
        "links": _links(links),
        "addresses": _addresses(addresses4 + addresses6),
        "routes4": _routes(routes4),
        "routes6": _routes(routes6),
        "rules4": _rules(rules4),
        "rules6": _rules(rules6),
        "neighbours": parts["neighbours"].split("\n"),
        "nft": parts["nft"].rstrip().splitlines(),
        "sysctls": _sysctls(parts["sysctls"]),
    }
    return {"%s %s" % (label, topic): lines for topic, lines in read.items()}


def _json_lines(text):
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append([item for item in value if item])
        text = text[end:].lstrip()
    return found


def _text(fields):
    return " ".join("%s=%s" % (key, fields[key]) for key in sorted(fields) if fields[key] not in (None, "", []))


def _links(items):
    lines = []
    for link in items:
        kept = {key: link.get(key) for key in ("ifname", "mtu", "address", "master", "ifalias", "altnames", "group")}
        kept["up"] = "UP" in link.get("flags", ())
        kept["kind"] = link.get("linkinfo", {}).get("info_kind")
        lines.append(_text(kept))
    return sorted(lines)


def _addresses(items):
    lines = []
    for link in items:
        for address in link.get("addr_info", ()):
            if address.get("local", "").startswith("fe80:"):
                continue
            kept = {key: address.get(key) for key in ("local", "prefixlen", "broadcast", "scope", "label", "address")}
            lines.append(_text(dict(kept, ifname=link.get("ifname"))))
    return sorted(lines)


def _routes(items):
    lines = []
    for route in items:
        if route.get("dst", "").startswith(("fe80:", "ff00:")):
            continue
        kept = {key: value for key, value in route.items() if key not in ("expires", "flags", "cache", "used", "age")}
        kept["onlink"] = "onlink" if "onlink" in route.get("flags", ()) else None
        lines.append(_text(kept))
    return sorted(lines)


def _rules(items):
    # A flag, such as "not", is told by a key without a value.
    return sorted(_text({key: str(value) for key, value in rule.items()}) for rule in items)


def _sysctls(text):
    return sorted(line for line in text.splitlines() if line and not line.partition(":")[0].endswith(IGNORED_SYSCTLS))


def difference(before, after, written=True):
    """The lines that differ between two snapshots. written: a file written anew with equal content differs too."""
    if not written:
        before, after = _timeless(before), _timeless(after)
    lines = []
    for topic in sorted(set(before) | set(after)):
        old, new = before.get(topic), after.get(topic)
        if old == new:
            continue
        if old is None or new is None:
            lines.append("%s %s" % ("+" if old is None else "-", topic))
            continue
        gone, come = collections.Counter(old), collections.Counter(new)
        lines += ["- %s: %s" % (topic, line) for line in (gone - come).elements()]
        lines += ["+ %s: %s" % (topic, line) for line in (come - gone).elements()]
        if gone == come:
            lines.append("~ %s: other order" % topic)
    return lines


def _timeless(found):
    return dict(found, files=[re.sub(r" written=\S+", "", line) for line in found["files"]])
