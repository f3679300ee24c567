# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ruleset of a namespace by hook and chain, from what ``nft --json list ruleset`` shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ..errors import SystemRefused

#: Families whose hooks see packets of an IP version.
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
Key = tuple[str, str, str]


class Chain(NamedTuple):
    """A chain with its rules; ``hook`` is empty for one that is only jumped to."""

    family: str
    table: str
    name: str
    kind: str
    hook: str
    priority: int
    policy: str
    rules: list[Mapping[str, Any]]


class Ruleset:
    """All tables of one namespace. ``objects`` is the listing, ``sets`` holds its sets and maps by their place."""

    def __init__(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Raises SystemRefused for what is no listing of nft's."""
        try:
            self._read(objects)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise SystemRefused(f"what nft lists cannot be read ({type(error).__name__}: {error})") from None

    def _read(self, objects: Sequence[Mapping[str, Any]]) -> None:
        self.objects = objects
        self.sets: dict[Key, Mapping[str, Any]] = {}
        self._chains: dict[Key, Chain] = {}
        for item in objects:
            for kind, value in item.items():
                if kind == "chain":
                    self._add(value)
                elif kind in ("set", "map"):
                    self.sets[value["family"], value["table"], value["name"]] = value
        for item in objects:
            rule = item.get("rule")
            if rule is not None and (rule["family"], rule["table"], rule["chain"]) in self._chains:
                self._chains[rule["family"], rule["table"], rule["chain"]].rules.append(rule)

    def _add(self, value: Mapping[str, Any]) -> None:
        key = value["family"], value["table"], value["name"]
        self._chains[key] = Chain(
            *key,
            kind=str(value.get("type", "")),
            hook=str(value.get("hook", "")),
            priority=int(value.get("prio") or 0),
            policy=str(value.get("policy") or "accept"),
            rules=[],
        )

    def base_chains(self, hook: str, version: int) -> list[Chain]:
        """The chains that a packet of this IP version meets at a hook, in order."""
        found = [item for item in self._chains.values() if item.hook == hook and item.family in _FAMILIES[version]]
        return sorted(found, key=lambda item: item.priority)

    def chain(self, beside: Chain, name: str) -> Optional[Chain]:
        """Another chain of the same table."""
        return self._chains.get((beside.family, beside.table, name))

    def rules_of(self, table: tuple[str, str]) -> list[Mapping[str, Any]]:
        """All rules of one table."""
        return [rule for chain in self._chains.values() if (chain.family, chain.table) == table for rule in chain.rules]
