# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process per host: it holds the host's mounts and network, boots it, and boots it again when it reboots.

Mounts and network namespace are in the supervisor's own mount table, so the kernel takes them away when it ends,
however that happens. Signals: SIGUSR1 cuts the host's power and boots it again; SIGUSR2 does so with an empty disk.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess

from . import kernel, network
from .cgroups import Cgroup

#: What systemd-nspawn --keep-unit returns when the host asked for a reboot.
REBOOT = 133


class Supervisor:
    def __init__(self, host, image):
        self.host = host
        self.image = image
        self.own_cgroup = Cgroup(host.fleet.name, "supervisors", host.name)
        self.host_cgroup = Cgroup(host.fleet.name, "hosts", host.name)
        self.process = None
        self.order = None

    def run(self):
        """Until the host is powered off, or cannot be booted."""
        self.own_cgroup.enter()
        kernel.private_mounts()
        self._drop_inherited()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._obey)
        self._mount()
        boots = 0
        while True:
            network.connect(self.host)
            self._start()
            boots += 1
            _replace(self.host.boots, str(boots))
            status = self.process.wait()
            self.process = None
            # What nspawn may have left when its power was cut.
            self.host_cgroup.kill()
            order, self.order = self.order, None
            if order is None and status != REBOOT:
                print("systemd-nspawn ended with %d" % status, flush=True)
                return
            if order == signal.SIGUSR2:
                kernel.unmount(self.host.root)
                self._mount()

    def _obey(self, number, _frame):
        self.order = number
        if self.process is not None:
            self.host_cgroup.strike()

    def _drop_inherited(self):
        """Let go of the namespaces of others: a mounted one lives on as long as anybody has it mounted."""
        keep = {str(self.host.fleet.controller), str(self.host.fleet.internet)}
        for path, kind in reversed(kernel.mounts()):
            if kind == "nsfs" and path not in keep:
                kernel.unmount(path)
        # What nspawn notes down about its machines, it notes down in here.
        notes = pathlib.Path("/run/systemd")
        if notes.is_dir():
            kernel.mount("tmpfs", "tmpfs", notes, "mode=755")

    def _mount(self):
        disk = self.host.disk
        if disk.exists():
            shutil.rmtree(disk)
        upper, work = disk / "upper", disk / "work"
        for path in (upper / "etc", work, self.host.root):
            path.mkdir(parents=True)
        name = self.host.name
        _write(upper / "etc/hostname", name + "\n")
        _write(upper / "etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost\n" % name)
        identity = hashlib.sha256(("%s/%s" % (self.host.fleet.name, name)).encode()).hexdigest()[:32]
        _write(upper / "etc/machine-id", identity + "\n")
        layers = "lowerdir=%s,upperdir=%s,workdir=%s" % (self.image.root, upper, work)
        # volatile: the disk is thrown away, so no fsync has to reach the real one.
        kernel.mount("overlay", "fleet", self.host.root, layers + ",volatile")

    def _start(self):
        command = [
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--settings=no",
            "--directory=%s" % self.host.root,
            "--machine=%s-%s" % (self.host.fleet.name, self.host.name),
            "--hostname=%s" % self.host.name,
            "--network-namespace-path=%s" % self.host.network,
            "--capability=all",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=pipe",
            "--boot",
        ]
        environment = {
            **os.environ,
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            # /proc/sys/net is the host's own; the rest stays read-only.
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        }
        with open(self.host.console, "ab") as console:
            self.process = subprocess.Popen(
                # nspawn puts the host into the cgroup that it finds itself in.
                self.host_cgroup.around(command),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        # Ordered while there was nothing to strike.
        if self.order is not None:
            self.host_cgroup.strike()


def _replace(path, text):
    """Others read the file at any time."""
    new = path.with_suffix(".new")
    _write(new, text)
    new.rename(path)


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)
