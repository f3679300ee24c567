# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The file door's view of /proc: who lives in a namespace, and how to make them leave."""

from __future__ import annotations

import os
import signal
import time
from typing import Iterable, NamedTuple

from ..errors import SystemRefused


class Process(NamedTuple):
    """A process by id and command name."""

    pid: int
    command: str


def inside(identities: Iterable[str]) -> dict[str, list[Process]]:
    """Processes with at least one thread in each namespace, by the namespace's ``device:inode``. One walk for all."""
    found: dict[str, list[Process]] = {identity: [] for identity in identities}
    for entry in os.listdir("/proc") if found else ():
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        for identity in _namespaces_of(entry) & found.keys():
            found[identity].append(Process(int(entry), _command(entry)))
    return found


def _namespaces_of(pid: str) -> set[str]:
    found = set()
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            status = os.stat(f"/proc/{pid}/task/{task}/ns/net")
            found.add(f"{status.st_dev}:{status.st_ino}")
    except OSError:
        pass  # ended meanwhile, or a kernel thread
    return found


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return "?"


def end(identity: str, timeout: float) -> None:
    """Ask all processes of a namespace to end, then make them; raises SystemRefused with those that stay."""
    for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, max(timeout, 2.0))):
        deadline = time.monotonic() + patience
        living = inside([identity])[identity]
        for process in living:
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                pass
        while living:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
            living = inside([identity])[identity]
        if not living:
            return
    raise SystemRefused("processes do not end: " + ", ".join(f"{item.pid} ({item.command})" for item in living))
