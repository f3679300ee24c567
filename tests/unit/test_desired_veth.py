# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Veth pairs as they are wanted: addresses, gateways, routes."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.veth import MAIN_TABLE, Route, Veth
from helpers import refused


def veth(**options):
    return Veth.from_options({"name": "app0", "addresses": ["10.0.0.1/30", "fd00::1/64"], **options}, "veths[1].")


def refuse(option, value, reason, remedy, **options):
    refused(f"veths[1].{option}", value, reason, remedy, veth, **options)


def test_defaults():
    found = Veth.from_options({"name": "app0", "peer": {"name": "eth0", "netns": "app"}})
    assert (found.end.netns, found.end.addresses, found.end.routes, found.end.up, found.end.mtu, found.end.mac) == (
        "",
        None,
        None,
        True,
        None,
        None,
    )
    assert str(found.peer) == "eth0 in app"
    assert veth().peer is None


def test_the_pair_is_the_same_from_both_ends():
    one = Veth.from_options({"name": "app0", "peer": {"name": "eth0", "netns": "app"}})
    other = Veth.from_options({"name": "eth0", "netns": "app", "peer": {"name": "app0"}})
    assert one.identity == other.identity == ("veth", "", "app0")


@pytest.mark.parametrize(
    ("option", "value", "reason", "remedy", "options"),
    [
        ("name", "x" * 16, "16 bytes, the kernel takes at most 15", "shorten", {"name": "x" * 16}),
        ("name", "a/b", "contains '/'", "letters", {"name": "a/b"}),
        ("netns", "..", "is not a valid namespace name", "plain file name", {"netns": ".."}),
        ("bridge", "a b", "is not a valid interface name", "letters", {"bridge": "a b"}),
        ("addresses[0]", "10.0.0.300/30", "is not an address", "prefix length", {"addresses": ["10.0.0.300/30"]}),
        ("addresses[1]", "10.0.0.1/24", "repeats 10.0.0.1/30", "once", {"addresses": ["10.0.0.1/30", "10.0.0.1/24"]}),
        ("addresses[0]", "127.0.0.2/8", "is a loopback address", "your own networks", {"addresses": ["127.0.0.2/8"]}),
        ("mac", "x", "is not a MAC address", "02:00", {"mac": "x"}),
        ("mtu", 67, "is out of range", "68 to 65535", {"mtu": 67, "addresses": []}),
        ("mtu", 65536, "is out of range", "68 to 65535", {"mtu": 65536}),
        ("mtu", 1279, "is too small for the IPv6", "1280", {"mtu": 1279}),
        (
            "gateway",
            "10.0.1.1",
            "is outside the subnets connected through this end (10.0.0.0/30)",
            "onlink: true",
            {"gateway": "10.0.1.1"},
        ),
        (
            "gateway6",
            "fd01::1",
            "is outside the subnets connected through this end (fd00::/64)",
            "onlink: true",
            {"gateway6": "fd01::1"},
        ),
        (
            "gateway6",
            "fd01::1",
            "(no IPv6 network)",
            "onlink: true",
            {"gateway6": "fd01::1", "addresses": ["10.0.0.1/30"]},
        ),
        ("gateway", "10.0.0.1", "is this end's own address", "other side", {"gateway": "10.0.0.1"}),
        ("gateway", "fd00::2", "is an IPv6 address where an IPv4", "gateway6", {"gateway": "fd00::2"}),
        ("gateway6", "10.0.0.2", "is an IPv4 address where an IPv6", "gateway6", {"gateway6": "10.0.0.2"}),
        ("gateway", "10.0.0.0/30", "is not an IP address", "without prefix", {"gateway": "10.0.0.0/30"}),
        ("up", False, "contradicts routes through this end", "leave the link up", {"up": False, "gateway": "10.0.0.2"}),
        ("routes[0].to", "x", "is not a network", "CIDR", {"routes": [{"to": "x"}]}),
        ("routes[0].to", "default", "has no family", "0.0.0.0/0", {"routes": [{"to": "default"}]}),
        (
            "routes[0].via",
            "10.9.0.1",
            "is outside the subnets",
            "onlink: true",
            {"routes": [{"to": "10.8.0.0/16", "via": "10.9.0.1"}]},
        ),
        (
            "routes[1].via",
            "fd00::2",
            "is IPv6, but to is IPv4",
            "one family",
            {"routes": [{"to": "10.8.0.0/16"}, {"to": "10.9.0.0/16", "via": "fd00::2"}]},
        ),
        (
            "routes[0].source",
            "10.0.0.2",
            "is not an address of this end",
            "one of its addresses",
            {"routes": [{"to": "10.8.0.0/16", "source": "10.0.0.2"}]},
        ),
        (
            "routes[0].source",
            "fd00::1",
            "is IPv6, but to is IPv4",
            "one family",
            {"routes": [{"to": "10.8.0.0/16", "source": "fd00::1"}]},
        ),
        ("routes[0].onlink", True, "there is no via", "add via", {"routes": [{"to": "10.8.0.0/16", "onlink": True}]}),
        (
            "routes[0].type",
            "blackhole",
            "goes nowhere and takes no via",
            "remove",
            {"routes": [{"to": "10.8.0.0/16", "via": "10.0.0.2", "type": "blackhole"}]},
        ),
        ("routes[0].metric", -1, "is out of range", "4294967295", {"routes": [{"to": "10.8.0.0/16", "metric": -1}]}),
        (
            "routes[0].metric",
            2**32,
            "is out of range",
            "4294967295",
            {"routes": [{"to": "10.8.0.0/16", "metric": 2**32}]},
        ),
        (
            "routes[0].table",
            "mine",
            "is not a routing table",
            "main, default or a number",
            {"routes": [{"to": "10.8.0.0/16", "table": "mine"}]},
        ),
        (
            "routes[0].table",
            "0",
            "is not a routing table",
            "main, default or a number",
            {"routes": [{"to": "10.8.0.0/16", "table": "0"}]},
        ),
        (
            "routes",
            "10.8.0.0/16",
            "appears twice in table 254 with metric 0",
            "metric or table",
            {"routes": [{"to": "10.8.0.0/16"}, {"to": "10.8.0.1/16", "via": "10.0.0.2"}]},
        ),
        (
            "routes",
            "0.0.0.0/0",
            "appears twice in table 254 with metric 0",
            "metric or table",
            {"gateway": "10.0.0.2", "routes": [{"to": "default", "via": "10.0.0.2"}]},
        ),
        ("peer.name", "app0", "is the other end too", "another name or netns", {"peer": {"name": "app0"}}),
        ("peer.name", "b:c", "is not a valid interface name", "letters", {"peer": {"name": "b:c"}}),
        (
            "peer.gateway",
            "10.0.0.9",
            "is outside the subnets",
            "onlink: true",
            {"peer": {"name": "b", "addresses": ["10.0.0.2/30"], "gateway": "10.0.0.9"}},
        ),
    ],
)
def test_options_that_are_refused(option, value, reason, remedy, options):
    refuse(option, value, reason, remedy, **options)


