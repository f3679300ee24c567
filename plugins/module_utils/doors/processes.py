# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The file door's view of /proc: who lives in a namespace, and how to make them leave."""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple, Optional

from ..errors import SystemRefused
from .in_namespace import RUN_NETNS
from .netlink_messages import IpAddress

#: As many symbolic links as the kernel follows.
_MOST_LINKS = 40
#: Far more than there are between sshd and a module.
_MOST_ANCESTORS = 64


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


class SshConnection(NamedTuple):
    """The connection by which a run came: the client's address and port, and sshd's."""

    remote: IpAddress
    remote_port: int
    local: IpAddress
    port: int


def ssh_connection() -> Optional[SshConnection]:
    """From what sshd put into the environment of its child, which is one of our ancestors: sudo does not pass it on.
    None where the run did not come by SSH."""
    pid = str(os.getpid())
    for _generation in range(_MOST_ANCESTORS):
        found = parse_ssh_connection(_environment(pid))
        parent = _parent(pid)
        if found or parent in ("0", ""):
            return found
        pid = parent
    return None


def parse_ssh_connection(environment: bytes) -> Optional[SshConnection]:
    """*environment* is as in /proc/PID/environ."""
    line = next((line for line in environment.split(b"\0") if line.startswith(b"SSH_CONNECTION=")), b"")
    words = line.decode("ascii", "replace").partition("=")[2].split()
    try:
        remote, remote_port, local, port = words
        ends = [ipaddress.ip_address(address.partition("%")[0]) for address in (remote, local)]
        return SshConnection(ends[0], int(remote_port), ends[1], int(port))
    except ValueError:
        return None


def _environment(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def _parent(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[1]
    except (OSError, IndexError):
        return ""


def start(command: list[str], log: str) -> None:
    """Run a program that puts itself into the background; what it says from then on goes to the file *log*."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        subprocess.run(  # pylint: disable=ansible-bad-function  # there is no AnsibleModule down here
            command, check=False, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle
        )
    finally:
        os.close(handle)


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
