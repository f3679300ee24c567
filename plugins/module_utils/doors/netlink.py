# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The netlink door: links, addresses, routes and conntrack entries of any namespace, through the kernel's own protocol.

Reading happens on every run and has to be cheap with hundreds of namespaces: dumps are taken apart right here
(doors/netlink_messages.py), and a run that changes nothing never imports pyroute2. Writing is encoded by
pyroute2's message classes, whose layout is the same from 0.6.13 to 0.9.7 (its higher interfaces differ and cost
several milliseconds a call).
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from ..errors import SystemRefused
from . import netlink_messages as wire
from .in_namespace import in_namespaces, path_of
from .pyroute2_messages import message_classes

#: Marks our routes (`ip route show proto 196`) and policy rules; the number is free in rt_protos.
ROUTE_PROTOCOL = 196
#: How the alias of a link that we made begins (`ip link show`); which pair it belongs to follows.
ALIAS = "linuxnet.netns: "
_MOST_ALIAS = 255

#: Sockets kept open at once at most, and how many files to leave to others.
_MOST_SOCKETS, _FILES_LEFT = 1000, 300
#: Sockets opened in one go.
_AT_ONCE = 100
_RETRIES = 20
_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12


class NetlinkSocket:
    """One rtnetlink (or netfilter) socket in one namespace. It may be used from any thread."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        for option in (_NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                pass  # kernels before 4.20: less text in errors, unfiltered dumps; both are handled
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes) -> None:
        """Send one request and wait for its acknowledgement; raises SystemRefused with the kernel's reason."""
        for _reply in self._exchange(kind, flags | wire.NLM_F_REQUEST | wire.NLM_F_ACK, body):
            pass

    def query(self, kind: int, body: bytes) -> list[wire.Message]:
        """One question, one answer."""
        return list(self._exchange(kind, wire.NLM_F_REQUEST | wire.NLM_F_ACK, body))

    def dump(self, kind: int, body: bytes) -> list[wire.Message]:
        """All objects of a kind. A dump that the kernel flags as interrupted is taken again."""
        for _attempt in range(_RETRIES):
            messages = list(self._exchange(kind, wire.NLM_F_REQUEST | wire.NLM_F_DUMP, body))
            if not any(message.flags & wire.NLM_F_DUMP_INTR for message in messages):
                return messages
        raise SystemRefused("the kernel's tables change faster than they can be read", errno.EAGAIN)

    def route_messages(self) -> list[wire.Message]:
        """All routes of both families and all tables."""
        return [
            message
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in self.dump(wire.RTM_GETROUTE, wire.route_dump(family))
            if message.kind == wire.RTM_NEWROUTE
        ]

    def _exchange(self, kind: int, flags: int, body: bytes) -> Iterator[wire.Message]:
        self._sequence += 1
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, self._sequence, 0) + body)
        while True:
            data, sender = self._socket.recvfrom(1 << 17)
            if sender[0] != 0:
                continue  # of another process: only the kernel has the number 0
            for message in wire.messages(data):
                if message.sequence != self._sequence:
                    continue
                if message.kind == wire.NLMSG_ERROR:
                    number, text = wire.error(message)
                    if number:
                        raise SystemRefused(os.strerror(number) + (f" ({text})" if text else ""), number)
                    return
                if message.kind == wire.NLMSG_DONE:
                    yield message  # carries the DUMP_INTR flag when only the end was interrupted
                    return
                yield message


