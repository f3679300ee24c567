# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The first packet of a connection, at one point of its way. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional

from ..desired.cidr import Address

#: Numbers of the protocols that can be asked for; ICMP has two.
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58}

NEW, ESTABLISHED = "new", "established"


@dataclass(frozen=True)
class Packet:
    """What routing and rules look at.

    ``protocol`` is a name of nft's (ICMP of IPv6 is ``icmpv6``). A port that is not known, such as the one that a
    client will get, is None. ``original`` holds source and destination as conntrack first saw them here. ``mark`` is
    None when a rule has set it to what cannot be told.
    """

    source: Address
    destination: Address
    protocol: str
    source_port: Optional[int] = None
    port: Optional[int] = None
    in_link: str = ""
    out_link: str = ""
    state: str = NEW
    dnat: bool = False
    snat: bool = False
    original: Optional[tuple[Address, Address]] = None
    mark: Optional[int] = 0

    @property
    def version(self) -> int:
        return self.destination.version

    def on(self, in_link: str = "", out_link: str = "") -> Packet:
        """The same packet between these links."""
        return replace(self, in_link=in_link, out_link=out_link)

    def __str__(self) -> str:
        port = "" if self.port is None else f" port {self.port}"
        return f"{self.protocol} from {self.source} to {self.destination}{port}"
