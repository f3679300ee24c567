# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The door to systemd: what its units are doing, and telling it what they should do, all units in one call."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from ..errors import MissingDependency, SystemRefused

#: Where an administrator's units live, and the drop-ins to those of others.
UNITS = "/etc/systemd/system"
#: Exists if and only if systemd is the init of this system (sd_booted(3)).
_BOOTED = "/run/systemd/system"
#: Folders below /run in which unit files are tried begin like this.
_TRIALS = "linuxnet-netns.trial."
#: A daemon that ends within this many seconds after its start did not start.
_GRACE = 0.5
_JOURNAL_LINES = 15
_LINE_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")

_PROPERTIES = {
    "Id": "",
    "LoadState": "load",
    "ActiveState": "active",
    "MainPID": "pid",
    "UnitFileState": "enabled",
    "FragmentPath": "path",
    "NeedDaemonReload": "stale",
    "NRestarts": "restarts",
    "Result": "result",
    "ExecMainStartTimestampMonotonic": "started",
    "TriggeredBy": "triggered_by",
}


class Unit(NamedTuple):
    """A unit as `systemctl show` has it.

    ``started`` is the wall clock's time, in seconds, at which the main process was started (0: never); ``stale`` that
    its files changed since systemd read them.
    """

    load: str = "not-found"
    active: str = "inactive"
    pid: int = 0
    enabled: str = ""
    path: str = ""
    stale: bool = False
    restarts: int = 0
    result: str = ""
    started: float = 0.0
    triggered_by: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        return self.load != "not-found"

    @property
    def running(self) -> bool:
        return self.active in ("active", "activating", "reloading")


class Complaint(NamedTuple):
    """What systemd says against the setting *key* of a unit file; ``unknown``: it does not know that key."""

    path: str
    key: str
    reason: str
    unknown: bool


