# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether one expression of an nftables rule, as ``nft --json list ruleset`` prints it, matches a packet. Pure.

Every answer has three values: True, False, and None for "cannot tell": something that a packet does not say here (its
mark, its TCP flags), a set whose elements come and go, or an expression of a later nft.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

#: A part of a packet that is not known.
UNKNOWN = object()
#: A header that the packet does not have: no comparison with it matches.
MISSING = object()

_NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "33": "dccp", "58": "icmpv6", "132": "sctp", "136": "udplite"}
_SAME = {"ipv6-icmp": "icmpv6", **_NUMBERS}
_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")


@dataclass(frozen=True)
class Packet:
    """A packet at one hook. What is None is not known; an interface "" is none.

    ``version`` is 4 or 6; ``ct_state`` is ``new`` or ``established``; ``ct_status_dnat``: its connection was
    destination NATed (``ct status dnat``); ``port`` is the destination's.
    """

    hook: str
    in_interface: Optional[str] = ""
    out_interface: Optional[str] = ""
    version: int = 4
    source: Optional[str] = None
    destination: Optional[str] = None
    protocol: Optional[str] = None
    source_port: Optional[int] = None
    port: Optional[int] = None
    ct_state: str = "new"
    ct_status_dnat: bool = False


#: Named sets and maps by (family, table, name): their JSON.
Sets = Mapping[tuple[str, str, str], Mapping[str, Any]]


@dataclass(frozen=True)
class Matcher:
    """A packet in one table. ``sets`` are the named sets and maps of all tables."""

    packet: Packet
    family: str
    table: str
    sets: Sets

    def match(self, expression: Mapping[str, Any]) -> Optional[bool]:
        """A ``match`` statement: ``{"op": ..., "left": ..., "right": ...}``."""
        value = self._value(expression.get("left"))
        if value is MISSING:
            return False
        if value is UNKNOWN:
            return None
        found = self._among(value, expression.get("right"), expression.get("op"))
        if expression.get("op") in ("==", "in", "", None):
            return found
        if expression.get("op") in ("!=", "!"):
            return None if found is None else not found
        return found

    def mapped(self, vmap: Mapping[str, Any]) -> Optional[list[tuple[Any, bool]]]:
        """The verdicts that a ``vmap`` may come to, each with whether it is certain; None if not even that is known.

        An empty list: no element matches, and the rule ends without one.
        """
        value = self._value(vmap.get("key"))
        if value is MISSING:
            return []
        elements = self._elements(vmap.get("data"))
        if value is UNKNOWN or elements is None:
            return None
        found: list[tuple[Any, bool]] = []
        for element in elements:
            key, verdict = element if isinstance(element, list) and len(element) == 2 else (None, None)
            matches = self._is(value, key)
            if matches:
                return [*found, (verdict, not found)]
            if matches is None:
                found.append((verdict, False))
        return found

    # -- what the packet is --

    def _value(self, left: Any) -> Any:
        if not isinstance(left, Mapping) or len(left) != 1:
            return UNKNOWN
        ((kind, what),) = left.items()
        if kind == "concat" and isinstance(what, list):
            values = [self._value(part) for part in what]
            return MISSING if MISSING in values else values
        if not isinstance(what, Mapping):
            return UNKNOWN
        reader = {"meta": self._meta, "payload": self._payload, "ct": self._ct, "fib": self._fib}.get(kind)
        value = UNKNOWN if reader is None else reader(what)
        return UNKNOWN if value is None else value

    def _meta(self, what: Mapping[str, Any]) -> Any:
        packet = self.packet
        return {
            "iifname": packet.in_interface,
            "iif": packet.in_interface,
            "oifname": packet.out_interface,
            "oif": packet.out_interface,
            "nfproto": f"ipv{packet.version}",
            "protocol": "ip" if packet.version == 4 else "ip6",
            "l4proto": packet.protocol,
        }.get(str(what.get("key")))

    def _payload(self, what: Mapping[str, Any]) -> Any:
        packet = self.packet
        protocol, field = what.get("protocol"), what.get("field")
        if protocol in ("ip", "ip6"):
            if protocol != ("ip" if packet.version == 4 else "ip6"):
                return MISSING
            return {
                "saddr": packet.source,
                "daddr": packet.destination,
                "protocol": packet.protocol,
                "nexthdr": packet.protocol,
                "version": packet.version,
            }.get(str(field))
        if protocol in (*_WITH_PORTS, "th", "icmp", "icmpv6", "igmp", "esp", "ah"):
            if packet.protocol is None:
                return UNKNOWN
            if protocol != packet.protocol and not (protocol == "th" and packet.protocol in _WITH_PORTS):
                return MISSING
            return {"sport": packet.source_port, "dport": packet.port}.get(str(field))
        return UNKNOWN

    def _ct(self, what: Mapping[str, Any]) -> Any:
        if what.get("key") == "state":
            return self.packet.ct_state
        if what.get("key") == "status":
            return "dnat" if self.packet.ct_status_dnat else ""
        if what.get("key") == "direction" and self.packet.ct_state == "new":
            return "original"
        return UNKNOWN

    def _fib(self, what: Mapping[str, Any]) -> Any:
        """Where a packet goes is known by the hook: what is forwarded is not for the host itself."""
        if what.get("result") == "type" and what.get("flags") in ("daddr", ["daddr"]):
            return {"forward": "unicast", "input": "local"}.get(self.packet.hook, UNKNOWN)
        return UNKNOWN

    # -- what it is compared with --

    def _among(self, value: Any, right: Any, op: Any = "==") -> Optional[bool]:
        if op in ("<", ">", "<=", ">="):
            return _compared(value, right, op)
        elements = self._elements(right)
        if elements is None:
            return self._is(value, right) if not _is_set(right) else None
        return _any(self._is(value, element) for element in elements)

    def _elements(self, right: Any) -> Optional[list[Any]]:
        """The elements of a set, named or not; None where it is no set, or its elements come and go."""
        if isinstance(right, Mapping) and isinstance(right.get("set"), list):
            return right["set"]
        if isinstance(right, list):
            return right
        if isinstance(right, str) and right.startswith("@"):
            known = self.sets.get((self.family, self.table, right[1:]))
            if known is None or {"dynamic", "timeout"} & {*_listed(known.get("flags"))}:
                return None
            return _listed(known.get("elem"))
        return None

    def _is(self, value: Any, wanted: Any) -> Optional[bool]:
        """Whether a value of the packet is, or lies in, one element."""
        if isinstance(wanted, Mapping) and isinstance(wanted.get("elem"), Mapping):
            return self._is(value, wanted["elem"].get("val"))
        if wanted == "*":
            return True
        if isinstance(value, list):
            parts = wanted.get("concat") if isinstance(wanted, Mapping) else wanted
            if not isinstance(parts, list) or len(parts) != len(value):
                return None
            return _all(self._is(one, part) for one, part in zip(value, parts))
        if value is UNKNOWN:
            return None
        if isinstance(wanted, Mapping):
            return _within(value, wanted)
        if isinstance(wanted, (str, int)):
            return _equal(value, wanted)
        return None


