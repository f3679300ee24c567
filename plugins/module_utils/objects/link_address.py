# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""An address on an interface."""

from __future__ import annotations

import errno
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..errors import SystemRefused
from .kernel_object import PRESENT, KernelObject, place

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System


@dataclass(frozen=True)
class LinkAddress(KernelObject):
    """``cidr`` is canonical text with the prefix length."""

    netns: str
    link: str
    cidr: str

    kind = "address"
    ORDER = 44
    GROUPED = True
    needs = ("links", "addresses")

    def __str__(self) -> str:
        return f"address {self.cidr} on {place(self.netns, self.link)}"

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        return ((self.netns, self.link),)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return PRESENT if self.cidr in snapshot.addresses_of(self.netns, self.link) else None

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        index = system.index(self.netns, self.link)
        address = ipaddress.ip_interface(self.cidr)
        if after:
            system.netlink.add_address(self.netns, index, address)
            return
        try:
            system.netlink.delete_address(self.netns, index, address)
        except SystemRefused as error:
            if error.errno != errno.EADDRNOTAVAIL:  # gone with the primary one, or when its link went down
                raise
