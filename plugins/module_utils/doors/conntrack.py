# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The netlink door's view of connection tracking: list the flows of a namespace and forget single ones."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from typing import NamedTuple, Optional

from ..errors import SystemRefused
from . import netlink_messages as wire
from .in_namespace import in_namespace
from .netlink import NetlinkSocket

NETLINK_NETFILTER = 12
_CT_GET, _CT_DELETE = 0x0101, 0x0102
_TUPLE_ORIGINAL, _TUPLE_REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18
IPS_SRC_NAT, IPS_DST_NAT = 0x10, 0x20
PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_SCTP: "sctp"}


class Flow(NamedTuple):
    """A tracked flow: as it began (source, destination, its port), who answers (address, port), and to whom.

    ``key`` is what the kernel wants to hear to forget it.
    """

    version: int
    protocol: str
    source: wire.IpAddress
    destination: wire.IpAddress
    port: int
    answers: wire.IpAddress
    answers_port: int
    answers_to: wire.IpAddress
    status: int
    key: bytes


def flows(netns: str) -> list[Flow]:
    """All tcp, udp and sctp flows that *netns* tracks; none where the kernel has no connection tracking by netlink."""
    try:
        control = in_namespace(netns, lambda: NetlinkSocket(NETLINK_NETFILTER))
    except OSError:
        return []
    try:
        found = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in control.dump(_CT_GET, struct.pack(">BBH", family, 0, 0)):
                flow = _flow(message) if message.kind == _CT_GET - 1 else None
                if flow:
                    found.append(flow)
        return found
    except SystemRefused as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.ENOENT):
            return []
        raise
    finally:
        control.close()


def forget(netns: str, doomed: list[Flow]) -> None:
    """Drop flows; the next packet of each is looked at by the ruleset as if it were the first."""
    control = in_namespace(netns, lambda: NetlinkSocket(NETLINK_NETFILTER))
    try:
        for flow in doomed:
            family = socket.AF_INET if flow.version == 4 else socket.AF_INET6
            try:
                control.request(_CT_DELETE, 0, struct.pack(">BBH", family, 0, 0) + flow.key)
            except SystemRefused as error:
                if error.errno != errno.ENOENT:  # ended by itself
                    raise
    finally:
        control.close()


@wire.understood
def _flow(message: wire.Message) -> Optional[Flow]:
    found = wire.attributes(message.body, 4)
    original, reply = (_tuple(found.get(kind, b"")) for kind in (_TUPLE_ORIGINAL, _TUPLE_REPLY))
    if original is None or reply is None:
        return None
    (status,) = struct.unpack(">I", found.get(_STATUS, bytes(4)))
    key = b"".join(
        _attribute(kind, found[kind], nested)
        for kind, nested in ((_TUPLE_ORIGINAL, True), (_ID, False), (_ZONE, False))
        if kind in found
    )
    protocol, source, destination, _port, port = original
    return Flow(source.version, protocol, source, destination, port, reply[1], reply[3], reply[2], status, key)


def _tuple(raw: bytes) -> Optional[tuple[str, wire.IpAddress, wire.IpAddress, int, int]]:
    """(protocol, source, destination, source port, destination port), None for protocols without ports."""
    parts = wire.attributes(raw, 0)
    ip, proto = wire.attributes(parts.get(1, b""), 0), wire.attributes(parts.get(2, b""), 0)
    number = int.from_bytes(proto.get(1, b"")[:1], "big")
    source, destination = ip.get(1, ip.get(3)), ip.get(2, ip.get(4))
    if number not in PROTOCOLS or source is None or destination is None or 2 not in proto or 3 not in proto:
        return None
    ports = [int.from_bytes(proto[kind], "big") for kind in (2, 3)]
    return PROTOCOLS[number], ipaddress.ip_address(source), ipaddress.ip_address(destination), ports[0], ports[1]


def _attribute(kind: int, payload: bytes, nested: bool) -> bytes:
    header = struct.pack("=HH", 4 + len(payload), kind | (0x8000 if nested else 0))
    return header + payload + bytes(-len(payload) % 4)
