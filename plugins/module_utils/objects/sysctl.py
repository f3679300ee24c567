# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A sysctl of one namespace."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from ..desired.names import where
from ..errors import SystemRefused
from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

_FORWARDING = ("/forwarding", "/force_forwarding", "/ip_forward", "/route_localnet")


@dataclass(frozen=True)
class Sysctl(KernelObject):
    """``path`` is below /proc/sys. Forwarding comes last and goes first: the filter is there before and after it."""

    netns: str
    path: str

    kind = "sysctl"
    GROUPED = True
    REMOVABLE = False
    needs = ("names", "sysctls")

    def __str__(self) -> str:
        return f"sysctl {self.path} {where(self.netns)}"

    @property
    def forwards(self) -> bool:
        """True for a switch that lets packets through."""
        return self.path.endswith(_FORWARDING)

    @property
    def order(self) -> int:
        if self.forwards:
            return 60
        return 26 if self.link is None else 45

    @property
    def link(self) -> Optional[str]:
        """The interface that this key belongs to, None for all, default and keys without one."""
        parts = self.path.split("/")
        if len(parts) == 5 and parts[2] in ("conf", "neigh") and parts[3] not in ("all", "default"):
            return parts[3]
        return None

    @property
    def template(self) -> str:
        """The key that a new interface takes its value from; for keys of no interface, the key itself."""
        parts = self.path.split("/")
        return self.path if self.link is None else "/".join([*parts[:3], "default", *parts[4:]])

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        return () if self.link is None else ((self.netns, self.link),)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return snapshot.sysctl(self.netns, self.path)

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> Optional[str]:
        if after is None:
            if not self.forwards or before is None:
                return None  # what it was is not known; it ends with its interface or namespace
            after = "0"
        try:
            return system.files.set_sysctl(self.netns, self.path, after)
        except SystemRefused as error:
            if error.errno == errno.ENOENT and before is not None and self.link is not None:
                return None  # its interface went away meanwhile
            raise
