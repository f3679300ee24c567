# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What could cut a host off, told from the plan alone."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_forward import Forward
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.processes import (
    SshConnection,
    parse_ssh_connection,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.lockout import Lifeline, dangers, refusal
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.kernel_object import PRESENT
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_address import LinkAddress
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_neighbour import LinkNeighbour
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_route import LinkRoute
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_setting import LinkSetting
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.policy_rule import PolicyRule
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.sysctl import Sysctl
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.veth_pair import veth_pair
from ansible_collections.linuxnet.netns.plugins.module_utils.plan import Change
from hypothesis import given
from hypothesis import strategies as st

ADDRESS = ipaddress.ip_address
MAIN, OTHER = 254, 100


def route(network, via=None, metric=0, table=MAIN):
    return wire.Route(
        ipaddress.ip_network(network), table, metric, wire.RTN_UNICAST, via and ADDRESS(via), 2, None, False, 3
    )


#: The controller is on the management network, the default route leads elsewhere.
NEAR = Lifeline(
    SshConnection(ADDRESS("172.30.0.1"), 40000, ADDRESS("172.30.0.11"), 22), "mgmt0", route("172.30.0.0/24")
)
#: The controller is somewhere behind the default route.
FAR = Lifeline(
    SshConnection(ADDRESS("203.0.113.9"), 40000, ADDRESS("192.0.2.10"), 22),
    "eth0",
    route("0.0.0.0/0", "192.0.2.1", 100),
)
FAR6 = Lifeline(
    SshConnection(ADDRESS("2001:db8:9::9"), 40000, ADDRESS("2001:db8::10"), 22),
    "eth0",
    route("::/0", "2001:db8::1", 1024),
)
DEFAULTS = [("eth0", route("0.0.0.0/0", "192.0.2.1", 100)), ("eth0", route("::/0", "2001:db8::1", 1024))]


def new(item, value=PRESENT):
    return Change(item, None, value)


def gone(item, value=PRESENT):
    return Change(item, value, None, removal=True)


def way(to, link="app0", metric=0, table=MAIN, netns=""):
    return LinkRoute(netns, link, table, to, metric)


CUTS = [
    (NEAR, new(way("172.30.0.1/32"))),
    (NEAR, new(way("172.30.0.0/24"))),
    (NEAR, new(way("172.30.0.0/25", link=""), "blackhole")),
    (NEAR, Change(way("172.30.0.0/24", "mgmt0"), "unicast", "unicast via 172.30.0.2")),
    (NEAR, gone(LinkAddress("", "mgmt0", "172.30.0.11/24"))),
    (NEAR, gone(LinkAddress("", "mgmt0", "172.30.0.12/24"))),
    (NEAR, new(LinkAddress("", "app0", "172.30.0.200/24"))),
    (NEAR, new(LinkAddress("", "app0", "172.30.0.1/32"))),
    (NEAR, Change(LinkSetting("", "mgmt0", "up"), True, False)),
    (NEAR, Change(LinkSetting("", "mgmt0", "mtu"), 1500, 1400)),
    (NEAR, Change(LinkSetting("", "mgmt0", "bridge"), "", "br0")),
    (NEAR, gone(veth_pair(("", "mgmt0"), ("app", "eth0")))),
    (NEAR, gone(LinkNeighbour("", "mgmt0", "172.30.0.1"), "52:54:00:00:00:01")),
    (NEAR, new(PolicyRule("", 4, 100), "from all lookup 100")),
    (NEAR, new(PolicyRule("", 4, 100), "from all to 172.30.0.0/24 lookup 100")),
    (NEAR, gone(PolicyRule("", 4, 100), "from 172.30.0.11/32 lookup 100")),
    (NEAR, new(PolicyRule("", 4, 100), "not from 10.0.0.0/8 prohibit")),
    (NEAR, new(PolicyRule("", 4, 100), "from all iif lo lookup 100")),
    # the default route, though the connection does not need it
    (NEAR, new(way("0.0.0.0/0", metric=50))),
    (NEAR, new(way("0.0.0.0/0", metric=100))),
    (NEAR, gone(way("0.0.0.0/0", "eth0", metric=100))),
    (NEAR, new(way("::/0", metric=10))),
    (NEAR, Change(LinkSetting("", "eth0", "up"), True, False)),
    (NEAR, gone(LinkAddress("", "eth0", "192.0.2.10/24"))),
    (FAR, new(way("0.0.0.0/0", metric=50))),
    (FAR, new(way("203.0.113.0/24", metric=5000))),
    (FAR, new(way("128.0.0.0/1"))),
    (FAR, new(LinkAddress("", "app0", "203.0.113.1/24"))),
    (FAR, gone(way("0.0.0.0/0", "eth0", metric=100))),
    (FAR6, new(way("2001:db8:9::/64"))),
    (FAR6, gone(LinkAddress("", "eth0", "2001:db8::10/64"))),
    (FAR6, new(PolicyRule("", 6, 100), "from all lookup 100")),
]
HARMLESS = [
    (NEAR, new(way("172.30.0.0/16"))),  # the longer prefix wins
    (NEAR, new(way("172.30.1.0/24"))),
    (NEAR, new(way("172.30.0.0/24", metric=10))),  # and then the smaller metric
    (NEAR, new(way("172.30.0.1/32", table=OTHER))),
    (NEAR, new(way("172.30.0.1/32", netns="app"))),
    (NEAR, new(way("0.0.0.0/0", netns="app"))),
    (NEAR, new(way("0.0.0.0/0", metric=500))),
    (NEAR, new(way("0.0.0.0/0", table=OTHER))),
    (NEAR, new(LinkAddress("", "app0", "172.30.1.1/24"))),
    (NEAR, new(LinkAddress("app", "eth0", "172.30.0.1/24"))),
    (NEAR, new(LinkAddress("", "mgmt0", "172.30.0.99/24"))),
    (NEAR, new(LinkAddress("", "app0", "fd00::1/64"))),
    (NEAR, gone(LinkAddress("", "app0", "10.0.0.1/30"))),
    (NEAR, new(Sysctl("", "net/ipv4/conf/mgmt0/forwarding"), "1")),
    (NEAR, new(LinkSetting("", "app0", "up"), True)),
    (NEAR, Change(LinkSetting("mgmt", "mgmt0", "up"), True, False)),
    (NEAR, new(veth_pair(("", "app0"), ("app", "eth0")))),
    (NEAR, new(PolicyRule("", 4, 100), "from 10.0.0.2/32 lookup 100")),
    (NEAR, new(PolicyRule("", 4, 100), "from all to 10.0.0.0/8 lookup 100")),
    (NEAR, new(PolicyRule("", 4, 100), "from all iif app0 lookup 100")),
    (NEAR, new(PolicyRule("", 4, 100), "from all fwmark 0x5 lookup 100")),
    (NEAR, new(PolicyRule("", 6, 100), "from all lookup 100")),
    (NEAR, new(PolicyRule("app", 4, 100), "from all lookup 100")),
    (FAR, new(way("10.0.0.0/8"))),
    (FAR6, new(way("0.0.0.0/0", metric=5000))),
]


def said(lifeline, *changes, forwards=()):
    return dangers(changes, lifeline, DEFAULTS, forwards)


@pytest.mark.parametrize(("lifeline", "change"), CUTS, ids=lambda value: str(getattr(value, "item", "")) or None)
def test_what_could_cut_the_host_off(lifeline, change):
    (reason,) = said(lifeline, change)
    assert reason.startswith(f"{change.action} {change.item}: ")


@pytest.mark.parametrize(("lifeline", "change"), HARMLESS, ids=lambda value: str(getattr(value, "item", "")) or None)
def test_what_could_not(lifeline, change):
    assert said(lifeline, change) == []


FORWARD = {"name": "ssh", "port": "22", "to_address": "10.0.0.2"}


@pytest.mark.parametrize(
    ("lifeline", "options", "taken"),
    [
        (NEAR, {}, True),
        (NEAR, {"port": "20-30", "to_port": "20-30"}, True),
        (NEAR, {"listen_address": ["172.30.0.11"]}, True),
        (NEAR, {"in_interface": ["mgmt0"]}, True),
        (NEAR, {"sources": ["172.30.0.0/16"]}, True),
        (NEAR, {"port": "2222", "to_port": "22"}, False),
        (NEAR, {"protocol": ["udp"]}, False),
        (NEAR, {"listen_address": ["192.0.2.10"]}, False),
        (NEAR, {"in_interface": ["eth0"]}, False),
        (NEAR, {"sources": ["203.0.113.0/24"]}, False),
        (NEAR, {"to_address": "fd00::2"}, False),
        (NEAR, {"netns": "app"}, False),
        (FAR6, {"to_address": "fd00::2"}, True),
    ],
)
def test_forwards_of_the_ssh_servers_port(lifeline, options, taken):
    found = said(lifeline, forwards=[Forward.from_options({**FORWARD, **options})])
    assert [text.split(":")[0] for text in found] == ["forward ssh"] * taken


def test_there_may_be_no_default_route_to_lose():
    assert dangers([new(way("0.0.0.0/0"))], NEAR, [], ()) == []
    assert dangers([Change(LinkSetting("", "eth0", "up"), True, False)], NEAR, [], ()) == []


networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda drawn: ipaddress.ip_network(drawn, strict=False)
)


