# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What can go wrong, each as a kind with one sentence that names the offender and the remedy."""

from __future__ import annotations


class NetnsError(Exception):
    """Base of every error that an operator is meant to read. ``kind`` is stable, for machines."""

    kind = "error"


class InvalidOption(NetnsError):
    """An option's value cannot be used. Nothing has been touched when this is raised."""

    kind = "invalid_option"

    def __init__(self, option: str, value: object, reason: str, remedy: str = "") -> None:
        self.option = option
        self.value = value
        self.reason = reason
        self.remedy = remedy
        text = f"{option}: {value!r} {reason}"
        super().__init__(f"{text}; {remedy}" if remedy else text)

    def renamed(self, option: str) -> InvalidOption:
        """The same error about an option by the name under which it was given."""
        return InvalidOption(option, self.value, self.reason, self.remedy)


class MissingDependency(NetnsError):
    """The host lacks something we stand on (root, pyroute2, nft, a place for mounts). Nothing has been touched."""

    kind = "missing_dependency"


class Clash(NetnsError):
    """A name or address we were asked for belongs to somebody else. Nothing has been touched."""

    kind = "clash"


class LedgerUnreadable(NetnsError):
    """The record of what we made cannot be understood; guessing would mean touching what is not ours."""

    kind = "ledger"


class SystemRefused(NetnsError):
    """The kernel, nft or the file system refused one operation (``errno`` is 0 where there is none)."""

    kind = "refused"

    def __init__(self, message: str, errno: int = 0) -> None:
        self.errno = errno
        super().__init__(message)


class StepFailed(NetnsError):
    """Applying a plan failed; ``str()`` says at which step, why, and whether all of it was undone."""

    kind = "step_failed"


class Lockout(NetnsError):
    """A change could cut off the host that it is made on. Nothing has been touched."""

    kind = "lockout"


class NotConfirmed(StepFailed):
    """Nobody confirmed a change in time over a new connection; ``str()`` says whether all of it was undone."""

    kind = "not_confirmed"
