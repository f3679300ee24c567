# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a topology says is really there, and whether what others have is as it was, by what `ip` and `nft` tell.

Nothing here asks the collection: a snapshot of the harness is compared with the options as they were given.
"""

from __future__ import annotations

import ipaddress
import json
import pathlib
import re

from drift import ALL, OURS, PROTOCOL
from harness.enter import in_netns

_MARK = re.compile(r"(\w+)=(.*?)(?= \w+=|$)")
_ANYCAST = "4"
_SWITCHES = ("/forwarding", "/force_forwarding", "/ip_forward", "/accept_ra")
_FILES = re.compile(r"/etc/netns/(%s)\b|/var/lib/linuxnet-netns|/run/netns/(%s)\b" % ("|".join(ALL), "|".join(ALL)))
_OUR_KEY = re.compile(r"/(conf|neigh)/(%s)/" % OURS.pattern)
_HALF_MADE = re.compile(r"/run/netns/(%s) 644 " % "|".join(ALL))
_LOCALHOST = re.compile(r"ifname=lo label=lo local=127\.0\.0\.1 |dev=lo dst=127\.0\.0\.")
_OUR_TABLE = "table inet linuxnet_netns {"


def fields(line):
    """The fields of a snapshot's line."""
    return dict(_MARK.findall(line))


# -- others --


def of_others(snapshot):
    """What no run may touch: a snapshot without our namespaces, links, routes, rules, tables, switches and files."""
    found = {}
    for topic, lines in snapshot.items():
        place, _space, kind = topic.partition(" ")
        if place not in ALL:
            found[topic] = _FILTERS.get(kind or place, list)(lines)
    return found


def _links(lines):
    return [line for line in lines if not OURS.fullmatch(fields(line)["ifname"])]


def _routes(lines):
    kept = []
    for line in lines:
        route = fields(line)
        if route["type"] == _ANYCAST:
            continue  # every router has them, and goes without when it is no longer one
        device = route.get("dev", "")
        if not OURS.fullmatch(device) and (device or route.get("protocol") != str(PROTOCOL)):
            kept.append(line)
    return kept


def _rules(lines):
    return [line for line in lines if fields(line).get("protocol") != str(PROTOCOL)]


def _tables(lines):
    kept, ours = [], False
    for line in lines:
        ours = ours or line == _OUR_TABLE
        if not ours:
            kept.append(line)
        ours = ours and line != "}"
    return kept


def _sysctls(lines):
    keys = [(line, line.partition(":")[0]) for line in lines]
    return [line for line, key in keys if not key.endswith(_SWITCHES) and not _OUR_KEY.search(key)]


def _files(lines):
    return [line for line in lines if not _FILES.search(line)]


def worthwhile(snapshot):
    """A snapshot without what nobody wants back: half-made names of namespaces, stacked mounts, and the address that
    the kernel gives lo when it is up for the first time, and leaves it when it is down again."""
    found = {topic: [line for line in lines if not _LOCALHOST.search(line)] for topic, lines in snapshot.items()}
    return dict(found, files=sorted({line for line in snapshot["files"] if not _HALF_MADE.match(line)}))


_FILTERS = {
    "links": _links, "addresses": _links, "routes4": _routes, "routes6": _routes, "rules4": _rules, "rules6": _rules,
    "nft": _tables, "sysctls": _sysctls, "files": _files,
}  # fmt: skip


# -- ours --


def broken(host, snapshot, options):
    """What a topology promises and the host does not have, a line each."""
    return list(_Promises(host, snapshot).of(options))


