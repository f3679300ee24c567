# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""An inbound port forward (destination NAT) as it is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InvalidOption
from . import cidr
from .names import identity, optional_netns
from .netns_nat import links
from .ports import Ports, ports

#: A shifted range becomes one map element a port; beyond this it is refused, not silently approximated.
MOST_SHIFTED_PORTS = 4096


@dataclass(frozen=True)
class Forward:
    """``port`` of ``protocol`` at a local address goes to ``to_port`` of ``to_address``; empty lists mean "any"."""

    name: str
    netns: str
    protocol: tuple[str, ...]
    port: Ports
    to_address: cidr.Address
    to_port: Ports
    listen_address: tuple[cidr.Address, ...] = ()
    in_interface: tuple[str, ...] = ()
    sources: tuple[cidr.Network, ...] = ()
    hairpin: bool = True

    kind = "netns_forward"

    @property
    def identity(self) -> tuple[str, ...]:
        return ("netns_forward", self.netns, self.name)

    @property
    def version(self) -> int:
        return self.to_address.version

    @classmethod
    def from_options(cls, options: dict[str, Any], where: str = "") -> Forward:
        """Build from the options of spec/netns_forward.py. *where* prefixes option names (``forwards[3].``)."""
        to_address = cidr.address(where + "to_address", options["to_address"])
        if to_address.is_loopback or to_address.is_unspecified or to_address.is_multicast:
            raise InvalidOption(
                where + "to_address",
                options["to_address"],
                "cannot be reached from another namespace",
                "name the namespace's own address, and let the daemon listen there",
            )
        port = ports(where + "port", str(options["port"]))
        to_port = ports(where + "to_port", str(options["to_port"])) if options.get("to_port") is not None else port
        if to_port.count != port.count:
            raise InvalidOption(
                where + "to_port",
                str(to_port),
                f"has {to_port.count} ports, but port {port} has {port.count}",
                "give both the same length",
            )
        if to_port != port and port.count > MOST_SHIFTED_PORTS:
            raise InvalidOption(
                where + "to_port",
                str(to_port),
                f"shifts a range of {port.count} ports, which takes one map element each; "
                f"more than {MOST_SHIFTED_PORTS} are not supported",
                "use the same range on both sides or split it",
            )
        listen = tuple(
            cidr.address(f"{where}listen_address[{number}]", value)
            for number, value in enumerate(options.get("listen_address") or ())
        )
        sources = cidr.networks(where + "sources", options.get("sources"))
        for option, items in (("listen_address", listen), ("sources", sources)):
            for number, item in enumerate(items):
                if item.version != to_address.version:
                    raise InvalidOption(
                        f"{where}{option}[{number}]",
                        str(item),
                        f"is IPv{item.version}, but to_address is IPv{to_address.version} ({to_address})",
                        "declare one forward for each family",
                    )
        for number, item in enumerate(listen):
            if item.is_multicast or item.is_unspecified:
                raise InvalidOption(
                    f"{where}listen_address[{number}]",
                    str(item),
                    "is not the address of a host",
                    "leave listen_address out to listen on every local address",
                )
        return cls(
            name=identity(where + "name", options["name"]),
            netns=optional_netns(where + "netns", options.get("netns")),
            protocol=tuple(sorted(set(options.get("protocol") or ["tcp"]))),
            port=port,
            to_address=to_address,
            to_port=to_port,
            listen_address=tuple(sorted(set(listen), key=cidr.sort_key)),
            in_interface=links(where + "in_interface", options.get("in_interface")),
            sources=sources,
            hairpin=options.get("hairpin", True),
        )

    def competes_with(self, other: Forward) -> bool:
        """True if some packet would match both, and neither is the more specific one.

        A forward for one listen address (interface, source) beside one for any is not a conflict: the rule for
        the named address is looked at first.
        """
        return (
            self.netns == other.netns
            and self.version == other.version
            and bool(set(self.protocol) & set(other.protocol))
            and self.port.overlaps(other.port)
            and _meet(self.listen_address, other.listen_address)
            and _meet(self.in_interface, other.in_interface)
            and _meet_networks(self.sources, other.sources)
        )

    @property
    def specificity(self) -> tuple[bool, bool, bool]:
        """Sorts forwards so that those with narrower conditions are matched first."""
        return not self.listen_address, not self.in_interface, not self.sources


def _meet(one: tuple, other: tuple) -> bool:
    return bool(set(one) & set(other)) if one and other else not one and not other


def _meet_networks(one: tuple, other: tuple) -> bool:
    if one and other:
        return any(left.overlaps(right) for left in one for right in other)
    return not one and not other
