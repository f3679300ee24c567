# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What is asked: from where, to where. All checking and normalising of the options happens here."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Optional

from ..desired import cidr
from ..desired.names import netns_name, optional_netns
from ..errors import InvalidOption

PROTOCOLS = ("tcp", "udp", "sctp", "icmp")
OUTSIDE = "outside"
_WITH_PORTS = PROTOCOLS[:3]
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?\Z")
_MOST_BYTES, _FEWEST_BYTES = 65535, 28


@dataclass(frozen=True)
class Question:
    """``netns`` is where the connection begins, or for one from outside the namespace at whose link it arrives.

    ``to_address`` is None where the address is to be chosen (from outside), or where ``to_name`` is a host's name.
    """

    netns: str
    outside: bool
    to_address: Optional[cidr.Address]
    to_name: str
    protocol: str
    port: Optional[int]
    source: Optional[cidr.Address]
    in_interface: str
    out_interface: str
    to_netns: Optional[str]
    size: Optional[int]
    require_nat: Optional[bool]

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Question:
        """Raises InvalidOption for what cannot be asked."""
        outside = options.get("direction") == "in"
        address, name = _target(options.get("to_address"), outside)
        port = options.get("port")
        protocol = options.get("protocol") or ("icmp" if port is None else "tcp")
        if protocol in _WITH_PORTS and port is None and not name:
            raise InvalidOption("protocol", protocol, "has ports, and none was given", "set port")
        if protocol == "icmp" and port is not None:
            raise InvalidOption("port", port, "was given for icmp, which has none", "leave it out")
        if port is not None and not 1 <= port <= 65535:
            raise InvalidOption("port", port, "is not a port", "use a number from 1 to 65535")
        source = cidr.address("source", options["source"]) if options.get("source") else None
        if source is not None and address is not None and source.version != address.version:
            raise InvalidOption(
                "source", str(source), f"is not of the family of {address}", "give both addresses in one family"
            )
        size = options.get("size")
        if size is not None and not _FEWEST_BYTES <= size <= _MOST_BYTES:
            raise InvalidOption("size", size, "is not the size of a packet", f"use {_FEWEST_BYTES} to {_MOST_BYTES}")
        for option, wrong in (("in_interface", not outside), ("out_interface", outside)):
            if options.get(option) and wrong:
                raise InvalidOption(
                    option,
                    options[option],
                    "says nothing for this direction",
                    "in_interface goes with direction=in, out_interface with direction=out",
                )
        to_netns = options.get("to_netns")
        return cls(
            netns=optional_netns("netns", options.get("netns")),
            outside=outside,
            to_address=address,
            to_name=name,
            protocol=protocol,
            port=port,
            source=source,
            in_interface=options.get("in_interface") or "",
            out_interface=options.get("out_interface") or "",
            to_netns=None if to_netns is None else netns_name("to_netns", to_netns) if to_netns else "",
            size=size,
            require_nat=options.get("require_nat"),
        )


def _target(value: Optional[str], outside: bool) -> tuple[Optional[cidr.Address], str]:
    if not value:
        if not outside:
            raise InvalidOption("to_address", value, "is missing", "give an address, or a host's name to check DNS")
        return None, ""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if outside or not _HOST_NAME.match(value) or re.fullmatch(r"[0-9.]+", value):
            raise InvalidOption(
                "to_address",
                value,
                "is not an IP address" + ("" if outside else " and not the name of a host"),
                "write an IPv4 or IPv6 address without prefix length, such as 10.0.0.2",
            ) from None
        return None, value.rstrip(".")
    found = cidr.address("to_address", value)
    if found.is_multicast or found.is_unspecified:
        raise InvalidOption("to_address", value, "is not the address of one host", "give the address of a host")
    return found, ""


def wire_protocol(protocol: str, version: int) -> str:
    """As rules name it."""
    return "icmpv6" if (protocol, version) == ("icmp", 6) else protocol
