# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A unit file or a drop-in, which systemd has to read again when it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..doors.systemd import unit_of
from .text_file import TextFile

if TYPE_CHECKING:
    from ..system import System


@dataclass(frozen=True)
class UnitFile(TextFile):
    kind = "unit"
    ORDER = 80

    def __str__(self) -> str:
        return f"unit file {self.path}"

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        unit = unit_of(self.path)
        if after is None and self.path.endswith(unit):
            # without its file, one that has done its work would stay active for ever
            system.systemd.stop(unit)
            system.systemd.forget(unit)
            system.systemd.going_down()
        super().apply(system, before, after)
        system.systemd.files_changed()
