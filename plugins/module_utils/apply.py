# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Carry out a plan, and undo what was done if a step fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

from .doors.netlink_kept import Kept
from .errors import NetnsError, StepFailed, SystemRefused
from .objects.kernel_object import KernelObject, Value
from .objects.link_address import LinkAddress
from .objects.link_setting import LinkSetting
from .objects.veth_pair import VethPair
from .plan import WITH_LINK, WITH_NAMESPACE, Change
from .snapshot import Snapshot
from .system import System

#: Some changes have side effects that only another look shows: removing a primary address takes secondary ones
#: with it, and their routes. A second round mends that; what is still wrong then will not come right.
_ROUNDS = 3


class Journal:
    """What was done so far, in order. ``originals`` are exact values found while doing it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._done: list[Change] = []
        #: What there was in a namespace before something was done that takes along more than it says.
        self._kept: dict[str, Kept] = {}
        self.originals: dict[KernelObject, Value] = {}

    def carry_out(self, changes: list[Change]) -> None:
        """Do all of *changes*; raises StepFailed, after undoing everything in this journal, if one fails."""
        steps = [change for change in changes if not change.implied]
        along = [change for change in changes if change.implied == WITH_LINK]
        self._system.netlink.expect(change.item.netns_names[0] for change in steps if change.item.GROUPED)
        for netns in {change.item.netns_names[0] for change in steps if _takes_along(change)} - self._kept.keys():
            self._kept[netns] = self._system.keep(netns)
        for number, change in enumerate(steps, 1):
            try:
                if not change.item.DEFERRED:
                    self._system.systemd.going_down()
                exact = change.item.apply(self._system, change.before, change.after)
            except (SystemRefused, OSError) as error:
                self._note_part(change, along)
                raise self.failed(
                    f"step {number} of {len(steps)} ({change.action} {change.item}) failed: {error}"
                ) from error
            except BaseException:
                self._note_part(change, along)
                self.undo()
                raise
            if exact is not None and change.before is None:
                self.originals[change.item] = exact
            self._note(change, along)
        try:
            self._system.systemd.settle()
        except (SystemRefused, OSError) as error:
            raise self.failed(str(error)) from error

    def _note(self, change: Change, along: list[Change]) -> None:
        self._done.append(change)
        if isinstance(change.item, VethPair) and change.after is None:
            gone = set(change.item.links)
            self._done += [other for other in along if gone & set(other.item.links)]

    def _note_part(self, change: Change, along: list[Change]) -> None:
        """A step that failed may have done its work, or some of it: its program was killed when it had just ended."""
        try:
            snapshot = Snapshot(self._system)
            snapshot.prefetch([change.item])
            now = change.item.observed(snapshot)
        except (NetnsError, OSError):
            return
        if now != change.before:
            self._note(replace(change, after=now), along)

    def failed(self, reason: str, kind: type[StepFailed] = StepFailed) -> StepFailed:
        """Undo everything, and say so after the first line of *reason*; what follows is a service's journal."""
        trouble = self.undo()
        outcome = (
            f"Undoing the steps before it failed in part: {'; '.join(trouble)}"
            if trouble
            else "Everything was undone; the host is as before"
        )
        first, newline, rest = reason.partition("\n")
        return kind(f"{first}. {outcome}{newline}{rest}")

    def undo(self) -> list[str]:
        """Undo everything, last step first; returns what could not be undone."""
        trouble = []
        while self._done:
            # what went along with a link comes back after the link
            change = self._done.pop(
                next(
                    (
                        number
                        for number in range(len(self._done) - 1, -1, -1)
                        if self._done[number].implied != WITH_LINK
                    ),
                    len(self._done) - 1,
                )
            )
            before = self.originals.get(change.item, change.before) if change.before is None else change.before
            try:
                if not change.item.DEFERRED:
                    self._system.systemd.going_down()
            except (NetnsError, OSError) as error:
                trouble.append(str(error))
            try:
                change.item.apply(self._system, change.after, before)
            except (NetnsError, OSError) as error:
                trouble.append(f"{change.item}: {error}")
        for netns, kept in self._kept.items():
            try:
                trouble += self._system.bring_back(netns, kept)
            except (NetnsError, OSError) as error:
                trouble.append(str(error))
        try:
            self._system.systemd.settle()
        except (NetnsError, OSError) as error:
            trouble.append(str(error))
        return trouble

    def settle(self, plan_again: Callable[[], list[Change]], expected: list[Change]) -> None:
        """Look again: the same question must now have an empty answer. What is still missing gets another try."""
        by_itself = {change.item for change in expected if change.implied == WITH_NAMESPACE}
        left: list[Change] = []
        for _round in range(_ROUNDS):
            left = [change for change in plan_again() if change.item not in by_itself]
            if not left:
                return
            self.carry_out(left)
        left = [change for change in plan_again() if change.item not in by_itself]
        if left:
            raise self.failed(
                "verification failed: after applying, still not as wanted: "
                + "; ".join(f"{change.item} is {_difference(change)}" for change in left[:5])
            )


def _takes_along(change: Change) -> bool:
    """Whether the kernel removes more than it is told to: what needs an address, or that a link is up."""
    item = change.item
    if isinstance(item, LinkSetting):
        return (item.setting == "up" and change.before is True) or (item.setting == "mtu" and change.before is not None)
    return isinstance(item, LinkAddress) and change.after is None


def _difference(change: Change) -> str:
    """Where a value differs from what was wanted; of a long text, the first line that does."""
    before, after = change.item.lines(change.before), change.item.lines(change.after)
    if not before or not after:
        return "there" if before else "absent"
    return next(
        (f"{line.strip()!r} instead of {other.strip()!r}" for line, other in zip(before, after) if line != other),
        f"of {len(before)} lines instead of {len(after)}",
    )
