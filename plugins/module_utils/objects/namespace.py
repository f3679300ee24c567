# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A named network namespace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from .kernel_object import PRESENT, KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

#: Values besides PRESENT: names that are there, but wrong.
LEFTOVER = "a leftover file that is not a namespace"
STACKED = "present, mounted more than once"


@dataclass(frozen=True)
class Namespace(KernelObject):
    name: str
    #: Whether processes inside are ended when it is removed, and how long that may take.
    processes: str = field(default="fail", compare=False)
    timeout: int = field(default=10, compare=False)

    kind = "namespace"
    ORDER = 20
    needs = ("names",)

    def __str__(self) -> str:
        return f"namespace {self.name}"

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.name,)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        state = snapshot.names[self.name]
        if state.leftover:
            return LEFTOVER
        if state.identity is None:
            return None
        return STACKED if state.mounts > 1 else PRESENT

    def original(self, before: Optional[str]) -> None:
        """A name that was half-made, or mounted twice, is not worth restoring."""

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if after in (PRESENT, STACKED):
            if before == STACKED:
                system.mounts.unstack(self.name)
            elif before != PRESENT:
                system.mounts.give_back(self.name)
                system.forget(self.name)
                system.start_again(self.name)
            return
        if before != LEFTOVER and self.processes == "kill":
            system.end_processes(self.name, self.timeout)
        system.forget(self.name)
        system.mounts.delete(self.name)