class _Promises:
    def __init__(self, host, snapshot):
        self._host, self._snapshot = host, snapshot
        self._root = "/proc/%d/root" % host.pid
        self._links_of = {}

    def _items(self, netns, topic):
        return [fields(line) for line in self._snapshot.get("%s %s" % (netns or "host", topic), ())]

    def of(self, options):
        for item in options["namespaces"]:
            yield from self._namespace(item)
        for item in options["veths"]:
            yield from self._pair(item, item["peer"])
        for netns in {end.get("netns") for item in options["veths"] for end in (item, item["peer"])}:
            yield from self._rules(netns, options)
        nft = self._snapshot["host nft"]
        for item in options["nat"]:
            yield from self._nat(item, nft)
        for item in options["forwards"]:
            yield from self._forward(item, nft)

    def _namespace(self, item):
        name = item["name"]
        if "%s links" % name not in self._snapshot:
            yield "namespace %s is not there" % name
            return
        loopback = [link["up"] for link in self._items(name, "links") if link["ifname"] == "lo"]
        if loopback != [str(item.get("loopback", True))]:
            yield "lo in %s: up is %s" % (name, loopback)
        sysctls = {key: "/proc/sys/" + key.replace(".", "/") for key in item.get("sysctls", {})}
        there = in_netns(
            "%s/run/netns/%s" % (self._root, name),
            lambda: {key: pathlib.Path(path).read_text().strip() for key, path in sysctls.items()},
        )
        for key, value in item.get("sysctls", {}).items():
            if there[key] != str(value):
                yield "sysctl %s in %s is %s, not %s" % (key, name, there[key], value)
        dns = item.get("dns")
        lines = ["nameserver " + server for server in dns["nameservers"]] if dns else []
        lines += ["search " + " ".join(dns["search"])] if dns and dns["search"] else []
        yield from self._file(name, "resolv.conf", lines)
        yield from self._file(
            name, "hosts", ["%s %s" % (key, " ".join(names)) for key, names in item.get("hosts", {}).items()]
        )

    def _file(self, name, file, lines):
        path = pathlib.Path("%s/etc/netns/%s/%s" % (self._root, name, file))
        if lines and not path.is_file():
            yield "%s is not there" % path
        elif lines:
            there = [" ".join(line.split()) for line in path.read_text().splitlines()]
            yield from ("%s lacks %r" % (path, line) for line in lines if line not in there)

    def _pair(self, *ends):
        found = [self._links(end.get("netns")).get(end["name"]) for end in ends]
        if None in found:
            yield "a pair is not there: %s" % (ends,)
            return
        for end, other in (found, found[::-1]):
            if end["link_index"] != other["ifindex"]:
                yield "%s is not the peer of %s" % (other, end)
        for end in ends:
            yield from self._end(end)

    def _links(self, netns):
        if netns not in self._links_of:
            stack = self._host.ns(netns) if netns else self._host
            found = json.loads(stack.run("ip", "-j", "link", "show"))
            self._links_of[netns] = {link["ifname"]: link for link in found}
        return self._links_of[netns]

    def _end(self, end):
        netns, name = end.get("netns"), end["name"]
        where = "%s in %s" % (name, netns or "the host")
        link = next(item for item in self._items(netns, "links") if item["ifname"] == name)
        wanted = {"kind": "veth", "up": "True", "mtu": str(end.get("mtu", link["mtu"]))}
        wanted["address"] = end.get("mac", link["address"])
        yield from ("%s has %s %s" % (where, key, link.get(key)) for key in wanted if link.get(key) != wanted[key])
        there = {
            "%s/%s" % (item["local"], item["prefixlen"])
            for item in self._items(netns, "addresses")
            if item["ifname"] == name
        }
        if there != {str(ipaddress.ip_interface(item)) for item in end["addresses"]}:
            yield "%s has the addresses %s" % (where, sorted(there))
        wanted = [(version, route) for version in (4, 6) for route in _wanted_routes(end, version)]
        for version in (4, 6):
            there = self._items(netns, "routes%d" % version)
            for other, route in wanted:
                if other == version and not any(route.items() <= item.items() for item in there):
                    yield "%s lacks the route %s" % (where, route)
            if "routes" in end:
                listed = {route["dst"] for other, route in wanted if other == version}
                for item in there:
                    if item.get("dev") == name and item["protocol"] != "2" and item["dst"] not in listed:
                        yield "%s has a route that is not listed: %s" % (where, item)

    def _rules(self, netns, options):
        ends = [end for item in options["veths"] for end in (item, item["peer"]) if end.get("netns") == netns]
        for version in (4, 6):
            there = self._items(netns, "rules%d" % version)
            for end in ends:
                for rule in end.get("rules", ()):
                    wanted = _wanted_rule(rule, end, version)
                    at = [item for item in there if item["priority"] == str(rule["priority"])]
                    at = [item for item in at if item["protocol"] == str(PROTOCOL)]
                    if len(at) != (wanted is not None) or (wanted and _without_noise(at[0]) != wanted):
                        yield "IPv%d rules in %s: %s instead of %s" % (version, netns or "the host", at, wanted)

    def _nat(self, item, nft):
        for source in item["source"]:
            there = [
                line for line in nft if " saddr %s " % source in line and 'comment "nat %s"' % item["name"] in line
            ]
            if not there or "masquerade" not in there[0] or not all(
                '"%s"' % link in there[0] for link in item["out_interface"]
            ):  # fmt: skip
                yield "no masquerading of %s: %s" % (source, there)

    def _forward(self, item, nft):
        version = ipaddress.ip_address(item["to_address"]).version
        for protocol in item["protocol"]:
            target = _short(item["to_address"])
            if "to_port" in item:
                target = ("[%s]:%s" if version == 6 else "%s:%s") % (target, item["to_port"])
            pattern = r"%s dport %s counter dnat ip6? to %s comment \"forward %s\"" % (
                protocol, item["port"], re.escape(target), re.escape(item["name"]))  # fmt: skip
            there = [line for line in nft if re.search(pattern, line)]
            if len(there) != 1 + item["hairpin"]:
                yield "forward %s, %s: %d rules" % (item["name"], protocol, len(there))
            for link in item["in_interface"]:
                # behind a forward that comes back to its own namespace there is another interface
                if not any("iifname" in line and '"%s"' % link in line.partition(" dport ")[0] for line in there):
                    yield "forward %s, %s: not from %s" % (item["name"], protocol, link)


