# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""NAT, forwards and the isolation of our links, compiled into one ruleset and the forwarding sysctls of a namespace.

Forwarding is enabled on the interfaces that a declared flow enters through, and on no other. The kernel looks at
the switch of the interface on which a packet arrives: ``net.ipv4.conf.IF.forwarding`` for IPv4, and for IPv6
``net.ipv6.conf.IF.force_forwarding`` (Linux 6.17). Older kernels know only the global switch for IPv6, which also
makes interfaces forget the default routes that they learnt by router advertisement, unless ``accept_ra`` is 2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from ..desired import cidr
from ..desired.names import HOST
from ..desired.state import State
from ..desired.veth import End, Veth
from ..objects.kernel_object import KernelObject, Value
from ..objects.sysctl import Sysctl
from ..snapshot import Snapshot
from .firewall import EVERY, Inside, Ruleset
from .reach import Reach, reach

IPV6_GLOBAL = "net/ipv6/conf/all/forwarding"
IPV4_GLOBAL = "net/ipv4/conf/all/forwarding"


@dataclass(frozen=True)
class Paths:
    """What a state's flows need in one namespace: links to forward on by IP version, links that take localhost."""

    forward: dict[int, tuple[str, ...]]
    localnet: tuple[str, ...]


def namespaces_concerned(state: State) -> set[str]:
    """Namespaces whose ruleset this state has a part in."""
    found = {item.netns for item in state.rules}
    if state.closed and any(_host_ends(veth) for veth in state.veths):
        found.add(HOST)
    return found


def _host_ends(veth: Veth) -> tuple[End, ...]:
    """The end on the host of a pair that leads into a namespace."""
    if veth.peer is None or veth.end.netns == veth.peer.netns:
        return ()
    return tuple(end for end in veth.ends if end.netns == HOST and end.bridge is None)


def view(
    netns: str, states: Iterable[State], snapshot: Snapshot, ours: Iterable[str], leaving: Collection[str] = ()
) -> Reach:
    """Which link leads where in *netns*, by all that is declared for it and all that is there and does not leave."""
    ends = [end for state in states for veth in state.veths for end in veth.ends if end.netns == netns]
    return reach(
        ends,
        ours,
        [
            (link, item.address.network)
            for link, item in snapshot.all_addresses(netns)
            if link != "lo" and link not in leaving
        ],
        [
            (link, route.network, route.table)
            for link, route in snapshot.all_routes(netns)
            if link and link not in leaving
        ],
    )


def paths(netns: str, state: State, where: Reach, inside: Iterable[str]) -> Paths:
    """The links that packets of this state's declared flows enter through."""
    forward: dict[int, set[str]] = {4: set(), 6: set()}
    localnet: set[str] = set()
    for nat in state.nat:
        if nat.netns == netns and nat.forward:
            for version in nat.versions:
                forward[version] |= {
                    *where.towards(cidr.of_version(nat.source, version)),
                    *(nat.out_interface or where.defaults[version]),
                }
    for item in state.forwards:
        if item.netns == netns:
            behind = where.towards([cidr.network("to_address", str(item.to_address))])
            forward[item.version] |= {*behind, *(item.in_interface or where.defaults[item.version])}
            if item.hairpin and item.version == 4 and _takes_localhost(item.listen_address):
                localnet |= set(behind) & set(inside)
    if netns == HOST and state.closed and not state.isolate:
        for veth in state.veths:
            for end in _host_ends(veth):
                for version in {address.version for one in veth.ends for address in one.addresses or ()}:
                    forward[version].add(end.name)
    return Paths({version: tuple(sorted(links)) for version, links in forward.items()}, tuple(sorted(localnet)))


def _takes_localhost(listen: tuple[cidr.Address, ...]) -> bool:
    return not listen or any(str(item) == "127.0.0.1" for item in listen)


def sysctls(
    netns: str,
    needs: Paths,
    snapshot: Snapshot,
    ours: Iterable[str],
    keys_of: Mapping[KernelObject, Value],
    per_interface_v6: bool,
) -> dict[Sysctl, str]:
    """The switches for *needs*. *keys_of* are those that this owner holds already: once accept_ra was changed to
    survive the global IPv6 switch, it has to stay so."""
    found = {Sysctl(netns, f"net/ipv4/conf/{link}/forwarding"): "1" for link in needs.forward[4]}
    found.update({Sysctl(netns, f"net/ipv4/conf/{link}/route_localnet"): "1" for link in needs.localnet})
    if not needs.forward[6] or (
        snapshot.sysctl(netns, IPV6_GLOBAL) == "1" and Sysctl(netns, IPV6_GLOBAL) not in keys_of
    ):
        return found  # the host is an IPv6 router already, by somebody else's decision
    if per_interface_v6:
        found.update({Sysctl(netns, f"net/ipv6/conf/{link}/force_forwarding"): "1" for link in needs.forward[6]})
        return found
    for link in snapshot.links(netns):
        key = Sysctl(netns, f"net/ipv6/conf/{link}/accept_ra")
        learns = (
            snapshot.sysctl(netns, key.path) == "1"
            and snapshot.sysctl(netns, f"net/ipv6/conf/{link}/forwarding") == "0"
        )
        if link not in ours and link != "lo" and (learns or key in keys_of):
            found[key] = "2"
    found[Sysctl(netns, IPV6_GLOBAL)] = "1"
    return found


