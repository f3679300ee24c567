# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Addresses and networks: from what operators write to `ipaddress` objects, or an error that names the option."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Optional, Union

from ..errors import InvalidOption

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")


def interface(option: str, value: str) -> Interface:
    """An address with its prefix length, as it is put on an interface. The prefix must be written out."""
    remedy = "write an address with its prefix length, such as 10.0.0.2/30 or fd00::2/64"
    if "/" not in value:
        raise InvalidOption(option, value, "has no prefix length", remedy)
    try:
        found = ipaddress.ip_interface(value)
    except ValueError as error:
        raise InvalidOption(option, value, f"is not an address in CIDR form ({error})", remedy) from None
    if "." in value.rpartition("/")[2]:
        raise InvalidOption(option, value, "has a netmask where the prefix length belongs", remedy)
    if found.ip.is_multicast or found.ip.is_unspecified or "%" in value:
        raise InvalidOption(option, value, "cannot be the address of an interface", remedy)
    network = found.network
    if (
        found.version == 4
        and network.prefixlen < 31
        and found.ip in (network.network_address, network.broadcast_address)
    ):
        raise InvalidOption(
            option,
            value,
            f"is the network or broadcast address of {network}",
            f"choose a host address such as {network.network_address + 1}/{network.prefixlen}",
        )
    return found


def network(option: str, value: str) -> Network:
    """A network; host bits are cleared, so 10.0.0.5/24 means 10.0.0.0/24, and a bare address means that host alone."""
    try:
        found = ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise InvalidOption(
            option, value, f"is not a network ({error})", "write it in CIDR form, such as 10.0.0.0/24 or fd00::/64"
        ) from None
    if "%" in value:
        raise InvalidOption(option, value, "has a zone", "leave out what follows the '%'")
    return found


def address(option: str, value: str) -> Address:
    """A single address without prefix length."""
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        raise InvalidOption(
            option,
            value,
            "is not an IP address",
            "write an IPv4 or IPv6 address without prefix length, such as 10.0.0.2",
        ) from None
    if "%" in value:
        raise InvalidOption(option, value, "has a zone", "leave out what follows the '%'")
    return found


def address_of(option: str, value: str, version: int) -> Address:
    """An address of one family only."""
    found = address(option, value)
    if found.version != version:
        raise InvalidOption(
            option,
            value,
            f"is an IPv{found.version} address where an IPv{version} address is needed",
            "see gateway (IPv4) and gateway6 (IPv6)",
        )
    return found


def address_range(option: str, value: str) -> tuple[Address, Address]:
    """``A`` or ``A-B``, as (first, last)."""
    first, dash, last = value.partition("-")
    low = address(option, first.strip())
    high = address(option, last.strip()) if dash else low
    if low.version != high.version:
        raise InvalidOption(option, value, "mixes IPv4 and IPv6", "write both ends in one family")
    if int(high) < int(low):
        raise InvalidOption(option, value, "is a reversed range", f"write it as {high}-{low}")
    return low, high


def mac(option: str, value: Optional[str]) -> Optional[str]:
    """A unicast MAC address in lower case with colons."""
    if value is None:
        return None
    found = value.lower().replace("-", ":")
    if not _MAC.match(found):
        raise InvalidOption(option, value, "is not a MAC address", "write it like 02:00:00:00:00:01")
    if int(found[:2], 16) & 1 or found == "00:00:00:00:00:00":
        raise InvalidOption(option, value, "is not a unicast MAC address", "use one that begins with 02 or 06")
    return found


def networks(option: str, values: Optional[Sequence[str]]) -> tuple[Network, ...]:
    """A list of networks without duplicates, in a stable order."""
    found = {network(f"{option}[{number}]", value) for number, value in enumerate(values or ())}
    return tuple(sorted(found, key=sort_key))


def sort_key(item: Union[Address, Network, Interface]) -> tuple[int, str]:
    """Sorts addresses and networks of both families together: IPv4 first, then by number."""
    packed = item.network_address.packed if hasattr(item, "network_address") else item.packed
    return item.version, packed.hex() + str(getattr(item, "prefixlen", ""))


def of_version(items: Iterable, version: int) -> tuple:
    """Those of *items* that belong to one address family."""
    return tuple(item for item in items if item.version == version)
