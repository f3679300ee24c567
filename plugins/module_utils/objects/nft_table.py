# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Our nftables table in one namespace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from ..desired.names import where
from ..doors.nft import FAMILY, TABLE
from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System


@dataclass(frozen=True)
class NftTable(KernelObject):
    """The value is the table's text as nft lists it, so that comparison is exact whatever nft makes of its input.

    ``listing`` and ``body`` are the wanted value and what gives it: nft 1.0.6 does not always list a table the same
    way again that was loaded from its own listing.
    """

    netns: str
    listing: str = field(default="", compare=False)
    body: str = field(default="", compare=False)

    kind = "nftables"
    ORDER = 30
    needs = ("names", "tables")

    def __str__(self) -> str:
        return f"nftables table {FAMILY} {TABLE} {where(self.netns)}"

    def lines(self, value: Optional[str]) -> list[str]:
        return (
            []
            if value is None
            else [f"{self}:", *(f"  {line.strip()}" for line in value.splitlines()[1:-1] if line.strip())]
        )

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return snapshot.table(self.netns)

    def original(self, before: Optional[str]) -> None:
        """The table is ours alone."""

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        body = self.body if after == self.listing else body_of(after or "")
        system.nft.replace(self.netns, None if after is None else body)


def body_of(listing: str) -> str:
    """What stands between the braces of ``table inet linuxnet_netns { ... }``."""
    return "".join(line + "\n" for line in listing.splitlines()[1:-1])
