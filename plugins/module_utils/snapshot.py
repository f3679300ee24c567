# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the system holds now: read once, by dumps, and only for the namespaces that somebody asks about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Optional

from .doors import netlink_messages as wire
from .doors import processes
from .doors.in_namespace import in_namespaces
from .doors.netlink import ALIAS
from .doors.netns_mounts import NameState
from .doors.systemd import Unit
from .objects.enablement import Enablement
from .objects.link_address import LinkAddress
from .objects.link_neighbour import LinkNeighbour
from .objects.link_route import LinkRoute, observed_route
from .objects.link_setting import LinkSetting
from .objects.physical_link import PhysicalLink
from .objects.policy_rule import is_ours, rule_value
from .objects.process import Process
from .objects.running_service import RunningService
from .objects.sysctl import Sysctl
from .objects.veth_pair import NOWHERE, VethPair, veth_pair

if TYPE_CHECKING:
    from .foreign_firewall import Listing
    from .objects.kernel_object import KernelObject
    from .system import System

#: Routes that were learnt, not configured.
_NOT_CONFIGURED = (wire.RTPROT_RA,)


def is_physical(link: wire.Link) -> bool:
    """Whether the kernel hands a link back to the host when its namespace ends."""
    return not link.type and link.name != "lo"


class _Names(dict):
    """NameState by name, looked up when first asked for."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self._system = system

    def __missing__(self, name: str) -> NameState:
        self[name] = self._system.mounts.state(name)
        return self[name]


class Snapshot:
    """Lazy and immutable: what was read once is not read again; take a new snapshot after a change."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.names: dict[str, NameState] = _Names(system)
        self._links: dict[str, dict[str, wire.Link]] = {}
        self._addresses: dict[str, dict[str, dict[str, wire.Address]]] = {}
        self._global_addresses: dict[str, list[tuple[str, wire.Address]]] = {}
        self._neighbours: dict[str, dict[str, dict[str, str]]] = {}
        self._routes: dict[str, list[tuple[str, wire.Route]]] = {}
        self._route_objects: dict[str, dict[LinkRoute, str]] = {}
        self._rules: dict[str, dict[tuple[int, int], list[tuple[str, bool]]]] = {}
        self._sysctls: dict[tuple[str, str], Optional[str]] = {}
        self._tables: dict[str, Optional[str]] = {}
        self._foreign_tables: dict[str, Optional[Listing]] = {}
        self._units: dict[str, Unit] = {}
        self._places: dict[int, str] = {}
        self._pairs: Optional[dict[tuple[str, str], VethPair]] = None

    def prefetch(self, objects: Iterable[KernelObject]) -> None:
        """Read all that these objects need, a namespace at a time."""
        objects = list(objects)
        networks = sorted(
            {netns for item in objects if "links" in item.needs for netns in item.netns_names if netns != NOWHERE}
        )
        deep = {
            netns
            for item in objects
            if "addresses" in item.needs or "routes" in item.needs
            for netns in item.netns_names
        }
        deep |= {netns for item in objects if isinstance(item, VethPair) for netns in item.netns_names}
        ruled = {netns for item in objects if "rules" in item.needs for netns in item.netns_names}
        self.system.netlink.expect(netns for netns in networks if self.exists(netns))
        for netns in networks:
            self.links(netns)
            if netns in deep:
                self._load_addresses(netns)
                self._load_routes(netns)
            if netns in ruled:
                self._load_rules(netns)
        self._read_sysctls([(item.netns, item.path) for item in objects if isinstance(item, Sysctl)])

        self._load_units(item.unit for item in objects if isinstance(item, (Enablement, RunningService)))

    def exists(self, netns: str) -> bool:
        return not netns or self.names[netns].identity is not None

    # -- links --

    def links(self, netns: str) -> dict[str, wire.Link]:
        if netns not in self._links:
            there = self.system.netlink.links(netns) if netns != NOWHERE and self.exists(netns) else []
            self._links[netns] = {link.name: link for link in there}
            self._pairs = None
        return self._links[netns]

    def link_name(self, netns: str, index: int) -> str:
        return next((link.name for link in self.links(netns).values() if link.index == index), "")

    def pairs(self) -> set[VethPair]:
        return set(self._by_place().values())

    def _by_place(self) -> dict[tuple[str, str], VethPair]:
        """Every veth pair with an end in a namespace read so far. A peer that is nowhere among them is NOWHERE."""
        if self._pairs is None:
            self._pairs = {}
            by_indexes: dict[tuple[int, int, bool], list[tuple[str, wire.Link]]] = {}
            veths = [
                (netns, link) for netns, links in self._links.items() for link in links.values() if link.type == "veth"
            ]
            for netns, link in veths:
                by_indexes.setdefault((link.index, link.peer, link.peer_netnsid is None), []).append((netns, link))
            for netns, link in veths:
                others = by_indexes.get((link.peer, link.index, link.peer_netnsid is None), [])
                peer = next((other for other in others if self._is_peer(netns, link, *other)), None)
                settings = tuple(
                    {"mac": end.mac, "mtu": end.mtu} if end else {} for end in (link, peer[1] if peer else None)
                )
                pair = veth_pair((netns, link.name), (peer[0], peer[1].name) if peer else (NOWHERE, NOWHERE), settings)  # type: ignore[arg-type]
                self._pairs[netns, link.name] = pair
        return self._pairs

    def _is_peer(self, netns: str, link: wire.Link, other_netns: str, other: wire.Link) -> bool:
        """Indexes repeat from namespace to namespace; where both ends carry our mark, which names the pair, that is
        proof enough, else the kernel is asked for the namespace's number."""
        if link.peer_netnsid is None:
            return netns == other_netns
        if netns == other_netns:
            return False
        if link.alias.startswith(ALIAS) and link.alias == other.alias:
            return True
        return self.system.netlink.netnsid(netns, other_netns) == link.peer_netnsid

    def pair_at(self, place: tuple[str, str]) -> Optional[VethPair]:
        self.links(place[0])
        return self._by_place().get(place)

    # -- addresses and routes --

    def addresses_of(self, netns: str, link: str) -> dict[str, wire.Address]:
        """Usable addresses by their text; one that failed duplicate address detection is as good as none."""
        self._load_addresses(netns)
        return self._addresses[netns].get(link, {})

    def all_addresses(self, netns: str) -> list[tuple[str, wire.Address]]:
        """(link, address) of a namespace, IPv6's link-local ones left out."""
        if netns not in self._global_addresses:
            self._load_addresses(netns)
            self._global_addresses[netns] = [
                (link, item)
                for link, found in self._addresses[netns].items()
                for item in found.values()
                if item.address.version == 4 or not item.address.is_link_local
            ]
        return self._global_addresses[netns]

    def _load_addresses(self, netns: str) -> None:
        if netns in self._addresses:
            return
        by_link: dict[str, dict[str, wire.Address]] = {}
        self._addresses[netns] = by_link
        if self.exists(netns):
            names = {link.index: link.name for link in self.links(netns).values()}
            for item in self.system.netlink.addresses(netns):
                if item.index in names and not item.flags & wire.IFA_F_DADFAILED:
                    by_link.setdefault(names[item.index], {})[str(item.address)] = item

    def neighbours_of(self, netns: str, link: str) -> dict[str, str]:
        """Link-layer addresses of permanent neighbours, by address."""
        if netns not in self._neighbours:
            by_link: dict[str, dict[str, str]] = {}
            self._neighbours[netns] = by_link
            names = {item.index: name for name, item in self.links(netns).items()}
            for item in self.system.netlink.neighbours(netns) if names else ():
                by_link.setdefault(names.get(item.index, ""), {})[str(item.address)] = item.mac
        return self._neighbours[netns].get(link, {})

    def all_routes(self, netns: str) -> list[tuple[str, wire.Route]]:
        """(link, route) of a namespace, the kernel's own left out, those of router advertisements included."""
        self._load_routes(netns)
        return self._routes[netns]

    def routes_of(self, netns: str) -> dict[LinkRoute, str]:
        """Configured routes as objects."""
        self._load_routes(netns)
        if netns not in self._route_objects:
            self._route_objects[netns] = dict(
                observed_route(netns, link, route)
                for link, route in self._routes[netns]
                if route.protocol not in _NOT_CONFIGURED
            )
        return self._route_objects[netns]

    def _load_routes(self, netns: str) -> None:
        if netns in self._routes:
            return
        self._routes[netns] = []
        if self.exists(netns):
            names = {link.index: link.name for link in self.links(netns).values()}
            self._routes[netns] = [(names.get(route.index, ""), route) for route in self.system.netlink.routes(netns)]

    def rules_at(self, netns: str, version: int, priority: int) -> list[tuple[str, bool]]:
        """(value, whether it is ours) of the policy rules of one family and priority."""
        self._load_rules(netns)
        return self._rules[netns].get((version, priority), [])

    def _load_rules(self, netns: str) -> None:
        if netns in self._rules:
            return
        found = self._rules[netns] = {}
        if self.exists(netns):
            for rule in self.system.netlink.rules(netns):
                found.setdefault((rule.version, rule.priority), []).append((rule_value(rule), is_ours(rule)))

    def hanging_on(self, places: Iterable[tuple[str, str]]) -> Iterable[KernelObject]:
        """The configured addresses, routes, neighbours and settings of links, as objects: what goes with the links."""
        for netns, name in places:
            link = self.links(netns).get(name) if netns != NOWHERE else None
            if link is None:
                continue
            if link.master:
                yield LinkSetting(netns, name, "bridge")
            yield LinkSetting(netns, name, "up")
            for item in self.addresses_of(netns, name).values():
                if item.flags & wire.IFA_F_PERMANENT and not (item.address.version == 6 and item.address.is_link_local):
                    yield LinkAddress(netns, name, str(item.address))
            for route in self.routes_of(netns):
                if route.link == name:
                    yield route
            for address in self.neighbours_of(netns, name):
                yield LinkNeighbour(netns, name, address)

    def physical_in(self, netns: str) -> list[PhysicalLink]:
        """The network cards in a namespace: links of no kind but the loopback's."""
        return [PhysicalLink(netns, link.name) for link in self.links(netns).values() if is_physical(link)]

    def processes_in(self, netns: str) -> list[Process]:
        """Who lives in a namespace."""
        identity = self.names[netns].identity
        living = processes.inside([identity])[identity] if identity else []
        return [Process(netns, item.pid, item.command, item.unit) for item in living if not item.holds]

    # -- units --

    def unit(self, name: str) -> Unit:
        """A unit of systemd; one that does not exist has no properties."""
        self._load_units([name])
        return self._units[name]

    def _load_units(self, names: Iterable[str]) -> None:
        missing = set(names) - self._units.keys()
        if missing:
            self._units.update(self.system.systemd.units(missing))

    def place_of(self, pid: int) -> str:
        """In which namespace a process lives, in words."""
        if pid not in self._places:
            self._places[pid] = self.system.place_of(pid)
        return self._places[pid]

    # -- sysctls and tables --

    def sysctl(self, netns: str, path: str) -> Optional[str]:
        if (netns, path) not in self._sysctls:
            self._read_sysctls([(netns, path)])
        return self._sysctls[netns, path]

    def _read_sysctls(self, keys: list[tuple[str, str]]) -> None:
        by_netns: dict[str, list[str]] = {}
        for netns, path in keys:
            if (netns, path) not in self._sysctls:
                self._sysctls[netns, path] = None
                if self.exists(netns):
                    by_netns.setdefault(netns, []).append(path)
                elif Sysctl(netns, path).forwards:
                    self._sysctls[netns, path] = self._in_new_namespace(path)

        def read(netns: str) -> None:
            for path in by_netns[netns]:
                self._sysctls[netns, path] = self._one_sysctl(path)

        in_namespaces(by_netns, read)

    def _one_sysctl(self, path: str) -> Optional[str]:
        """A key of an interface that is not there yet reads as what the kernel will give it: the default's value."""
        value = self.system.files.sysctl(path)
        template = Sysctl("", path).template
        return self.system.files.sysctl(template) if value is None and template != path else value

    def _in_new_namespace(self, path: str) -> Optional[str]:
        """A forwarding switch as the kernel sets it in a new namespace: IPv4's copied from the host's, IPv6's off."""
        parts = path.split("/")
        if parts[1] == "ipv6":
            return "0"
        if len(parts) == 5 and parts[3] != "all":
            parts[3] = "default"
        return self.system.files.sysctl("/".join(parts))

    def foreign_tables(self, netns: str) -> Optional[Listing]:
        """The tables of others that look at what is forwarded; None where there are none, and nft is not asked."""
        if netns not in self._foreign_tables:
            tables = self.system.nft.forward_tables(netns) if self.exists(netns) else ()
            self._foreign_tables[netns] = self._listed(netns, tables) if tables else None
        return self._foreign_tables[netns]

    def _listed(self, netns: str, tables: Iterable[tuple[str, str]]) -> Listing:
        from .foreign_firewall import Listing

        return Listing.of(self.system.nft.listing(netns, tables))

    def table(self, netns: str) -> Optional[str]:
        if netns not in self._tables:
            self._tables[netns] = self.system.nft.table(netns) if self.exists(netns) else None
        return self._tables[netns]
