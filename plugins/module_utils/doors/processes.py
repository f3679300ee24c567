# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The file door's view of /proc: who lives in a namespace, and how to make them leave."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple, Optional

from ..errors import SystemRefused
from .in_namespace import RUN_NETNS

#: As many symbolic links as the kernel follows.
_MOST_LINKS = 40


class Process(NamedTuple):
    """A process by id and command name. ``holds``: it is elsewhere, but keeps the namespace open."""

    pid: int
    command: str
    holds: bool = False
    #: The systemd unit that it belongs to, "" if none.
    unit: str = ""

    def __str__(self) -> str:
        unit = f", unit {self.unit}" if self.unit else ""
        return f"{self.pid} ({self.command}{unit}{', holds it open' if self.holds else ''})"


def inside(identities: Iterable[str]) -> dict[str, list[Process]]:
    """Processes with at least one thread in each namespace, or with its file open, by the namespace's
    ``device:inode``. One walk for all."""
    found: dict[str, list[Process]] = {identity: [] for identity in identities}
    for entry in os.listdir("/proc") if found else ():
        if entry.isdigit() and int(entry) != os.getpid():
            lives, holds = _namespaces_of(entry), _held_by(entry)
            for identity in (lives | holds) & found.keys():
                found[identity].append(Process(int(entry), _command(entry), identity not in lives, _unit(entry)))
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


def namespace_of(pid: int) -> str:
    """``device:inode`` of the network namespace in which a process lives, "" if it is gone."""
    try:
        return _identity(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def user_of(pid: int) -> Optional[int]:
    """The effective user id of a process, None if it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
            return _effective_user(stream)
    except OSError:
        return None


def _effective_user(status: Iterable[str]) -> Optional[int]:
    try:
        return next(int(line.split()[2]) for line in status if line.startswith("Uid:"))
    except (StopIteration, IndexError, ValueError):
        return None


def sees(pid: int, path: str, source: str) -> bool:
    """True if a process finds the file *source* of ours at *path*, or cannot be asked (it is gone, or has a root
    directory of its own)."""
    root = f"/proc/{pid}/root"
    try:
        if os.readlink(root) != "/":
            return True
        for _step in range(_MOST_LINKS):
            # A link with a full path would lead back out of the process's view.
            if not os.path.islink(root + path):
                break
            path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(root + path)))
        return os.path.samestat(os.stat(root + path), os.stat(source))
    except FileNotFoundError:
        return not os.path.isdir(root)
    except OSError:
        return True


def _unit(pid: str) -> str:
    """From the control group, which systemd names after the unit."""
    return service_of(_control_group(pid), _control_group("1"))


def _control_group(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
            return systemds_group(stream)
    except OSError:
        return ""


def systemds_group(lines: Iterable[str]) -> str:
    """The path in the hierarchy that systemd has for itself: the unified one, or on older hosts one by that name."""
    fields = [line.rstrip("\n").split(":", 2) for line in lines]
    own = [found for found in fields if len(found) == 3 and found[1] in ("", "name=systemd")]
    # The one that it does not use has everybody at its root.
    return min(own, key=lambda found: (found[2] == "/", found[1]))[2] if own else ""


def service_of(group: str, init: str) -> str:
    """The unit in a control group's path: the outermost one below where this system's init is. What is further inside
    was named by the unit itself, or by a user."""
    below = group[len(init.removesuffix("/init.scope")) :]
    return next((part for part in below.split("/") if part.endswith(".service")), "")


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return _printable(stream.read().strip())
    except OSError:
        return "?"


def _printable(command: str) -> str:
    """Every process chooses its own name, and ours are read on terminals."""
    return "".join(char if char.isprintable() else "?" for char in command)


def end(identity: str, timeout: float, stopping: Collection[str] = ()) -> None:
    """Ask all processes that live in a namespace to end, but those of units that are *stopping* already; then make
    all of them. Raises SystemRefused with those that stay."""
    staying: list[Process] = []
    for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, max(timeout, 2.0))):
        deadline = time.monotonic() + patience
        staying = living(identity)
        for process in staying:
            if number == signal.SIGTERM and process.unit in stopping:
                continue
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                pass
        while staying and time.monotonic() < deadline:
            time.sleep(0.02)
            staying = living(identity)
        if not staying:
            return
    raise SystemRefused("processes do not end: " + ", ".join(str(item) for item in staying))


def living(identity: str) -> list[Process]:
    """Processes with at least one thread in a namespace."""
    return [process for process in inside([identity])[identity] if not process.holds]