def ruleset(
    netns: str,
    states: Iterable[State],
    where: Reach,
    inside: tuple[Inside, ...],
    opened: dict[int, tuple[str, ...]],
    marked: bool = False,
) -> Ruleset:
    """Everything that all owners declare for *netns*, ready for compile_ruleset()."""
    nat = tuple((item, where.towards(item.source)) for state in states for item in state.nat if item.netns == netns)
    forwards = tuple(
        (item, where.towards([cidr.network("to_address", str(item.to_address))]))
        for state in states
        for item in state.forwards
        if item.netns == netns
    )
    defaults = tuple(sorted({link for links in where.defaults.values() for link in links}))
    return Ruleset(inside, nat, forwards, defaults, opened, marked)


def inside_links(netns: str, states: Iterable[State], where: Reach) -> tuple[Inside, ...]:
    """Our links with namespaces behind them: a topology's ends on the host, and whatever a NAT's sources or a
    forward's target live behind, if it is ours."""
    states = list(states)
    ends: dict[str, tuple[End, Optional[End]]] = {}
    closed: set[str] = set()
    friends: dict[str, set[str]] = {}
    for state in states:
        mine = []
        for veth in state.veths:
            for end, other in ((veth.end, veth.peer), (veth.peer, veth.end)):
                if end is not None and end.netns == netns:
                    ends[end.name] = (end, other)
            mine += [end.name for end in _host_ends(veth)] if state.closed and netns == HOST else []
        closed |= set(mine)
        if not state.isolate:
            for link in mine:
                friends.setdefault(link, set()).update(set(mine) - {link})
    used = {
        link
        for state in states
        for item in state.nat
        if item.netns == netns and item.forward
        for link in where.towards(item.source)
    }
    localnet: set[str] = set()
    for state in states:
        for forward in state.forwards:
            if forward.netns == netns:
                used |= set(where.towards([cidr.network("to_address", str(forward.to_address))]))
    links = sorted(closed | (used & where.ours))
    for state in states:
        localnet |= set(paths(netns, state, where, links).localnet)
    return tuple(
        Inside(link, _allowed(*ends.get(link, (None, None))), tuple(sorted(friends.get(link, ()))), link in localnet)
        for link in links
    )


def _allowed(end: Optional[End], other: Optional[End]) -> Optional[tuple[cidr.Network, ...]]:
    """What may come from behind a link: the other end's addresses, and networks that are routed to it."""
    if end is None:
        return None
    if other is not None and other.addresses is not None:
        own = [cidr.network("addresses", str(item.ip)) for item in other.addresses]
    elif end.addresses is not None:
        own = list(end.networks)
    else:
        return None
    own += [route.to for route in end.all_routes if route.type == "unicast" and route.to.prefixlen]
    return tuple(own)


def opened_links(
    netns: str,
    forward: dict[int, tuple[str, ...]],
    snapshot: Snapshot,
    made: Mapping[KernelObject, Value],
    per_interface_v6: bool,
) -> dict[int, tuple[str, ...]]:
    """The links on which forwarding is, or is about to be, our doing: traffic there that is not ours stays closed.

    Where forwarding was on before, or the whole host has been made a router since, that is the admin's decision.
    """

    def ours(path: str) -> bool:
        key = Sysctl(netns, path)
        return made.get(key, snapshot.sysctl(netns, path)) == "0"

    found: dict[int, tuple[str, ...]] = {}
    if snapshot.sysctl(netns, IPV4_GLOBAL) == "0":
        found[4] = tuple(link for link in forward[4] if ours(f"net/ipv4/conf/{link}/forwarding"))
    if per_interface_v6:
        if snapshot.sysctl(netns, IPV6_GLOBAL) == "0":
            found[6] = tuple(link for link in forward[6] if ours(f"net/ipv6/conf/{link}/force_forwarding"))
    elif forward[6] and ours(IPV6_GLOBAL):
        found[6] = (EVERY,)
    return {version: links for version, links in found.items() if links}
