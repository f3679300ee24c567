# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces and the cables between them; the machine's own network is not part of it.

The controller's and the internet's namespace each have a bridge, to which every host is connected. All that belongs to
a host is set from outside before it boots, with fixed MAC addresses: a neighbour that remembers an old one would talk
to nobody for seconds after a reboot.
"""

from __future__ import annotations

import contextlib
import pathlib

from . import kernel, layout
from .commands import run

CONTROLLER_SETUP = f"""
link set lo up
link add mgmt address 02:00:00:00:01:00 type bridge
address add {layout.CONTROLLER4}/24 dev mgmt
link set mgmt up
"""
INTERNET_SETUP = f"""
link set lo up
link add wan address 02:00:00:00:02:00 type bridge
address add {layout.GATEWAY4}/24 dev wan
address add {layout.GATEWAY6}/64 dev wan nodad
address add {layout.CLIENT4}/32 dev lo
address add {layout.STRANGER4}/32 dev lo
address add {layout.CLIENT6}/128 dev lo
address add {layout.STRANGER6}/128 dev lo
link set wan up
"""


def create(fleet):
    """Make the controller's and the internet's namespace, where they are not there yet."""
    for path, setup in ((fleet.controller, CONTROLLER_SETUP), (fleet.internet, INTERNET_SETUP)):
        if not _is_mounted(path):
            _new(path)
            ip(path, setup)


def connect(host):
    """Give the host a fresh namespace, connected to both networks; an old one goes, with all that was in it."""
    remove(host.network)
    _new(host.network)
    for path, bridge in ((host.fleet.controller, "mgmt"), (host.fleet.internet, "wan")):
        # The end of a namespace is not the end of its links, until the kernel finds the time.
        run("nsenter", "--net=%s" % path, "ip", "link", "delete", host.name, check=False)
        link, mac = ("mgmt0", host.mgmt_mac) if bridge == "mgmt" else ("eth0", host.wan_mac)
        ip(
            path,
            f"""
            link add {host.name} type veth peer name {link} address {mac} netns {host.network}
            link set {host.name} master {bridge} up
        """,
        )
    ip(
        host.network,
        f"""
        link set lo up
        address add {host.mgmt4}/24 dev mgmt0
        address add {host.wan4}/24 dev eth0
        address add {host.wan6}/64 dev eth0 nodad
        link set mgmt0 up
        link set eth0 up
        route add default via {layout.GATEWAY4}
        route add default via {layout.GATEWAY6}
    """,
    )


def ip(path, batch):
    """Run lines of `ip` commands inside the network namespace at path; FleetError at the first that fails."""
    lines = [line.strip() for line in batch.splitlines() if line.strip()]
    run("nsenter", "--net=%s" % path, "ip", "-batch", "-", stdin="".join(line + "\n" for line in lines))


def remove(path):
    """Let go of the namespace mounted at path, if one is."""
    with contextlib.suppress(OSError):
        while True:
            kernel.unmount(path)


def _new(path):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).touch()
    run("unshare", "--net=%s" % path, "true")
    # IPv4 settings of a new namespace are copies of the machine's; writing this one resets them all.
    kernel.in_network(path, lambda: _write("/proc/sys/net/ipv4/ip_forward", "1"))
    kernel.in_network(path, lambda: _write("/proc/sys/net/ipv4/ip_forward", "0"))


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


def _is_mounted(path):
    return (str(path), "nsfs") in kernel.mounts()
