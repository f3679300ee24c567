# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the namespaces of a host hold, for reading only: nothing is made, changed or remembered."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional, TypeVar

from .desired.names import HOST
from .desired.tables import TABLES
from .doors import netlink_messages as wire
from .doors import processes
from .doors.in_namespace import in_namespace
from .doors.netlink import ROUTE_PROTOCOL
from .errors import MissingDependency, SystemRefused
from .lock import Lock
from .objects.link_route import TYPES
from .objects.policy_rule import ACTIONS
from .preflight import is_ours
from .system import System

Result = TypeVar("Result")

_SO_NETNS_COOKIE = 71
_ROUTE_TYPES = {number: name for name, number in TYPES.items()}
#: Who made a route or a rule; the numbers are of rt_protos.
_PROTOCOLS = {
    0: "unspec",
    1: "redirect",
    2: "kernel",
    3: "boot",
    4: "static",
    9: "ra",
    16: "dhcp",
    ROUTE_PROTOCOL: "linuxnet.netns",
}
_RULE_ACTIONS = {wire.FR_ACT_GOTO: "goto", 3: "nop", **{number: name for name, number in ACTIONS.items()}}
_TABLES = {number: name for name, number in TABLES.items()}
_ADDRESS_FLAGS = {
    0x01: "secondary",
    0x02: "nodad",
    0x08: "dadfailed",
    0x20: "deprecated",
    0x40: "tentative",
    0x80: "permanent",
}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_SYSCTLS = ("net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/forwarding")
_LINK_SYSCTLS = (
    *(("ipv4", key) for key in ("forwarding", "rp_filter", "route_localnet")),
    *(("ipv6", key) for key in ("forwarding", "force_forwarding", "accept_ra")),
)
#: Socket tables under /proc/thread-self/net (/proc/net is the main thread's), and the state that means listening.
_SOCKET_TABLES = (("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07"))


def read_info(names: Optional[list[str]]) -> dict[str, Any]:
    """The result of netns_info. *names* None means all namespaces."""
    if os.geteuid() != 0:
        raise MissingDependency(
            "reading network namespaces needs root on the managed host; run the task with become: true"
        )
    system = System()
    try:
        with Lock(read_only=True):
            return _Reader(system).result(names)
    finally:
        system.close()


class _Reader:
    """Knows the links of all namespaces, because a pair's other end may be in any of them."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.there = system.mounts.names()
        dumps = {netns: self._unless_gone(netns, system.netlink.links) for netns in (HOST, *self.there)}
        self.links: dict[str, list[wire.Link]] = {netns: links for netns, links in dumps.items() if links is not None}
        self.veths: dict[tuple[int, int], list[tuple[str, wire.Link]]] = {}
        for netns, links in self.links.items():
            for link in links:
                if link.type == "veth":
                    self.veths.setdefault((link.index, link.peer), []).append((netns, link))
        self.warnings: list[str] = []

    def result(self, names: Optional[list[str]]) -> dict[str, Any]:
        wanted = sorted(self.there if names is None else set(names) & set(self.there))
        identities = {name: self.system.mounts.state(name).identity for name in wanted}
        living = processes.inside(identity for identity in identities.values() if identity)
        found = [
            self._unless_gone(name, lambda netns: self._namespace(netns, living))
            for name in wanted
            if name in self.links
        ]
        return {
            "changed": False,
            "host": self._host(),
            "namespaces": [item for item in found if item is not None],
            "missing": sorted(set(names or ()) - set(self.there)),
            "warnings": self.warnings,
        }

    def _unless_gone(self, netns: str, read: Callable[[str], Result]) -> Optional[Result]:
        """What *read* returns, or None if somebody removed the namespace meanwhile."""
        try:
            return read(netns)
        except (OSError, SystemRefused):
            if netns and not self.system.mounts.state(netns).identity:
                return None
            raise

    # -- a namespace --

    def _namespace(self, netns: str, living: dict[str, list[processes.Process]]) -> dict[str, Any]:
        identity = self.system.mounts.state(netns).identity or ""
        links = self.links[netns]
        cookie, sysctls, sockets = in_namespace(netns, lambda: (_cookie(), self._sysctls(links), list(listening())))
        return {
            "name": netns,
            "identity": {"cookie": cookie, "inode": identity},
            **self._networking(netns, links),
            "rules": [_rule(rule) for rule in self.system.netlink.rules(netns)],
            "sysctls": sysctls,
            "sockets": sockets,
            "processes": [item._asdict() for item in living.get(identity, ())],
            **self._translations(netns),
        }

    def _host(self) -> dict[str, Any]:
        """The host's own namespace holds much that is not ours to list."""
        links = [link for link in self.links[HOST] if is_ours(link)]
        return {
            "name": HOST,
            "identity": {"cookie": _cookie(), "inode": self.system.mounts.own_identity()},
            **self._networking(HOST, links),
            "rules": [_rule(rule) for rule in self.system.netlink.rules(HOST) if rule.protocol == ROUTE_PROTOCOL],
            "sysctls": self._sysctls(links),
            **self._translations(HOST),
        }

    def _networking(self, netns: str, links: list[wire.Link]) -> dict[str, Any]:
        names = {link.index: link.name for link in links}
        masters = {link.index: link.name for link in self.links[netns]}
        return {
            "links": [self._link(netns, link, masters) for link in links],
            "addresses": [
                _address(item, names) for item in self.system.netlink.addresses(netns) if item.index in names
            ],
            "routes": [
                _route(item, names)
                for item in self.system.netlink.routes(netns)
                if item.index in names or (not item.index and (netns or item.protocol == ROUTE_PROTOCOL))
            ],
        }

    def _link(self, netns: str, link: wire.Link, masters: dict[int, str]) -> dict[str, Any]:
        return {
            "name": link.name,
            "index": link.index,
            "type": link.type or None,
            "up": link.up,
            "mtu": link.mtu,
            "mac": link.mac,
            "alias": link.alias or None,
            "master": masters.get(link.master),
            "peer": self._peer(netns, link),
        }

    def _peer(self, netns: str, link: wire.Link) -> Optional[dict[str, Any]]:
        """A veth's other end. Indexes repeat from namespace to namespace, so the kernel is asked which one it means."""
        if link.type != "veth":
            return None
        for other_netns, other in self.veths.get((link.peer, link.index), ()):
            if link.peer_netnsid is None:
                found = netns == other_netns and other.peer_netnsid is None
            else:
                found = netns != other_netns and link.peer_netnsid == self._unless_gone(
                    other_netns, lambda other_netns: self.system.netlink.netnsid(netns, other_netns)
                )
            if found:
                return {"name": other.name, "netns": other_netns}
        return {"name": None, "netns": None}

    def _sysctls(self, links: Iterable[wire.Link]) -> dict[str, str]:
        """Those that decide about forwarding, as seen by the calling thread."""
        paths = list(_SYSCTLS)
        paths += [f"net/{family}/conf/{link.name}/{key}" for link in links for family, key in _LINK_SYSCTLS]
        found = {path: self.system.files.sysctl(path) for path in paths}
        return {path: value for path, value in found.items() if value is not None}

    def _translations(self, netns: str) -> dict[str, Any]:
        try:
            text = self.system.nft.raw_table(netns)
        except MissingDependency as error:
            text = None
            if not self.warnings:
                self.warnings.append(f"{error}; without it, forwards and NAT cannot be listed")
        return translations(text)