class Systemd:
    """What is asked for is collected, and done for all units at once: going_down() stops, settle() starts."""

    def __init__(self) -> None:
        self._stop: list[str] = []
        self._disable: list[str] = []
        self._enable: list[str] = []
        self._start: list[str] = []
        self._restart: list[str] = []
        self._forget: list[str] = []
        self._files_changed = False
        self._stopped: set[str] = set()
        #: Units that were started in this run.
        self.started: set[str] = set()

    def available(self) -> bool:
        return os.path.isdir(_BOOTED) and bool(self._program("systemctl"))

    def require(self, option: str) -> None:
        """Raise MissingDependency, naming the option that needs systemd, where it is not the init."""
        if not self.available():
            raise MissingDependency(
                f"{option} needs systemd as the init of the host, and it is not running here; leave {option} out"
            )

    # -- reading --

    def units(self, names: Iterable[str]) -> dict[str, Unit]:
        """The present state of units, all by one call; where systemd is not the init there are none."""
        names = sorted(names)
        if not names or not self.available():
            return dict.fromkeys(names, Unit())
        text = self._run(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), "--", *names])
        return parse_units(names, text)

    def verify(self, texts: Mapping[str, str]) -> list[Complaint]:
        """What systemd says against unit files (path → text), tried in a folder of its own with the units of the
        system behind it, before anything is written."""
        if not texts or not self._program("systemd-analyze"):
            return []
        # Named after this process, so that sweep() knows which ones nobody uses any more.
        with tempfile.TemporaryDirectory(prefix=f"{_TRIALS}{os.getpid()}.", dir="/run") as folder:
            for path, text in texts.items():
                copy = folder + path[len(UNITS) :]
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                with open(copy, "w", encoding="utf-8", errors="surrogateescape") as stream:
                    stream.write(text)
            return [complaint for path, text in texts.items() for complaint in self._verify(folder, path, text)]

    def sweep(self) -> None:
        """After a run that was killed: no such folders of it, and unit files known as they are now."""
        if self.available():
            self._systemctl("daemon-reload", [])
        for name in os.listdir("/run"):
            if name.startswith(_TRIALS) and not os.path.exists(f"/proc/{name[len(_TRIALS) :].partition('.')[0]}"):
                shutil.rmtree(f"/run/{name}", ignore_errors=True)

    def _verify(self, folder: str, path: str, text: str) -> list[Complaint]:
        copy = folder + path[len(UNITS) :]
        command = ["systemd-analyze", "verify", "--man=no", unit_of(path)]
        done = self._call(command, {"SYSTEMD_UNIT_PATH": f"{folder}:"})
        return parse_complaints(path, copy, text, done.stderr, done.returncode != 0)

    # -- acting --

    def files_changed(self) -> None:
        self._files_changed = True

    def stop(self, unit: str) -> None:
        self._take_back(unit, self._start, self._restart)
        if unit not in self._stopped:
            self._stop.append(unit)

    def forget(self, unit: str) -> None:
        """Have no memory of a unit's failure: it is about to go."""
        self._forget.append(unit)

    def start(self, unit: str) -> None:
        self._take_back(unit, self._stop)
        self._start.append(unit)

    def restart(self, unit: str) -> None:
        self._take_back(unit, self._stop)
        self._restart.append(unit)

    def enable(self, unit: str) -> None:
        self._take_back(unit, self._disable)
        self._enable.append(unit)

    def disable(self, unit: str) -> None:
        self._take_back(unit, self._enable)
        self._disable.append(unit)

    @staticmethod
    def _take_back(unit: str, *requests: list[str]) -> None:
        """What was asked for before and has not been done yet is asked for no more: a run that failed undoes it."""
        for units in requests:
            while unit in units:
                units.remove(unit)

    def going_down(self) -> None:
        """Stop and disable what was asked for, before what it stands on (files, namespaces) goes."""
        stop, forget, disable = self._stop, self._forget, self._disable
        self._stop, self._forget, self._disable = [], [], []
        if stop:
            self._systemctl("stop", stop)
            self._stopped |= set(stop)
        if forget:
            self._call(["systemctl", "reset-failed", "--", *forget])  # most have not failed, which it refuses
        if disable:
            self._systemctl("disable", disable, "--no-reload")
            self._files_changed = True

    def settle(self) -> None:
        """Enable, read changed files once, start and restart; raises SystemRefused with the last journal lines of a
        unit that does not stay up."""
        self.going_down()
        enable, start, restart, changed = self._enable, self._start, self._restart, self._files_changed
        self._enable, self._start, self._restart, self._files_changed = [], [], [], False
        self._stopped -= {*start, *restart}
        if enable:
            self._systemctl("enable", enable, "--no-reload")
        if changed or enable:
            self._systemctl("daemon-reload", [])
        since = time.time()
        trouble = ""
        for verb, units in (("start", start), ("restart", restart)):
            if units:
                done = self._call(["systemctl", verb, "--", *units])
                trouble += done.stderr if done.returncode else ""
        if start or restart:
            self._check_alive([*start, *restart], since, trouble)
            self.started |= {*start, *restart}

    def kick(self, verb: str, units: list[str]) -> None:
        """``start`` or ``restart`` without waiting for it: for a boot, where units wait for each other."""
        if units:
            self._run(["systemctl", "--no-block", verb, "--", *units])

    def run_apart(self, unit: str, command: list[str]) -> None:
        """Start a process in a unit of its own, which is forgotten when it ends. Memory pressure does not end it."""
        options = ["--quiet", "--collect", f"--unit={unit}", "--property=OOMScoreAdjust=-1000"]
        self._run(["systemd-run", *options, "--", *command])

    def stopping(self) -> bool:
        """True while the system shuts down."""
        return self._call(["systemctl", "is-system-running"]).stdout.strip() == "stopping"

    def _check_alive(self, names: list[str], since: float, trouble: str) -> None:
        # The count may begin above zero: a restart does not reset it if it comes between two attempts.
        before = self.units(names)
        if not trouble:
            time.sleep(_GRACE)
        failed = {
            name: unit
            for name, unit in self.units(names).items()
            if unit.active not in ("active", "reloading") or unit.restarts != before[name].restarts
        }
        for name, unit in failed.items():
            how = f"is {unit.active}" if unit.result in ("", "success") else f"failed ({unit.result})"
            lines = self._journal(name, since) or trouble.strip()
            raise SystemRefused(f"{name} did not start: it {how}\nThe last lines of its journal:\n{lines}")
        if trouble:
            raise SystemRefused(" ".join(trouble.split()))

    def _journal(self, unit: str, since: float) -> str:
        self._call(["journalctl", "--sync"])  # what it said last may still be on its way
        done = self._call(
            ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={_JOURNAL_LINES}", f"--unit={unit}"]
            + [f"--since=@{int(since)}"]
        )
        return "\n".join(f"  {line}" for line in done.stdout.splitlines())

    def _systemctl(self, verb: str, units: list[str], *options: str) -> None:
        self._run(["systemctl", "--quiet", *options, verb, *(["--", *units] if units else [])])

    @staticmethod
    def _program(name: str) -> Optional[str]:
        return shutil.which(name) or shutil.which(name, path="/usr/bin:/bin")

    def _run(self, command: list[str]) -> str:
        done = self._call(command)
        if done.returncode != 0:
            raise SystemRefused(f"{' '.join(command[:4])}: {' '.join(done.stderr.split())[:600]}")
        return done.stdout

    def _call(self, command: list[str], env: Optional[dict[str, str]] = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # pylint: disable=ansible-bad-function  # there is no AnsibleModule down here
            [self._program(command[0]) or command[0], *command[1:]],
            check=False,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
        )


