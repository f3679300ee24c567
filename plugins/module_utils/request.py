# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What one call of a module asks for, and what it gets back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from .plan import Change


@dataclass(frozen=True)
class Request:
    """What one call of a module asks for.

    ``owner`` is the display name under which it is remembered; ``options`` are those of netns_topology.
    ``single``: one resource by its own module; ``identity`` is that resource's, ``absent`` asks for its removal.
    ``accumulates``: options left out mean "as it is", so nothing is released by leaving it out.
    """

    owner: str
    options: dict[str, Any]
    single: bool = False
    identity: tuple[str, ...] = ()
    absent: bool = False
    accumulates: bool = False
    #: What to keep in the ledger in place of ``options``, where those are only what still fits.
    remember: Optional[dict[str, Any]] = None
    #: Leave services alone that do not run: at boot they wait for us.
    services_later: bool = False
    #: Seconds for somebody to confirm the change over a new connection; None: it needs no confirmation.
    confirm_timeout: Optional[int] = None


@dataclass
class Result:
    """What became of it. ``changes`` is the plan, whether it was carried out or only predicted."""

    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For Ansible's exit_json()."""
        before = [line for change in self.changes for line in change.item.lines(change.before)]
        after = [line for change in self.changes for line in change.item.lines(change.after)]
        return {
            "changed": bool(self.changes),
            "changes": [change.as_dict() for change in self.changes],
            "diff": {"before": _text(before), "after": _text(after)},
            "warnings": self.warnings,
        }


def _text(lines: list[str]) -> str:
    return "".join(line + "\n" for line in lines)
