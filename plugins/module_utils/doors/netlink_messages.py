# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What rtnetlink's dumps look like: pure functions from bytes to small tuples, and constants of linux/rtnetlink.h.

They raise SystemRefused for bytes that are none of what the kernel's headers promise.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional, TypeVar, Union

from ..errors import SystemRefused

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x01, 0x04, 0x10, 0x300
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RTM_NEWNSID, RTM_GETNSID = 88, 90

IFF_UP = 1
IFA_F_NODAD, IFA_F_TEMPORARY, IFA_F_DADFAILED, IFA_F_PERMANENT = 0x02, 0x01, 0x08, 0x80
RTNH_F_ONLINK = 4
#: Answer with the entry of the table, not with the route to the one address (Linux 4.13).
RTM_F_FIB_MATCH = 0x2000
_RTNH_F_DEAD, _RTNH_F_LINKDOWN, RTM_F_CLONED = 1, 16, 0x200
FIB_RULE_INVERT, FR_ACT_TO_TBL, FR_ACT_GOTO = 2, 1, 2
RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW = 1, 6, 7, 8, 9
RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST = 2, 3, 4, 5
RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 253, 255
RT_TABLE_LOCAL = 255
RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_RA = 1, 2, 9
#: What strerror() takes; the kernel's own end at 4095.
_MOST_ERRNO = 2**31 - 1

#: RTEXT_FILTER_SKIP_STATS: counters are most of a link's message, and nobody here reads them.
LINK_DUMP = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + struct.pack("=HHI", 8, 29, 8)
ADDRESS_DUMP = struct.pack("=BBBBi", 0, 0, 0, 0, 0)
NEIGHBOUR_DUMP = struct.pack("=BxxxiHBB", 0, 0, 0, 0, 0)
NUD_PERMANENT, NUD_FAILED = 0x80, 0x20

IpAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
IpInterface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
IpNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Message(NamedTuple):
    """One netlink message, body not yet taken apart."""

    kind: int
    flags: int
    sequence: int
    body: bytes


class Link(NamedTuple):
    """A network interface. ``peer`` and ``peer_netnsid``: a veth's other end, the latter None in the same namespace."""

    index: int  # type: ignore[assignment]  # tuple.index is not missed
    name: str
    type: str
    up: bool
    mtu: int
    mac: str
    master: int
    alias: str
    peer: int
    peer_netnsid: Optional[int]
    running: bool


class Address(NamedTuple):
    """An address on an interface. ``flags`` are IFA_F_*, ``scope`` 253 is the link's."""

    index: int  # type: ignore[assignment]  # tuple.index is not missed
    address: IpInterface
    flags: int
    scope: int


class Route(NamedTuple):
    """A route with one next hop; ``type`` is RTN_*, ``index`` 0 means no interface."""

    network: IpNetwork
    table: int
    metric: int
    type: int
    via: Optional[IpAddress]
    index: int  # type: ignore[assignment]  # tuple.index is not missed
    source: Optional[IpAddress]
    onlink: bool
    protocol: int


class FibRoute(NamedTuple):
    """One next hop of any route of any table, for looking up by hand: the kernel's own, local and dead ones included.

    ``mtu`` is the route's own, 0 if it has none; ``sources`` limits a route of IPv6 to packets from there.
    """

    network: IpNetwork
    table: int
    metric: int
    type: int
    tos: int
    via: Optional[IpAddress]
    index: int  # type: ignore[assignment]  # tuple.index is not missed
    source: Optional[IpAddress]
    onlink: bool
    protocol: int
    dead: bool = False
    no_carrier: bool = False
    mtu: int = 0
    sources: Optional[IpNetwork] = None


class Rule(NamedTuple):
    """A policy rule. ``action`` is FR_ACT_* or, as for routes, RTN_*; ``mark`` is (value, mask).

    What a rule does not ask for is None, 0 or empty.
    """

    version: int
    priority: int
    action: int
    table: int = 0
    goto: int = 0
    inverted: bool = False
    source: Optional[IpNetwork] = None
    destination: Optional[IpNetwork] = None
    iif: str = ""
    oif: str = ""
    mark: Optional[tuple[int, int]] = None
    tos: int = 0
    ip_protocol: int = 0
    source_ports: Optional[tuple[int, int]] = None
    destination_ports: Optional[tuple[int, int]] = None
    uids: Optional[tuple[int, int]] = None
    l3mdev: bool = False
    suppress_prefix: Optional[int] = None
    protocol: int = 0


class Neighbour(NamedTuple):
    """``mac`` as text."""

    index: int  # type: ignore[assignment]
    address: Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
    mac: str


class NeighbourState(NamedTuple):
    """What the kernel knows of a neighbour: ``failed`` if it did not answer when it was last asked for."""

    index: int  # type: ignore[assignment]
    address: Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
    failed: bool


_Read = TypeVar("_Read", bound=Callable[..., Any])


