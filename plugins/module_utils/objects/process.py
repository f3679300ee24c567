# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A process that is ended because its namespace is removed (``processes: kill``). Planned, never remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from ..desired.names import where
from .kernel_object import PRESENT, KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System


@dataclass(frozen=True)
class Process(KernelObject):
    netns: str
    pid: int
    command: str = field(default="", compare=False)
    unit: str = field(default="", compare=False)

    kind = "process"
    ORDER = 70
    REMOVABLE = False

    def __str__(self) -> str:
        unit = f", unit {self.unit}" if self.unit else ""
        return f"process {self.pid} ({self.command}{unit}) {where(self.netns)}"

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return PRESENT

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        """Nothing: removing the namespace ends whoever is inside, and nothing brings a process back."""
