# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What every object of the system that we manage has in common.

Resources (a veth pair, a NAT) are compiled into objects: small things that either are there or are not, or have one
value. An object says how to read itself from a snapshot and how to get from one value to another. Planning, check
mode, diff and rollback then need no code for any particular kind: undoing a change is the change backwards.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from ..desired.names import where

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

#: The value of an object that simply is there.
PRESENT = "present"

Value = Any

_FIELDS: dict[type, list[str]] = {}


@dataclasses.dataclass(frozen=True)
class KernelObject:
    """Base. The dataclass fields that take part in comparison identify the object and are what the ledger keeps.

    ``ORDER`` is the place in the building order (taking down goes backwards); objects of ``GROUPED`` kinds are dealt
    with namespace by namespace. ``PERSISTENT`` objects survive a reboot. ``needs`` are parts of a snapshot.
    """

    kind: ClassVar[str] = ""
    ORDER: ClassVar[int] = 0
    GROUPED: ClassVar[bool] = False
    PERSISTENT: ClassVar[bool] = False
    #: True if apply() only asks for something that is then done for all such objects at once.
    DEFERRED: ClassVar[bool] = False
    #: False for what only ends with something else: there is no such act as removing an MTU.
    REMOVABLE: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def netns_names(self) -> tuple[str, ...]:
        """The namespaces this object lives in; it ends with any of them."""
        return ()

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """The (namespace, interface) places this object ends with."""
        return ()

    @property
    def order(self) -> int:
        return self.ORDER

    def observed(self, snapshot: Snapshot) -> Optional[Value]:
        """The present value, None if there is no such object."""
        raise NotImplementedError

    def apply(self, system: System, before: Optional[Value], after: Optional[Value]) -> Optional[Value]:
        """Get from *before* to *after*; None is absence. May return a more exact *before*. Raises SystemRefused."""
        raise NotImplementedError

    def original(self, before: Optional[Value]) -> Optional[Value]:
        """What to go back to one day, where *before* was there when we came: None to remove the object."""
        return before

    def check(self, value: Value) -> None:
        """Raise LookupError, TypeError or ValueError for what cannot be a value of this object."""
        if not isinstance(value, str):
            raise TypeError(f"{value!r} cannot be the value of {self}")

    def shown(self, value: Optional[Value]) -> Any:
        """A value as it is reported: itself, unless it is too big for that."""
        return value

    def lines(self, value: Optional[Value]) -> list[str]:
        """The object with this value, for the diff."""
        if value is None:
            return []
        return [str(self) if value == PRESENT else f"{self}: {value}"]

    def fields(self) -> list[Any]:
        """What identifies the object, as JSON: kind first."""
        cls = type(self)
        if cls not in _FIELDS:
            _FIELDS[cls] = [item.name for item in dataclasses.fields(self) if item.compare]
        return [self.kind, *(getattr(self, name) for name in _FIELDS[cls])]


def place(netns: str, link: str) -> str:
    return f"{link} {where(netns)}"
