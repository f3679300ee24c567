# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Everything that one owner (a topology, or a single module call) wants, and the checks across its resources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Union

from ..errors import InvalidOption
from . import cidr
from .names import where as place
from .netns import Netns
from .netns_forward import Forward
from .netns_nat import Nat
from .netns_service import Service
from .veth import MAIN_TABLE, Veth, collide, network_of

Resource = Union[Netns, Veth, Nat, Forward, Service]

#: The lists of a topology and the class of their items. A new kind of resource is one line here.
LISTS: dict[str, type] = {"namespaces": Netns, "veths": Veth, "nat": Nat, "forwards": Forward, "services": Service}


@dataclass(frozen=True)
class State:
    """Resources by list name, ``isolate``, ``persist`` and nothing else: no I/O, no order, comparable."""

    namespaces: tuple[Netns, ...] = ()
    veths: tuple[Veth, ...] = ()
    nat: tuple[Nat, ...] = ()
    forwards: tuple[Forward, ...] = ()
    services: tuple[Service, ...] = ()
    isolate: bool = True
    #: Made again at boot and after the ruleset was flushed.
    persist: bool = False
    #: True for a topology, whose host ends are closed by default; False for what a single module made.
    closed: bool = field(default=True)

    @classmethod
    def from_options(cls, options: dict[str, Any], single: bool = False) -> State:
        """Build from the options of spec/netns_topology.py; *single* leaves list names out of the errors."""
        lists = {
            name: tuple(
                kind.from_options(item, "" if single else f"{name}[{number}].")  # type: ignore[attr-defined]
                for number, item in enumerate(options.get(name) or ())
            )
            for name, kind in LISTS.items()
        }
        state = cls(
            **lists,
            isolate=options.get("isolate", True),
            persist=bool(options.get("persist")),
            closed=not single,
        )
        check_consistent(state)
        return state

    @property
    def resources(self) -> tuple[Resource, ...]:
        return (*self.namespaces, *self.veths, *self.nat, *self.forwards, *self.services)

    @property
    def rules(self) -> tuple[Union[Nat, Forward], ...]:
        """What ends up in a ruleset."""
        return (*self.nat, *self.forwards)

    @property
    def netns_names(self) -> set[str]:
        """Every namespace that is mentioned, the host's (``""``) included."""
        names = {item.name for item in self.namespaces}
        names |= {end.netns for veth in self.veths for end in veth.ends}
        return names | {item.netns for item in (*self.rules, *self.services)}

    def without(self, identities: Iterable[tuple[str, ...]]) -> State:
        """The same state less the resources with these identities."""
        gone = set(identities)
        lists = {name: tuple(item for item in getattr(self, name) if item.identity not in gone) for name in LISTS}
        return State(**lists, isolate=self.isolate, persist=self.persist, closed=self.closed)


def check_consistent(state: State) -> None:
    """Refuse what cannot be true at once within one owner: names used twice, colliding networks, competing forwards."""
    for list_name in LISTS:
        seen: set[tuple[str, ...]] = set()
        for number, item in enumerate(getattr(state, list_name)):
            if item.identity in seen:
                raise InvalidOption(
                    f"{list_name}[{number}].name", item.identity[-1], "is listed twice", "keep one of them"
                )
            seen.add(item.identity)
    _check_links(state)
    check_networks(state.veths)
    _check_routes(state)
    _check_policy_rules(state)
    check_forwards(state.forwards)


def _check_links(state: State) -> None:
    seen: set[tuple[str, str]] = set()
    for number, veth in enumerate(state.veths):
        for option, end in zip(("name", "peer.name"), veth.ends):
            if end.place in seen:
                raise InvalidOption(
                    f"veths[{number}].{option}",
                    end.name,
                    f"is used twice {place(end.netns)}",
                    "an interface has one name in its namespace: choose another",
                )
            seen.add(end.place)


def _check_routes(state: State) -> None:
    """The kernel keeps one route to a destination for each table and metric (the option given is the later one)."""
    seen: dict[tuple, str] = {}
    for number, veth in enumerate(state.veths):
        for option, end in zip(("", "peer."), veth.ends):
            for route in end.all_routes:
                key = (end.netns, route.to, route.table, route.metric)
                if seen.setdefault(key, end.name) != end.name:
                    name = (
                        "routes"
                        if route not in end.default_routes
                        else "gateway6"
                        if route.to.version == 6
                        else "gateway"
                    )
                    raise InvalidOption(
                        f"veths[{number}].{option}{name}",
                        str(route.via or route.to),
                        f"is a second route to {route.to} {place(end.netns)} with metric "
                        f"{route.metric} in table {route.table}; "
                        f"{seen[key]} has one already",
                        "give one of them another metric or table, as an item of routes",
                    )


