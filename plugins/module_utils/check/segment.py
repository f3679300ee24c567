# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Who hears what is sent through a link: the other end of a pair, and everybody behind a bridge. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ..desired.cidr import Address
from ..doors.netlink_messages import Link
from .stack import Namespaces, link_at


@dataclass
class Segment:
    """``ends``: (namespace, link) that hear it; ``beyond``: it goes on to where nobody can look from here; ``down``:
    links in the way that are down; ``mtus``: links that it goes into."""

    ends: list[tuple[str, Link]] = field(default_factory=list)
    beyond: bool = False
    down: list[tuple[str, Link]] = field(default_factory=list)
    mtus: list[tuple[str, Link]] = field(default_factory=list)


def segment(namespaces: Namespaces, netns: str, link: Link) -> Segment:
    """What lies behind a link, as seen from its namespace."""
    found = Segment()
    seen: set[tuple[str, int]] = set()
    _through(namespaces, netns, link, found, seen)
    return found


def _through(namespaces: Namespaces, netns: str, link: Link, found: Segment, seen: set[tuple[str, int]]) -> None:
    """Out of this link."""
    if (netns, link.index) in seen:
        return
    seen.add((netns, link.index))
    if link.type == "bridge":
        for port in namespaces.stack(netns).links:
            if port.master == link.index and port.up:
                _through(namespaces, netns, port, found, seen)
        return
    if not link.up:
        found.down.append((netns, link))
        return
    end = namespaces.other_end(netns, link) if link.type == "veth" else None
    if end is None:
        found.beyond = True
        return
    other, peer = end
    if not peer.up:
        found.down.append(end)
        return
    found.mtus.append(end)
    stack = namespaces.stack(other)
    master = link_at(stack, peer.master) if peer.master else None
    if master is None or master.type != "bridge":
        found.ends.append((other, master or peer))
        return
    seen.add((other, peer.index))
    if master.up:
        found.ends.append((other, master))
        _through(namespaces, other, master, found, seen)
    else:
        found.down.append((other, master))


def answering(namespaces: Namespaces, ends: list[tuple[str, Link]], address: Address) -> Optional[tuple[str, Link]]:
    """Whose address it is. IPv4 answers for any address of the namespace, IPv6 for those of the link; both for others'
    where a proxy is set up."""
    for netns, link in ends:
        stack = namespaces.stack(netns)
        if any(
            item.address.ip == address and (address.version == 4 or item.index == link.index)
            for item in stack.addresses
        ):
            return netns, link
    for netns, link in ends:
        stack = namespaces.stack(netns)
        key = "ipv4/conf/{}/proxy_arp" if address.version == 4 else "ipv6/conf/{}/proxy_ndp"
        if any(stack.sysctl("net/" + key.format(where)) == "1" for where in ("all", link.name)):
            return netns, link
    return None