def _address(item: wire.Address, names: dict[int, str]) -> dict[str, Any]:
    return {
        "address": str(item.address),
        "link": names[item.index],
        "scope": _SCOPES.get(item.scope, str(item.scope)),
        "flags": [name for flag, name in _ADDRESS_FLAGS.items() if item.flags & flag],
    }


def _route(item: wire.Route, names: dict[int, str]) -> dict[str, Any]:
    return {
        "to": str(item.network),
        "via": _text(item.via),
        "link": names.get(item.index),
        "metric": item.metric,
        "table": _table(item.table),
        "type": _ROUTE_TYPES[item.type],
        "source": _text(item.source),
        "onlink": item.onlink,
        "protocol": _protocol(item.protocol),
    }


def _rule(item: wire.Rule) -> dict[str, Any]:
    """A rule with the selectors that it has; those that it has not are None."""
    any_network = "0.0.0.0/0" if item.version == 4 else "::/0"
    return {
        "priority": item.priority,
        "family": f"ipv{item.version}",
        "not": item.inverted,
        "from": _text(item.source) or any_network,
        "to": _text(item.destination) or any_network,
        "iif": item.iif or None,
        "oif": item.oif or None,
        "fwmark": None if item.mark is None else "{:#x}/{:#x}".format(*item.mark),
        "tos": item.tos or None,
        "ip_protocol": item.ip_protocol or None,
        "sport": _span(item.source_ports),
        "dport": _span(item.destination_ports),
        "uids": _span(item.uids),
        "l3mdev": item.l3mdev,
        "suppress_prefixlength": item.suppress_prefix,
        "action": _RULE_ACTIONS.get(item.action, str(item.action)),
        "goto": item.goto or None,
        "table": _table(item.table) if item.action == wire.FR_ACT_TO_TBL and item.table else None,
        "protocol": _protocol(item.protocol),
    }


def _protocol(number: int) -> str:
    return _PROTOCOLS.get(number, str(number))


def _table(number: int) -> str:
    return _TABLES.get(number, str(number))


def _text(item: Any) -> Optional[str]:
    return None if item is None else str(item)


def _span(item: Optional[tuple[int, int]]) -> Optional[str]:
    return None if item is None else str(item[0]) if item[0] == item[1] else f"{item[0]}-{item[1]}"


# -- seen from inside a namespace, by the calling thread --