def parse_units(names: list[str], text: str) -> dict[str, Unit]:
    """What `systemctl show` prints for several units: a block for each."""
    blocks = text.split("\n\n")
    if len(blocks) != len(names):
        raise SystemRefused(f"systemctl was asked about {len(names)} units, and spoke of {len(blocks)}")
    try:
        return dict(zip(names, map(parse_unit, blocks)))
    except (ValueError, OverflowError) as error:
        raise SystemRefused(f"what systemctl shows cannot be read ({error})") from None


def parse_complaints(path: str, copy: str, text: str, said: str, failed: bool) -> list[Complaint]:
    """What `systemd-analyze verify` *said* about *copy*, which holds the *text* of the unit file *path*."""
    lines, unit, found = text.split("\n"), unit_of(path), []
    for line in said.splitlines():
        number, _colon, reason = line[len(copy) + 1 :].partition(":")
        if line.startswith(f"{copy}:") and _LINE_NUMBER.match(number):
            key = "".join(lines[int(number) - 1 : int(number)]).partition("=")[0]
            found.append(Complaint(path, key, reason.strip(), "Unknown" in reason))
        elif failed and line.startswith((unit, f"Unit {unit}")):
            found.append(Complaint(path, "ExecStart", line, False))
    if failed and not found:
        found.append(Complaint(path, "ExecStart", " ".join(said.split())[:600], False))
    return found


def parse_unit(text: str) -> Unit:
    """A Unit from one block of `systemctl show`."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    values = {field: found.get(name, "") for name, field in _PROPERTIES.items() if field}
    started = int(values["started"] or 0) / 1e6
    return Unit(
        load=values["load"] or "not-found",
        active=values["active"] or "inactive",
        pid=int(values["pid"] or 0),
        enabled=values["enabled"],
        path=values["path"],
        stale=values["stale"] == "yes",
        restarts=int(values["restarts"] or 0),
        result=values["result"],
        started=started and started + time.time() - time.monotonic(),
        triggered_by=tuple(values["triggered_by"].split()),
    )


def unit_of(path: str) -> str:
    """The unit that a file below UNITS belongs to: ``.../app.service`` or ``.../app.service.d/50-x.conf``."""
    return path[len(UNITS) + 1 :].split("/", 1)[0].removesuffix(".d")
