# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which changes could cut the branch a run sits on: the SSH connection it came by, and the default routes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .desired.cidr import Address
from .desired.names import HOST
from .desired.netns_forward import Forward
from .desired.tables import MAIN_TABLE
from .doors import netlink_messages as wire
from .doors.processes import SshConnection
from .objects.link_address import LinkAddress
from .objects.link_neighbour import LinkNeighbour
from .objects.link_route import LinkRoute
from .objects.link_setting import LinkSetting
from .objects.policy_rule import PolicyRule
from .objects.veth_pair import VethPair
from .plan import Change

_EVERYWHERE = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class Lifeline:
    """A connection, and the route that its answers take: ``link`` (a name), ``route`` as the kernel has it."""

    connection: SshConnection
    link: str
    route: wire.FibRoute

    def __str__(self) -> str:
        return f"the SSH connection from {self.connection.remote} to {self.connection.local} by {self.link}"


def dangers(
    changes: Iterable[Change],
    lifeline: Lifeline,
    default_routes: Sequence[tuple[str, wire.Route]],
    new_forwards: Iterable[Forward],
) -> list[str]:
    """What speaks against *changes*, in words. *default_routes* are those of the host's main table, with their links;
    *new_forwards* those on the host that did not hold before."""
    defaults: dict[int, tuple[str, wire.Route]] = {}
    for link, route in sorted(default_routes, key=_rank, reverse=True):
        defaults[route.network.version] = (link, route)
    found = []
    for change in changes:
        if HOST in change.item.netns_names:
            reason = _cuts(change, lifeline) or _moves_default(change, defaults)
            if reason:
                found.append(f"{change.action} {change.item}: {reason}")
    found += [
        f"forward {forward.name}: it would take new connections to port {lifeline.connection.port}, where sshd listens"
        for forward in new_forwards
        if _captures(forward, lifeline)
    ]
    return found


def _rank(item: tuple[str, wire.Route]) -> int:
    return item[1].metric


def _cuts(change: Change, lifeline: Lifeline) -> str:
    """Why a change could end the connection, "" if it could not."""
    item = change.item
    if isinstance(item, (LinkSetting, VethPair)) and (HOST, lifeline.link) in item.links and change.before is not None:
        return f"it carries {lifeline}"
    if isinstance(item, LinkNeighbour) and item.link == lifeline.link:
        return f"{lifeline} uses that interface"
    if isinstance(item, LinkAddress):
        return _address_cuts(item, change.after is not None, lifeline)
    if isinstance(item, LinkRoute):
        return _route_cuts(item, lifeline)
    if isinstance(item, PolicyRule):
        return _rule_cuts(item, change, lifeline)
    return ""


def _address_cuts(item: LinkAddress, appears: bool, lifeline: Lifeline) -> str:
    address = ipaddress.ip_interface(item.cidr)
    connection = lifeline.connection
    if address.version != connection.remote.version:
        return ""
    if not appears:
        if address.ip == connection.local:
            return f"{lifeline} ends at that address"
        on_path = item.link == lifeline.link and connection.remote in address.network
        return f"{lifeline} goes by its network" if on_path else ""
    if address.ip == connection.remote:
        return f"{lifeline} comes from that very address"
    nearer = connection.remote in address.network and address.network.prefixlen >= lifeline.route.network.prefixlen
    return f"its network takes in the other end of {lifeline}" if nearer and item.link != lifeline.link else ""


def _route_cuts(item: LinkRoute, lifeline: Lifeline) -> str:
    route, network = lifeline.route, ipaddress.ip_network(item.to)
    if network.version != route.network.version or lifeline.connection.remote not in network:
        return ""
    if item.table not in (route.table, MAIN_TABLE) or network.prefixlen < route.network.prefixlen:
        return ""
    if network.prefixlen == route.network.prefixlen and item.metric > route.metric:
        return ""
    return f"{lifeline} goes by {_named(route)}"


def _named(route: wire.FibRoute) -> str:
    name = "the default route" if not route.network.prefixlen else f"the route to {route.network}"
    return name + (f" via {route.via}" if route.via else "")


def _rule_cuts(item: PolicyRule, change: Change, lifeline: Lifeline) -> str:
    """A rule may lead the answers elsewhere. Rules of both values: which one holds next does not matter."""
    connection = lifeline.connection
    if item.version != connection.remote.version:
        return ""
    texts = [text for text in (change.before, change.after) if isinstance(text, str)]
    if any(_selects(text.split(), connection) for text in texts):
        return f"it decides where {lifeline} goes"
    return ""


def _selects(words: Sequence[str], connection: SshConnection) -> bool:
    """True if a rule, as `ip rule` prints it, may be for what sshd sends. What is unknown may be."""
    said = dict(zip(words, words[1:]))
    if "not" in words:
        return True
    if said.get("iif", "lo") != "lo" or "fwmark" in said or "oif" in said:
        return False  # the host's own packets come from lo, and unmarked
    return all(
        said.get(word, "all") == "all" or _in(address, said[word])
        for word, address in (("from", connection.local), ("to", connection.remote))
    )


def _in(address: Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return True


def _moves_default(change: Change, defaults: dict[int, tuple[str, wire.Route]]) -> str:
    """Why a change replaces the host's default route, "" if it does not, or there was none."""
    item = change.item
    if isinstance(item, LinkRoute) and item.table == MAIN_TABLE and item.to in _EVERYWHERE:
        present = defaults.get(6 if ":" in item.to else 4)
        if present and item.metric <= present[1].metric:
            return f"the host's default route leads through {present[0]}" + (
                f" via {present[1].via}" if present[1].via else ""
            )
    through = {link for link, _route in defaults.values()}
    if isinstance(item, (LinkSetting, VethPair)) and change.before is not None:
        leading = next((link for netns, link in item.links if netns == HOST and link in through), None)
        return f"the host's default route leads through {leading}" if leading else ""
    if isinstance(item, LinkAddress) and change.after is None:
        address = ipaddress.ip_interface(item.cidr)
        present = defaults.get(address.version)
        if present and present[0] == item.link and present[1].via is not None and present[1].via in address.network:
            return f"the host's default route leads via {present[1].via} in its network"
    return ""


def _captures(forward: Forward, lifeline: Lifeline) -> bool:
    """True if a forward takes packets that look like the first one of the connection."""
    connection = lifeline.connection
    return (
        forward.netns == HOST
        and "tcp" in forward.protocol
        and forward.version == connection.remote.version
        and forward.port.first <= connection.port <= forward.port.last
        and (not forward.listen_address or connection.local in forward.listen_address)
        and (not forward.in_interface or lifeline.link in forward.in_interface)
        and (not forward.sources or any(connection.remote in network for network in forward.sources))
    )


def refusal(found: Sequence[str]) -> str:
    """The sentence for the operator."""
    shown = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
    return (
        f"this could cut the host off: {shown}. Set confirm_timeout (seconds): then the host takes all of it back "
        "by itself unless a new connection confirms in time that it can still be reached"
    )
