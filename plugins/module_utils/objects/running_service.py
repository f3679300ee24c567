# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a service runs, and that it runs where, as whom and with the configuration that was asked for."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from ..desired.names import HOST, where
from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

STOPPED = "stopped"
ON_THE_HOST = f"running {where(HOST)}"
#: Files younger than the process by less than this (seconds) may have been written just before its start.
_CLOCK_TICK = 0.02


@dataclass(frozen=True)
class RunningService(KernelObject):
    """The value says where the main process is (``running in app, configuration 1f2e3d``), or STOPPED.

    ``files`` are (source, destination) of what the service sees in place of the host's files; ``texts`` all the paths
    whose texts make up its configuration. What is only recorded has neither, and so no ``configuration``.
    """

    unit: str
    netns: str = field(default="", compare=False)
    configuration: str = field(default="", compare=False)
    user: Optional[int] = field(default=None, compare=False)
    files: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    texts: tuple[str, ...] = field(default=(), compare=False)
    #: Asked for ``restarted``.
    restart: bool = field(default=False, compare=False)

    kind = "service"
    ORDER = 90
    PERSISTENT = True
    DEFERRED = True
    needs = ("units", "names")

    def __str__(self) -> str:
        return f"service {self.unit}"

    @property
    def wanted(self) -> str:
        """The value of a service that is as it should be."""
        return f"running {where(self.netns)}, configuration {self.configuration}"

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        unit = snapshot.unit(self.unit)
        if not unit.exists:
            return None
        if unit.active not in ("active", "reloading"):
            return STOPPED
        if not unit.pid:
            return "active without a main process"
        place = snapshot.place_of(unit.pid)
        if place != where(self.netns) or not self.configuration:
            return f"running {place}"
        problem = self._problem(snapshot)
        return f"running {place}, {problem}" if problem else self.wanted

    def _problem(self, snapshot: Snapshot) -> str:
        unit, files = snapshot.unit(self.unit), snapshot.system.files
        if self.restart and self.unit not in snapshot.system.systemd.started:
            return "to be restarted"
        present = configuration_of(files.read(path) for path in self.texts)
        if present != self.configuration:
            return f"configuration {present}"
        written = max(
            (files.modified(path) for path in self.texts if path.endswith((".service", ".conf"))), default=0.0
        )
        if unit.stale or unit.started + _CLOCK_TICK < written < time.time():
            return "started with an older configuration"
        user = snapshot.system.user_of(unit.pid)
        if self.user is not None and user is not None and user != self.user:
            return f"as user {user} instead of {self.user}"
        for source, target in self.files:
            if files.exists(source) and not snapshot.system.sees(unit.pid, target, source):
                return f"but its {target} is not {source}"
        return ""

    def original(self, before: Optional[str]) -> Optional[str]:
        """Back to what it was: on the host if it ran at all."""
        return before if before in (None, STOPPED) else ON_THE_HOST

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if after in (None, STOPPED):
            if before is not None:
                system.systemd.stop(self.unit)
            if after is None:
                system.systemd.forget(self.unit)
        elif before in (None, STOPPED):
            system.systemd.start(self.unit)
        else:
            system.systemd.restart(self.unit)


def configuration_of(texts: Iterable[Optional[str]]) -> str:
    """A short digest of texts, in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(b"\1" if text is None else b"\0" + text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:12]
