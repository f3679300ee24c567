# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The Namespaces of the running system: each thing is read when it is asked for, once."""

from __future__ import annotations

import functools
import json
from typing import Any, Optional

from ..desired.names import HOST
from ..doors import netlink_messages as wire
from ..doors.in_namespace import in_namespace
from ..errors import MissingDependency, SystemRefused
from ..info import listening
from ..system import System
from .stack import Socket

#: Tables of iptables-legacy, which nft does not list.
_LEGACY = (("ip_tables_names", "iptables-legacy"), ("ip6_tables_names", "ip6tables-legacy"))


class LiveStack:
    """One namespace."""

    def __init__(self, system: System, name: str) -> None:
        self.name = name
        self._system = system
        self._sysctls: dict[str, Optional[str]] = {}
        self._unread: list[str] = []

    @functools.cached_property
    def links(self) -> list[wire.Link]:
        return self._system.netlink.links(self.name)

    @functools.cached_property
    def addresses(self) -> list[wire.Address]:
        return self._system.netlink.addresses(self.name)

    @functools.cached_property
    def routes(self) -> list[wire.FibRoute]:
        return self._system.netlink.fib(self.name)

    @functools.cached_property
    def rules(self) -> list[wire.Rule]:
        return self._system.netlink.rules(self.name)

    @functools.cached_property
    def neighbours(self) -> list[wire.NeighbourState]:
        return self._system.netlink.neighbour_states(self.name)

    @functools.cached_property
    def sockets(self) -> list[Socket]:
        found = in_namespace(self.name, lambda: list(listening()))
        return [Socket(item["protocol"], item["address"], item["port"]) for item in found]

    @functools.cached_property
    def ruleset(self) -> list[dict[str, Any]]:
        try:
            return json.loads(self._system.nft.ruleset(self.name))["nftables"]
        except MissingDependency as error:
            self._unread.append(f"{error}; without it, no firewall can be looked at")
        except SystemRefused as error:
            self._unread.append(f"the ruleset cannot be listed ({error})")
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            self._unread.append(f"what nft lists cannot be read ({type(error).__name__}: {error})")
        return []

    @functools.cached_property
    def blind_spots(self) -> list[str]:
        _listed = self.ruleset
        legacy = in_namespace(self.name, lambda: [name for file, name in _LEGACY if self._system.files.net_table(file)])
        return self._unread + [f"{name} has tables, which nft does not list; see {name}-save" for name in legacy]

    def sysctl(self, path: str) -> Optional[str]:
        if path not in self._sysctls:
            self._sysctls[path] = in_namespace(self.name, lambda: self._system.files.sysctl(path))
        return self._sysctls[path]


class LiveNamespaces:
    """The host with all its named namespaces."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._names: Optional[list[str]] = None
        self._stacks: dict[str, LiveStack] = {}
        self._ends: dict[tuple[str, int], Optional[tuple[str, wire.Link]]] = {}

    def names(self) -> list[str]:
        if self._names is None:
            self._names = self._system.mounts.names()
            self._system.netlink.expect(self._names)
        return self._names

    def exists(self, netns: str) -> bool:
        return self._system.mounts.state(netns).identity is not None

    def leftover(self, netns: str) -> bool:
        return self._system.mounts.state(netns).leftover

    def stack(self, netns: str) -> LiveStack:
        if netns not in self._stacks:
            self._stacks[netns] = LiveStack(self._system, netns)
        return self._stacks[netns]

    def other_end(self, netns: str, link: wire.Link) -> Optional[tuple[str, wire.Link]]:
        if (netns, link.index) not in self._ends:
            self._ends[netns, link.index] = self._other_end(netns, link)
        return self._ends[netns, link.index]

    def _other_end(self, netns: str, link: wire.Link) -> Optional[tuple[str, wire.Link]]:
        """Indexes repeat from namespace to namespace, so the kernel is asked which one it means."""
        if link.peer_netnsid is None:
            others = [netns]
        else:
            others = [other for other in (HOST, *self.names()) if other != netns]
        for other in others:
            if other != netns and self._system.netlink.netnsid(netns, other) != link.peer_netnsid:
                continue
            for item in self.stack(other).links:
                if item.type == "veth" and (item.index, item.peer) == (link.peer, link.index):
                    return other, item
        return None

    def text(self, path: str) -> Optional[str]:
        return self._system.files.read(self._system.files.real_path(path))
