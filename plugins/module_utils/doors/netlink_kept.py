# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The netlink door's memory: what a namespace had, in the kernel's own words, and telling it again what has gone.

Taking an address away, or setting a link down, takes more along than anybody said: secondary addresses, routes that
lead through the link or start from the address, neighbours. Who undoes the one has to bring back the others, with all
their attributes, also those that nothing here knows.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterable
from typing import NamedTuple

from ..errors import SystemRefused
from . import netlink_messages as wire
from .netlink import NetlinkSocket

#: IFA_F_*: what the kernel finds out for itself.
_TEMPORARY, _FOUND_OUT = 0x01, 0x01 | 0x04 | 0x08 | 0x20 | 0x40 | 0x80
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 6, 8
_RTA_CACHEINFO, _RTA_EXPIRES, _RTA_NH_ID = 12, 23, 30
_NDA_DST, _NDA_LLADDR = 1, 2
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
#: What was there already, or goes by itself.
_AS_GOOD = (errno.EEXIST, errno.EADDRNOTAVAIL, errno.ENODEV)


class Kept(NamedTuple):
    """Requests that make again what there was, in the kernel's order, by what identifies each."""

    addresses: dict[tuple, bytes]
    routes: dict[bytes, bytes]
    neighbours: dict[bytes, bytes]


def keep(control: NetlinkSocket) -> Kept:
    """All addresses, routes and permanent neighbours of a socket's namespace, without those that are the kernel's."""
    return Kept(
        dict(
            item
            for message in control.dump(wire.RTM_GETADDR, wire.ADDRESS_DUMP)
            if message.kind == wire.RTM_NEWADDR
            for item in address(message.body)
        ),
        dict(item for message in control.route_messages() for item in route(message.body)),
        {
            body: body
            for message in control.dump(wire.RTM_GETNEIGH, wire.NEIGHBOUR_DUMP)
            if message.kind == wire.RTM_NEWNEIGH
            for body in neighbour(message.body)
        },
    )


def bring_back(control: NetlinkSocket, kept: Kept, indexes: Collection[int]) -> list[str]:
    """Make again what is missing, on the links that are still there (*indexes*); returns what could not be."""
    trouble = _addresses(control, kept, keep(control), indexes)
    there = keep(control)  # addresses have brought some routes along
    missing = {key: body for key, body in kept.routes.items() if key not in there.routes}
    refused: dict[bytes, SystemRefused] = {}
    progress = True
    while missing and progress:  # a route whose next hop is behind another one comes after it
        refused = {}
        for key, body in missing.items():
            try:
                control.request(wire.RTM_NEWROUTE, wire.NLM_F_CREATE | wire.NLM_F_EXCL, body)
            except SystemRefused as error:
                if error.errno not in _AS_GOOD:
                    refused[key] = error
        progress = len(refused) < len(missing)
        missing = {key: missing[key] for key in refused}
    trouble += [f"a route that went along: {error}" for error in refused.values()]
    gone = [body for key, body in kept.neighbours.items() if key not in there.neighbours]
    return trouble + _told(control, wire.RTM_NEWNEIGH, gone, "a neighbour that went along")


def _addresses(control: NetlinkSocket, kept: Kept, now: Kept, indexes: Collection[int]) -> list[str]:
    """In their order, and with their flags: from the first one in a network packets are sent."""
    trouble = []
    for index in sorted({key[1] for key in kept.addresses} & set(indexes)):
        for family in (socket.AF_INET, socket.AF_INET6):
            then, there = (_in_order(side, family, index) for side in (kept, now))
            there = [key for key in there if key in then]
            same = 0
            while same < min(len(then), len(there)) and _alike(kept, now, then[same], there[same]):
                same += 1
            present = [now.addresses[key] for key in there[same:]]
            trouble += _told(control, wire.RTM_DELADDR, present, "an address that was not as before")
            requests = [kept.addresses[key] for key in then[same:]]
            trouble += _told(control, wire.RTM_NEWADDR, requests, "an address that went along")
    return trouble


def _in_order(side: Kept, family: int, index: int) -> list[tuple]:
    """The addresses of a link in the order in which they were added: of IPv6's, the kernel lists the last one first."""
    found = [key for key in side.addresses if key[:2] == (family, index)]
    return found if family == socket.AF_INET else found[::-1]


