# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rtnetlink's dumps are taken apart into; messages are built here by struct, as linux/rtnetlink.h says."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from hypothesis import given
from hypothesis import strategies as st


def attribute(kind, payload):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def number(value):
    return struct.pack("=I", value)


def message(kind, body, flags=0, sequence=7):
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def parsed(body, kind=0, flags=0):
    return wire.Message(kind, flags, 7, body)


def link_body(index, flags, *attributes):
    return struct.pack("=BxHiII", 0, 1, index, flags, 0) + b"".join(attributes)


def route_body(family, length, table, kind, *attributes, protocol=4, flags=0, scope=0):
    return struct.pack("=BBBBBBBBI", family, length, 0, 0, table, protocol, scope, kind, flags) + b"".join(attributes)


def packed(text):
    return ipaddress.ip_address(text).packed


def test_messages_are_split_at_their_lengths():
    data = message(16, b"abc") + b"\0" + message(3, b"", wire.NLM_F_DUMP_INTR, 8)
    assert list(wire.messages(data)) == [wire.Message(16, 0, 7, b"abc"), wire.Message(3, wire.NLM_F_DUMP_INTR, 8, b"")]


def test_a_link():
    info = attribute(1, b"veth\0") + attribute(2, attribute(1, b""))
    body = link_body(
        5,
        0x41,
        attribute(3, b"app0\0"),
        attribute(1, bytes.fromhex("02aabbccddee")),
        attribute(4, number(1400)),
        attribute(5, number(2)),
        attribute(10, number(9)),
        attribute(18 | 0x8000, info),
        attribute(20, b"note\0"),
        attribute(37, struct.pack("=i", 3)),
    )
    assert wire.link(parsed(body)) == wire.Link(
        5, "app0", "veth", True, 1400, "02:aa:bb:cc:dd:ee", 9, "note", 2, 3, True
    )


def test_a_link_of_little_words():
    assert wire.link(parsed(link_body(1, 0, attribute(3, b"lo\0")))) == wire.Link(
        1, "lo", "", False, 0, "", 0, "", 0, None, False
    )


def test_addresses():
    body = (
        struct.pack("=BBBBI", socket.AF_INET, 30, 0x80, 0, 5)
        + attribute(1, packed("10.0.0.1"))
        + attribute(2, packed("10.0.0.1"))
    )
    assert wire.address(parsed(body)) == wire.Address(5, ipaddress.ip_interface("10.0.0.1/30"), wire.IFA_F_PERMANENT, 0)
    body = (
        struct.pack("=BBBBI", socket.AF_INET6, 64, 0x80, 253, 5)
        + attribute(1, packed("fe80::1"))
        + attribute(8, number(0x280))
    )
    assert wire.address(parsed(body)) == wire.Address(5, ipaddress.ip_interface("fe80::1/64"), 0x280, 253)


def test_the_local_address_of_a_point_to_point_link_counts():
    body = (
        struct.pack("=BBBBI", socket.AF_INET, 32, 0x80, 0, 5)
        + attribute(1, packed("10.0.0.2"))
        + attribute(2, packed("10.0.0.1"))
    )
    assert wire.address(parsed(body)).address == ipaddress.ip_interface("10.0.0.1/32")


def test_routes():
    body = route_body(
        socket.AF_INET,
        24,
        254,
        wire.RTN_UNICAST,
        attribute(1, packed("10.8.0.0")),
        attribute(15, number(254)),
        attribute(5, packed("10.0.0.1")),
        attribute(4, number(3)),
        attribute(6, number(50)),
        attribute(7, packed("10.0.0.2")),
        protocol=196,
        flags=wire.RTNH_F_ONLINK,
    )
    assert list(wire.routes(parsed(body))) == [
        wire.Route(
            ipaddress.ip_network("10.8.0.0/24"),
            254,
            50,
            wire.RTN_UNICAST,
            ipaddress.ip_address("10.0.0.1"),
            3,
            ipaddress.ip_address("10.0.0.2"),
            True,
            196,
        )
    ]


def test_default_routes_of_both_families_and_big_tables():
    for family, text in ((socket.AF_INET, "0.0.0.0/0"), (socket.AF_INET6, "::/0")):
        (route,) = wire.routes(
            parsed(route_body(family, 0, 252, wire.RTN_UNICAST, attribute(15, number(70000)), attribute(4, number(2))))
        )
        assert (str(route.network), route.table, route.metric, route.via, route.index) == (text, 70000, 0, None, 2)


