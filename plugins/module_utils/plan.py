# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The plan: what has to change, in which order. A pure function of what is wanted, what is released, and a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional, Protocol

from .compile.wanted import Wanted
from .desired.names import HOST, where
from .objects.kernel_object import KernelObject, Value
from .objects.link_address import LinkAddress
from .objects.link_route import LinkRoute
from .objects.namespace import Namespace
from .objects.physical_link import PhysicalLink
from .objects.sysctl import Sysctl
from .objects.veth_pair import VethPair

#: Why a change happens by itself: its link or its namespace goes.
WITH_LINK, WITH_NAMESPACE = "link", "namespace"


class Seen(Protocol):
    """The part of a Snapshot that planning reads; tests bring their own."""

    def hanging_on(self, places: Iterable[tuple[str, str]]) -> Iterable[KernelObject]: ...

    def pairs(self) -> Iterable[VethPair]: ...

    def physical_in(self, netns: str) -> Iterable[PhysicalLink]: ...


@dataclass(frozen=True)
class Change:
    """One object from one value to another; None is absence. The change backwards undoes it.

    ``implied``: the system does it along with another change, so it is shown, and undone, but not done.
    ``removal``: belongs to the taking down, which precedes the building.
    """

    item: KernelObject
    before: Optional[Value]
    after: Optional[Value]
    implied: str = ""
    removal: bool = False

    @property
    def action(self) -> str:
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"

    @property
    def sort_key(self) -> tuple:
        """Taking down backwards, then building; between links and forwarding one namespace after the other, so that
        only a few netlink sockets are open at a time."""
        order = self.item.order
        group, netns = order, ""
        if self.item.GROUPED and order < 60:
            group, netns = (24 if order < 40 else 41), self.item.netns_names[0]
        if self.removal:
            return 0, -group, netns, -order, str(self.item)
        return 1, group, netns, order, str(self.item)

    def as_dict(self) -> dict[str, Any]:
        """For the module's result."""
        return {
            "action": self.action,
            "kind": self.item.kind,
            "object": str(self.item),
            "before": self.item.shown(self.before),
            "after": self.item.shown(self.after),
        }


def make_plan(wanted: Wanted, released: Mapping[KernelObject, Optional[Value]], seen: Any) -> list[Change]:
    """Changes in the order in which to make them.

    *released* are objects that are no longer wanted, each with the value to go back to (None: remove it).
    """
    changes: dict[tuple[KernelObject, bool], Change] = {}

    def add(change: Change) -> None:
        changes.setdefault((change.item, change.removal), change)

    gone = _vanishing(wanted, released, seen)
    places = {place for item in gone if isinstance(item, VethPair) for place in item.links}
    for item, implied in gone.items():
        before = item.observed(seen)
        if before is not None:
            add(Change(item, before, None, implied, removal=True))
        if isinstance(item, Namespace):
            for link in seen.physical_in(item.name):
                add(Change(link, link.observed(seen), where(HOST), removal=True))
    for item in _surplus(wanted, seen):
        if item not in gone:
            add(Change(item, item.observed(seen), None, removal=True))
    for item, original in released.items():
        if item in wanted.objects or item in gone:
            continue
        before = item.observed(seen)
        if isinstance(item, Sysctl) and item.forwards and any(place in places for place in item.links):
            # off, and then gone with its link
            if before == "1":
                add(Change(item, before, None, removal=True))
            continue
        if before is not None and before != original and (original is not None or item.REMOVABLE):
            add(Change(item, before, original, removal=True))
    for item, after in wanted.objects.items():
        before = None if item in gone else item.observed(seen)
        if before != after:
            add(Change(item, before, after))
    return sorted(changes.values(), key=lambda change: change.sort_key)


def _ending(wanted: Wanted, released: Mapping[KernelObject, Optional[Value]], seen: Any) -> set[str]:
    """The names of namespaces that go."""
    return {
        item.name
        for item, original in released.items()
        if isinstance(item, Namespace) and original is None and item not in wanted.objects and item.observed(seen)
    }


def _new_places(wanted: Wanted, seen: Any) -> set[tuple[str, str]]:
    """Where pairs are going to be made."""
    return {
        place
        for item in wanted.objects
        if isinstance(item, VethPair)
        for place in item.links
        if item.observed(seen) is None
    }


def vanishing_pairs(wanted: Wanted, released: Mapping[KernelObject, Optional[Value]], seen: Any) -> set[VethPair]:
    """Pairs that go: let go, in the place of new ones, or with a namespace."""
    namespaces, new_places = _ending(wanted, released, seen), _new_places(wanted, seen)
    return {
        pair
        for pair in seen.pairs()
        if (pair in released and pair not in wanted.objects)
        or any(place in new_places for place in pair.links)
        or any(netns in namespaces for netns in pair.netns_names)
    }


def _vanishing(wanted: Wanted, released: Mapping[KernelObject, Optional[Value]], seen: Any) -> dict[KernelObject, str]:
    """Pairs and namespaces that go, and all that goes with them; the value says why it goes by itself, if it does."""
    gone: dict[KernelObject, str] = {}
    namespaces = _ending(wanted, released, seen)
    for item in released:
        if isinstance(item, Namespace) and item.name in namespaces:
            gone[item] = ""
            if item.processes == "kill":
                gone.update(dict.fromkeys(seen.processes_in(item.name), WITH_NAMESPACE))
    new_places = _new_places(wanted, seen)
    pairs = vanishing_pairs(wanted, released, seen)
    for pair in pairs:
        by_itself = any(netns in namespaces for netns in pair.netns_names) and not any(
            place in new_places for place in pair.links
        )
        gone[pair] = WITH_NAMESPACE if by_itself else ""
        for item in seen.hanging_on(pair.links):
            gone.setdefault(item, WITH_NAMESPACE if by_itself or _ends_with(item, namespaces) else WITH_LINK)
    places = {place: gone[pair] for pair in pairs for place in pair.links}
    for item in (*wanted.objects, *released):
        if item in gone or isinstance(item, (Namespace, VethPair)):
            continue
        if _ends_with(item, namespaces):
            gone[item] = WITH_NAMESPACE
        elif any(place in places for place in item.links) and not (
            isinstance(item, Sysctl) and item.forwards and item in released
        ):
            why = next(places[place] for place in item.links if place in places)
            gone[item] = why or WITH_LINK  # but forwarding is switched off before the link goes, not along with it
    return gone


def _ends_with(item: KernelObject, namespaces: set[str]) -> bool:
    return any(netns in namespaces for netns in item.netns_names)


def _surplus(wanted: Wanted, seen: Any) -> Iterable[KernelObject]:
    """What hangs on an interface whose addresses or routes are stated as a whole, and is not stated."""
    kinds: dict[tuple[str, str], set[str]] = {}
    for kind, netns, link in wanted.whole:
        kinds.setdefault((netns, link), set()).add(kind)
    for place, listed in kinds.items():
        for item in seen.hanging_on([place]):
            if isinstance(item, (LinkAddress, LinkRoute)) and item.kind in listed and item not in wanted.objects:
                yield item
