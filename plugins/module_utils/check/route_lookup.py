# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Looking up a route as the kernel does: policy rules in order, in tables the longest prefix, then the metric. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional, Union

from ..desired.cidr import Address
from ..desired.tables import TABLES
from ..doors import netlink_messages as wire
from .packet import PROTOCOLS

#: The interface that the kernel takes a packet of its own to have come from.
LOCAL_OUTPUT = "lo"
_NOP = 3
#: A rule that routes nowhere itself, by its action's number.
_REFUSING = {wire.RTN_BLACKHOLE, wire.RTN_UNREACHABLE, wire.RTN_PROHIBIT}
#: What the kernel has without any rule of IPv4 or IPv6 in a dump.
_DEFAULT_TABLES = (TABLES["local"], TABLES["main"], TABLES["default"])
_MOST_STEPS = 1000


@dataclass(frozen=True)
class Flow:
    """What a lookup goes by. *source* is None while the kernel has yet to choose one."""

    destination: Address
    source: Optional[Address] = None
    iif: str = LOCAL_OUTPUT
    oif: str = ""
    oif_index: int = 0
    mark: Optional[int] = 0
    protocol: str = "tcp"
    source_port: Optional[int] = None
    port: Optional[int] = None
    uid: int = 0
    ignore_no_carrier: bool = False


class Found(NamedTuple):
    """A route, and the rule that led to it (None: the kernel's defaults)."""

    route: wire.FibRoute
    rule: Optional[wire.Rule]


class Refused(NamedTuple):
    """A rule that refuses by itself."""

    rule: wire.Rule


Answer = Union[Found, Refused, None]


def lookup(rules: Sequence[wire.Rule], routes: Sequence[wire.FibRoute], flow: Flow) -> Answer:
    """The route for a packet; None if there is none. One that goes nowhere (blackhole and the like) is found too."""
    version = flow.destination.version
    own = sorted((rule for rule in rules if rule.version == version), key=lambda rule: rule.priority)
    if not own:
        own = [wire.Rule(version, 0, wire.FR_ACT_TO_TBL, table) for table in _DEFAULT_TABLES]
    position = 0
    for _step in range(_MOST_STEPS):
        if position >= len(own):
            return None
        rule = own[position]
        position += 1
        if rule.action == _NOP or not matches(rule, flow):
            continue
        if rule.action == wire.FR_ACT_GOTO:
            # Where there is no rule of that priority (`ip rule` says unresolved), the kernel passes over it.
            position = next((place for place, item in enumerate(own) if item.priority == rule.goto), position)
        elif rule.action in _REFUSING:
            return Refused(rule)
        elif rule.action == wire.FR_ACT_TO_TBL:
            route = in_table(routes, rule.table, flow)
            if route is None or route.type == wire.RTN_THROW:
                continue
            suppressed = rule.suppress_prefix is not None and route.network.prefixlen <= rule.suppress_prefix
            if not (suppressed and route.type not in _REFUSING):
                return Found(route, rule)
    return None


def matches(rule: wire.Rule, flow: Flow) -> bool:
    """Whether a policy rule is for this packet."""
    return _selects(rule, flow) != rule.inverted


def _selects(rule: wire.Rule, flow: Flow) -> bool:
    if rule.l3mdev:
        return False  # for links of a VRF alone
    if rule.source is not None and rule.source.prefixlen and (flow.source is None or flow.source not in rule.source):
        return False
    if rule.destination is not None and flow.destination not in rule.destination:
        return False
    if (rule.iif and rule.iif != flow.iif) or (rule.oif and rule.oif != flow.oif) or rule.tos:
        return False
    if rule.mark is not None and (flow.mark is None or flow.mark & rule.mark[1] != rule.mark[0]):
        return False
    if rule.ip_protocol and rule.ip_protocol != PROTOCOLS.get(flow.protocol):
        return False
    if rule.uids is not None and (flow.iif != LOCAL_OUTPUT or not rule.uids[0] <= flow.uid <= rule.uids[1]):
        return False
    return _in_span(rule.source_ports, flow.source_port) and _in_span(rule.destination_ports, flow.port)