def test_a_route_that_goes_nowhere_has_no_interface():
    body = route_body(
        socket.AF_INET6,
        64,
        254,
        wire.RTN_BLACKHOLE,
        attribute(1, packed("fd08::")),
        attribute(4, number(1)),
        attribute(6, number(1024)),
    )
    (route,) = wire.routes(parsed(body))
    assert (route.type, route.index, route.metric) == (wire.RTN_BLACKHOLE, 0, 1024)


def test_a_route_with_several_next_hops_is_several_routes():
    hops = b"".join(
        struct.pack("=HBBi", 8 + len(payload), 0, 0, index) + payload
        for index, payload in ((3, attribute(5, packed("10.0.0.1"))), (4, attribute(5, packed("10.0.0.5"))))
    )
    routes = list(wire.routes(parsed(route_body(socket.AF_INET, 0, 254, wire.RTN_UNICAST, attribute(9, hops)))))
    assert [(str(route.via), route.index) for route in routes] == [("10.0.0.1", 3), ("10.0.0.5", 4)]


@pytest.mark.parametrize(
    ("table", "kind", "protocol", "flags"),
    [
        (255, wire.RTN_UNICAST, 4, 0),
        (254, wire.RTN_UNICAST, wire.RTPROT_KERNEL, 0),
        (254, wire.RTN_UNICAST, wire.RTPROT_REDIRECT, 0),
        (254, 2, 4, 0),
        (254, 5, 4, 0),
        (254, wire.RTN_UNICAST, 4, 0x200),
    ],
)
def test_routes_of_the_kernels_own_are_left_out(table, kind, protocol, flags):
    body = route_body(socket.AF_INET, 0, table, kind, attribute(4, number(2)), protocol=protocol, flags=flags)
    assert list(wire.routes(parsed(body))) == []


def test_routes_by_router_advertisement_are_shown():
    body = route_body(
        socket.AF_INET6,
        0,
        254,
        wire.RTN_UNICAST,
        attribute(5, packed("fe80::1")),
        attribute(4, number(2)),
        protocol=wire.RTPROT_RA,
    )
    assert [route.protocol for route in wire.routes(parsed(body))] == [wire.RTPROT_RA]


def rule_body(family, to_length, from_length, table, action, *attributes, flags=0, tos=0):
    return struct.pack("=BBBBBxxBI", family, to_length, from_length, tos, table, action, flags) + b"".join(attributes)


def test_a_rule():
    body = rule_body(
        socket.AF_INET,
        16,
        32,
        252,
        wire.FR_ACT_TO_TBL,
        attribute(6, number(1000)),
        attribute(2, packed("10.0.0.2")),
        attribute(1, packed("10.8.0.0")),
        attribute(3, b"eth0\0"),
        attribute(17, b"eth1\0"),
        attribute(10, number(1)),
        attribute(16, number(255)),
        attribute(15, number(70000)),
        attribute(14, struct.pack("=i", -1)),
        attribute(21, b"\xc4"),
        flags=wire.FIB_RULE_INVERT,
    )
    assert wire.rule(parsed(body)) == wire.Rule(
        4,
        1000,
        wire.FR_ACT_TO_TBL,
        70000,
        inverted=True,
        source=ipaddress.ip_network("10.0.0.2/32"),
        destination=ipaddress.ip_network("10.8.0.0/16"),
        iif="eth0",
        oif="eth1",
        mark=(1, 255),
        protocol=196,
    )


def test_a_rule_of_little_words():
    body = rule_body(socket.AF_INET6, 0, 0, 254, wire.FR_ACT_TO_TBL, attribute(6, number(32766)))
    assert wire.rule(parsed(body)) == wire.Rule(6, 32766, wire.FR_ACT_TO_TBL, 254)


def test_a_mark_of_zero_is_shown_by_its_mask_alone():
    body = rule_body(socket.AF_INET, 0, 0, 254, wire.FR_ACT_TO_TBL, attribute(16, number(0xF0)))
    assert wire.rule(parsed(body)).mark == (0, 0xF0)