class Netlink:
    """All that we ask of and tell the kernel by netlink. Namespaces are named as in desired/: "" is the host's."""

    def __init__(self) -> None:
        self._sockets: dict[str, NetlinkSocket] = {}
        self._expected: list[str] = []
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = _MOST_SOCKETS if limit < 0 else max(8, min(_MOST_SOCKETS, limit - _FILES_LEFT))

    def close(self) -> None:
        """Close all sockets: an open one keeps a deleted namespace alive."""
        for name in list(self._sockets):
            self.forget(name)

    def forget(self, netns: str) -> None:
        """Close the socket of a namespace that goes away or was made anew."""
        found = self._sockets.pop(netns, None)
        if found:
            found.close()

    def expect(self, names: Iterable[str]) -> None:
        """Say which namespaces come next, in order: their sockets are then opened many at a time."""
        self._expected = list(dict.fromkeys(names))

    def _socket(self, netns: str) -> NetlinkSocket:
        if netns not in self._sockets:
            self._open(netns)
        return self._sockets[netns]

    def _open(self, netns: str) -> None:
        start = self._expected.index(netns) if netns in self._expected else len(self._expected)
        chunk = [
            name
            for name in self._expected[start + 1 : start + _AT_ONCE]
            if name and name not in self._sockets and os.path.exists(path_of(name))
        ]
        chunk = [netns, *chunk][: self._most]
        if len(self._sockets) + len(chunk) > self._most:
            self.close()
        self._sockets.update(in_namespaces(chunk, lambda _name: NetlinkSocket()))

    # -- reading --

    def links(self, netns: str) -> list[wire.Link]:
        messages = self._socket(netns).dump(wire.RTM_GETLINK, wire.LINK_DUMP)
        return [wire.link(message) for message in messages if message.kind == wire.RTM_NEWLINK]

    def addresses(self, netns: str) -> list[wire.Address]:
        messages = self._socket(netns).dump(wire.RTM_GETADDR, wire.ADDRESS_DUMP)
        return [wire.address(message) for message in messages if message.kind == wire.RTM_NEWADDR]

    def routes(self, netns: str) -> list[wire.Route]:
        """Routes of both families and all tables but `local`, without the kernel's own."""
        return [route for message in self._socket(netns).route_messages() for route in wire.routes(message)]

    def route_to(self, netns: str, to: wire.IpAddress, source: wire.IpAddress) -> Optional[wire.FibRoute]:
        """The entry that a packet of our own from *source* to *to* takes; None if nothing leads there."""
        try:
            answers = self._socket(netns).query(wire.RTM_GETROUTE, wire.route_query(to, source))
        except SystemRefused as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.ENODEV):
                return None
            raise
        found = (wire.fib_routes(answer) for answer in answers if answer.kind == wire.RTM_NEWROUTE)
        return next((routes[0] for routes in found if routes), None)

    def fib(self, netns: str) -> list[wire.FibRoute]:
        """All routes of both families and all tables, as the kernel looks them up."""
        return [route for message in self._socket(netns).route_messages() for route in wire.fib_routes(message)]

    def neighbour_states(self, netns: str) -> list[wire.NeighbourState]:
        """All neighbours that the kernel has tried to reach, of both families."""
        messages = self._socket(netns).dump(wire.RTM_GETNEIGH, wire.NEIGHBOUR_DUMP)
        found = [wire.neighbour_state(message) for message in messages if message.kind == wire.RTM_NEWNEIGH]
        return [item for item in found if item is not None]

    def neighbours(self, netns: str) -> list[wire.Neighbour]:
        """The permanent ones, of both families."""
        messages = self._socket(netns).dump(wire.RTM_GETNEIGH, wire.NEIGHBOUR_DUMP)
        found = [wire.neighbour(message) for message in messages if message.kind == wire.RTM_NEWNEIGH]
        return [item for item in found if item is not None]

    def rules(self, netns: str) -> list[wire.Rule]:
        """Policy rules of both families, in the order in which the kernel asks them."""
        found = []
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                messages = self._socket(netns).dump(wire.RTM_GETRULE, wire.rule_dump(family))
            except SystemRefused as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                continue  # a kernel without IPv6
            found += [wire.rule(message) for message in messages if message.kind == wire.RTM_NEWRULE]
        return found

    def netnsid(self, netns: str, other: str) -> Optional[int]:
        """The number under which *netns* knows the namespace *other*, or None if it has none yet."""
        path = path_of(other) if other else "/proc/self/ns/net"
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for message in self._socket(netns).query(wire.RTM_GETNSID, wire.netnsid_query(handle)):
                return wire.netnsid(message)
        finally:
            os.close(handle)
        return None

    def control(self, netns: str) -> NetlinkSocket:
        """The socket of a namespace, for netlink_kept.py."""
        return self._socket(netns)

    # -- writing --

    def add_veth(self, end: dict[str, Any], peer: dict[str, Any]) -> None:
        """Make a pair directly in its namespaces, in one message: nothing to move, rename or clean up half-way.

        Ends are dicts of ``netns``, ``name``, ``mac`` and ``mtu`` (or None).
        """
        handles = [
            os.open(path_of(item["netns"]) if item["netns"] else "/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            for item in (end, peer)
        ]
        try:
            attributes = [
                _link_attributes(item) + [("IFLA_NET_NS_FD", handle)] for item, handle in zip((end, peer), handles)
            ]
            # ip link sends the peer's own header in front of its attributes; pyroute2's class does so too.
            attributes[0].append(
                (
                    "IFLA_LINKINFO",
                    {
                        "attrs": [
                            ("IFLA_INFO_KIND", "veth"),
                            ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", {"attrs": attributes[1]})]}),
                        ]
                    },
                )
            )
            self._write("", "link", wire.RTM_NEWLINK, wire.NLM_F_CREATE | wire.NLM_F_EXCL, {}, attributes[0])
        finally:
            for handle in handles:
                os.close(handle)

    def mark(self, netns: str, name: str, text: str, up: bool) -> None:
        """Mark a new link as ours (the kernel ignores an alias in the message that creates it) and bring it up."""
        alias = (ALIAS + text).encode("utf-8", "surrogateescape")[:_MOST_ALIAS].decode("utf-8", "ignore")
        self._write(
            netns,
            "link",
            wire.RTM_NEWLINK,
            0,
            {"flags": wire.IFF_UP, "change": wire.IFF_UP} if up else {},
            [("IFLA_IFNAME", name), ("IFLA_IFALIAS", alias)],
        )

    def delete_link(self, netns: str, name: str) -> None:
        self._write(netns, "link", wire.RTM_DELLINK, 0, {}, [("IFLA_IFNAME", name)])

    def move_link(self, netns: str, index: int, target: str) -> None:
        """Put a link into another namespace, under the name that it has."""
        handle = os.open(path_of(target) if target else "/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._write(netns, "link", wire.RTM_NEWLINK, 0, {"index": index}, [("IFLA_NET_NS_FD", handle)])
        finally:
            os.close(handle)

    def set_link(
        self,
        netns: str,
        index: int,
        up: Optional[bool] = None,
        mac: Optional[str] = None,
        mtu: Optional[int] = None,
        master: Optional[int] = None,
    ) -> None:
        """Change what is given; *master* is the bridge's index, 0 to leave it."""
        fields: dict[str, Any] = {"index": index}
        if up is not None:
            fields.update(flags=wire.IFF_UP if up else 0, change=wire.IFF_UP)
        attributes = [("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu), ("IFLA_MASTER", master)]
        self._write(netns, "link", wire.RTM_NEWLINK, 0, fields, [item for item in attributes if item[1] is not None])

    def add_address(self, netns: str, index: int, address: Any) -> None:
        self._address(netns, wire.RTM_NEWADDR, wire.NLM_F_CREATE | wire.NLM_F_EXCL, index, address)

    def delete_address(self, netns: str, index: int, address: Any) -> None:
        self._address(netns, wire.RTM_DELADDR, 0, index, address)

    def _address(self, netns: str, kind: int, flags: int, index: int, address: Any) -> None:
        """*address* is an ipaddress interface. Without duplicate address detection: on a pair of ours nobody else
        can hold it, and for a second or two no daemon could bind to it."""
        v6 = address.version == 6
        fields = {
            "family": socket.AF_INET6 if v6 else socket.AF_INET,
            "prefixlen": address.network.prefixlen,
            "index": index,
            "flags": wire.IFA_F_NODAD if v6 and kind == wire.RTM_NEWADDR else 0,
        }
        attributes: list[tuple[str, Any]] = [("IFA_LOCAL", str(address.ip)), ("IFA_ADDRESS", str(address.ip))]
        if not v6 and address.network.prefixlen < 31 and kind == wire.RTM_NEWADDR:
            attributes.append(("IFA_BROADCAST", str(address.network.broadcast_address)))
        self._write(netns, "address", kind, flags, fields, attributes)

    def add_route(self, netns: str, route: wire.Route) -> None:
        """As our own, unless *route* says whose it was."""
        flags = wire.NLM_F_CREATE | wire.NLM_F_EXCL
        self._route(netns, wire.RTM_NEWROUTE, flags, route, route.protocol or ROUTE_PROTOCOL)

    def delete_route(self, netns: str, route: wire.Route) -> None:
        self._route(netns, wire.RTM_DELROUTE, 0, route, 0)

    def _route(self, netns: str, kind: int, flags: int, route: wire.Route, protocol: int) -> None:
        network = route.network
        adding = kind == wire.RTM_NEWROUTE
        unicast = route.type == wire.RTN_UNICAST
        link_scope = unicast and route.via is None and network.version == 4
        fields = {
            "family": socket.AF_INET6 if network.version == 6 else socket.AF_INET,
            "dst_len": network.prefixlen,
            "table": route.table if route.table < 256 else 0,
            "proto": protocol,
            # 255 (nowhere) matches any scope in a deletion
            "scope": (wire.RT_SCOPE_LINK if link_scope else 0) if adding else wire.RT_SCOPE_NOWHERE,
            "type": route.type if adding or not unicast else 0,
            "flags": wire.RTNH_F_ONLINK if route.onlink and adding else 0,
        }
        attributes: list[tuple[str, Any]] = [("RTA_TABLE", route.table)]
        if network.prefixlen:
            attributes.append(("RTA_DST", str(network.network_address)))
        if route.via is not None:
            attributes.append(("RTA_GATEWAY", str(route.via)))
        if route.index:
            attributes.append(("RTA_OIF", route.index))
        if route.metric:
            attributes.append(("RTA_PRIORITY", route.metric))
        if route.source is not None and adding:
            attributes.append(("RTA_PREFSRC", str(route.source)))
        self._write(netns, "route", kind, flags, fields, attributes)

    def add_neighbour(self, netns: str, index: int, address: Any, mac: str) -> None:
        fields = {
            "family": socket.AF_INET6 if address.version == 6 else socket.AF_INET,
            "ifindex": index,
            "state": wire.NUD_PERMANENT,
        }
        attributes = [("NDA_DST", str(address)), ("NDA_LLADDR", mac)]
        self._write(netns, "neighbour", wire.RTM_NEWNEIGH, wire.NLM_F_CREATE, fields, attributes)

    def add_rule(self, netns: str, rule: wire.Rule) -> None:
        self._rule(netns, wire.RTM_NEWRULE, wire.NLM_F_CREATE | wire.NLM_F_EXCL, rule)

    def delete_rule(self, netns: str, rule: wire.Rule) -> None:
        """Only one of ours: the kernel compares the protocol number, too."""
        self._rule(netns, wire.RTM_DELRULE, 0, rule)

    def _rule(self, netns: str, kind: int, flags: int, rule: wire.Rule) -> None:
        fields = {
            "family": socket.AF_INET6 if rule.version == 6 else socket.AF_INET,
            "src_len": rule.source.prefixlen if rule.source else 0,
            "dst_len": rule.destination.prefixlen if rule.destination else 0,
            "table": rule.table if rule.table < 256 else 0,
            "action": rule.action,
            "flags": wire.FIB_RULE_INVERT if rule.inverted else 0,
        }
        attributes: list[tuple[str, Any]] = [("FRA_PRIORITY", rule.priority), ("FRA_PROTOCOL", ROUTE_PROTOCOL)]
        for name, network in (("FRA_SRC", rule.source), ("FRA_DST", rule.destination)):
            if network is not None:
                attributes.append((name, str(network.network_address)))
        for name, link in (("FRA_IIFNAME", rule.iif), ("FRA_OIFNAME", rule.oif)):
            if link:
                attributes.append((name, link))
        if rule.mark is not None:
            attributes += [("FRA_FWMARK", rule.mark[0]), ("FRA_FWMASK", rule.mark[1])]
        if rule.table:
            attributes.append(("FRA_TABLE", rule.table))
        self._write(netns, "rule", kind, flags, fields, attributes)

    def _write(self, netns: str, shape: str, kind: int, flags: int, fields: dict[str, Any], attributes: list) -> None:
        self._socket(netns).request(kind, flags, encode(shape, fields, attributes))


def _link_attributes(end: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [("IFLA_IFNAME", end["name"])]
    if end.get("mac"):
        found.append(("IFLA_ADDRESS", end["mac"]))
    if end.get("mtu"):
        found.append(("IFLA_MTU", end["mtu"]))
    return found


_SHAPES: dict[str, Any] = {}


def encode(shape: str, fields: dict[str, Any], attributes: list) -> bytes:
    """The body of a message (without netlink's own header), by pyroute2's message classes."""
    if not _SHAPES:
        _SHAPES.update(message_classes())
    message = _SHAPES[shape]()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data[16:])