def _in_span(span: Optional[tuple[int, int]], port: Optional[int]) -> bool:
    return span is None or (port is not None and span[0] <= port <= span[1])


def in_table(routes: Iterable[wire.FibRoute], table: int, flow: Flow) -> Optional[wire.FibRoute]:
    """The best route of one table: the longest prefix, then the lowest metric, then the first."""
    best: Optional[wire.FibRoute] = None
    for route in routes:
        if route.table != table or not _usable(route, flow):
            continue
        if best is None or _rank(route) < _rank(best):
            best = route
    return best


def _usable(route: wire.FibRoute, flow: Flow) -> bool:
    if route.network.version != flow.destination.version or flow.destination not in route.network:
        return False
    if route.dead or route.tos or (route.no_carrier and flow.ignore_no_carrier):
        return False
    if route.sources is not None and (flow.source is None or flow.source not in route.sources):
        return False
    return not (flow.oif_index and route.index and route.index != flow.oif_index)


def _rank(route: wire.FibRoute) -> tuple[int, int, int]:
    return (
        -route.network.prefixlen,
        -(route.sources.prefixlen if route.sources else 0),
        route.metric,
    )


def chosen_source(route: wire.FibRoute, addresses: Sequence[wire.Address], destination: Address) -> Optional[Address]:
    """The source that a packet of the host's own gets: the route's, else one of its link, else any of the namespace's.

    IPv4 takes the first one of the next hop's subnet (inet_select_addr()); IPv6 the one that shares the longest prefix
    with the destination, as far as RFC 6724 can be followed from here.
    """
    if route.source is not None:
        return route.source
    if route.type == wire.RTN_LOCAL:
        return destination
    version = destination.version
    usable = [item for item in addresses if item.address.version == version and _can_speak(item, destination)]
    on_link = [item for item in usable if item.index == route.index]
    if version == 4:
        near = route.via if route.via is not None and route.via.version == 4 else destination
        inside = [item for item in on_link if near in item.address.network]
        ranked = inside or on_link or usable
        return ranked[0].address.ip if ranked else None
    candidates = on_link or usable
    return (
        max(candidates, key=lambda item: _shared_bits(item.address.ip, destination)).address.ip if candidates else None
    )


def _can_speak(item: wire.Address, destination: Address) -> bool:
    if item.flags & (wire.IFA_F_DADFAILED | _TENTATIVE):
        return False
    link_local = item.address.ip.is_link_local
    if destination.version == 6 and link_local != destination.is_link_local:
        return False
    return item.scope < _SCOPE_LINK or link_local or destination.is_link_local


_TENTATIVE = 0x40
_SCOPE_LINK = 253


def _shared_bits(one: Address, other: Address) -> int:
    return 128 - (int(one) ^ int(other)).bit_length()


def route_text(route: wire.FibRoute, link: str) -> str:
    """In the words of `ip route`."""
    kind = _KINDS.get(route.type, f"type {route.type} ")
    default = ipaddress.ip_network("0.0.0.0/0" if route.network.version == 4 else "::/0")
    words = [f"{kind}{'default' if route.network == default else route.network}"]
    words += [f"via {route.via}"] if route.via is not None else []
    words += [f"dev {link}"] if link else []
    words += [f"metric {route.metric}"] if route.metric else []
    words += [f"table {route.table}"] if route.table != TABLES["main"] else []
    return " ".join(words)


_KINDS = {
    wire.RTN_UNICAST: "",
    wire.RTN_LOCAL: "local ",
    wire.RTN_BROADCAST: "broadcast ",
    wire.RTN_ANYCAST: "anycast ",
    wire.RTN_MULTICAST: "multicast ",
    wire.RTN_BLACKHOLE: "blackhole ",
    wire.RTN_UNREACHABLE: "unreachable ",
    wire.RTN_PROHIBIT: "prohibit ",
}


def reversed_flow(packet_source: Address, packet_destination: Address, in_link: str, mark: Optional[int]) -> Flow:
    """The lookup by which the kernel asks whether a packet's source lies behind the link that it came through. The mark
    counts only where src_valid_mark says so."""
    return replace(Flow(packet_source, packet_destination, iif=in_link), mark=mark)
