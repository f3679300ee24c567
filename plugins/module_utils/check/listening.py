# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether somebody waits at an address and a port, from the sockets of a namespace. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from ..desired.cidr import Address
from .stack import Socket

#: Protocols whose sockets the kernel shows here.
SHOWN = ("tcp", "udp")


class Listening(NamedTuple):
    """``here``: sockets that take it; ``other``: sockets of that port at other addresses."""

    here: list[Socket]
    other: list[Socket]


def listening(sockets: Sequence[Socket], protocol: str, address: Address, port: int) -> Listening:
    """Who takes a connection to this address and port. A socket at :: takes IPv4 as well (unless it was told not to,
    which is not shown)."""
    of_port = [item for item in sockets if (item.protocol, item.port) == (protocol, port)]
    here = [item for item in of_port if _takes(item, address)]
    return Listening(here, [item for item in of_port if item not in here])


def _takes(item: Socket, address: Address) -> bool:
    bound = ipaddress.ip_address(item.address)
    if bound.version == 6 and bound.ipv4_mapped is not None:
        bound = bound.ipv4_mapped
        if bound.is_unspecified:
            return address.version == 4
    if bound.is_unspecified:
        return bound.version == 6 or address.version == 4
    return bound == address


def loopback_only(sockets: Sequence[Socket]) -> bool:
    """True if these are all at loopback addresses."""
    return bool(sockets) and all(ipaddress.ip_address(item.address).is_loopback for item in sockets)


def listed(sockets: Sequence[Socket]) -> str:
    """Addresses of sockets, for messages."""
    return ", ".join(sorted({item.address for item in sockets}))
