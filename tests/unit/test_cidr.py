# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and networks."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired import cidr
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st

addresses = st.ip_addresses()
prefixes = st.tuples(addresses, st.integers(0, 128)).map(
    lambda pair: f"{pair[0]}/{min(pair[1], pair[0].max_prefixlen)}"
)
CIDR = "with its prefix length, such as 10.0.0.2/30"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.0.0.2/30", "10.0.0.2/30"),
        ("10.0.0.2/32", "10.0.0.2/32"),
        ("10.0.0.0/31", "10.0.0.0/31"),
        ("FD00:0::2/64", "fd00::2/64"),
        ("fd00::/64", "fd00::/64"),
        ("fd00::1/128", "fd00::1/128"),
    ],
)
def test_addresses_of_interfaces(value, text):
    assert str(cidr.interface("addresses[0]", value)) == text


@pytest.mark.parametrize(
    ("value", "reason", "remedy"),
    [
        ("10.0.0.2", "has no prefix length", CIDR),
        ("", "has no prefix length", CIDR),
        ("10.0.0.2/33", "is not an address in CIDR form", CIDR),
        ("10.0.0.256/24", "is not an address in CIDR form", CIDR),
        ("fd00::2/129", "is not an address in CIDR form", CIDR),
        ("fd00::2::/64", "is not an address in CIDR form", CIDR),
        ("host/24", "is not an address in CIDR form", CIDR),
        ("10.0.0.2/255.255.255.0", "has a netmask", CIDR),
        ("224.0.0.1/24", "cannot be the address of an interface", CIDR),
        ("0.0.0.0/8", "cannot be the address of an interface", CIDR),
        ("::/64", "cannot be the address of an interface", CIDR),
        ("ff02::1/64", "cannot be the address of an interface", CIDR),
        ("fe80::1%eth0/64", "cannot be the address of an interface", CIDR),
        ("10.0.0.0/24", "is the network or broadcast address of 10.0.0.0/24", "such as 10.0.0.1/24"),
        ("10.0.0.3/30", "is the network or broadcast address of 10.0.0.0/30", "such as 10.0.0.1/30"),
    ],
)
def test_addresses_of_interfaces_that_are_refused(value, reason, remedy):
    refused("addresses[0]", value, reason, remedy, cidr.interface, "addresses[0]", value)


@given(prefixes)
def test_reading_an_interface_address_twice_changes_nothing(value):
    try:
        found = cidr.interface("addresses", value)
    except cidr.InvalidOption as error:
        assert str(error).startswith(f"addresses: {value!r}")
        return
    assert found == ipaddress.ip_interface(value)
    assert cidr.interface("addresses", str(found)) == found


@given(prefixes)
def test_reading_a_network_twice_changes_nothing(value):
    found = cidr.network("source", value)
    assert cidr.network("source", str(found)) == found
    assert ipaddress.ip_interface(value).ip in found


@given(addresses)
def test_a_bare_address_is_a_network_of_one(value):
    found = cidr.network("source", str(value))
    assert found.num_addresses == 1 and found.network_address == value
    assert cidr.address("to_address", str(value)) == value


@pytest.mark.parametrize("value", ["10.0.0.0/33", "10.0.0", "fd00::/129", "", "any", "10.0.0.1-10.0.0.2"])
def test_networks_that_are_refused(value):
    refused("source[0]", value, "is not a network", "CIDR form, such as 10.0.0.0/24", cidr.network, "source[0]", value)


@pytest.mark.parametrize("value", ["10.0.0.1/32", "10.0.0", "fd00::1/128", "", "localhost", "10.0.0.01"])
def test_addresses_that_are_refused(value):
    refused("to_address", value, "is not an IP address", "without prefix length", cidr.address, "to_address", value)


def test_zones_are_refused():
    refused("via", "fe80::1%eth0", "has a zone", "leave out", cidr.address, "via", "fe80::1%eth0")
    refused("source", "fe80::%eth0/64", "has a zone", "leave out", cidr.network, "source", "fe80::%eth0/64")


def test_a_gateway_of_the_other_family_is_refused():
    refused(
        "gateway",
        "fd00::1",
        "is an IPv6 address where an IPv4 address is needed",
        "gateway6",
        cidr.address_of,
        "gateway",
        "fd00::1",
        4,
    )
    refused(
        "gateway6",
        "10.0.0.1",
        "is an IPv4 address where an IPv6 address is needed",
        "gateway6",
        cidr.address_of,
        "gateway6",
        "10.0.0.1",
        6,
    )


@given(st.lists(prefixes, max_size=6))
def test_the_order_of_networks_and_repetitions_do_not_matter(values):
    found = cidr.networks("source", values)
    assert cidr.networks("source", [*reversed(values), *values]) == found
    assert len(set(found)) == len(found)
    assert [item.version for item in found] == sorted(item.version for item in found)


def test_networks_sort_by_number_and_family():
    assert [
        str(item) for item in cidr.networks("source", ["fd00::/64", "10.0.0.0/24", "9.0.0.0/8", "10.0.0.9/24"])
    ] == ["9.0.0.0/8", "10.0.0.0/24", "fd00::/64"]
    assert cidr.networks("source", None) == ()


def test_an_error_in_a_list_names_its_place():
    refused("source[1]", "x", "is not a network", "CIDR", cidr.networks, "source", ["10.0.0.0/8", "x"])


def test_address_ranges():
    one, two = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.9")
    assert cidr.address_range("to_address", "192.0.2.1") == (one, one)
    assert cidr.address_range("to_address", "192.0.2.1 - 192.0.2.9") == (one, two)
    refused(
        "to_address",
        "192.0.2.9-192.0.2.1",
        "is a reversed range",
        "write it as 192.0.2.1-192.0.2.9",
        cidr.address_range,
        "to_address",
        "192.0.2.9-192.0.2.1",
    )
    refused(
        "to_address",
        "192.0.2.1-fd00::1",
        "mixes IPv4 and IPv6",
        "one family",
        cidr.address_range,
        "to_address",
        "192.0.2.1-fd00::1",
    )


def test_mac_addresses():
    assert cidr.mac("mac", None) is None
    assert cidr.mac("mac", "02-AA-bb-00-00-01") == "02:aa:bb:00:00:01"
    for value in ("02:00:00:00:00", "02:00:00:00:00:zz", "0200.0000.0001", "02:00:00:00:00:01\n"):
        refused("mac", value, "is not a MAC address", "02:00:00:00:00:01", cidr.mac, "mac", value)
    for value in ("01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"):
        refused("mac", value, "is not a unicast MAC address", "begins with 02", cidr.mac, "mac", value)


@given(st.binary(min_size=6, max_size=6))
def test_reading_a_mac_address_twice_changes_nothing(raw):
    try:
        found = cidr.mac("mac", raw.hex("-").upper())
    except cidr.InvalidOption:
        assert raw[0] & 1 or not any(raw)
        return
    assert found == raw.hex(":") == cidr.mac("mac", found)
