# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A route, known by where it leads, its table, its metric and the interface it uses."""

from __future__ import annotations

import errno
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from ..desired.names import where
from ..desired.tables import MAIN_TABLE
from ..doors import netlink_messages as wire
from ..errors import SystemRefused
from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

TYPES = {
    "unicast": wire.RTN_UNICAST,
    "blackhole": wire.RTN_BLACKHOLE,
    "unreachable": wire.RTN_UNREACHABLE,
    "prohibit": wire.RTN_PROHIBIT,
    "throw": wire.RTN_THROW,
}
#: What a rule answers that stops packets, and what is answered where there is no way indeed.
_NO_WAY = (errno.EACCES, errno.EINVAL, errno.ENETUNREACH, errno.EHOSTUNREACH)
_TYPE_NAMES = {number: name for name, number in TYPES.items()}


@dataclass(frozen=True)
class LinkRoute(KernelObject):
    """``link`` is "" for the types that go nowhere. The value reads as in `ip route`: ``via 10.0.0.1 onlink``."""

    netns: str
    link: str
    table: int
    to: str
    metric: int
    #: Whose it is, where that was read: so it comes back if it goes along with a link and the run fails.
    protocol: int = field(default=0, compare=False)

    kind = "route"
    ORDER = 50
    GROUPED = True
    needs = ("links", "routes")

    def __str__(self) -> str:
        to = "default" if self.to in ("0.0.0.0/0", "::/0") else self.to
        return (
            f"route {to}{' (IPv6)' if self.to == '::/0' else ''}"
            + (f" dev {self.link}" if self.link else "")
            + (f" table {self.table}" if self.table != MAIN_TABLE else "")
            + (f" metric {self.metric}" if self.metric else "")
            + f" {where(self.netns)}"
        )

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        return ((self.netns, self.link),) if self.link else ()

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return snapshot.routes_of(self.netns).get(self)

    def check(self, value: Any) -> None:
        super().check(value)
        _options(value)

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if before is not None:
            try:
                system.netlink.delete_route(self.netns, self._wire(system, before))
            except SystemRefused as error:
                if error.errno != errno.ESRCH:  # gone with an address or a link that went before it
                    raise
        if after is not None:
            self._add(system, self._wire(system, after))

    def _add(self, system: System, route: wire.Route) -> None:
        """The kernel looks for a next hop by the rules that are there. One that stops everything else, as that of a
        kill switch does, is not to be taken away for it, not for a moment: another one lets just this question by."""
        try:
            system.netlink.add_route(self.netns, route)
            return
        except SystemRefused as error:
            if route.via is None or error.errno not in _NO_WAY:
                raise
            refused = error
        way = wire.Rule(
            route.via.version,
            priority=0,
            action=wire.FR_ACT_TO_TBL,
            table=MAIN_TABLE,
            destination=ipaddress.ip_network(route.via),
            oif=self.link,
        )
        try:
            system.netlink.add_rule(self.netns, way)
        except SystemRefused:
            raise refused from None
        try:
            system.netlink.add_route(self.netns, route)
        except SystemRefused:
            raise refused from None
        finally:
            system.netlink.delete_rule(self.netns, way)

    def _wire(self, system: System, value: str) -> wire.Route:
        return wire.Route(
            network=ipaddress.ip_network(self.to),
            table=self.table,
            metric=self.metric,
            index=system.index(self.netns, self.link) if self.link else 0,
            protocol=self.protocol,
            **_options(value),
        )


def _options(value: str) -> dict[str, Any]:
    """The inverse of route_value()."""
    words = value.split()
    options = dict(zip(words, words[1:]))
    return dict(
        type=TYPES[words[0]],
        via=ipaddress.ip_address(options["via"]) if "via" in options else None,
        source=ipaddress.ip_address(options["src"]) if "src" in options else None,
        onlink="onlink" in words,
    )


def route_value(kind: str, via: Any, source: Any, onlink: bool) -> str:
    """A route's value in the words of `ip route`."""
    return kind + (f" via {via}" if via else "") + (f" src {source}" if source else "") + (" onlink" if onlink else "")


def observed_route(netns: str, link: str, route: wire.Route) -> tuple[LinkRoute, str]:
    """What the kernel shows, as object and value."""
    return (
        LinkRoute(netns, link, route.table, str(route.network), route.metric, route.protocol),
        route_value(_TYPE_NAMES[route.type], route.via, route.source, route.onlink),
    )