@given(networks, st.integers(0, 200), st.sampled_from([NEAR, FAR]))
def test_a_route_is_a_danger_only_if_the_kernel_would_take_it(network, metric, lifeline):
    """Longest prefix, then smallest metric; or it is a default route that comes before the present one."""
    present = lifeline.route
    taken = lifeline.connection.remote in network and (
        (-network.prefixlen, metric) <= (-present.network.prefixlen, present.metric)
    )
    moves_default = not network.prefixlen and metric <= 100
    assert bool(said(lifeline, new(way(str(network), metric=metric)))) == (taken or moves_default)


def test_the_refusal_names_the_reasons_and_the_remedy():
    text = refusal([f"reason {number}" for number in range(5)])
    assert "reason 0; reason 1; reason 2; and 2 more" in text
    assert "confirm_timeout" in text


@pytest.mark.parametrize(
    ("environment", "connection"),
    [
        (
            b"HOME=/root\0SSH_CONNECTION=203.0.113.9 40000 192.0.2.10 22\0",
            SshConnection(ADDRESS("203.0.113.9"), 40000, ADDRESS("192.0.2.10"), 22),
        ),
        (
            b"SSH_CONNECTION=fe80::1%eth0 40000 fe80::2%eth0 2222\0",
            SshConnection(ADDRESS("fe80::1"), 40000, ADDRESS("fe80::2"), 2222),
        ),
        (b"", None),
        (b"SSH_CONNECTION=\0", None),
        (b"SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535\0", None),
        (b"SSH_CONNECTION=\xff\xfe 1 2 3\0", None),
        (b"NOT_SSH_CONNECTION=203.0.113.9 40000 192.0.2.10 22\0", None),
    ],
)
def test_where_the_connection_is_read_from(environment, connection):
    assert parse_ssh_connection(environment) == connection
