# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A permanent neighbour on an interface (`ip neighbour`). Nobody asks us for one; one that somebody entered goes with
its interface, and comes back with it if that is undone."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .kernel_object import KernelObject, place

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System


@dataclass(frozen=True)
class LinkNeighbour(KernelObject):
    """The value is its link-layer address, as text."""

    netns: str
    link: str
    address: str

    kind = "neighbour"
    ORDER = 48
    GROUPED = True
    needs = ("links",)

    def __str__(self) -> str:
        return f"neighbour {self.address} on {place(self.netns, self.link)}"

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        return ((self.netns, self.link),)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return snapshot.neighbours_of(self.netns, self.link).get(self.address)

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if after is not None:  # it goes with its interface
            index = system.index(self.netns, self.link)
            system.netlink.add_neighbour(self.netns, index, ipaddress.ip_address(self.address), after)
