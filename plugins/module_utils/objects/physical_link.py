# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A network card that somebody put into a namespace: no namespace takes it along when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..desired.names import HOST, where
from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System


@dataclass(frozen=True)
class PhysicalLink(KernelObject):
    """The value is where it is, in words. It goes back to the host under its name, before the namespace goes: the
    kernel would hand it over by itself, later, and under another name if its own is taken."""

    netns: str
    name: str

    kind = "physical link"
    ORDER = 22
    REMOVABLE = False
    needs = ("links",)

    def __str__(self) -> str:
        return f"physical link {self.name}"

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        places = (place for place in (self.netns, HOST) if self.name in snapshot.links(place))
        return next(map(where, places), None)

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        places = (self.netns, HOST) if after == where(HOST) else (HOST, self.netns)
        system.move_link(self.name, *places)
