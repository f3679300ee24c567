# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The existence of a veth pair. What its ends are set to are objects of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from .kernel_object import PRESENT, KernelObject, place

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

#: The place of a peer that is in no namespace with a name.
NOWHERE = "?"


@dataclass(frozen=True)
class VethPair(KernelObject):
    """Ends in the order of :func:`veth_pair`; ``settings`` (mac, mtu and up of each) are used at creation only."""

    netns: str
    name: str
    peer_netns: str
    peer_name: str
    settings: tuple[dict[str, Any], ...] = field(default=({}, {}), compare=False)

    kind = "veth"
    ORDER = 40
    needs = ("links",)

    def __str__(self) -> str:
        return f"veth {place(self.netns, self.name)} -- {place(self.peer_netns, self.peer_name)}"

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns, self.peer_netns)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        return ((self.netns, self.name), (self.peer_netns, self.peer_name))

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return (
            PRESENT
            if snapshot.pair_at((self.netns, self.name) if self.netns != NOWHERE else (self.peer_netns, self.peer_name))
            == self
            else None
        )

    def original(self, before: Optional[str]) -> None:
        """A pair that we were asked for is ours to remove."""

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if after:
            one, other = self.settings
            system.add_veth(
                dict(one, netns=self.netns, name=self.name), dict(other, netns=self.peer_netns, name=self.peer_name)
            )
        elif self.netns == NOWHERE:
            system.delete_link(self.peer_netns, self.peer_name)
        else:
            system.delete_link(self.netns, self.name)


def veth_pair(one: tuple[str, str], other: tuple[str, str], settings: tuple[dict, dict] = ({}, {})) -> VethPair:
    """The pair of two (namespace, interface) places, the same whichever is named first."""
    if other < one:
        one, other, settings = other, one, (settings[1], settings[0])
    return VethPair(*one, *other, settings=settings)
