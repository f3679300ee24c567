# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether an expression of a rule matches a packet of which routing and conntrack are known as well. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional

from ..nft_match import MISSING, UNKNOWN, Matcher
from ..nft_match import Packet as HookPacket
from .packet import ESTABLISHED, Packet

#: (result, flags) of a fib expression, to its value; UNKNOWN where that cannot be told.
Fib = Callable[[str, list[str]], Any]


@dataclass(frozen=True)
class TrackedMatcher(Matcher):
    """A Matcher that also answers ``fib``, ``ct original``, ``meta mark`` and the type of ICMP."""

    whole: Optional[Packet] = None
    fib: Optional[Fib] = None

    def _meta(self, what: Mapping[str, Any]) -> Any:
        if what.get("key") == "mark" and self.whole is not None:
            return self.whole.mark
        return super()._meta(what)

    def _payload(self, what: Mapping[str, Any]) -> Any:
        if what.get("protocol") == self.packet.protocol and what.get("field") == "type":
            return "echo-reply" if self.packet.ct_state == ESTABLISHED else "echo-request"
        return super()._payload(what)

    def _ct(self, what: Mapping[str, Any]) -> Any:
        key = str(what.get("key"))
        if what.get("dir") == "original" and self.whole is not None and key.endswith(("saddr", "daddr")):
            source, destination = self.whole.original or (self.whole.source, self.whole.destination)
            found = source if key.endswith("saddr") else destination
            wanted = {"ip ": 4, "ip6": 6}.get(key[:3])
            return str(found) if wanted in (None, found.version) else MISSING
        if key == "direction":
            return "reply" if self.packet.ct_state == ESTABLISHED else "original"
        return super()._ct(what)

    def _fib(self, what: Mapping[str, Any]) -> Any:
        if self.fib is None:
            return super()._fib(what)
        flags = what.get("flags")
        return self.fib(str(what.get("result")), flags if isinstance(flags, list) else [str(flags)])


def at(packet: Packet, hook: str) -> HookPacket:
    """The packet as rules of any table see it at a hook."""
    return HookPacket(
        hook=hook,
        in_interface=packet.in_link,
        out_interface=packet.out_link,
        version=packet.version,
        source=str(packet.source),
        destination=str(packet.destination),
        protocol=packet.protocol,
        source_port=packet.source_port,
        port=packet.port,
        ct_state=packet.state,
        ct_status_dnat=packet.dnat,
    )


__all__ = ["UNKNOWN", "Fib", "TrackedMatcher", "at"]
