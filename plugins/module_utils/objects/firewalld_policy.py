# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The file of our policy for firewalld, which reads it when it starts or reloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Optional

from .text_file import TextFile

if TYPE_CHECKING:
    from ..system import System

#: The family and name of firewalld's table, and of our policy, and the chain that firewalld makes of that.
FIREWALLD = ("inet", "firewalld")
POLICY = "linuxnet-netns"
CHAIN = f"filter_FWD_policy_{POLICY}"
FOLDER = "/etc/firewalld/policies"


@dataclass(frozen=True)
class FirewalldPolicy(TextFile):
    """Firewalld is not told to reload for it: that would forget what was changed at runtime alone."""

    path: str = f"{FOLDER}/{POLICY}.xml"

    kind = "firewalld_policy"
    #: Firewalld is the host's.
    netns: ClassVar[str] = ""

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        super().apply(system, before, after)
        if before is not None and system.nft.has_chain("", *FIREWALLD, CHAIN):
            # What was loaded is no longer what is wanted; until the next reload there is our accept in its table.
            system.nft.take_policy_out_of_use(POLICY)
