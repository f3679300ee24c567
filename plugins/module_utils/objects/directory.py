# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A directory that we make for our files, removed again when it is empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .kernel_object import PRESENT, KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System


@dataclass(frozen=True)
class Directory(KernelObject):
    path: str

    kind = "directory"
    PERSISTENT = True

    @property
    def order(self) -> int:
        return 2 + self.path.count("/")

    def __str__(self) -> str:
        return f"directory {self.path}"

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return PRESENT if snapshot.system.files.is_directory(self.path) else None

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if after:
            system.files.make_directory(self.path)
        else:
            system.files.remove_directory(self.path)
