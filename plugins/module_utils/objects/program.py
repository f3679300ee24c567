# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The program on the host: this very engine, as a folder of Python files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System


@dataclass(frozen=True)
class Program(KernelObject):
    """The value maps paths below ``path`` to texts."""

    path: str

    kind = "program"
    ORDER = 14
    PERSISTENT = True

    def __str__(self) -> str:
        return f"program {self.path}"

    def check(self, value: Any) -> None:
        raise TypeError(f"{self} never goes back to another version of itself")

    def shown(self, value: Optional[Mapping[str, str]]) -> Any:
        """Not its text, which is long, but what tells one version from another."""
        return None if value is None else f"{len(value)} files, {digest(value)}"

    def lines(self, value: Optional[Mapping[str, str]]) -> list[str]:
        return [] if value is None else [f"{self}: {self.shown(value)}"]

    def observed(self, snapshot: Snapshot) -> Optional[dict[str, str]]:
        return snapshot.system.files.read_tree(self.path, ".py") or None

    def original(self, before: Optional[Mapping[str, str]]) -> None:
        """Another version of it is not worth going back to."""

    def apply(self, system: System, before: Optional[Mapping[str, str]], after: Optional[Mapping[str, str]]) -> None:
        if after is None:
            system.files.remove_tree(self.path)
        else:
            system.files.write_tree(self.path, after)


def digest(files: Mapping[str, str]) -> str:
    """Short, and different for different files."""
    found = hashlib.sha256()
    for path, text in sorted(files.items()):
        found.update(f"{path}\0{text}\0".encode("utf-8", "surrogateescape"))
    return found.hexdigest()[:12]
