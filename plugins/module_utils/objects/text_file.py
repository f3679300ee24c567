# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A file whose whole text is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..doors.files import MODE
from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

_SCRIPT = 0o755


@dataclass(frozen=True)
class TextFile(KernelObject):
    path: str

    kind = "file"
    ORDER = 15
    PERSISTENT = True

    def __str__(self) -> str:
        return f"file {self.path}"

    def lines(self, value: Optional[str]) -> list[str]:
        return [] if value is None else [f"{self}:", *(f"  {line}" for line in value.splitlines())]

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return snapshot.system.files.read(self.path)

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if after is None:
            system.files.remove(self.path)
        else:
            system.files.write(self.path, after, _SCRIPT if after.startswith("#!") else MODE)