def _cookie() -> Optional[int]:
    """The number that the kernel gives a namespace and never gives again; None before Linux 5.14."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            return struct.unpack("=Q", probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8))[0]
        except OSError:
            return None


def listening() -> Iterator[dict[str, Any]]:
    """Sockets that wait for others: TCP ones that listen, UDP ones that are bound and not connected."""
    for table, protocol, listening in _SOCKET_TABLES:
        try:
            with open(f"/proc/thread-self/net/{table}", encoding="ascii", errors="replace") as stream:
                yield from _sockets(protocol, listening, stream)
        except FileNotFoundError:
            continue  # a kernel without IPv6


def _sockets(protocol: str, state: str, lines: Iterable[str]) -> list[dict[str, Any]]:
    """The sockets of a table that are in this state."""
    try:
        rows = [line.split()[1:4] for line in lines][1:]
        found = [local.split(":") for local in sorted({row[0] for row in rows if row[2] == state})]
        return [
            {"protocol": protocol, "address": _hex_address(address), "port": int(port, 16)} for address, port in found
        ]
    except (ValueError, LookupError, struct.error) as error:
        raise SystemRefused(f"the kernel's table of {protocol} sockets cannot be read ({error})") from None


def _hex_address(text: str) -> str:
    """/proc/net shows addresses as 32-bit words in the machine's byte order."""
    raw = b"".join(struct.pack("=I", int(text[start : start + 8], 16)) for start in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


# -- forwards and NAT, from nft's JSON --


def translations(text: Optional[str]) -> dict[str, Any]:
    """The forwards and the NAT of a table; *text* None means that there is none."""
    try:
        rules = [] if text is None else [item["rule"] for item in json.loads(text)["nftables"] if "rule" in item]
        return {"forwards": _by_name("forward", rules, _forward), "nat": _by_name("nat", rules, _nat)}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise SystemRefused(f"what nft lists cannot be read ({type(error).__name__}: {error})") from None


def _by_name(kind: str, rules: list[dict[str, Any]], describe: Any) -> list[dict[str, Any]]:
    """One entry for each name in the comments of our translating rules, with their counters added up."""
    found: dict[str, dict[str, Any]] = {}
    for rule in rules:
        prefix, _blank, name = rule.get("comment", "").partition(" ")
        counter = next((item["counter"] for item in rule["expr"] if "counter" in item), None)
        if prefix != kind or counter is None:
            continue
        entry = found.setdefault(name, {"name": name})
        for key, value in describe(rule["expr"]).items():
            if isinstance(value, list):
                entry[key] = sorted({*entry.get(key, ()), *value})
            else:
                entry[key] = value if entry.get(key) is None else entry[key]
        for key in ("packets", "bytes"):
            entry[key] = entry.get(key, 0) + counter[key]
    return [found[name] for name in sorted(found)]


def _forward(expressions: list[dict[str, Any]]) -> dict[str, Any]:
    target: dict[str, Any] = next((item["dnat"] for item in expressions if "dnat" in item), {})
    matched: dict[str, list[str]] = {"saddr": [], "daddr": [], "protocol": [], "dport": []}
    for field, protocol, texts in _payloads(expressions):
        matched[field] = texts
        if field == "dport":
            matched["protocol"] = [protocol]
    port = matched["dport"][0] if matched["dport"] else None
    return {
        "protocol": matched["protocol"],
        "port": port,
        "listen_address": matched["daddr"],
        "sources": matched["saddr"],
        "to_address": target.get("addr"),
        "to_port": _target_port(target.get("port")) or port,
    }


def _nat(expressions: list[dict[str, Any]]) -> dict[str, Any]:
    target: dict[str, Any] = next((item["snat"] for item in expressions if "snat" in item), {})
    sources = [text for field, _protocol, texts in _payloads(expressions) if field == "saddr" for text in texts]
    return {"source": sources, "to_address": "".join(_texts(target["addr"])) if "addr" in target else None}


def _payloads(expressions: list[dict[str, Any]]) -> Iterator[tuple[str, str, list[str]]]:
    """(field, protocol, values) of what a rule wants in a packet's headers."""
    for item in expressions:
        match = item.get("match", {})
        payload = match.get("left", {}).get("payload", {}) if isinstance(match.get("left"), dict) else {}
        if match.get("op") == "==" and payload.get("field") in ("saddr", "daddr", "dport"):
            yield payload["field"], payload["protocol"], _texts(match["right"])


def _texts(value: Any) -> list[str]:
    """nft's JSON for a value or a set of them, as text: 10.0.0.1, 10.0.0.0/24, 10.0.0.1-10.0.0.9."""
    if isinstance(value, dict):
        if "prefix" in value:
            return [f"{value['prefix']['addr']}/{value['prefix']['len']}"]
        if "range" in value:
            return ["-".join(str(item) for item in value["range"])]
        return _texts(value.get("set", []))
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [str(value)]


def _target_port(port: Any) -> Optional[str]:
    """A shifted range is a map of single ports."""
    if isinstance(port, dict) and "map" in port:
        ports = sorted(int(after) for _before, after in port["map"]["data"]["set"])
        return f"{ports[0]}-{ports[-1]}"
    return None if port is None else "".join(_texts(port))
