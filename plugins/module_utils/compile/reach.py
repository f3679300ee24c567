# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which interface of a namespace leads where, from what is declared and what is there already. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from ..desired.cidr import Network
from ..desired.veth import MAIN_TABLE, End


class Reach:
    """The view of one namespace.

    ``ours``: links that we made; ``defaults``: links that a default route uses, by IP version. Networks are looked up
    by prefix length and by bisection: with hundreds of namespaces, each question is asked hundreds of times.
    """

    def __init__(
        self, networks: Iterable[tuple[Network, str]], ours: Iterable[str], defaults: dict[int, tuple[str, ...]]
    ) -> None:
        self.ours = frozenset(ours)
        self.defaults = defaults
        self._exact: dict[tuple[int, int], dict[int, set[str]]] = {}
        self._ranked: dict[int, list[tuple[int, int, str]]] = {4: [], 6: []}
        for network, link in networks:
            start = int(network.network_address)
            self._exact.setdefault((network.version, network.prefixlen), {}).setdefault(start, set()).add(link)
            self._ranked[network.version].append((start, network.prefixlen, link))
        for ranked in self._ranked.values():
            ranked.sort()
        self._known: dict[Network, frozenset[str]] = {}

    def towards(self, networks: Iterable[Network]) -> tuple[str, ...]:
        """The links behind which *networks* live.

        Our own links are asked first: an uplink in 10.0.0.0/8 must not be taken for the way to 10.1.0.0/30 behind a
        pair of ours. Else the longest matching prefix decides, as in the kernel.
        """
        return tuple(sorted({link for network in networks for link in self._towards(network)}))

    def _towards(self, network: Network) -> frozenset[str]:
        if network not in self._known:
            inner = self._inside(network)
            wider = self._around(network)
            mine = inner & self.ours or next((links & self.ours for links in wider if links & self.ours), set())
            self._known[network] = frozenset(mine or (wider[0] if wider else inner))
        return self._known[network]

    def _inside(self, network: Network) -> set[str]:
        """Links of networks that are *network* or a part of it."""
        ranked = self._ranked[network.version]
        first = bisect.bisect_left(ranked, (int(network.network_address), 0, ""))
        last = bisect.bisect_right(ranked, (int(network.broadcast_address), network.max_prefixlen + 1, ""))
        return {link for _start, prefix, link in ranked[first:last] if prefix >= network.prefixlen}

    def _around(self, network: Network) -> list[set[str]]:
        """Links of networks that contain *network*, the narrowest first."""
        found = []
        for (version, prefix), by_start in sorted(self._exact.items(), key=lambda item: -item[0][1]):
            if version == network.version and prefix <= network.prefixlen:
                size = network.max_prefixlen - prefix
                start = int(network.network_address) >> size << size
                if start in by_start:
                    found.append(by_start[start])
        return found


def reach(
    ends: Iterable[End],
    ours: Iterable[str],
    addresses: Iterable[tuple[str, Network]],
    routes: Iterable[tuple[str, Network, int]],
) -> Reach:
    """Build the view: *ends* are declared in this namespace; *addresses* (link, network) and *routes* (link, to,
    table) are observed, and count for a link only where its end does not declare its own whole list."""
    ends = list(ends)
    stated = {end.name for end in ends if end.addresses is not None}
    routed = {end.name for end in ends if end.routes is not None}
    networks: set[tuple[Network, str]] = set()
    defaults: dict[int, set[str]] = {4: set(), 6: set()}
    for end in ends:
        networks |= {(network, end.name) for network in end.networks}
        for route in end.all_routes:
            _add_route(networks, defaults, end.name, route.to, route.table)
    networks |= {(network, link) for link, network in addresses if link not in stated}
    for link, to, table in routes:
        if link not in routed:
            _add_route(networks, defaults, link, to, table)
    return Reach(
        networks,
        frozenset(ours) | {end.name for end in ends},
        {version: tuple(sorted(links)) for version, links in defaults.items()},
    )


def _add_route(networks: set, defaults: dict[int, set[str]], link: str, to: Network, table: int) -> None:
    if to.prefixlen:
        networks.add((to, link))
    elif table == MAIN_TABLE:
        defaults[to.version].add(link)
