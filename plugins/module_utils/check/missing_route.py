# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Why a namespace has no way to an address: its links, its addresses, or really its routes. Pure."""

from __future__ import annotations

from typing import Optional

from ..desired.cidr import Address
from ..desired.names import HOST, where
from ..doors.netlink import ALIAS
from ..doors.netlink_messages import IFA_F_DADFAILED, FibRoute, Link
from .stack import Namespaces, Stack, link_at
from .verdict import Blocked

_TENTATIVE = 0x40


def explain(namespaces: Namespaces, stack: Stack, destination: Address) -> Blocked:
    """The first cause of a missing route."""
    version = destination.version
    links = [link for link in stack.links if link.name != "lo"]
    if destination.is_loopback:
        return _down(stack, next(link for link in stack.links if link.name == "lo"))
    moved = elsewhere(namespaces, stack.name)
    if moved is not None:
        link, netns = moved
        return _elsewhere(stack.name, link.name, netns)
    if not links:
        return Blocked(
            "link",
            "link_missing",
            f"there is no link {where(stack.name)} but lo",
            "make a veth pair with an end in it",
        )
    usable = [
        item
        for item in stack.addresses
        if item.address.version == version and not item.address.ip.is_loopback and not item.address.ip.is_link_local
    ]
    down = [link for link in links if not link.up]
    meant = [
        link for link in down for item in usable if item.index == link.index and destination in item.address.network
    ]
    up_with_address = [link for link in links if link.up and any(item.index == link.index for item in usable)]
    if meant or (down and not up_with_address):
        return _down(stack, (meant or down)[0])
    if not usable:
        return no_address(namespaces, stack, version)
    return Blocked(
        "route",
        "no_route",
        f"there is no route to {destination} {where(stack.name)}",
        f"add one, such as a default route (gateway{'' if version == 4 else '6'} of the veth module)",
    )


def check_nearer(stack: Stack, route: FibRoute, destination: Address) -> None:
    """Raises Blocked if a packet leaves by a wider route only because the link where its destination lives is down."""
    for item in stack.addresses:
        network = item.address.network
        if network.version == destination.version and destination in network:
            link = link_at(stack, item.index)
            if link is not None and not link.up and network.prefixlen > route.network.prefixlen:
                raise _down(stack, link)


def no_address(namespaces: Namespaces, stack: Stack, version: int) -> Blocked:
    """There is nothing to speak from."""
    waiting = [
        item
        for item in stack.addresses
        if item.address.version == version and item.flags & (_TENTATIVE | IFA_F_DADFAILED)
    ]
    if waiting and all(item.address.ip.is_link_local or item in waiting for item in stack.addresses):
        item = waiting[0]
        failed = bool(item.flags & IFA_F_DADFAILED)
        return Blocked(
            "address",
            "address_tentative",
            f"{item.address} {where(stack.name)} is not used: duplicate address detection "
            + ("found that somebody else has it" if failed else "has not ended"),
            "choose another address" if failed else "wait a second or two, and ask again",
        )
    return Blocked(
        "address",
        "no_address",
        f"there is no IPv{version} address {where(stack.name)}",
        "put one on its link (addresses of the veth module)",
    )


def no_link(namespaces: Namespaces, stack: Stack, name: str) -> Blocked:
    """A link that was named is not here."""
    for netns in (HOST, *namespaces.names()):
        for link in namespaces.stack(netns).links if netns != stack.name else ():
            # One that was made under that name where it is, is another one.
            if link.name == name and (name, netns) not in marked_ends(link.alias):
                return _elsewhere(stack.name, name, netns)
    return Blocked(
        "link",
        "link_missing",
        f"there is no link {name} {where(stack.name)}, nor in any namespace that has a name",
        "see ip link; one that was in a deleted namespace went with it, unless it is a physical one",
    )


def _elsewhere(home: str, name: str, netns: str) -> Blocked:
    back = f"netns {home}" if home else "netns 1"
    source = f" -n {netns}" if netns else ""
    return Blocked(
        "link",
        "link_elsewhere",
        f"{name} is not {where(home)}: the device is {where(netns)}",
        f"move it back: ip{source} link set {name} {back}; its addresses and routes were lost by the move",
    )


def elsewhere(namespaces: Namespaces, netns: str) -> Optional[tuple[Link, str]]:
    """A link of ours whose mark says that it belongs into *netns*, and where it is instead."""
    for other in (HOST, *namespaces.names()):
        for link in namespaces.stack(other).links if other != netns else ():
            if home_of(link, other) == netns:
                return link, other
    return None


def home_of(link: Link, netns: str) -> Optional[str]:
    """Where a link of ours belongs, if that is another namespace than *netns*, where it is."""
    ends = marked_ends(link.alias)
    if (link.name, netns) in ends:
        return None
    return next((home for name, home in ends if name == link.name), None)


def strayed(end: tuple[str, Link]) -> Optional[Blocked]:
    """The other end of a pair, if somebody has moved it."""
    netns, link = end
    home = home_of(link, netns)
    return None if home is None else _elsewhere(home, link.name, netns)


def marked_ends(alias: str) -> list[tuple[str, str]]:
    """(name, namespace) of both ends of the pair that a link of ours says it belongs to."""
    if not alias.startswith(ALIAS):
        return []
    found = []
    for text in alias[len(ALIAS) :].split(" -- "):
        name, _blank, place = text.partition(" ")
        found.append((name, "" if place == "on the host" else place[len("in ") :]))
    return found


def _down(stack: Stack, link: Link) -> Blocked:
    netns = f" -n {stack.name}" if stack.name else ""
    return Blocked(
        "link",
        "link_down",
        f"{link.name} is down {where(stack.name)}",
        f"ip{netns} link set {link.name} up; its routes were lost when it went down, so run the veth module again",
    )


def check_link(namespaces: Namespaces, stack: Stack, link: Link) -> None:
    """Raises Blocked for a link that carries nothing."""
    if not link.up:
        raise _down(stack, link)
    if link.running:
        return
    end = namespaces.other_end(stack.name, link) if link.type == "veth" else None
    if end is not None and not end[1].up:
        stray = strayed(end)
        if stray is not None:
            raise stray
        netns = f" -n {end[0]}" if end[0] else ""
        raise Blocked(
            "link",
            "link_down",
            f"{end[1].name} {where(end[0])} is down, the other end of {link.name} {where(stack.name)}",
            f"ip{netns} link set {end[1].name} up",
        )
    ports = [item for item in stack.links if link.type == "bridge" and item.master == link.index]
    raise Blocked(
        "link",
        "link_no_carrier",
        f"{link.name} {where(stack.name)} is up and has no carrier"
        + (f": none of its {len(ports)} ports has one" if link.type == "bridge" else ""),
        "plug in the cable, or bring up what is at the other end",
    )
