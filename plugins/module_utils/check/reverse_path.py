# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a namespace takes a packet from where it came: rp_filter, martians, as fib_validate_source(). Pure."""

from __future__ import annotations

from typing import Optional

from ..doors import netlink_messages as wire
from .packet import Packet
from .route_lookup import Flow, Found, lookup, route_text
from .stack import Stack, link_at, link_named

_STRICT = 1


def effective_rp_filter(stack: Stack, link: str) -> int:
    """The stricter of conf/all and the link's own (2, loose, is the higher number and wins, as in the kernel)."""
    values = (stack.sysctl(f"net/ipv4/conf/{where}/rp_filter") or "0" for where in ("all", link))
    return max(int(value) if value.isdigit() else 0 for value in values)


def objection(stack: Stack, packet: Packet) -> Optional[str]:
    """Why the source of an arriving packet is refused, None if it is not. IPv6 has no such filter."""
    if packet.version == 6:
        return None
    link = packet.in_link
    source = packet.source
    own = {item.address.ip for item in stack.addresses}
    if source in own and (stack.sysctl(f"net/ipv4/conf/{link}/accept_local") or "0") == "0":
        return f"the source {source} is an address of this very namespace (a martian source)"
    mode = effective_rp_filter(stack, link)
    if not mode:
        return None
    flow = Flow(source, packet.destination, iif=link, mark=_mark(stack, packet))
    answer = lookup(stack.rules, stack.routes, flow)
    if not isinstance(answer, Found) or answer.route.type not in (wire.RTN_UNICAST, wire.RTN_LOCAL):
        return f"rp_filter is {mode} on {link}, and there is no route back to {source}"
    arrived = link_named(stack, link)
    ways = [
        route
        for route in stack.routes
        if (route.network, route.table, route.metric) == (answer.route.network, answer.route.table, answer.route.metric)
    ]
    if mode != _STRICT or arrived is None or any(route.index == arrived.index for route in ways):
        return None
    way = link_at(stack, answer.route.index)
    name = way.name if way else "?"
    return (
        f"rp_filter is strict (1) on {link}, and the route back to {source} leads through {name} "
        f"({route_text(answer.route, name)})"
    )


def _mark(stack: Stack, packet: Packet) -> Optional[int]:
    valid = any(stack.sysctl(f"net/ipv4/conf/{where}/src_valid_mark") == "1" for where in ("all", packet.in_link))
    return packet.mark if valid else 0
