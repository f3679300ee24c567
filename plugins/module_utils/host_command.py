# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The command linuxnet-netns on hosts with a persistent topology: the same engine, without Ansible."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from . import preflight
from .doors.in_namespace import join_mounts_of_init
from .engine import Request, converge
from .errors import NetnsError
from .ledger import Ledger, Owner
from .restore import restore
from .system import System

#: Exit codes of ``check``, as monitoring wants them.
FINE, DRIFT, UNKNOWN = 0, 1, 2

#: Seconds to wait at boot for an uplink that is not there yet.
PATIENCE = 20.0

_PREFIX = "topology "


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="linuxnet-netns",
        description="Network namespaces that were declared with the Ansible collection linuxnet.netns.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("restore", "make again what a reboot, or somebody else, took away (persistent topologies)"),
        ("check", "say what differs from what was declared; exits 0 (nothing), 1 (drift) or 2 (cannot tell)"),
        ("show", "print what was declared, as JSON"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("topology", nargs="?", help="only the topology of this name")
        if name == "restore":
            command.add_argument(
                "--flushed",
                action="store_true",
                help="after a ruleset was flushed: do nothing if this boot did not restore yet, or is ending",
            )
    options = parser.parse_args(arguments)
    join_mounts_of_init()  # nftables.service runs us inside its sandbox
    try:
        if options.command == "restore":
            return _restore(options.topology, options.flushed)
        if options.command == "check":
            return _check(options.topology)
        return _show(options.topology)
    except NetnsError as error:
        _complain(f"linuxnet-netns: {error}")
        return UNKNOWN if options.command == "check" else 1


def _topologies(topology: str | None, persistent: bool) -> dict[str, Owner]:
    """Recorded topologies by their names as owners; raises NetnsError for a name that is not there."""
    preflight.check_privileges()
    system = System()
    try:
        owners = Ledger.load(system).owners
    finally:
        system.close()
    found = {
        name: owner
        for name, owner in owners.items()
        if name.startswith(_PREFIX)
        and not owner.single
        and (owner.state.persist or not persistent)
        and topology in (None, name[len(_PREFIX) :])
    }
    if topology is not None and not found:
        raise NetnsError(f"there is no {'persistent ' if persistent else ''}topology {topology!r} on this host")
    return found


def _restore(topology: str | None, flushed: bool) -> int:
    if flushed and not _came_up():
        return 0
    lost = 0
    for name in _topologies(topology, persistent=True):
        report = restore(name, 0.0 if flushed else PATIENCE)
        for line in report.done:
            _say(f"{name}: {line}")
        for line in report.lost:
            _complain(f"{name}: not restored: {line}")
        lost += len(report.lost)
    return 1 if lost else 0


def _came_up() -> bool:
    """True if what the ledger lists was made in this boot, and the boot is not about to end."""
    system = System()
    try:
        return Ledger.of_this_boot(system) and not system.systemd.stopping()
    finally:
        system.close()


def _check(topology: str | None) -> int:
    verdict = FINE
    for name, owner in _topologies(topology, persistent=False).items():
        try:
            result = converge(Request(owner=name, options=owner.options), check_mode=True)
        except NetnsError as error:
            _complain(f"{name}: {error}")
            verdict = UNKNOWN
            continue
        for change in result.changes:
            there = change.item.lines(change.before) or [f"{change.item}: not there"]
            _say(f"{name}: {change.action} {change.item}" if change.action != "update" else f"{name}: {there[0]}")
        for warning in result.warnings:
            _complain(f"{name}: {warning}")
        verdict = max(verdict, DRIFT if result.changes else FINE)
    return verdict


def _show(topology: str | None) -> int:
    found = {
        name[len(_PREFIX) :]: {**owner.options, "objects": sorted(str(item) for item in owner.objects)}
        for name, owner in _topologies(topology, persistent=False).items()
    }
    _say(json.dumps(found, indent=2, sort_keys=True))
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
