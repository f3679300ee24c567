# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What NAT makes of a packet. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any, Optional

from ..desired.cidr import Address
from .hooks import Translation
from .packet import Packet


def translated(packet: Packet, nat: Translation, own_address: Optional[Address]) -> Optional[Packet]:
    """The packet with its new source or destination; *own_address* is what masquerade and redirect put there. None if
    a rule's target cannot be told (an extension of iptables, a map that is not understood)."""
    body = nat.body if isinstance(nat.body, dict) else {}
    if nat.kind == "masquerade":
        return None if own_address is None else replace(packet, source=own_address, source_port=None, snat=True)
    if nat.kind == "redirect":
        port = _port(nat, body.get("port"), packet.port) if "port" in body else packet.port
        return None if own_address is None else replace(packet, destination=own_address, port=port, dnat=True)
    address = _address(nat, body.get("addr"), packet)
    if address is None:
        return None
    if nat.kind == "snat":
        return replace(packet, source=address, source_port=None, snat=True)
    return replace(packet, destination=address, port=_port(nat, body.get("port"), packet.port), dnat=True)


def _address(nat: Translation, value: Any, packet: Packet) -> Optional[Address]:
    value = _looked_up(nat, value)
    if isinstance(value, dict) and "range" in value:
        value = value["range"][0]  # any of them; where it goes is the same
    if isinstance(value, dict) and "prefix" in value:
        value = value["prefix"]["addr"]
    if isinstance(value, dict) and "concat" in value:
        value = value["concat"][0]
    try:
        found = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.version == packet.version else None


def _port(nat: Translation, value: Any, port: Optional[int]) -> Optional[int]:
    """The port behind *port*; without one in the rule it stays."""
    value = _looked_up(nat, value)
    if isinstance(value, dict) and "range" in value:
        first, last = value["range"]
        return port if port is not None and first <= port <= last else int(first)
    return int(value) if isinstance(value, int) else port


def _looked_up(nat: Translation, value: Any) -> Any:
    """What a map in the rule has for this packet."""
    if isinstance(value, dict) and "map" in value:
        found = nat.matcher.mapped(value["map"]) or []
        return found[0][0] if found and found[0][1] else None
    return value
