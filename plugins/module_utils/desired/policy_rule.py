# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A policy routing rule as it is wanted: which packets, and the table in which their route is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from ..errors import InvalidOption
from . import cidr
from .names import link_name
from .tables import MAIN_TABLE, table

#: Below and above are the kernel's own: 0 is `local`, 32766 `main`, 32767 `default`.
_FIRST, _LAST = 1, 32765
_WHOLE_MASK = 2**32 - 1


@dataclass(frozen=True)
class Rule:
    """One rule of one family. Selectors that are not given, or select everything, are None or "".

    ``mark`` is (value, mask); ``table`` is 0 for actions other than lookup.
    """

    version: int
    priority: int
    source: Optional[cidr.Network] = None
    destination: Optional[cidr.Network] = None
    iif: str = ""
    oif: str = ""
    mark: Optional[tuple[int, int]] = None
    inverted: bool = False
    action: str = "lookup"
    table: int = MAIN_TABLE

    @property
    def key(self) -> tuple[int, int]:
        """(version, priority): within a namespace, at most one rule of ours."""
        return self.version, self.priority


def rules(
    option: str, values: Optional[list[dict[str, Any]]], addresses: Optional[tuple[cidr.Interface, ...]]
) -> Optional[tuple[Rule, ...]]:
    """The rules of an end; an item that names no network is one for each family of *addresses*, or for both."""
    if values is None:
        return None
    found: dict[tuple[int, int], Rule] = {}
    for number, value in enumerate(values):
        for rule in _rules(f"{option}[{number}].", value, addresses):
            if rule.key in found:
                raise InvalidOption(
                    f"{option}[{number}].priority",
                    rule.priority,
                    f"is that of another IPv{rule.version} rule of this end",
                    "give each its own priority, lowest first",
                )
            found[rule.key] = rule
    return tuple(found.values())


def _rules(where: str, options: dict[str, Any], addresses: Optional[tuple[cidr.Interface, ...]]) -> tuple[Rule, ...]:
    networks = {name: _network(where + name, options.get(name)) for name in ("from", "to")}
    common = dict(
        priority=_priority(where + "priority", options["priority"]),
        iif=_link(where + "iif", options.get("iif")),
        oif=_link(where + "oif", options.get("oif")),
        mark=_mark(where + "fwmark", options.get("fwmark")),
        inverted=bool(options.get("not")),
        **_action(where, options),
    )
    return tuple(
        Rule(version, source=_selects(networks["from"]), destination=_selects(networks["to"]), **common)
        for version in _versions(where, networks["from"], networks["to"], addresses)
    )


def _versions(
    where: str,
    source: Optional[cidr.Network],
    destination: Optional[cidr.Network],
    addresses: Optional[tuple[cidr.Interface, ...]],
) -> tuple[int, ...]:
    if source and destination and source.version != destination.version:
        raise InvalidOption(
            where + "to",
            str(destination),
            f"is IPv{destination.version}, but from is IPv{source.version} ({source})",
            "use one family in a rule",
        )
    stated = source or destination
    if stated:
        return (stated.version,)
    return tuple(sorted({item.version for item in addresses or ()})) or (4, 6)


def _network(option: str, value: Optional[str]) -> Optional[cidr.Network]:
    return None if value is None else cidr.network(option, value)


def _selects(network: Optional[cidr.Network]) -> Optional[cidr.Network]:
    """A network of all addresses says which family is meant, and selects nothing."""
    return network if network and network.prefixlen else None


def _priority(option: str, value: int) -> int:
    if not _FIRST <= value <= _LAST:
        raise InvalidOption(
            option, value, "is out of range", f"use {_FIRST} to {_LAST}; the others are the kernel's own"
        )
    return value


def _link(option: str, value: Optional[str]) -> str:
    """An interface by name, there or not; ``lo`` stands for what this namespace itself sends."""
    return "" if value is None else value if value == "lo" else link_name(option, value)


def _mark(option: str, value: Optional[str]) -> Optional[tuple[int, int]]:
    if value is None:
        return None
    remedy = "write a number with or without a mask, such as 0x1 or 0x1/0xff"
    mark, slash, mask = str(value).strip().partition("/")
    try:
        numbers = int(mark, 0), int(mask, 0) if slash else _WHOLE_MASK
    except ValueError:
        raise InvalidOption(option, value, "is not a mark", remedy) from None
    if not all(0 <= number <= _WHOLE_MASK for number in numbers):
        raise InvalidOption(option, value, "does not fit into 32 bits", remedy)
    if not numbers[1] or numbers[0] & ~numbers[1]:
        raise InvalidOption(
            option,
            value,
            "selects nothing: its mask is 0" if not numbers[1] else "has bits that its mask leaves out",
            "write a mask with all the bits that count, or leave fwmark out",
        )
    return numbers


def _action(where: str, options: dict[str, Any]) -> dict[str, Any]:
    action = options.get("action") or "lookup"
    number = table(where + "table", options.get("table"))
    if action == "lookup":
        return {"action": action, "table": number}
    if number != MAIN_TABLE:
        raise InvalidOption(
            where + "table", options["table"], f"has no meaning, since the action is {action}", "remove it"
        )
    return {"action": action, "table": 0}
