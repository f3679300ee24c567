# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which sources the world beyond has no way back to. Pure."""

from __future__ import annotations

import ipaddress
from typing import Optional

from ..desired.cidr import Address
from ..doors.netlink_messages import Link
from .packet import Packet
from .stack import Stack

#: RFC 1918, RFC 6598, link-local, and unique local addresses of IPv6. Not ipaddress.is_private, which counts the
#: documentation's networks, too.
_PRIVATE = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7")
]


def is_private(address: Address) -> bool:
    """Whether no router of the internet knows the way to it."""
    return any(address.version == net.version and address in net for net in _PRIVATE)


def leaves_for_good(stack: Stack, link: Link, packet: Packet, require_nat: Optional[bool]) -> bool:
    """Whether a forwarded packet leaves with a source to which no answer will come. Where *require_nat* is None, that
    is a private source on its way to a public destination."""
    if require_nat is False:
        return False
    if any(packet.source in item.address.network for item in stack.addresses if item.index == link.index):
        return False  # those on the link know it
    if any(item.address.ip == packet.source for item in stack.addresses):
        return False
    return bool(require_nat) or (is_private(packet.source) and not is_private(packet.destination))