def test_a_gateway_is_checked_only_against_addresses_that_are_stated():
    assert veth(addresses=None, gateway="10.9.9.9").end.default_routes[0].via == ipaddress.ip_address("10.9.9.9")
    assert veth(gateway6="fe80::1").end.default_routes[0].via.is_link_local


def test_an_off_subnet_gateway_can_be_on_the_link():
    (route,) = veth(routes=[{"to": "default", "via": "10.9.9.9", "onlink": True}]).end.routes
    assert route == Route(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_address("10.9.9.9"), onlink=True)


def test_metrics_are_those_that_the_kernel_will_show():
    found = veth(
        gateway="10.0.0.2",
        gateway6="fd00::2",
        routes=[
            {"to": "10.8.0.0/16"},
            {"to": "fd08::/64"},
            {"to": "fd09::/64", "metric": 0},
            {"to": "fd0a::/64", "metric": 5},
        ],
    ).end
    assert [route.metric for route in found.all_routes] == [0, 1024, 0, 1024, 1024, 5]
    assert [route.metric for route in found.default_routes] == [0, 1024]


def test_tables_by_name_and_number():
    found = veth(
        routes=[
            {"to": f"10.{number}.0.0/16", "table": table}
            for number, table in enumerate(("main", "default", "100", 101, " 102 "))
        ]
    )
    assert [route.table for route in found.end.routes] == [MAIN_TABLE, 253, 100, 101, 102]


def test_the_kind_of_route_decides_its_family_by_its_destination():
    found = veth(routes=[{"to": "fd08::/64", "type": "unreachable"}, {"to": "default", "source": "fd00::1"}])
    assert [str(route.to) for route in found.end.routes] == ["fd08::/64", "::/0"]