def test_a_rule_with_what_only_others_ask_for():
    body = rule_body(
        socket.AF_INET,
        0,
        0,
        0,
        wire.FR_ACT_GOTO,
        attribute(4, number(9)),
        attribute(14, struct.pack("=i", 0)),
        attribute(19, b"\1"),
        attribute(20, struct.pack("=II", 5, 6)),
        attribute(22, b"\x06"),
        attribute(23, struct.pack("=HH", 1, 2)),
        attribute(24, struct.pack("=HH", 80, 81)),
        tos=4,
    )
    assert wire.rule(parsed(body)) == wire.Rule(
        4,
        0,
        wire.FR_ACT_GOTO,
        goto=9,
        tos=4,
        ip_protocol=6,
        source_ports=(1, 2),
        destination_ports=(80, 81),
        uids=(5, 6),
        l3mdev=True,
        suppress_prefix=0,
    )


def test_errors_with_and_without_the_kernels_words():
    plain = struct.pack("=i", -17) + message(24, b"request")
    assert wire.error(parsed(plain)) == (17, "")
    assert wire.error(parsed(struct.pack("=i", 0) + bytes(16), flags=0x100)) == (0, "")
    words = attribute(1, b"Nexthop has invalid gateway\0")
    assert wire.error(parsed(struct.pack("=i", -101) + bytes(16) + words, flags=0x300)) == (
        101,
        "Nexthop has invalid gateway",
    )
    request = message(24, bytes(9))
    assert wire.error(parsed(struct.pack("=i", -101) + request + bytes(-len(request) % 4) + words, flags=0x200)) == (
        101,
        "Nexthop has invalid gateway",
    )


def test_netnsids():
    assert wire.netnsid(parsed(bytes(4) + attribute(1, struct.pack("=i", 5)))) == 5
    assert wire.netnsid(parsed(bytes(4) + attribute(1, struct.pack("=i", -1)))) is None
    assert wire.netnsid(parsed(bytes(4))) is None
    assert struct.unpack("=BxxxHHI", wire.netnsid_query(6)) == (0, 8, 3, 6)


def test_the_last_of_repeated_attributes_counts():
    assert wire.attributes(b"head" + attribute(1, b"a") + attribute(0x8001, b"b"), 4) == {1: b"b"}


numbers = st.integers(0, 2**32 - 1)
names = st.text("abcxyz0189.-_", min_size=1, max_size=15)


@given(
    st.integers(1, 2**31 - 1),
    names,
    st.sampled_from(("", "veth", "bridge", "dummy")),
    st.booleans(),
    numbers,
    st.binary(min_size=6, max_size=6),
    numbers,
    st.text("abc: -", max_size=20),
    numbers,
    st.none() | st.integers(0, 2**31 - 1),
    st.booleans(),
)
def test_any_link_is_read_as_it_was_written(index, name, kind, up, mtu, mac, master, alias, peer, netnsid, running):
    body = link_body(
        index,
        up | running << 6,
        attribute(3, name.encode() + b"\0"),
        attribute(1, mac),
        attribute(4, number(mtu)),
        attribute(5, number(peer)),
        attribute(10, number(master)),
        attribute(18, attribute(1, kind.encode() + b"\0")),
        attribute(20, alias.encode() + b"\0"),
        *([] if netnsid is None else [attribute(37, struct.pack("=i", netnsid))]),
    )
    assert wire.link(parsed(body)) == wire.Link(
        index, name, kind, up, mtu, mac.hex(":"), master, alias, peer, netnsid, running
    )


@given(st.ip_addresses(), st.data(), numbers, numbers.filter(bool), numbers)
def test_any_route_is_read_as_it_was_written(address, data, index, table, metric):
    if table == 255:
        return
    network = ipaddress.ip_network((address, data.draw(st.integers(0, address.max_prefixlen))), strict=False)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = route_body(
        family,
        network.prefixlen,
        table if table < 256 else 252,
        wire.RTN_UNICAST,
        *([attribute(1, network.network_address.packed)] if network.prefixlen else []),
        attribute(15, number(table)),
        attribute(4, number(index)),
        attribute(6, number(metric)),
        attribute(5, address.packed),
    )
    assert list(wire.routes(parsed(body))) == [
        wire.Route(network, table, metric, wire.RTN_UNICAST, address, index, None, False, 4)
    ]
