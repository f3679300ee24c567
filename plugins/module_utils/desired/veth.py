# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A veth pair as it is wanted, with what hangs on each of its ends: addresses, routes, settings."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import InvalidOption
from . import cidr
from .names import link_name, optional_netns
from .names import where as place
from .policy_rule import Rule, rules
from .tables import MAIN_TABLE, table

IPV6_DEFAULT_METRIC = 1024


@dataclass(frozen=True)
class Route:
    """One route. ``metric`` is what the kernel will show: 0 for IPv4 and 1024 for IPv6 where none was given."""

    to: cidr.Network
    via: Optional[cidr.Address] = None
    metric: int = 0
    table: int = MAIN_TABLE
    source: Optional[cidr.Address] = None
    onlink: bool = False
    type: str = "unicast"


@dataclass(frozen=True)
class End:
    """One end. ``addresses``, ``routes`` and ``rules`` are whole lists, or None for "leave them as they are"."""

    name: str
    netns: str
    addresses: Optional[tuple[cidr.Interface, ...]] = None
    mac: Optional[str] = None
    mtu: Optional[int] = None
    up: bool = True
    bridge: Optional[str] = None
    default_routes: tuple[Route, ...] = ()
    routes: Optional[tuple[Route, ...]] = None
    rules: Optional[tuple[Rule, ...]] = None

    @property
    def place(self) -> tuple[str, str]:
        """(namespace, interface): what the kernel takes as unique."""
        return self.netns, self.name

    @property
    def networks(self) -> tuple[cidr.Network, ...]:
        """The networks that are directly connected through this end's addresses."""
        return tuple(item.network for item in self.addresses or ())

    @property
    def all_routes(self) -> tuple[Route, ...]:
        return self.default_routes + (self.routes or ())

    def __str__(self) -> str:
        return f"{self.name} {place(self.netns)}"


@dataclass(frozen=True)
class Veth:
    """A pair; ``peer`` is None only where the pair is to go (``state: absent``) or must exist already."""

    end: End
    peer: Optional[End] = None

    kind = "veth"

    @property
    def identity(self) -> tuple[str, ...]:
        """The pair is the same whichever end is named first."""
        return ("veth", *min(end.place for end in self.ends))

    @property
    def ends(self) -> tuple[End, ...]:
        return (self.end,) if self.peer is None else (self.end, self.peer)

    @classmethod
    def from_options(cls, options: dict[str, Any], where: str = "") -> Veth:
        """Build from the options of spec/veth.py. *where* prefixes option names in errors (``veths[3].``)."""
        end = _end(options, where)
        peer = _end(options["peer"], where + "peer.") if options.get("peer") else None
        if peer and peer.place == end.place:
            raise InvalidOption(
                where + "peer.name", peer.name, f"is the other end too ({end})", "give the peer another name or netns"
            )
        return cls(end, peer)


def _end(options: dict[str, Any], where: str) -> End:
    addresses = _addresses(where + "addresses", options.get("addresses"))
    routes = options.get("routes")
    end = End(
        name=link_name(where + "name", options["name"]),
        netns=optional_netns(where + "netns", options.get("netns")),
        addresses=addresses,
        mac=cidr.mac(where + "mac", options.get("mac")),
        mtu=_mtu(where + "mtu", options.get("mtu"), addresses),
        up=options.get("up", True) is not False,
        bridge=None if options.get("bridge") is None else link_name(where + "bridge", options["bridge"]),
        default_routes=tuple(
            Route(
                cidr.network(option, net),
                via=_gateway(where + option, options[option], version, addresses),
                metric=IPV6_DEFAULT_METRIC if version == 6 else 0,
            )
            for option, version, net in (("gateway", 4, "0.0.0.0/0"), ("gateway6", 6, "::/0"))
            if options.get(option) is not None
        ),
        routes=None
        if routes is None
        else tuple(_route(f"{where}routes[{number}].", route, addresses) for number, route in enumerate(routes)),
        rules=rules(where + "rules", options.get("rules"), addresses),
    )
    seen: dict[tuple, Route] = {}
    for route in end.all_routes:
        key = (route.to, route.table, route.metric)
        if key in seen:
            raise InvalidOption(
                where + "routes",
                str(route.to),
                f"appears twice in table {route.table} with metric {route.metric}",
                "give each its own metric or table; gateway and gateway6 count as routes too",
            )
        seen[key] = route
    if not end.up and end.all_routes:
        raise InvalidOption(
            where + "up",
            False,
            "contradicts routes through this end, which the kernel drops when a link goes down",
            "remove gateway, gateway6 and routes, or leave the link up",
        )
    return end