def _alike(kept: Kept, now: Kept, key: tuple, other: tuple) -> bool:
    """Whether an address is as it was. One that came back without duplicate address detection is as good: nobody else
    can have taken it meanwhile."""
    return key == other and _compared(kept.addresses[key]) == _compared(now.addresses[key])


def _compared(request: bytes) -> tuple:
    found = wire.attributes(request, 8)
    found.pop(_IFA_CACHEINFO, None)  # when it was made, and when it ends if it does
    more = struct.unpack("=I", found.pop(_IFA_FLAGS))[0] & ~wire.IFA_F_NODAD if _IFA_FLAGS in found else 0
    return request[2] & ~wire.IFA_F_NODAD, request[3:8], more, sorted(found.items())


def _told(control: NetlinkSocket, kind: int, bodies: Iterable[bytes], what: str) -> list[str]:
    trouble = []
    flags = 0 if kind == wire.RTM_DELADDR else wire.NLM_F_CREATE | wire.NLM_F_EXCL
    for body in bodies:
        try:
            control.request(kind, flags, body)
        except SystemRefused as error:
            if error.errno not in _AS_GOOD:
                trouble.append(f"{what}: {error}")
    return trouble


@wire.understood
def address(body: bytes) -> list[tuple[tuple, bytes]]:
    """(identity, request) of an address; nothing for one that the kernel makes up."""
    family, length, flags, scope, index = struct.unpack_from("=BBBBI", body)
    found = wire.attributes(body, 8)
    if family == socket.AF_INET6 and flags & _TEMPORARY:
        return []
    identity = (family, index, length, found.get(_IFA_LOCAL), found.get(_IFA_ADDRESS))
    if _IFA_FLAGS in found:
        found[_IFA_FLAGS] = struct.pack("=I", struct.unpack("=I", found[_IFA_FLAGS])[0] & ~_FOUND_OUT)
    return [
        (identity, struct.pack("=BBBBI", family, length, flags & ~_FOUND_OUT & 0xFF, scope, index) + _packed(found))
    ]


@wire.understood
def route(body: bytes) -> list[tuple[bytes, bytes]]:
    """(identity, request) of a route; nothing for those that come with an address."""
    header = struct.unpack_from("=BBBBBBBBI", body)
    table, protocol, kind, flags = header[4], header[5], header[7], header[8]
    if (
        protocol in (wire.RTPROT_KERNEL, wire.RTPROT_REDIRECT)
        or table == wire.RT_TABLE_LOCAL
        or flags & wire.RTM_F_CLONED
    ):
        return []
    if kind not in (wire.RTN_UNICAST, wire.RTN_BLACKHOLE, wire.RTN_UNREACHABLE, wire.RTN_PROHIBIT, wire.RTN_THROW):
        return []
    found = wire.attributes(body, 12)
    cache = found.pop(_RTA_CACHEINFO, b"")
    found.pop(_RTA_NH_ID, None)  # its next hops are listed, too
    identity = struct.pack("=BBBBBBBBI", *header[:8], flags & wire.RTNH_F_ONLINK) + _packed(found)
    # struct rta_cacheinfo; learnt routes end some day.
    expires = struct.unpack_from("=3i", cache)[2] // _CLOCK_TICKS if len(cache) >= 12 else 0
    if expires > 0:
        found[_RTA_EXPIRES] = struct.pack("=I", expires)
    return [(identity, identity[:12] + _packed(found))]


@wire.understood
def neighbour(body: bytes) -> list[bytes]:
    """The request that makes a permanent neighbour."""
    (state,) = struct.unpack_from("=H", body, 8)
    found = wire.attributes(body, 12)
    if not state & wire.NUD_PERMANENT or _NDA_LLADDR not in found or _NDA_DST not in found:
        return []
    return [body[:12] + _packed({kind: found[kind] for kind in (_NDA_DST, _NDA_LLADDR)})]


def _packed(found: dict[int, bytes]) -> bytes:
    return b"".join(
        struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)
        for kind, payload in found.items()
    )
