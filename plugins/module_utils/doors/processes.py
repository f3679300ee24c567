# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The file door's view of /proc: who lives in a namespace, and how to make them leave."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import SystemRefused
from .in_namespace import RUN_NETNS


class Process(NamedTuple):
    """A process by id and command name. ``holds``: it is elsewhere, but keeps the namespace open."""

    pid: int
    command: str
    holds: bool = False

    def __str__(self) -> str:
        return f"{self.pid} ({self.command}{', holds it open' if self.holds else ''})"


def inside(identities: Iterable[str]) -> dict[str, list[Process]]:
    """Processes with at least one thread in each namespace, or with its file open, by the namespace's
    ``device:inode``. One walk for all."""
    found: dict[str, list[Process]] = {identity: [] for identity in identities}
    for entry in os.listdir("/proc") if found else ():
        if entry.isdigit() and int(entry) != os.getpid():
            lives, holds = _namespaces_of(entry), _held_by(entry)
            for identity in (lives | holds) & found.keys():
                found[identity].append(Process(int(entry), _command(entry), identity not in lives))
    return found


def _namespaces_of(pid: str) -> set[str]:
    try:
        return {_identity(f"/proc/{pid}/task/{task}/ns/net") for task in os.listdir(f"/proc/{pid}/task")}
    except OSError:
        return set()  # ended meanwhile, or a kernel thread


def _held_by(pid: str) -> set[str]:
    found = set()
    try:
        for handle in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{handle}"
            target = os.readlink(path)
            if target.startswith(("net:", f"{RUN_NETNS}/")):
                found.add(_identity(path))
    except OSError:
        pass
    return found


def _identity(path: str) -> str:
    status = os.stat(path)
    return f"{status.st_dev}:{status.st_ino}"


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return "?"


def end(identity: str, timeout: float) -> None:
    """Ask all processes that live in a namespace to end, then make them; raises SystemRefused with those that stay."""
    living: list[Process] = []
    for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, max(timeout, 2.0))):
        deadline = time.monotonic() + patience
        living = _living(identity)
        for process in living:
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                pass
        while living and time.monotonic() < deadline:
            time.sleep(0.02)
            living = _living(identity)
        if not living:
            return
    raise SystemRefused("processes do not end: " + ", ".join(str(item) for item in living))


def _living(identity: str) -> list[Process]:
    return [process for process in inside([identity])[identity] if not process.holds]
