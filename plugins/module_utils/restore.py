# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Bring a persistent topology back: all of it, or what still fits this machine, and say what does not."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from .desired.state import LISTS
from .engine import Request, converge
from .errors import Clash, InvalidOption, LedgerUnreadable, NetnsError, StepFailed
from .ledger import Ledger
from .objects.kernel_object import KernelObject
from .objects.running_service import STOPPED, RunningService
from .objects.sysctl import Sysctl
from .system import System

_INTERVAL = 0.5
_ITEM = re.compile(rf"({'|'.join(LISTS)})\[(\d+)\]")


@dataclass
class Report:
    """``done`` are changes in words; ``lost`` what could not be restored, and why."""

    done: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def restore(name: str, patience: float) -> Report:
    """Restore the topology of the owner *name*, waiting *patience* seconds for uplinks that were there before. Raises
    LedgerUnreadable."""
    system = System()
    try:
        ledger = Ledger.load(system)
        options = ledger.owners[name].options
        expected = _uplinks(Ledger.recorded(system, name))
    finally:
        system.close()
    report = Report()

    def attempt(wanted: dict[str, Any]) -> None:
        request = Request(owner=name, options=wanted, remember=options, services_later=True)
        report.done += [f"{change.action} {change.item}" for change in converge(request, False).changes]

    kept, report.lost = what_fits(options, attempt)
    missing = _missing(name, expected)
    deadline = time.monotonic() + patience
    while missing and not report.lost and time.monotonic() < deadline:
        time.sleep(_INTERVAL)
        attempt(kept)
        missing = _missing(name, expected)
    if not report.lost:
        report.lost = [f"{link}: it is gone, or no default route leads through it any more" for link in sorted(missing)]
    _start_services(Request(owner=name, options=kept, remember=options), report)
    return report


def what_fits(options: dict[str, Any], attempt: Callable[[dict[str, Any]], None]) -> tuple[dict[str, Any], list[str]]:
    """Call *attempt* with ever less of *options* until it raises no NetnsError; returns what was left, and what was
    left out, each with the reason.

    An error that names an item takes that one out. Any other one says too little: then the items are added one after
    the other, and those stay that can.
    """
    lost: list[str] = []
    rest = options
    while True:
        try:
            attempt(rest)
            return rest, lost
        except LedgerUnreadable:
            raise
        except (InvalidOption, Clash) as error:
            found = _ITEM.match(str(error))
            if not found:
                break
            list_name, number = found.group(1), int(found.group(2))
            lost.append(f"{_label(list_name, rest[list_name][number])}: {error}")
            rest = {**rest, list_name: [*rest[list_name][:number], *rest[list_name][number + 1 :]]}
        except StepFailed:
            break
    kept: dict[str, Any] = {**rest, **{list_name: [] for list_name in LISTS}}
    for list_name in LISTS:
        for item in rest.get(list_name) or ():
            larger = {**kept, list_name: [*kept[list_name], item]}
            try:
                attempt(larger)
            except NetnsError as error:
                lost.append(f"{_label(list_name, item)}: {error}")
            else:
                kept = larger
    return kept, lost


def _label(list_name: str, item: dict[str, Any]) -> str:
    return f"{list_name} {item.get('name')}"


def _uplinks(objects: set[KernelObject]) -> set[str]:
    """The interfaces of the host whose forwarding the topology had enabled."""
    return {
        item.link for item in objects if isinstance(item, Sysctl) and not item.netns and item.forwards and item.link
    }


def _missing(name: str, expected: set[str]) -> set[str]:
    system = System()
    try:
        return expected - _uplinks(Ledger.recorded(system, name))
    finally:
        system.close()


def _start_services(request: Request, report: Report) -> None:
    """Those that do not run as they should; without waiting for them, since at boot they wait for us."""
    wanted: dict[str, list[str]] = {"start": [], "restart": []}
    for change in converge(request, check_mode=True).changes:
        if isinstance(change.item, RunningService) and change.after not in (None, STOPPED):
            wanted["start" if change.before in (None, STOPPED) else "restart"].append(change.item.unit)
    system = System()
    try:
        for verb, units in wanted.items():
            system.systemd.kick(verb, units)
            report.done += [f"{verb} {unit}" for unit in units]
    finally:
        system.close()
