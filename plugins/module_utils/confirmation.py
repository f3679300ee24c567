# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Changes on trial: start the watchdog that makes one, and confirm it later. All of it lives in /run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import secrets
import shutil
import socket
import time
import zipfile
from typing import TYPE_CHECKING, Any, Optional

from .compile.persistence import PACKAGE
from .doors import processes
from .errors import Clash, NotConfirmed, SystemRefused
from .host_program import interpreter, source
from .request import Request
from .system import System

if TYPE_CHECKING:
    from . import watchdog  # noqa: F401  # it has to come along

FOLDER = "/run/linuxnet-netns"
MODE = 0o600
PROGRAM, REQUEST, SOCKET, OUTCOME = "engine.zip", "request.json", "socket", "outcome.json"

#: Seconds for the watchdog to come up.
_PATIENCE = 30.0
#: Seconds after which an outcome that nobody asked for is of no interest.
_STALE = 86400.0
#: Far longer than any change takes that was confirmed.
_LONG = 600.0
_MOST = 64 << 20

_RUN = "import sys; sys.path.insert(0, sys.argv[1] + '/{program}'); from {package}.watchdog import main; main({how})"


def arm(request: Request) -> str:
    """Start the watchdog, which makes the change a second after this returns. Returns the trial's name."""
    _sweep()
    name = secrets.token_hex(8)
    folder = f"{FOLDER}/{name}"
    for path in (FOLDER, folder):
        os.makedirs(path, 0o700, exist_ok=True)
    connection = processes.ssh_connection()
    asked = {"request": dataclasses.asdict(request), "connection": ends(connection)}
    _write(f"{folder}/{REQUEST}", json.dumps(asked).encode())
    _write(f"{folder}/{PROGRAM}", _packed())
    detach = not _start_by_systemd(name, folder)
    if detach:
        processes.start([*_command(folder, detach=True)], f"{folder}/log")
    caller = _call(folder, _PATIENCE)
    if caller is None:
        said = _read(f"{folder}/log").strip() if detach else f"journalctl -u {unit(name)} says why"
        shutil.rmtree(folder, ignore_errors=True)
        raise SystemRefused(f"the watchdog that would take the change back did not start: {said}; nothing was changed")
    with caller:
        receive(caller, _PATIENCE)
    return name


def confirm(name: str) -> dict[str, Any]:
    """Say that the host can be reached; returns what came of the trial, as a module reports it. ``again``: this was
    not a new connection. Raises NotConfirmed for a trial that there is not."""
    folder = f"{FOLDER}/{name}"
    if os.path.basename(name) != name or not os.path.isdir(folder):
        raise NotConfirmed(
            f"there is no change {name} that waits to be confirmed on this host; if the host has rebooted meanwhile, "
            "nothing of it was kept"
        )
    answer: Optional[dict[str, Any]] = None
    caller = _call(folder, 0.0)
    if caller is not None:
        with caller:
            send(caller, {"connection": ends(processes.ssh_connection())})
            answer = receive(caller, _LONG)
    if answer is None:
        text = _read(f"{folder}/{OUTCOME}")
        answer = json.loads(text) if text else None
    if answer is None:
        raise Clash(
            f"the watchdog of the change {name} has ended without saying what came of it; look at the host, and run "
            "the task again"
        )
    if "again" not in answer:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another one may be on trial
            os.rmdir(FOLDER)
    return answer


def ends(connection: Optional[processes.SshConnection]) -> Optional[list[Any]]:
    """What tells a connection from another one."""
    return [str(connection.remote), connection.remote_port] if connection else None


def unit(name: str) -> str:
    """The transient unit of systemd in which a trial runs."""
    return f"linuxnet-netns-trial-{name}.service"


def send(caller: socket.socket, message: dict[str, Any]) -> None:
    """One message; a caller who is gone does not matter."""
    try:
        caller.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        pass


def receive(caller: socket.socket, patience: float) -> Optional[dict[str, Any]]:
    """The next message; None if the caller went away, or said nothing for *patience* seconds."""
    caller.settimeout(patience)
    found = b""
    try:
        while not found.endswith(b"\n") and len(found) < _MOST:
            part = caller.recv(1 << 16)
            if not part:
                return None
            found += part
        message = json.loads(found)
        return message if isinstance(message, dict) else None
    except (OSError, ValueError):
        return None


def _call(folder: str, patience: float) -> Optional[socket.socket]:
    deadline = time.monotonic() + patience
    while True:
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            caller.connect(f"{folder}/{SOCKET}")
            return caller
        except OSError:
            caller.close()
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.02)


def _start_by_systemd(name: str, folder: str) -> bool:
    """In a unit of its own, which no end of a session touches. False where systemd would start it elsewhere."""
    system = System()
    try:
        if not system.systemd.available() or processes.namespace_of(1) != processes.namespace_of(os.getpid()):
            return False
        system.systemd.run_apart(unit(name), _command(folder, detach=False))
        return True
    finally:
        system.close()


def _command(folder: str, detach: bool) -> list[str]:
    how = f"sys.argv[1], {detach}"
    return [interpreter(), "-B", "-c", _RUN.format(program=PROGRAM, package=PACKAGE, how=how), folder]


def _packed() -> bytes:
    """The engine as an archive that Python runs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in {f"{PACKAGE}/__init__.py": "", **source()}.items():
            archive.writestr(path, text)
    return packed.getvalue()


def _sweep() -> None:
    """Forget outcomes that nobody asked for."""
    try:
        for entry in os.scandir(FOLDER):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE and _call(entry.path, 0.0) is None:
                shutil.rmtree(entry.path, ignore_errors=True)
    except OSError:
        pass


def _write(path: str, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as stream:
        stream.write(content)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""
