# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Everything that is refused before anything is touched: missing means, and clashes with what others made."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from typing import Callable, Optional

from .compile.wanted import Wanted
from .desired.names import HOST, where
from .desired.netns_forward import Forward
from .desired.state import State, check_forwards
from .desired.veth import MAIN_TABLE, End, network_of
from .doors import processes
from .doors.netlink import ALIAS, ROUTE_PROTOCOL
from .doors.netlink_messages import Address, Link
from .errors import Clash, InvalidOption, Lockout, MissingDependency
from .lockout import Lifeline, dangers, refusal
from .objects.directory import Directory
from .objects.kernel_object import KernelObject
from .objects.link_route import LinkRoute
from .objects.namespace import Namespace
from .objects.physical_link import PhysicalLink
from .objects.policy_rule import PolicyRule, policy_rule
from .objects.running_service import RunningService
from .objects.sysctl import Sysctl
from .objects.veth_pair import NOWHERE, VethPair
from .plan import Change
from .snapshot import Snapshot
from .system import System

#: Tests set this to see the engine as it works on kernels before 6.17.
NO_FORCE_FORWARDING = "LINUXNET_NETNS_NO_FORCE_FORWARDING"

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21

OwnerOf = Callable[[KernelObject], str]


def check_privileges() -> list[str]:
    """Root and pyroute2 must be there; returns warnings."""
    if os.geteuid() != 0 or not _has_capabilities():
        raise MissingDependency(
            "network namespaces need root, with the capabilities net_admin and sys_admin, on the managed host; "
            "run the task with become: true"
        )
    if not has_pyroute2():
        raise MissingDependency(
            "the Python library pyroute2 was not found on this host; install the package python3-pyroute2, "
            "or `pip install pyroute2` for the interpreter that Ansible uses"
        )
    if _in_other_mount_namespace():
        return [
            (
                "this runs in another mount namespace than the host's init; namespaces made here may not "
                "be visible to the host"
            )
        ]
    return []


