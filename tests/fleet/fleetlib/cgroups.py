# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cgroups of the fleets: what a fleet has started is in its cgroup, so `down` finds it even after a crash.

They are made at the same path in the v2 hierarchy and, where the machine still has them, in the v1 hierarchies that
systemd in a container looks at. Without one of its own, two systemds would share a system.slice.
"""

from __future__ import annotations

import functools
import os
import pathlib
import signal
import time

from .errors import FleetError
from .layout import PROJECT

_V1 = {"name=systemd", "pids", "cpuacct"}
PATIENCE = 15.0


@functools.cache
def _hierarchies():
    """Mount points: the v2 hierarchy first, then those of v1."""
    unified, old = [], []
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            fields, _, rest = line.partition(" - ")
            kind, _, options = rest.split()[:3]
            if kind == "cgroup2":
                unified.append(pathlib.Path(fields.split()[4]))
            elif kind == "cgroup" and _V1 & set(options.split(",")):
                old.append(pathlib.Path(fields.split()[4]))
    if not unified:
        raise FleetError("no cgroup v2 hierarchy is mounted on this machine")
    return [unified[0], *dict.fromkeys(old)]


class Cgroup:
    """The cgroup PROJECT/FLEET/PART..., in all hierarchies."""

    def __init__(self, fleet, *parts):
        self._relative = pathlib.Path(PROJECT, fleet, *parts)

    def _paths(self):
        return [mounted / self._relative for mounted in _hierarchies()]

    @property
    def _unified(self):
        return self._paths()[0]

    def enter(self):
        """Make it, and move the calling process in: what it starts from now on is inside, too."""
        for path in self._make():
            path.write_text(str(os.getpid()))

    def around(self, command):
        """The command line (list of str) that runs this one inside."""
        script = 'until [ "$1" = -- ]; do echo $$ >"$1"; shift; done; shift; exec "$@"'
        return ["sh", "-ec", script, "sh", *map(str, self._make()), "--", *command]

    def _make(self):
        for path in self._paths():
            path.mkdir(parents=True, exist_ok=True)
        return [path / "cgroup.procs" for path in self._paths()]

    def pids(self):
        """Processes in it and below."""
        found = []
        for path in self._below(self._unified):
            try:
                found += [int(pid) for pid in (path / "cgroup.procs").read_text().split()]
            except OSError:  # gone since it was listed
                continue
        return found

    @staticmethod
    def _below(top):
        """It and all below, what is inside first. A session may end meanwhile: os.walk passes over what has gone."""
        return [pathlib.Path(path) for path, _, _ in os.walk(top, topdown=False)]

    def cpu_seconds(self):
        """Processor time of all that ever ran in it and below (float)."""
        for line in (self._unified / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) / 1e6
        raise FleetError("no usage_usec in %s/cpu.stat" % self._unified)

    def strike(self):
        """Send SIGKILL to every process in it and below; don't wait."""
        try:
            (self._unified / "cgroup.kill").write_text("1")
        except FileNotFoundError:  # no such cgroup, or Linux before 5.14
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def kill(self):
        """End every process in it and below. FleetError if some outlive that."""
        end = time.monotonic() + PATIENCE
        while self._unified.is_dir():
            self.strike()
            left = self.pids()
            if not left:
                return
            if time.monotonic() > end:
                raise FleetError("processes that do not end: %s" % left)
            time.sleep(0.02)

    def remove(self):
        """Remove it with all below; there may be no processes any more."""
        end = time.monotonic() + PATIENCE
        for path in self._paths():
            while path.is_dir():
                try:
                    for below in self._below(path):
                        below.rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:  # busy until the last of its processes is reaped
                    if time.monotonic() > end:
                        raise FleetError("cgroup %s: %s" % (path, error)) from error
                    time.sleep(0.02)
            # The project's own, once the last fleet has gone.
            for above in (path.parent, path.parent.parent):
                if PROJECT in above.parts:
                    try:
                        above.rmdir()
                    except OSError:
                        pass
