# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ledger: who asked for what, which objects we made for it, and what was there before.

One JSON file, replaced atomically. It is written before the first change (with what is about to be made) and after
the last one, so a run that is killed in between leaves nothing that nobody remembers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from .desired.state import LISTS, State
from .errors import LedgerUnreadable, NetnsError, SystemRefused
from .objects.kernel_object import KernelObject, Value
from .objects.kinds import from_fields, with_value
from .objects.program import Program
from .objects.text_file import TextFile

if TYPE_CHECKING:
    from .snapshot import Snapshot
    from .system import System

FOLDER = "/var/lib/linuxnet-netns"
PATH = f"{FOLDER}/ledger.json"
VERSION = 1
#: What a text that is not one of ours leads to.
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


@dataclass
class Owner:
    """Somebody who wants something: a topology, or one resource that a single module made.

    ``options`` are those of netns_topology; ``objects`` is what they came to.
    """

    options: dict[str, Any]
    single: bool
    objects: set[KernelObject] = field(default_factory=set)
    #: The options as value objects.
    state: State = field(default_factory=State)


@dataclass
class Ledger:
    """``owners`` by display name; ``made``: what was there before for each object that we changed (None: nothing)."""

    boot: str
    owners: dict[str, Owner] = field(default_factory=dict)
    made: dict[KernelObject, Optional[Value]] = field(default_factory=dict)
    #: By namespace, digests of a ruleset's text and of what nft lists it as, once that was found out.
    listings: dict[str, list[str]] = field(default_factory=dict)
    #: True from before the first change of a run until after its last: where it is read, a run was killed.
    unfinished: bool = False
    #: The file's text when it was read.
    saved: Optional[str] = None

    def text(self) -> Optional[str]:
        """The file's text; None when there is nothing to remember."""
        if not self.owners:
            return None
        owners = {
            name: {
                "options": owner.options,
                "single": owner.single,
                "objects": sorted((item.fields() for item in owner.objects), key=str),
            }
            for name, owner in self.owners.items()
        }
        made = sorted(([item.fields(), value] for item, value in self.made.items()), key=str)
        content = {
            "version": VERSION,
            "boot": self.boot,
            "owners": owners,
            "made": made,
            "listings": self.listings,
            **({"unfinished": True} if self.unfinished else {}),
        }
        return json.dumps(content, sort_keys=True) + "\n"

    @classmethod
    def load(cls, system: System, known: tuple[dict[str, Any], Optional[State]] = ({}, None)) -> Ledger:
        """Read the ledger. After a reboot, only what outlives one (files) still counts as made.

        *known* are options whose State has been built already: a run that changes nothing reads back its own.
        """
        boot = system.boot_id() or ""
        text = _read(system)
        if text is None:
            # A folder without a ledger: killed while that was written for the first time, or removed.
            return cls(boot, unfinished=system.files.exists(FOLDER))
        data = _parse(text)
        try:
            ledger = cls(boot, saved=text)
            for name, entry in data["owners"].items():
                ledger.owners[name] = Owner(
                    entry["options"], entry["single"], {from_fields(item) for item in entry["objects"]}
                )
                owner = ledger.owners[name]
                owner.state = (
                    known[1]
                    if known[1] is not None and owner.options == known[0]
                    else State.from_options(owner.options, owner.single)
                )
            ledger.made = dict(with_value(from_fields(item), value) for item, value in data["made"])
            ledger.listings = {**data.get("listings", {})}
            ledger.unfinished = bool(data.get("unfinished"))
            same_boot = data["boot"] == boot
        except (*_DAMAGE, NetnsError) as error:
            raise _damaged(error) from None
        if not same_boot:
            ledger.made = {item: value for item, value in ledger.made.items() if item.PERSISTENT}
            for owner in ledger.owners.values():
                owner.objects = {item for item in owner.objects if item.PERSISTENT}
        return ledger

    @staticmethod
    def recorded(system: System, name: str) -> set[KernelObject]:
        """What the owner *name* held when the ledger was written, in this boot or an earlier one."""
        text = _read(system)
        try:
            owners = _parse(text)["owners"] if text else {}
            return {from_fields(item) for item in owners.get(name, {}).get("objects", ())}
        except _DAMAGE as error:
            raise _damaged(error) from None

    @staticmethod
    def of_this_boot(system: System) -> bool:
        """True if what the ledger lists was made in this boot."""
        text = _read(system)
        return text is not None and _parse(text).get("boot") == system.boot_id()

    def sweep(self, system: System) -> None:
        """Remove what a run that was killed left where files of ours are, or were to be."""
        items = {*self.made, *(item for owner in self.owners.values() for item in owner.objects)}
        system.files.sweep([PATH, *(item.path for item in items if isinstance(item, (TextFile, Program)))])
        if self.saved is None:
            system.files.remove_directory(FOLDER)

    def others(self, name: str) -> dict[str, Owner]:
        return {other: owner for other, owner in self.owners.items() if other != name}

    def drop_resource(self, name: str, identity: tuple[str, ...]) -> None:
        """Strike one resource from an owner, and the owner when nothing is left of it."""
        owner = self.owners[name]
        for list_name in LISTS:
            items = list(owner.options.get(list_name) or ())
            kept = [
                item for item, resource in zip(items, getattr(owner.state, list_name)) if resource.identity != identity
            ]
            if len(kept) != len(items):
                owner.options = {**owner.options, list_name: kept}
        owner.state = owner.state.without([identity])
        if not owner.state.resources:
            del self.owners[name]


def _read(system: System) -> Optional[str]:
    """The file's text, None if there is none. What is ours to remove is decided by it, so it has to be ours alone."""
    text = system.files.read(PATH)
    if text is None and system.files.exists(FOLDER) and not system.files.is_directory(FOLDER):
        raise LedgerUnreadable(f"{FOLDER} is not a directory; move it out of the way")
    if text is None and system.files.exists(PATH):
        raise LedgerUnreadable(f"{PATH} is a symbolic link, which is not followed; put the file in its place")
    if text is not None and system.files.writable_by_others(PATH):
        raise LedgerUnreadable(
            f"{PATH} could have been written by somebody else; see what it lists, and then give it and its folder "
            f"to root alone (chown -R root {FOLDER}; chmod -R go-w {FOLDER})"
        )
    return text


def _parse(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
        version = data["version"]
    except _DAMAGE as error:
        raise _damaged(error) from None
    if version != VERSION:
        raise LedgerUnreadable(
            f"{PATH} has format {version}, this version of linuxnet.netns reads format {VERSION}; "
            "upgrade the collection that you run"
        )
    return data


def _damaged(error: Exception) -> LedgerUnreadable:
    return LedgerUnreadable(
        f"{PATH} is damaged ({type(error).__name__}: {error}); "
        f"restore {PATH} from a backup, or remove it to start anew (what it lists is then no longer known as ours)"
    )


@dataclass(frozen=True)
class LedgerFile(KernelObject):
    """The file as a step of a plan: its value is the text. Nothing else is in its folder."""

    kind = "ledger"

    def __str__(self) -> str:
        return f"ledger {PATH}"

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        return snapshot.system.files.read(PATH)

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        if after is None:
            system.files.remove(PATH)
            system.files.remove_directory(FOLDER)
        else:
            try:
                system.files.make_directory(FOLDER, 0o700)
                system.files.write(PATH, after, 0o600)
            except SystemRefused:
                if before is None:
                    system.files.remove_directory(FOLDER)  # half a step is none
                raise