def understood(read: _Read) -> _Read:
    """A function that reads a message, with SystemRefused for one that it cannot read."""

    @functools.wraps(read)
    def checked(message: Message) -> Any:
        try:
            return read(message)
        except (struct.error, ValueError) as error:
            raise SystemRefused(f"an answer of the kernel cannot be read ({read.__name__}: {error})") from None

    return checked  # type: ignore[return-value]


def messages(data: bytes) -> Iterator[Message]:
    """Split what one recv() returned."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _port = struct.unpack_from("=IHHII", data, offset)
        if length < 16:
            return
        yield Message(kind, flags, sequence, data[offset + 16 : offset + length])
        offset += (length + 3) & ~3


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """Type → payload; where a type repeats, the last one counts."""
    found = {}
    end = len(body)
    while offset + 4 <= end:
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


@understood
def error(message: Message) -> tuple[int, str]:
    """(errno, the kernel's own words) of an NLMSG_ERROR; errno 0 is an acknowledgement."""
    (number,) = struct.unpack_from("=i", message.body)
    text = ""
    if message.flags & _NLM_F_ACK_TLVS:
        (length,) = struct.unpack_from("=I", message.body, 4)
        offset = 20 if message.flags & _NLM_F_CAPPED else 4 + ((length + 3) & ~3)
        text = _text(attributes(message.body, offset).get(1))
    return min(-number, _MOST_ERRNO), text


@understood
def link(message: Message) -> Link:
    index, flags = struct.unpack_from("=4xiI", message.body)
    found = attributes(message.body, 16)
    info = attributes(found[18], 0) if 18 in found else {}
    return Link(
        index=index,
        name=_text(found.get(3)),
        type=_text(info.get(1)),
        up=bool(flags & IFF_UP),
        mtu=_number(found.get(4)),
        mac=found.get(1, b"").hex(":"),
        master=_number(found.get(10)),
        alias=_text(found.get(20)),
        peer=_number(found.get(5)),
        peer_netnsid=_number(found[37]) if 37 in found else None,
        running=bool(flags & 0x40),
    )


@understood
def address(message: Message) -> Address:
    family, prefix, flags, scope, index = struct.unpack_from("=BBBBI", message.body)
    found = attributes(message.body, 8)
    raw = found.get(2) or found.get(1) or b""
    return Address(index, _interface(family, raw, prefix), _number(found[8]) if 8 in found else flags, scope)


@understood
def neighbour(message: Message) -> Optional[Neighbour]:
    """None for one that was not entered by hand, or has no address."""
    _family, index, state = struct.unpack_from("=BxxxiH", message.body)
    found = attributes(message.body, 12)
    address = _address(found.get(1))
    if not state & NUD_PERMANENT or address is None or len(found.get(2, b"")) != 6:
        return None
    return Neighbour(index, address, found[2].hex(":"))


def route_dump(family: int) -> bytes:
    return struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)


def route_query(to: IpAddress, source: IpAddress) -> bytes:
    """Which entry of which table a packet would take (RTM_F_FIB_MATCH)."""
    family = socket.AF_INET6 if to.version == 6 else socket.AF_INET
    body = struct.pack("=BBBBBBBBI", family, to.max_prefixlen, to.max_prefixlen, 0, 0, 0, 0, 0, RTM_F_FIB_MATCH)
    for kind, address in ((1, to), (2, source)):
        body += struct.pack("=HH", 4 + len(address.packed), kind) + address.packed
    return body


@understood
def routes(message: Message) -> list[Route]:
    """The route, once for each of its next hops; nothing for the kernel's own and other families' routes."""
    family, length, _src, _tos, table, protocol, _scope, kind, flags = struct.unpack_from("=BBBBBBBBI", message.body)
    if protocol in (RTPROT_KERNEL, RTPROT_REDIRECT) or table == RT_TABLE_LOCAL or flags & RTM_F_CLONED:
        return []
    if kind not in (RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW):
        return []
    found = attributes(message.body, 12)
    network = ipaddress.ip_network((found.get(1) or bytes(4 if family == socket.AF_INET else 16), length))
    common = dict(
        network=network,
        table=_number(found.get(15)) or table,
        metric=_number(found.get(6)),
        type=kind,
        source=_address(found.get(7)),
        protocol=protocol,
    )
    if 9 in found:
        return [
            Route(via=_address(hop.get(5)), index=index, onlink=bool(hop_flags & RTNH_F_ONLINK), **common)
            for hop_flags, index, hop in _next_hops(found[9])
        ]
    # a blackhole of IPv6 is shown on lo, and has no interface as far as anybody cares
    index = _number(found.get(4)) if kind == RTN_UNICAST else 0
    return [Route(via=_address(found.get(5)), index=index, onlink=bool(flags & RTNH_F_ONLINK), **common)]


