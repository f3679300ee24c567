# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Our accept in a table of another firewall, which would drop what is declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..accept_mark import ACCEPT_CHAIN
from ..desired.names import where
from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System


@dataclass(frozen=True)
class ForeignAccept(KernelObject):
    """The value says in which of the table's chains it stands (accept_chain.wanted_state)."""

    netns: str
    family: str
    table: str

    kind = "accept"
    #: Right after our own table, whose mark it looks for.
    ORDER = 31
    needs = ("names", "tables")

    def __str__(self) -> str:
        return f"chain {ACCEPT_CHAIN} of table {self.family} {self.table} {where(self.netns)}"

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        listing = snapshot.foreign_tables(self.netns)
        if listing is None:
            return None
        from ..accept_chain import ForeignTable

        return ForeignTable.of(listing, self.family, self.table).state()

    def original(self, before: Optional[str]) -> None:
        """The chain is ours alone."""

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        place = self.family, self.table
        if place not in system.nft.forward_tables(self.netns):
            return  # it went with its table
        from ..accept_chain import ForeignTable, chains_of, iptables_script, nft_script
        from ..foreign_firewall import Listing

        table = ForeignTable.of(Listing.of(system.nft.listing(self.netns, [place])), *place)
        chains = chains_of(after or "")
        if table.of_iptables and system.nft.restore_iptables(self.netns, self.family, iptables_script(table, chains)):
            return
        script = nft_script(table, chains)
        if script:
            system.nft.run_script(self.netns, script)
