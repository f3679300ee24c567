# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which interface of a namespace leads where, from what is declared and what is there already. Pure."""

from __future__ import annotations

from typing import Iterable, NamedTuple

from ..desired.cidr import Network
from ..desired.veth import MAIN_TABLE, End


class Reach(NamedTuple):
    """The view of one namespace.

    ``networks``: (network, link) pairs, connected or routed, default routes not among them; ``ours``: links that we
    made; ``defaults``: links that a default route uses, by IP version.
    """

    networks: tuple[tuple[Network, str], ...]
    ours: frozenset[str]
    defaults: dict[int, tuple[str, ...]]

    def towards(self, networks: Iterable[Network]) -> tuple[str, ...]:
        """The links behind which *networks* live.

        Our own links are asked first: an uplink in 10.0.0.0/8 must not be taken for the way to 10.1.0.0/30 behind a
        pair of ours. Else the longest matching prefix decides, as in the kernel.
        """
        found: set[str] = set()
        for network in networks:
            same = [(other, link) for other, link in self.networks if other.version == network.version and other.overlaps(network)]
            mine = [(other, link) for other, link in same if link in self.ours]
            inner = {link for other, link in mine if other.prefixlen >= network.prefixlen}
            if inner:
                found |= inner
                continue
            wider = [(other.prefixlen, link) for other, link in mine or same if other.prefixlen <= network.prefixlen]
            if wider:
                longest = max(prefix for prefix, _link in wider)
                found |= {link for prefix, link in wider if prefix == longest}
            else:
                found |= {link for _other, link in same}
        return tuple(sorted(found))


def reach(ends: Iterable[End], ours: Iterable[str], addresses: Iterable[tuple[str, Network]],
          routes: Iterable[tuple[str, Network, int]]) -> Reach:
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
        tuple(sorted(networks, key=lambda item: (item[0].version, int(item[0].network_address), item[0].prefixlen, item[1]))),
        frozenset(ours) | {end.name for end in ends},
        {version: tuple(sorted(links)) for version, links in defaults.items()},
    )


def _add_route(networks: set, defaults: dict[int, set[str]], link: str, to: Network, table: int) -> None:
    if to.prefixlen:
        networks.add((to, link))
    elif table == MAIN_TABLE:
        defaults[to.version].add(link)