@understood
def fib_routes(message: Message) -> list[FibRoute]:
    """The route, once for each of its next hops; nothing for those that the kernel only keeps in its cache."""
    family, length, from_length, tos, table, protocol, _scope, kind, flags = struct.unpack_from(
        "=BBBBBBBBI", message.body
    )
    if flags & RTM_F_CLONED or family not in (socket.AF_INET, socket.AF_INET6):
        return []
    found = attributes(message.body, 12)
    size = 4 if family == socket.AF_INET else 16
    metrics = attributes(found[8], 0) if 8 in found else {}
    common = dict(
        network=ipaddress.ip_network((found.get(1) or bytes(size), length)),
        table=_number(found.get(15)) or table,
        metric=_number(found.get(6)),
        type=kind,
        tos=tos,
        source=_address(found.get(7)),
        protocol=protocol,
        mtu=_number(metrics.get(2)),
        sources=ipaddress.ip_network((found[2], from_length)) if 2 in found else None,
    )
    hops = _next_hops(found[9]) if 9 in found else [(flags, _number(found.get(4)), found)]
    return [
        FibRoute(
            via=_address(hop.get(5)) or _via(hop.get(18)),
            index=index,
            onlink=bool(hop_flags & RTNH_F_ONLINK),
            dead=bool(hop_flags & _RTNH_F_DEAD),
            no_carrier=bool(hop_flags & _RTNH_F_LINKDOWN),
            **common,
        )
        for hop_flags, index, hop in hops
    ]


def _via(raw: Optional[bytes]) -> Optional[IpAddress]:
    """A next hop of another family than the route's (RTA_VIA): the family, then the address."""
    return _address(raw[2:]) if raw and len(raw) > 2 else None


@understood
def neighbour_state(message: Message) -> Optional[NeighbourState]:
    """None for an entry without an address."""
    _family, index, state = struct.unpack_from("=BxxxiH", message.body)
    address = _address(attributes(message.body, 12).get(1))
    return None if address is None else NeighbourState(index, address, bool(state & NUD_FAILED))


def _next_hops(data: bytes) -> Iterator[tuple[int, int, dict[int, bytes]]]:
    offset = 0
    while offset + 8 <= len(data):
        length, flags, _weight, index = struct.unpack_from("=HBBi", data, offset)
        if length < 8:
            return
        yield flags, index, attributes(data[offset : offset + length], 8)
        offset += (length + 3) & ~3


def rule_dump(family: int) -> bytes:
    return route_dump(family)  # the same twelve bytes: the family, and nothing else asked for


@understood
def rule(message: Message) -> Rule:
    family, to_length, from_length, tos, table, action, flags = struct.unpack_from("=BBBBBxxBI", message.body)
    found = attributes(message.body, 12)

    def network(kind: int, length: int) -> Optional[IpNetwork]:
        return ipaddress.ip_network((found[kind], length)) if kind in found else None

    def span(kind: int, form: str) -> Optional[tuple[int, int]]:
        if kind not in found:
            return None
        first, last = struct.unpack(form, found[kind])
        return first, last

    suppress = struct.unpack("=i", found[14])[0] if 14 in found else -1
    return Rule(
        version=4 if family == socket.AF_INET else 6,
        priority=_number(found.get(6)),
        action=action,
        table=_number(found.get(15)) or table,
        goto=_number(found.get(4)),
        inverted=bool(flags & FIB_RULE_INVERT),
        source=network(2, from_length),
        destination=network(1, to_length),
        iif=_text(found.get(3)),
        oif=_text(found.get(17)),
        # a mark of 0 is shown by its mask alone
        mark=(_number(found.get(10)), _number(found.get(16))) if 10 in found or 16 in found else None,
        tos=tos,
        ip_protocol=_number(found.get(22)),
        source_ports=span(23, "=HH"),
        destination_ports=span(24, "=HH"),
        uids=span(20, "=II"),
        l3mdev=bool(_number(found.get(19))),
        suppress_prefix=None if suppress < 0 else suppress,
        protocol=_number(found.get(21)),
    )


def netnsid_query(handle: int) -> bytes:
    return struct.pack("=Bxxx", 0) + struct.pack("=HHI", 8, 3, handle)


@understood
def netnsid(message: Message) -> Optional[int]:
    found = attributes(message.body, 4).get(1)
    number = struct.unpack("=i", found)[0] if found else -1
    return None if number < 0 else number


def _number(raw: Optional[bytes]) -> int:
    return int.from_bytes(raw[:4], "little" if _LITTLE else "big") if raw else 0


_LITTLE = struct.pack("=H", 1) == b"\1\0"


def _text(raw: Optional[bytes]) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape") if raw else ""


def _address(raw: Optional[bytes]) -> Optional[IpAddress]:
    return ipaddress.ip_address(raw) if raw else None


def _interface(family: int, raw: bytes, prefix: int) -> IpInterface:
    return ipaddress.ip_interface((raw or bytes(4 if family == socket.AF_INET else 16), prefix))
