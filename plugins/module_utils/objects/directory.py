# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A directory that we make for our files, removed again when it is empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .kernel_object import PRESENT, KernelObject, Value

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


def directories_in_use(released: Mapping[KernelObject, Optional[Value]], snapshot: Snapshot) -> list[Directory]:
    """Those among *released* that keep something when all of *released* has gone: what somebody else put into a
    directory stays, and so does the directory."""
    going = {
        path
        for item, original in released.items()
        for path in [getattr(item, "path", None)]
        if path is not None and original is None and item.observed(snapshot) is not None
    }
    found = []
    for item in sorted(released, key=lambda item: len(getattr(item, "path", "")), reverse=True):
        if isinstance(item, Directory):
            names = snapshot.system.files.names(item.path)
            if any(f"{item.path}/{name}" not in going for name in names):
                going.discard(item.path)
                found.append(item)
    return found
