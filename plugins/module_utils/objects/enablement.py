# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a unit is started at boot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

ENABLED, DISABLED = "enabled", "disabled"


@dataclass(frozen=True)
class Enablement(KernelObject):
    unit: str

    kind = "enablement"
    ORDER = 85
    PERSISTENT = True
    DEFERRED = True
    needs = ("units",)

    def __str__(self) -> str:
        return f"start of {self.unit} at boot"

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return ENABLED if snapshot.unit(self.unit).enabled.startswith(ENABLED) else DISABLED

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if after == ENABLED:
            system.systemd.enable(self.unit)
        else:
            system.systemd.disable(self.unit)
