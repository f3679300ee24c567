# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NATs and forwards as they are wanted."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_forward import MOST_SHIFTED_PORTS, Forward
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_nat import Nat
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st


def nat(**options):
    return Nat.from_options({"name": "out", "source": ["10.0.0.0/24"], **options}, "nat[0].")


def forward(**options):
    return Forward.from_options({"name": "in", "port": "10105", "to_address": "10.0.0.2", **options}, "forwards[0].")


@pytest.mark.parametrize(
    ("option", "value", "reason", "remedy", "options"),
    [
        ("name", 'a"b', "a quote", "ASCII", {"name": 'a"b'}),
        ("source[0]", "x", "is not a network", "CIDR", {"source": ["x"]}),
        ("exclude[1]", "x", "is not a network", "CIDR", {"exclude": ["10.0.0.0/8", "x"]}),
        (
            "exclude[0]",
            "fd00::/64",
            "is IPv6, but source holds no such network",
            "add a source",
            {"exclude": ["fd00::/64"]},
        ),
        ("out_interface[0]", "a b", "is not a valid interface name", "letters", {"out_interface": ["a b"]}),
        (
            "to_address",
            "fd00::1",
            "is IPv6, but source holds 10.0.0.0/24",
            "one NAT for each family",
            {"to_address": "fd00::1"},
        ),
        (
            "to_address",
            "192.0.2.1",
            "is IPv4, but source holds fd00::/64",
            "one NAT for each family",
            {"to_address": "192.0.2.1", "source": ["10.0.0.0/24", "fd00::/64"]},
        ),
        (
            "to_address",
            "192.0.2.9-192.0.2.1",
            "is a reversed range",
            "192.0.2.1-192.0.2.9",
            {"to_address": "192.0.2.9-192.0.2.1"},
        ),
        ("netns", "a/b", "is not a valid namespace name", "plain file name", {"netns": "a/b"}),
    ],
)
def test_nats_that_are_refused(option, value, reason, remedy, options):
    refused(f"nat[0].{option}", value, reason, remedy, nat, **options)


@pytest.mark.parametrize(
    ("option", "value", "reason", "remedy", "options"),
    [
        ("port", "0", "0 is not between 1 and 65535", "another port", {"port": "0"}),
        ("port", "65536", "65536 is not between 1 and 65535", "another port", {"port": "65536"}),
        ("port", "20-10", "is a reversed range", "'10-20'", {"port": "20-10"}),
        ("to_port", "30-20", "is a reversed range", "'20-30'", {"port": "10-20", "to_port": "30-20"}),
        ("to_port", "80-90", "has 11 ports, but port 10105 has 1", "same length", {"to_port": "80-90"}),
        (
            "to_port",
            "80",
            "has 1 ports, but port 8000-8010 has 11",
            "same length",
            {"port": "8000-8010", "to_port": "80"},
        ),
        (
            "to_port",
            "20001-24097",
            f"more than {MOST_SHIFTED_PORTS} are not supported",
            "split it",
            {"port": "20000-24096", "to_port": "20001-24097"},
        ),
        ("to_address", "10.0.0.2/24", "is not an IP address", "without prefix length", {"to_address": "10.0.0.2/24"}),
        (
            "to_address",
            "127.0.0.1",
            "cannot be reached from another namespace",
            "own address",
            {"to_address": "127.0.0.1"},
        ),
        ("to_address", "::", "cannot be reached from another namespace", "own address", {"to_address": "::"}),
        (
            "to_address",
            "224.0.0.1",
            "cannot be reached from another namespace",
            "own address",
            {"to_address": "224.0.0.1"},
        ),
        (
            "listen_address[0]",
            "fd00::1",
            "is IPv6, but to_address is IPv4 (10.0.0.2)",
            "one forward for each family",
            {"listen_address": ["fd00::1"]},
        ),
        (
            "listen_address[0]",
            "0.0.0.0",
            "is not the address of a host",
            "leave listen_address out",
            {"listen_address": ["0.0.0.0"]},
        ),
        (
            "sources[0]",
            "fd00::/64",
            "is IPv6, but to_address is IPv4 (10.0.0.2)",
            "one forward for each family",
            {"sources": ["fd00::/64"]},
        ),
        ("sources[0]", "x", "is not a network", "CIDR", {"sources": ["x"]}),
        ("in_interface[0]", "*", "is not a valid interface name", "letters", {"in_interface": ["*"]}),
        ("name", "", "1 to 64 bytes", "shorten", {"name": ""}),
    ],
)
def test_forwards_that_are_refused(option, value, reason, remedy, options):
    refused(f"forwards[0].{option}", value, reason, remedy, forward, **options)


@pytest.mark.parametrize(
    "lists",
    [
        {"source": ["10.0.0.0/24", "fd00::/64", "9.0.0.0/8"]},
        {"exclude": ["10.9.0.0/16", "10.8.0.0/16"]},
        {"out_interface": ["eth1", "eth0"]},
    ],
)
def test_the_order_of_a_nats_lists_does_not_matter(lists):
    for option, items in lists.items():
        assert nat(**{option: items}) == nat(**{option: items[::-1] + items[:1]})


@pytest.mark.parametrize(
    "lists",
    [
        {"listen_address": ["192.0.2.1", "127.0.0.1"]},
        {"in_interface": ["eth1", "eth0"]},
        {"sources": ["10.9.0.0/16", "10.8.0.0/16"]},
        {"protocol": ["udp", "tcp"]},
    ],
)
def test_the_order_of_a_forwards_lists_does_not_matter(lists):
    for option, items in lists.items():
        assert forward(**{option: items}) == forward(**{option: items[::-1] + items[:1]})


def test_the_ports_of_a_forward():
    assert str(forward().to_port) == "10105"
    assert str(forward(port="8000-8010").to_port) == "8000-8010"
    assert str(forward(to_port="80").to_port) == "80"
    assert forward(port=10105) == forward(port="10105")
    assert forward(port="20000-24095", to_port="20001-24096").to_port.count == MOST_SHIFTED_PORTS


def test_families():
    assert nat(source=["10.0.0.0/24", "fd00::/64"]).versions == (4, 6)
    assert forward(to_address="fd00::2").version == 6
    assert nat(to_address="192.0.2.1-192.0.2.4").to_address[1].packed[-1] == 4


same = st.fixed_dictionaries(
    {},
    optional={
        "port": st.sampled_from(("80", "80-90", "85", "91")),
        "protocol": st.sampled_from((["tcp"], ["udp"], ["tcp", "udp"])),
        "listen_address": st.sampled_from(([], ["192.0.2.1"], ["192.0.2.2"], ["192.0.2.1", "192.0.2.2"])),
        "in_interface": st.sampled_from(([], ["eth0"], ["eth1"])),
        "sources": st.sampled_from(([], ["198.51.100.0/24"], ["198.51.0.0/16"], ["203.0.113.0/24"])),
        "to_address": st.sampled_from(("10.0.0.2", "fd00::2")),
        "netns": st.sampled_from((None, "app")),
    },
)


def four(options):
    """Without the lists of the other family, where the target is IPv6."""
    if options.get("to_address") == "fd00::2":
        options = {key: value for key, value in options.items() if key not in ("listen_address", "sources")}
    return forward(**options)


@given(same, same)
def test_competing_is_mutual_and_narrower_conditions_do_not_compete(one, other):
    left, right = four(one), four(other)
    assert left.competes_with(right) == right.competes_with(left)
    assert left.competes_with(left)
    if left.competes_with(right):
        assert left.specificity == right.specificity and left.netns == right.netns and left.version == right.version