def _has_capabilities() -> bool:
    """Root in a sandbox may have been left without the capabilities that make it root."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
        effective = next((int(line.split()[1], 16) for line in stream if line.startswith("CapEff:")), 0)
    return all(effective >> number & 1 for number in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))


def _in_other_mount_namespace() -> bool:
    """Mounts have numbers that no two mount namespaces share. (/proc/1/ns/mnt says it too, but sandboxes hide that.)"""
    try:
        mine, hosts = (_mount_ids(process) for process in ("self", "1"))
    except OSError:
        return False
    return bool(mine and hosts) and not mine & hosts


def _mount_ids(process: str) -> set[str]:
    with open(f"/proc/{process}/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        return {line.split(" ", 1)[0] for line in stream}


def has_pyroute2() -> bool:
    """Looked up, not imported: importing takes longer than a run that changes nothing."""
    try:
        return importlib.util.find_spec("pyroute2") is not None
    except (ImportError, ValueError):
        return False


def has_force_forwarding(system: System) -> bool:
    """Whether IPv6 forwarding can be enabled for a single interface (Linux 6.17)."""
    return (
        not os.environ.get(NO_FORCE_FORWARDING)
        and system.files.sysctl("net/ipv6/conf/default/force_forwarding") is not None
    )


def is_ours(link: Link) -> bool:
    return link.alias.startswith(ALIAS)


def check_run_netns(system: System, really: bool) -> None:
    reason = system.mounts.why_unfit(really)
    if reason:
        raise MissingDependency(
            f"/run/netns cannot hold namespaces: {reason}; it must be a directory in which root can mount "
            "(in an unprivileged user namespace, mount a tmpfs on /run first)"
        )


def check_processes(system: System, steps: Iterable[Change]) -> None:
    """A namespace that is still in use would live on without a name, and its links with it."""
    steps = list(steps)
    stopping = {change.item.unit for change in steps if isinstance(change.item, RunningService)}
    doomed = {
        system.mounts.state(change.item.name).identity: change.item
        for change in steps
        if isinstance(change.item, Namespace) and change.after is None
    }
    doomed.pop(None, None)
    for identity, living in processes.inside(name for name in doomed if name).items():
        item = doomed[identity]
        living = [process for process in living if process.unit not in stopping]
        blocking = [process for process in living if process.holds or item.processes == "fail"]
        if blocking:
            listed = ", ".join(str(process) for process in blocking[:10])
            raise Clash(
                f"name: namespace {item.name!r} is in use by {len(blocking)} "
                f"process{'es' if len(blocking) > 1 else ''}: {listed}; "
                + ("stop them first" if item.processes == "kill" else "stop them first, or set processes: kill")
            )


def check_returning_links(system: System, steps: Iterable[Change]) -> None:
    """A network card goes back to the host under its own name, or stays where it is."""
    returning = [change.item for change in steps if isinstance(change.item, PhysicalLink)]
    there = {link.name for link in system.netlink.links(HOST)} if returning else set()
    for item in returning:
        if item.name in there:
            raise Clash(
                f"name: namespace {item.netns!r} holds the network card {item.name}, which goes back to the host, and "
                f"there is another {item.name} there; rename one of them first "
                f"(ip -n {item.netns} link set {item.name} name NEW)"
            )


def check_clashes(
    state: State, wanted: Wanted, snapshot: Snapshot, ours: set[KernelObject], owner_of: OwnerOf, single: bool
) -> None:
    """Refuse names and addresses that are somebody else's."""
    _check_namespaces(state, snapshot, ours, owner_of, single)
    _check_directories(wanted, snapshot)
    for number, veth in enumerate(state.veths):
        where_from = "" if single else f"veths[{number}]."
        for option, end in zip(("", "peer."), veth.ends):
            check_netns_known(f"{where_from}{option}netns", end.netns, state, snapshot)
            _check_bridge(f"{where_from}{option}bridge", end, state, snapshot)
        if veth.peer is None:
            _check_there(f"{where_from}peer", veth.end, snapshot)
        else:
            _check_pair(where_from, veth.end, veth.peer, snapshot, ours, owner_of, single)
    for list_name in ("nat", "forwards"):
        for number, item in enumerate(getattr(state, list_name)):
            check_netns_known("netns" if single else f"{list_name}[{number}].netns", item.netns, state, snapshot)
    _check_addresses(state, snapshot, single)
    _check_default_routes(wanted, snapshot, state)
    _check_sysctls(state, snapshot, single)


def check_forwards_of_others(state: State, others: dict) -> None:
    check_forwards(
        state.forwards, [(name, forward) for name, owner in others.items() for forward in owner.state.forwards]
    )


def check_policy_rules(wanted: Wanted, others: dict, snapshot: Snapshot) -> None:
    """A priority that somebody else's rule has, be it another owner's or one that was not made here."""
    items = [item for item in wanted.objects if isinstance(item, PolicyRule)]
    if not items:
        return
    held = {
        item: (value, name)
        for name, owner in others.items()
        for veth in owner.state.veths
        for end in veth.ends
        for item, value in (policy_rule(end.netns, rule) for rule in end.rules or ())
    }
    for item in items:
        value, whose = held.get(item, (item.stated, ""))
        if value != item.stated:
            raise Clash(f"{item}: {whose} has another rule there ({value}); choose another priority")
        for value, ours in snapshot.rules_at(item.netns, item.version, item.priority):
            if not ours and value != item.stated:
                raise Clash(
                    f"{item}: there is another rule of that priority already ({value}), which was not made by "
                    "linuxnet.netns; choose another priority, or remove that rule first"
                )


def _check_namespaces(
    state: State, snapshot: Snapshot, ours: set[KernelObject], owner_of: OwnerOf, single: bool
) -> None:
    for number, netns in enumerate(state.namespaces):
        item = Namespace(netns.name)
        if single or item in ours or not snapshot.exists(netns.name):
            continue
        raise Clash(
            f"namespaces[{number}].name: namespace {netns.name!r} exists and was not made by linuxnet.netns; "
            "choose another name, or remove it first (linuxnet.netns.netns with state: absent)"
        )


