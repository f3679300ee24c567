# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracked flows: what the kernel says about them, and what it wants to hear to forget one."""

from __future__ import annotations

import ipaddress
import socket
import struct

from ansible_collections.linuxnet.netns.plugins.module_utils.doors import conntrack
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.netlink_messages import Message


def attribute(kind, payload, nested=False):
    return struct.pack("=HH", 4 + len(payload), kind | (0x8000 if nested else 0)) + payload + bytes(-len(payload) % 4)


def direction(kind, source, destination, ports, protocol=socket.IPPROTO_UDP):
    source, destination = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    kinds = (1, 2) if source.version == 4 else (3, 4)
    addresses = attribute(kinds[0], source.packed) + attribute(kinds[1], destination.packed)
    numbers = attribute(1, bytes([protocol])) + b"".join(
        attribute(number, struct.pack(">H", port)) for number, port in zip((2, 3), ports)
    )
    return attribute(kind, attribute(1, addresses, True) + attribute(2, numbers, True), True)


def flow(*attributes):
    return conntrack._flow(Message(0x0100, 0, 1, bytes(4) + b"".join(attributes)))


ORIGINAL = direction(1, "198.51.100.7", "192.0.2.10", (40000, 10105))
REPLY = direction(2, "10.0.0.2", "198.51.100.7", (80, 40000))


def test_a_translated_flow():
    found = flow(
        ORIGINAL,
        REPLY,
        attribute(3, struct.pack(">I", 0x1A0)),
        attribute(12, b"idid"),
        attribute(18, struct.pack(">H", 9)),
    )
    assert found[:9] == (
        4,
        "udp",
        ipaddress.ip_address("198.51.100.7"),
        ipaddress.ip_address("192.0.2.10"),
        10105,
        ipaddress.ip_address("10.0.0.2"),
        80,
        ipaddress.ip_address("198.51.100.7"),
        0x1A0,
    )
    assert found.status & conntrack.IPS_DST_NAT and not found.status & conntrack.IPS_SRC_NAT
    assert found.key == ORIGINAL + attribute(12, b"idid") + attribute(18, struct.pack(">H", 9))


def test_a_flow_of_ipv6():
    found = flow(
        direction(1, "fd00::7", "fd00::1", (1, 2), socket.IPPROTO_TCP),
        direction(2, "fd00::2", "fd00::7", (2, 1), socket.IPPROTO_TCP),
    )
    assert (found.version, found.protocol, found.port, str(found.answers), found.status) == (6, "tcp", 2, "fd00::2", 0)


def test_protocols_without_ports_are_left_out():
    assert (
        flow(
            direction(1, "10.0.0.1", "10.0.0.2", (), socket.IPPROTO_ICMP),
            direction(2, "10.0.0.2", "10.0.0.1", (), socket.IPPROTO_ICMP),
        )
        is None
    )
    assert flow(direction(1, "10.0.0.1", "10.0.0.2", (), socket.IPPROTO_UDP), REPLY) is None
    assert flow(ORIGINAL) is None
    assert flow() is None
