# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The doors to the system (netlink, nft, files, systemd), and the few acts that take more than one of them."""

from __future__ import annotations

import errno
import resource
import time
from collections.abc import Iterable
from typing import Any, Optional

from .desired.names import HOST, where
from .doors import processes
from .doors.files import Files
from .doors.netlink import Netlink
from .doors.netlink_kept import Kept, bring_back, keep
from .doors.netns_mounts import NetnsMounts
from .doors.nft import Nft
from .doors.systemd import Systemd
from .errors import SystemRefused
from .objects.kernel_object import place

#: The kernel takes a namespace apart in the background; its veths keep their names on the host for up to 0.1 s,
#: with hundreds of namespaces a little longer.
_SETTLE = 3.0
_MOST_FILES = 65536


class System:
    """Give it to close() when done: an open socket keeps a namespace alive."""

    def __init__(self) -> None:
        # One socket, later one handle, for each of hundreds of namespaces; the usual limit is 1024.
        self._files_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        hard = self._files_limit[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_FILES if hard < 0 else min(_MOST_FILES, hard), hard))
        self.netlink = Netlink()
        self.nft = Nft()
        self.files = Files()
        self.mounts = NetnsMounts()
        self.systemd = Systemd()
        self._indexes: dict[str, dict[str, int]] = {}
        self._created: dict[tuple[str, str], dict[str, Any]] = {}
        #: Units that were stopped along with their namespace.
        self._ended: dict[str, list[str]] = {}

    def close(self) -> None:
        self.netlink.close()
        self.mounts.let_go()
        resource.setrlimit(resource.RLIMIT_NOFILE, self._files_limit)

    def forget(self, netns: str) -> None:
        """Drop what we hold of a namespace that goes away or was made anew."""
        self.netlink.forget(netns)
        self._indexes.pop(netns, None)

    def index(self, netns: str, link: str) -> int:
        """An interface's index, from one dump for all of them."""
        if link == "lo":
            return 1
        if link not in self._indexes.get(netns, ()):
            self._indexes[netns] = {item.name: item.index for item in self.netlink.links(netns)}
        try:
            return self._indexes[netns][link]
        except KeyError:
            raise SystemRefused(
                f"there is no interface {link} {'in ' + netns if netns else 'on the host'}", errno.ENODEV
            ) from None

    def add_veth(self, end: dict[str, Any], peer: dict[str, Any]) -> None:
        """Make a pair and mark both ends as ours. Ends are dicts of netns, name, mac, mtu and up."""
        deadline = time.monotonic() + _SETTLE
        while True:
            try:
                self.netlink.add_veth(end, peer)
                break
            except SystemRefused as error:
                if error.errno != errno.EEXIST or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)  # the name of a pair whose namespace was just removed
        pair = _named((item["netns"], item["name"]) for item in (end, peer))
        for item in (end, peer):
            try:
                self.netlink.mark(item["netns"], item["name"], pair, bool(item.get("up")))
            except SystemRefused:
                self.delete_link(end["netns"], end["name"])  # half a step is none
                raise
            self._created[item["netns"], item["name"]] = item
            self._indexes.pop(item["netns"], None)

    def mark(self, pair: Iterable[tuple[str, str]], bare: Iterable[tuple[str, str]]) -> None:
        """Mark those ends of a pair of ours that are *bare*: the run that made them was killed before it could."""
        for netns, name in bare:
            self.netlink.mark(netns, name, _named(pair), up=False)

    def created_with(self, netns: str, link: str, setting: str, value: Any) -> bool:
        """True, once, if a link was made just now with this setting: then there is nothing left to set."""
        created = self._created.get((netns, link), {})
        return created.pop(setting, None) == value

    def delete_link(self, netns: str, link: str) -> None:
        """Delete an interface; one that is gone already is as good."""
        try:
            self.netlink.delete_link(netns, link)
        except SystemRefused as error:
            if error.errno != errno.ENODEV:
                raise
        self._indexes.clear()

    def move_link(self, link: str, netns: str, target: str) -> None:
        """Put an interface into another namespace, under the name that it has."""
        self.netlink.move_link(netns, self.index(netns, link), target)
        self._indexes.clear()

    def keep(self, netns: str) -> Kept:
        """The addresses, routes and neighbours of a namespace, to be brought back."""
        return keep(self.netlink.control(netns))

    def bring_back(self, netns: str, kept: Kept) -> list[str]:
        """Make again what is missing of what was kept; returns what could not be."""
        return bring_back(self.netlink.control(netns), kept, {link.index for link in self.netlink.links(netns)})

    def end_processes(self, netns: str, timeout: float) -> None:
        """End whoever lives in a namespace. Units whose main process does are stopped, or systemd might start them
        again; a process that is only somewhere in a unit, such as a shell below sshd, ends alone."""
        identity = self.mounts.state(netns).identity
        if not identity:
            return
        living = processes.living(identity)
        pids = {process.pid for process in living}
        units = self.systemd.units({process.unit for process in living if process.unit})
        stopping = {name for name, unit in units.items() if unit.pid in pids}
        self.systemd.kick("stop", sorted(stopping))
        processes.end(identity, timeout, stopping)
        self._ended[netns] = sorted(stopping)

    def start_again(self, netns: str) -> None:
        """Ask for the units that end_processes() stopped: their namespace is back."""
        for unit in self._ended.pop(netns, ()):
            self.systemd.start(unit)

    def wait_for_links_gone(self, links: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Wait until the kernel has removed links whose namespaces were let go; returns those that stay."""
        deadline = time.monotonic() + _SETTLE
        pause = 0.002
        while True:
            there = {
                netns: {item.name for item in self.netlink.links(netns)} for netns in {netns for netns, _link in links}
            }
            left = [(netns, link) for netns, link in links if link in there[netns]]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def place_of(self, pid: int) -> str:
        """In which namespace a process lives, in words."""
        identity = processes.namespace_of(pid)
        if identity == self.mounts.own_identity():
            return where(HOST)
        name = next((name for name in self.mounts.names() if self.mounts.state(name).identity == identity), None)
        return "in a namespace without a name" if name is None else where(name)

    def user_of(self, pid: int) -> Optional[int]:
        """As whom a process runs."""
        return processes.user_of(pid)

    def sees(self, pid: int, path: str, source: str) -> bool:
        """True if what a process finds at *path* is the file *source* of the host."""
        return processes.sees(pid, path, source)

    def machine_id(self) -> str:
        """Tells this machine from others, "" where it has no id."""
        return (self.files.read("/etc/machine-id") or "").strip()

    def boot_id(self) -> Optional[str]:
        """Tells this boot, and this network, from others: what the kernel held before is gone."""
        boot = self.files.sysctl("kernel/random/boot_id")
        return f"{boot} {self.mounts.own_identity()}"


def _named(pair: Iterable[tuple[str, str]]) -> str:
    """A pair's name, which both ends carry."""
    return " -- ".join(place(*end) for end in pair)