def _check_directories(wanted: Wanted, snapshot: Snapshot) -> None:
    files = snapshot.system.files
    for item in wanted.objects:
        if isinstance(item, Directory) and files.exists(item.path) and not files.is_directory(item.path):
            raise Clash(
                f"{item.path} is in the way: it is not a directory (a symbolic link to one is not followed); remove it"
            )


def check_netns_known(option: str, netns: str, state: State, snapshot: Snapshot) -> None:
    if netns and netns not in {item.name for item in state.namespaces} and not snapshot.exists(netns):
        raise InvalidOption(
            option,
            netns,
            "is an unknown namespace: it does not exist on this host",
            "make it first with linuxnet.netns.netns, or list it under namespaces of the topology",
        )


def _check_bridge(option: str, end: End, state: State, snapshot: Snapshot) -> None:
    if end.bridge is None:
        return
    bridge = snapshot.links(end.netns).get(end.bridge)
    if bridge is None or bridge.type != "bridge":
        what = f"is a link of type {bridge.type or 'physical'}, not a bridge," if bridge else "is not a bridge"
        raise InvalidOption(option, end.bridge, f"{what} {where(end.netns)}", "make the bridge first")


def _check_there(option: str, end: End, snapshot: Snapshot) -> None:
    link = snapshot.links(end.netns).get(end.name)
    if link is None:
        raise InvalidOption(
            option, None, f"is needed to make {end}, which does not exist", "give peer.name and peer.netns"
        )
    if link.type != "veth":
        raise Clash(
            f"name: {end.name!r} {where(end.netns)} is a link of type {link.type or 'physical'}, not "
            "a veth; choose another name"
        )


def _check_pair(
    prefix: str, end: End, peer: End, snapshot: Snapshot, ours: set[KernelObject], owner_of: OwnerOf, single: bool
) -> None:
    """Each end must be free, ours, or (for a single module) the very pair that is asked for."""
    asked = {end.place, peer.place}
    for option, one in (("name", end), ("peer.name", peer)):
        link = snapshot.links(one.netns).get(one.name)
        if link is None:
            continue
        pair = snapshot.pair_at(one.place)
        exact = pair is not None and set(pair.links) == asked
        known = pair is not None and (
            pair in ours
            or is_ours(link)
            or any(isinstance(item, VethPair) and one.place in item.links for item in ours)
        )
        owner = owner_of(pair) if pair is not None else ""
        if owner and not exact:
            raise Clash(
                f"{prefix}{option}: {one.name!r} {where(one.netns)} belongs to {owner}; choose "
                "another name or remove it there"
            )
        if known or (single and exact):
            continue
        raise Clash(
            f"{prefix}{option}: {one.name!r} {where(one.netns)} is taken by "
            f"{_describe(link, pair, one)}, which was not made by "
            "linuxnet.netns; choose another name, or remove that link first"
        )


def _describe(link: Link, pair: Optional[VethPair], one: End) -> str:
    if pair is None:
        return f"a link of type {link.type or 'physical'} (index {link.index})"
    other = next((place for place in pair.links if place != one.place), None)
    if other is None or other[0] == NOWHERE:
        return "a veth whose peer is in a namespace without a name, or in one not mentioned here"
    return f"a veth whose peer is {other[1]} {where(other[0])}"


def _check_addresses(state: State, snapshot: Snapshot, single: bool) -> None:
    """An address, or a whole network, that somebody else's interface has in the same namespace."""
    mine = {end.place for veth in state.veths for end in veth.ends}
    for pair in [snapshot.pair_at(one) for one in mine]:
        mine = mine | set(pair.links) if pair else mine  # an end that was renamed by hand
    foreign: dict[str, list[tuple[Link, Address]]] = {}
    for number, veth in enumerate(state.veths):
        for option, end in zip(("addresses", "peer.addresses"), veth.ends):
            if end.addresses:
                if end.netns not in foreign:
                    foreign[end.netns] = [
                        (snapshot.links(end.netns)[link], item)
                        for link, item in snapshot.all_addresses(end.netns)
                        if (end.netns, link) not in mine
                    ]
                _check_end_addresses(option if single else f"veths[{number}].{option}", end, foreign[end.netns])