def _check_policy_rules(state: State) -> None:
    """Rules are asked by priority, and which of two with the same one comes first nobody could tell."""
    seen: dict[tuple, tuple[object, str]] = {}
    for number, veth in enumerate(state.veths):
        for option, end in zip(("", "peer."), veth.ends):
            for rule in end.rules or ():
                first, whose = seen.setdefault((end.netns, rule.key), (rule, end.name))
                if first != rule:
                    raise InvalidOption(
                        f"veths[{number}].{option}rules",
                        rule.priority,
                        f"is the priority of another IPv{rule.version} rule {place(end.netns)}, which {whose} has",
                        "give each rule of a namespace its own priority",
                    )


def check_networks(veths: Iterable[Veth]) -> None:
    """Within a namespace an address lives on one interface, and so does a network, unless a routing table of its
    own says which interface is meant (policy routing)."""
    by_netns: dict[str, list[tuple[str, cidr.Interface, bool]]] = {}
    for number, veth in enumerate(veths):
        for option, end in zip(("addresses", "peer.addresses"), veth.ends):
            own_table = any(route.table != MAIN_TABLE for route in end.all_routes)
            for item in end.addresses or ():
                by_netns.setdefault(end.netns, []).append((f"veths[{number}].{option} ({end.name})", item, own_table))
    for netns, entries in by_netns.items():
        _check_one_namespace(netns, entries)


def _check_one_namespace(netns: str, entries: list[tuple[str, cidr.Interface, bool]]) -> None:
    """Sorted by network, only neighbours can overlap: 500 namespaces do not cost 250,000 comparisons."""
    addresses: dict[cidr.Address, str] = {}
    for option, item, _own in entries:
        if item.ip in addresses:
            raise InvalidOption(
                option,
                str(item),
                f"is also an address of {addresses[item.ip]} {place(netns)}",
                "an address lives on one interface of a namespace",
            )
        addresses[item.ip] = option
    for version in (4, 6):
        ranked = sorted(
            (
                (net, option, own)
                for option, item, own in entries
                for net in [network_of(item)]
                if net and net.version == version
            ),
            key=lambda entry: (int(entry[0].network_address), entry[0].prefixlen),
        )
        widest = None
        for net, option, own in ranked:
            if widest and collide(widest[0], net) and option != widest[1] and not (own or widest[2]):
                raise InvalidOption(
                    option,
                    str(net),
                    f"overlaps {widest[0]} of {widest[1]} {place(netns)}",
                    "use distinct subnets, or give each its own routing table",
                )
            if widest is None or int(net.broadcast_address) >= int(widest[0].broadcast_address):
                widest = (net, option, own)


def check_forwards(forwards: Iterable[Forward], others: Iterable[tuple[str, Forward]] = ()) -> None:
    """No two forwards may want the same port of the same address; *others* are those of other owners, by name.

    Sorted by first port, a forward is compared only with those whose range is still open.
    """
    slots: dict[tuple, list[tuple[Forward, str, str]]] = {}
    labelled = [(forward, f"{forward.name} of {owner}", "") for owner, forward in others]
    labelled += [(forward, forward.name, f"forwards[{number}].") for number, forward in enumerate(forwards)]
    for entry in labelled:
        for protocol in entry[0].protocol:
            slots.setdefault((entry[0].netns, entry[0].version, protocol), []).append(entry)
    for (_netns, _version, protocol), entries in slots.items():
        open_ranges: list[tuple[Forward, str, str]] = []
        for entry in sorted(entries, key=lambda item: item[0].port.first):
            open_ranges = [other for other in open_ranges if other[0].port.last >= entry[0].port.first]
            for other in open_ranges:
                if entry[0].competes_with(other[0]):
                    mine, theirs = (entry, other) if entry[2] else (other, entry)
                    raise InvalidOption(
                        f"{mine[2]}port",
                        str(mine[0].port),
                        f"({protocol}) is a duplicate: forward {theirs[1]} already takes "
                        f"{theirs[0].port} at the same address",
                        "choose another port, or tell them apart by listen_address, in_interface or sources",
                    )
            open_ranges.append(entry)
