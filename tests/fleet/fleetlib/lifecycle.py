# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet from `up` to `down`."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from . import image as images
from . import inotify, kernel, layout, network, remote, servers
from .cgroups import Cgroup
from .errors import FleetError
from .inventory import inventory

#: Seconds for a host to boot, on a machine that has other things to do.
PATIENCE = 90.0
#: Hosts that boot at a time: a few more than cores, since each also waits.
AT_ONCE = (os.cpu_count() or 1) + 2
#: Asks systemd for reboot.target, as `systemctl reboot` does.
REBOOT_SIGNAL = signal.SIGRTMIN + 5


def find(name):
    """The Layout of that name; a fleet that is there remembers where its disks are."""
    fleet = layout.Layout(name)
    with contextlib.suppress(FileNotFoundError):
        fleet = layout.Layout(name, pathlib.Path(json.loads(fleet.record.read_text())["cache"]))
    return fleet


def record(fleet):
    """(Image, number of hosts) of the fleet. FleetError if it is not up."""
    try:
        found = json.loads(fleet.record.read_text())
    except FileNotFoundError:
        raise FleetError("there is no fleet %r: fleet --name %s up N makes one" % (fleet.name, fleet.name)) from None
    return images.Image(found["image"]), found["hosts"]


def up(fleet, hosts, tell=print):
    """Have hosts h1..h<hosts> running; those that are stay as they are. Returns when all of them answer."""
    fleet.host(hosts)  # is the number a possible one?
    image = None if fleet.record.exists() else images.ensure(fleet.cache, tell)
    with _lock(fleet):
        if fleet.record.exists():
            # A host that is added has the keys of the others, whatever the recipe says by now.
            image, there = record(fleet)
            hosts = max(hosts, there)
        elif image is None:
            raise FleetError("the fleet went down in the meantime")
        inotify.claim(fleet, hosts)
        fleet.ssh_sockets.mkdir(mode=0o700, exist_ok=True)
        fleet.image.unlink(missing_ok=True)
        fleet.image.symlink_to(image.path)
        _replace(fleet.record, json.dumps({"image": str(image.path), "cache": str(fleet.cache), "hosts": hosts}))
        _replace(fleet.state / "inventory.yml", inventory(fleet, image, range(1, hosts + 1)))
        network.create(fleet)
        for name in servers.NAMES:
            if not servers.cgroup(fleet, name).pids():
                _start(fleet, fleet.state / (name + ".log"), "serve", name)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            started = [pool.submit(_boot, fleet.host(number)) for number in range(1, hosts + 1)]
            for future in started:
                future.result()


def _boot(host):
    if not _supervised(host):
        host.state.mkdir(parents=True, exist_ok=True)
        process = _start(host.fleet, host.state / "supervisor.log", "supervise", str(host.number))
        _replace(host.state / "pid", str(process.pid))
        remote.wait(host, PATIENCE, lambda: _ended(process, host))
    else:
        remote.wait(host, PATIENCE)


def _ended(process, host):
    if process.poll() is not None:
        log = (host.state / "supervisor.log").read_text()
        raise FleetError("%s did not boot:\n%s\n%s" % (host.name, log, remote.console_tail(host)))


def _start(fleet, log, *words):
    command = [sys.executable, str(layout.HERE / "fleet"), "--name", fleet.name, *words]
    with open(log, "ab") as output:
        return subprocess.Popen(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def _supervisor_cgroup(host):
    return Cgroup(host.fleet.name, "supervisors", host.name)


def _supervised(host):
    return bool(_supervisor_cgroup(host).pids())


def _supervisor(host):
    """Process id of the host's supervisor. FleetError if it is not running."""
    try:
        pid = int((host.state / "pid").read_text())
    except FileNotFoundError:
        pid = None
    # The number alone may be somebody else's by now.
    if pid not in _supervisor_cgroup(host).pids():
        raise FleetError("%s is not running" % host.name)
    return pid


def reboot(host, hard=False, reset=False):
    """Boot the host anew; returns when it answers. hard: cut its power. reset: and give it an empty disk."""
    pid, before = _supervisor(host), boots(host)
    if hard or reset:
        remote.end_kept_connections(host.fleet)
        os.kill(pid, signal.SIGUSR2 if reset else signal.SIGUSR1)
    else:
        os.kill(_init(host), REBOOT_SIGNAL)
    wait_for_boot(host, before)


def wait_for_boot(host, before):
    """Until the host has booted more than `before` times, and answers. FleetError if it does not."""
    end = time.monotonic() + PATIENCE
    while boots(host) <= before:
        _supervisor(host)
        if time.monotonic() > end:
            raise FleetError("%s did not reboot\n%s" % (host.name, remote.console_tail(host)))
        time.sleep(0.05)
    remote.wait(host, PATIENCE, lambda: _supervisor(host))


def boots(host):
    """How many times the host has booted."""
    return int(host.boots.read_text())


def _init(host):
    """Process id (as seen from here) of the host's systemd."""
    for pid in sorted(Cgroup(host.fleet.name, "hosts", host.name).pids()):
        with contextlib.suppress(FileNotFoundError):
            status = pathlib.Path("/proc/%d/status" % pid).read_text()
            # "NSpid: 25995 1": first as we see it, then as the host itself does.
            if re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE):
                return pid
    raise FleetError("%s has no init process" % host.name)


def down(fleet):
    """Leave nothing of the fleet, whatever state it is in."""
    with _lock(fleet):
        remote.end_kept_connections(fleet)
        everything = Cgroup(fleet.name)
        everything.kill()
        everything.remove()
        for path in (fleet.internet, fleet.controller):
            network.remove(path)
        for directory in {fleet.disks, layout.Layout(fleet.name).disks}:
            _remove(directory)
            with contextlib.suppress(OSError):
                directory.parent.rmdir()
        inotify.claim(fleet, 0)
        _remove(fleet.state)
    with contextlib.suppress(OSError):
        layout.STATE.rmdir()


def _remove(directory):
    # Mounts are in the supervisors' own tables, never in this one; but nothing must be deleted through one.
    for path, _kind in kernel.mounts():
        if pathlib.Path(path).is_relative_to(directory):
            raise FleetError("%s is mounted: not removed" % path)
    if directory.exists():
        shutil.rmtree(directory)


@contextlib.contextmanager
def _lock(fleet):
    """One `up` or `down` of a fleet at a time."""
    while True:
        fleet.state.mkdir(parents=True, exist_ok=True)
        directory = os.open(fleet.state, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            # While we waited, a `down` may have removed it.
            if fleet.state.is_dir() and os.path.samestat(os.fstat(directory), fleet.state.stat()):
                yield
                return
        finally:
            os.close(directory)


def _replace(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)