def _check_end_addresses(option: str, end: End, foreign: list[tuple[Link, Address]]) -> None:
    own_table = any(route.table != MAIN_TABLE for route in end.all_routes)
    for link, there in foreign:
        whose = "made by linuxnet.netns for somebody else" if is_ours(link) else "not made by linuxnet.netns"
        theirs = network_of(there.address)
        for number, item in enumerate(end.addresses or ()):
            if item.ip == there.address.ip:
                raise Clash(
                    f"{option}[{number}]: {str(item)!r} is already an address of interface "
                    f"{link.name} {where(end.netns)}, which was {whose}; "
                    "choose another address"
                )
            wanted = network_of(item)
            if link.name == "lo" or own_table or not theirs or not wanted or theirs.version != wanted.version:
                continue
            if theirs.subnet_of(wanted):  # type: ignore[arg-type]
                raise Clash(
                    f"{option}[{number}]: {str(item)!r} overlaps {there.address} of interface "
                    f"{link.name} {where(end.netns)}, "
                    f"which was {whose}; choose another network"
                )


def _check_default_routes(wanted: Wanted, snapshot: Snapshot, state: State) -> None:
    """A route that exists with the same table and metric through another interface would be in the way."""
    mine = {end.place for veth in state.veths for end in veth.ends}
    foreign: dict[str, dict[tuple[int, str, int], str]] = {}
    for item in wanted.objects:
        if not isinstance(item, LinkRoute) or not snapshot.exists(item.netns):
            continue
        if item.netns not in foreign:
            foreign[item.netns] = {
                (route.table, str(route.network), route.metric): link
                for link, route in snapshot.all_routes(item.netns)
                if (item.netns, link) not in mine and route.protocol != ROUTE_PROTOCOL
            }
        link = foreign[item.netns].get((item.table, item.to, item.metric), item.link)
        if link != item.link:
            raise Clash(
                f"{item}: there is a route to {item.to} through {link or 'nowhere'} already, "
                "which was not made by linuxnet.netns; use another metric or table"
            )


def _check_sysctls(state: State, snapshot: Snapshot, single: bool) -> None:
    """A key that this kernel does not have; that of an interface which is yet to come reads as the default's."""
    for number, netns in enumerate(state.namespaces):
        if not netns.sysctls:
            continue
        ends = {end.name for veth in state.veths for end in veth.ends if end.netns == netns.name} | {"lo"}
        for path, value in netns.sysctls:
            there = snapshot.exists(netns.name)
            link = Sysctl(netns.name, path).link
            option = f"{'' if single else f'namespaces[{number}].'}sysctls.{path.replace('/', '.')}"
            if link is not None and link not in ends and not (there and link in snapshot.links(netns.name)):
                raise InvalidOption(
                    option,
                    value,
                    f"names interface {link}, which is not {where(netns.name)}",
                    "make the interface first",
                )
            if snapshot.sysctl(netns.name if there else "", path) is None and not snapshot.system.files.exists(
                f"/proc/sys/{path}"
            ):
                raise InvalidOption(
                    option, value, "is not a sysctl of this kernel", "check the spelling with `sysctl -a`"
                )


def check_lockout(system: System, changes: list[Change], new_forwards: list[Forward]) -> None:
    """Raise Lockout for changes that could end the SSH connection by which this run came, or move the host's default
    route from under it. Runs that came otherwise, from the console or at boot, have no branch to cut."""
    if not any(HOST in change.item.netns_names for change in changes):
        return
    connection = processes.ssh_connection()
    route = connection and system.netlink.route_to(HOST, connection.remote, connection.local)
    if not connection or not route:
        return
    names = {link.index: link.name for link in system.netlink.links(HOST)}
    defaults = [
        (names.get(item.index, ""), item)
        for item in system.netlink.routes(HOST)
        if item.table == MAIN_TABLE and not item.network.prefixlen
    ]
    found = dangers(changes, Lifeline(connection, names.get(route.index, ""), route), defaults, new_forwards)
    if found:
        raise Lockout(refusal(found))
