# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One setting of one interface: its MAC address, MTU, bridge, or whether it is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .kernel_object import KernelObject, place

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

#: What a new veth has where nothing else is asked for.
_NEW = {"mtu": 1500, "bridge": ""}

_VALUES: dict[str, type] = {"mac": str, "mtu": int, "bridge": str, "up": bool}

_ORDER = {"mac": 41, "mtu": 42, "bridge": 43, "up": 46}


@dataclass(frozen=True)
class LinkSetting(KernelObject):
    """``setting`` is mac (text), mtu (bytes), bridge (a name, "" for none) or up (bool)."""

    netns: str
    link: str
    setting: str

    kind = "link"
    GROUPED = True
    REMOVABLE = False
    needs = ("links",)

    def __str__(self) -> str:
        return f"link {place(self.netns, self.link)} {self.setting}"

    def lines(self, value: Any) -> list[str]:
        return (
            [] if value is None else [f"{self}: {str(value).lower() if isinstance(value, bool) else value or 'none'}"]
        )

    @property
    def order(self) -> int:
        return 24 if self.link == "lo" else _ORDER[self.setting]

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        return ((self.netns, self.link),)

    def observed(self, snapshot: Snapshot) -> Any:
        link = snapshot.links(self.netns).get(self.link)
        if link is None:
            return None
        if self.setting == "bridge":
            return snapshot.link_name(self.netns, link.master) if link.master else ""
        return getattr(link, self.setting)

    def check(self, value: Any) -> None:
        if not isinstance(value, _VALUES[self.setting]):
            raise TypeError(f"{value!r} cannot be the value of {self}")

    def original(self, before: Any) -> Any:
        """For a link that was made with the setting: what it would have had without."""
        return _NEW.get(self.setting) if before is None else before

    def apply(self, system: System, before: Any, after: Any) -> None:
        if after is None:
            return  # ends with the link
        if before is None and system.created_with(self.netns, self.link, self.setting, after):
            return
        if self.setting == "bridge":
            after = system.index(self.netns, after) if after else 0
        system.netlink.set_link(
            self.netns,
            system.index(self.netns, self.link),
            **{"master" if self.setting == "bridge" else self.setting: after},
        )