def _wanted_routes(end, version):
    """As `ip` would tell them, of one family."""
    default = end.get("gateway" if version == 4 else "gateway6")
    if default:
        yield {"dst": "default", "gateway": _short(default), "dev": end["name"], "table": "254", "type": "1"}
    for route in end.get("routes", ()):
        if ipaddress.ip_network(route["to"]).version != version:
            continue
        found = {
            "dst": str(ipaddress.ip_network(route["to"])),
            "table": str(route.get("table", 254)),
            "protocol": str(PROTOCOL),
        }
        found["type"] = {"blackhole": "6"}.get(route.get("type"), "1")
        for option, field in (("via", "gateway"), ("metric", "metric"), ("source", "prefsrc")):
            if option in route:
                found[field] = str(route[option]) if option == "metric" else _short(route[option])
        yield found


def _short(address):
    return str(ipaddress.ip_address(address))


def _wanted_rule(rule, end, version):
    """As `ip` would tell it; None if there is none of this family."""
    stated = rule.get("from") or rule.get("to")
    versions = [stated] if stated else end["addresses"]
    if version not in {ipaddress.ip_interface(item).version for item in versions}:
        return None
    found = {
        "priority": str(rule["priority"]),
        "src": _short(rule["from"]) if "from" in rule else "all",
        "protocol": str(PROTOCOL),
    }
    for option, field in (("to", "dst"), ("iif", "iif"), ("oif", "oif")):
        if option in rule:
            found[field] = _short(rule[option]) if option == "to" else rule[option]
    if rule.get("not"):
        found["not"] = "None"
    if "fwmark" in rule:
        mark, _slash, mask = rule["fwmark"].partition("/")
        found.update({"fwmark": mark} if not mask else {"fwmark": mark, "fwmask": mask})
    if rule.get("action") == "prohibit":
        found["action"] = "8"
    else:
        found["table"] = rule.get("table", "254")
    return found


def _without_noise(rule):
    """An interface that is named and not there is told as well."""
    return {key: value for key, value in rule.items() if key not in ("iif_detached", "oif_detached")}