def _is_set(right: Any) -> bool:
    return isinstance(right, str) and right.startswith("@")


def _listed(item: Any) -> list[Any]:
    return item if isinstance(item, list) else [] if item is None else [item]


def _any(answers: Iterable[Optional[bool]]) -> Optional[bool]:
    known = list(answers)
    return True if True in known else None if None in known else False


def _all(answers: Iterable[Optional[bool]]) -> Optional[bool]:
    known = list(answers)
    return False if False in known else None if None in known else True


def _equal(value: Any, wanted: Any) -> bool:
    one, other = str(value), str(wanted)
    if other.endswith("*"):
        return one.startswith(other[:-1])  # an interface's name
    return _SAME.get(one, one) == _SAME.get(other, other)


def _within(value: Any, wanted: Mapping[str, Any]) -> Optional[bool]:
    """A prefix or a range, of addresses or of numbers."""
    try:
        if "prefix" in wanted:
            network = ipaddress.ip_network(f"{wanted['prefix']['addr']}/{wanted['prefix']['len']}", strict=False)
            return ipaddress.ip_address(value) in network
        if "range" in wanted:
            first, last = wanted["range"]
            if isinstance(value, int):
                return int(first) <= value <= int(last)
            ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
            address = ipaddress.ip_address(value)
            return address.version == ends[0].version and int(ends[0]) <= int(address) <= int(ends[1])
    except (ValueError, TypeError, LookupError):
        pass
    return None


def _compared(value: Any, right: Any, op: Any) -> Optional[bool]:
    if not isinstance(value, int) or not isinstance(right, int):
        return None
    return {"<": value < right, ">": value > right, "<=": value <= right, ">=": value >= right}[op]