def _addresses(option: str, values: Optional[list[str]]) -> Optional[tuple[cidr.Interface, ...]]:
    if values is None:
        return None
    found: dict[cidr.Address, cidr.Interface] = {}
    for number, value in enumerate(values):
        item = cidr.interface(f"{option}[{number}]", value)
        if item.ip in found:
            raise InvalidOption(f"{option}[{number}]", value, f"repeats {found[item.ip]}", "list each address once")
        if item.ip.is_loopback:
            raise InvalidOption(
                f"{option}[{number}]", value, "is a loopback address", "choose one of your own networks"
            )
        found[item.ip] = item
    return tuple(found.values())


def _mtu(option: str, value: Optional[int], addresses: Optional[tuple[cidr.Interface, ...]]) -> Optional[int]:
    if value is None:
        return None
    if not 68 <= value <= 65535:
        raise InvalidOption(option, value, "is out of range", "a veth takes 68 to 65535 bytes")
    if value < 1280 and cidr.of_version(addresses or (), 6):
        raise InvalidOption(
            option, value, "is too small for the IPv6 addresses of this end", "IPv6 needs at least 1280 bytes"
        )
    return value


def _gateway(option: str, value: str, version: int, addresses: Optional[tuple[cidr.Interface, ...]]) -> cidr.Address:
    gateway = cidr.address_of(option, value, version)
    _check_reachable(option, value, gateway, addresses)
    return gateway


def _check_reachable(
    option: str, value: str, via: cidr.Address, addresses: Optional[tuple[cidr.Interface, ...]]
) -> None:
    """A next hop has to be on a network of this end, or the kernel refuses the route half-way through the work."""
    if addresses is None or (via.version == 6 and via.is_link_local):
        return
    if any(via == item.ip for item in addresses):
        raise InvalidOption(option, value, "is this end's own address", "name the address of the other side")
    if not any(via in item.network for item in addresses):
        nets = (
            ", ".join(str(item.network) for item in cidr.of_version(addresses, via.version))
            or f"no IPv{via.version} network"
        )
        raise InvalidOption(
            option,
            value,
            f"is outside the subnets connected through this end ({nets})",
            "choose a gateway inside them, or write a route with via and onlink: true",
        )


def _route(where: str, options: dict[str, Any], addresses: Optional[tuple[cidr.Interface, ...]]) -> Route:
    via = None if options.get("via") is None else cidr.address(where + "via", options["via"])
    source = None if options.get("source") is None else cidr.address(where + "source", options["source"])
    kind = options.get("type") or "unicast"
    onlink = bool(options.get("onlink"))
    if options["to"] == "default":
        hint = via or source
        if hint is None:
            raise InvalidOption(
                where + "to", "default", "has no family without via or source", "write 0.0.0.0/0 or ::/0"
            )
        to = cidr.network(where + "to", "0.0.0.0/0" if hint.version == 4 else "::/0")
    else:
        to = cidr.network(where + "to", options["to"])
    for option, item in (("via", via), ("source", source)):
        if item is not None and item.version != to.version:
            raise InvalidOption(
                where + option,
                str(item),
                f"is IPv{item.version}, but to is IPv{to.version} ({to})",
                "use one family in a route",
            )
    if kind != "unicast" and (via or onlink or source):
        raise InvalidOption(where + "type", kind, "goes nowhere and takes no via, source or onlink", "remove them")
    if via is not None and not onlink:
        _check_reachable(where + "via", str(via), via, addresses)
    if onlink and via is None:
        raise InvalidOption(
            where + "onlink", True, "says that via is on the link, but there is no via", "add via or remove onlink"
        )
    if source is not None and addresses is not None and not any(source == item.ip for item in addresses):
        raise InvalidOption(where + "source", str(source), "is not an address of this end", "use one of its addresses")
    return Route(
        to,
        via,
        _metric(where + "metric", options.get("metric"), to.version),
        table(where + "table", options.get("table")),
        source,
        onlink,
        kind,
    )


def _metric(option: str, value: Optional[int], version: int) -> int:
    if value is None or (value == 0 and version == 6):
        return IPV6_DEFAULT_METRIC if version == 6 else 0
    if not 0 <= value < 2**32:
        raise InvalidOption(option, value, "is out of range", "use 0 to 4294967295")
    return value


def network_of(item: cidr.Interface) -> Optional[cidr.Network]:
    """The network that an address connects, or None for a host address (/32, /128), which connects nothing."""
    network = item.network
    return None if network.prefixlen == network.max_prefixlen else network


def collide(one: ipaddress._BaseNetwork, other: ipaddress._BaseNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)
