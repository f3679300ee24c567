# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Outbound NAT as it is wanted: which sources leave, through what, under which address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from ..errors import InvalidOption
from . import cidr
from .names import identity, link_name, optional_netns


@dataclass(frozen=True)
class Nat:
    """Sources of one or both families; ``to_address`` (first, last) is one family's, None means masquerade."""

    name: str
    netns: str
    source: tuple[cidr.Network, ...] = ()
    exclude: tuple[cidr.Network, ...] = ()
    out_interface: tuple[str, ...] = ()
    to_address: Optional[tuple[cidr.Address, cidr.Address]] = None
    forward: bool = True

    kind = "netns_nat"

    @property
    def identity(self) -> tuple[str, ...]:
        return ("netns_nat", self.netns, self.name)

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(sorted({item.version for item in self.source}))

    @classmethod
    def from_options(cls, options: dict[str, Any], where: str = "") -> Nat:
        """Build from the options of spec/netns_nat.py. *where* prefixes option names in errors (``nat[3].``)."""
        source = cidr.networks(where + "source", options.get("source"))
        if not source:
            raise InvalidOption(
                where + "source", [], "names no network to translate", "list at least one, such as 10.0.0.0/24"
            )
        to_address = None
        if options.get("to_address") is not None:
            to_address = cidr.address_range(where + "to_address", options["to_address"])
            other = [str(item) for item in source if item.version != to_address[0].version]
            if other:
                raise InvalidOption(
                    where + "to_address",
                    options["to_address"],
                    f"is IPv{to_address[0].version}, but source holds {', '.join(other)}",
                    "declare one NAT for each family",
                )
        nat = cls(
            name=identity(where + "name", options["name"]),
            netns=optional_netns(where + "netns", options.get("netns")),
            source=source,
            exclude=cidr.networks(where + "exclude", options.get("exclude")),
            out_interface=links(where + "out_interface", options.get("out_interface")),
            to_address=to_address,
            forward=options.get("forward", True),
        )
        for number, item in enumerate(options.get("exclude") or ()):
            version = cidr.network(where + "exclude", item).version
            if version not in nat.versions:
                raise InvalidOption(
                    f"{where}exclude[{number}]",
                    item,
                    f"is IPv{version}, but source holds no such network",
                    "remove it or add a source of that family",
                )
        return nat


def links(option: str, values: Optional[list[str]]) -> tuple[str, ...]:
    """A list of interface names without duplicates."""
    return tuple(sorted({link_name(f"{option}[{number}]", value) for number, value in enumerate(values or ())}))
