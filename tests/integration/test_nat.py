# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module netns_nat: a namespace reaches out through the host, under the host's name.

An operator gets outbound NAT for just the networks named, forwarding on just the interfaces that need it, and a host
that has not become a router for anything else.
"""

from __future__ import annotations

import pytest
from harness import CLIENT4, CLIENT6, MGMT4, MGMT6, SERVER4, SERVER6, SERVER_PORT, UPLINK4, UPLINK6, Behind, NoAnswer

# Everything that turns the whole host into a router.
GLOBAL_SWITCHES = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/default/forwarding",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/forwarding",
)


def forwards_at(host, ifname):
    """Whether a host forwards what comes in at an interface: (IPv4, IPv6)."""
    v6 = [
        host.run("cat", "/proc/sys/net/ipv6/conf/%s/%s" % (ifname, key), check=False).stdout.strip()
        for key in ("forwarding", "force_forwarding")
    ]
    return host.sysctl("net/ipv4/conf/%s/forwarding" % ifname) == "1", "1" in v6


def modern(host):
    """Whether the kernel can forward IPv6 per interface (Linux 6.17)."""
    return host.exists("/proc/sys/net/ipv6/conf/all/force_forwarding")


@pytest.mark.parametrize("proto", [pytest.param("tcp", marks=pytest.mark.smoke), "udp"])
def test_the_internet_sees_the_host(routed, proto):
    host, app = routed.host, routed.app
    before = host.snapshot()
    assert not app.ns.reaches(SERVER4, SERVER_PORT, proto)

    done = host.apply("netns_nat", **app.nat())
    assert app.net4 in done.told
    assert app.net6 in done.told
    assert app.ns.ask(SERVER4, SERVER_PORT, proto).seen == UPLINK4
    assert app.ns.ask(SERVER6, SERVER_PORT, proto).seen == UPLINK6

    host.apply("netns_nat", name="out", state="absent")
    host.assert_same(before, "absent left something behind")
    assert not app.ns.reaches(SERVER4, SERVER_PORT, proto)
    assert not app.ns.reaches(SERVER6, SERVER_PORT, proto)


def test_forwarding_is_on_only_where_it_is_needed(routed):
    host, app = routed.host, routed.app
    switches = {name: host.sysctl(name) for name in GLOBAL_SWITCHES}
    host.module("netns_nat", **app.nat())
    assert forwards_at(host, "eth0") == (True, True)
    assert forwards_at(host, app.link) == (True, True)
    if modern(host):
        assert {name: host.sysctl(name) for name in GLOBAL_SWITCHES} == switches
        assert forwards_at(host, "eth1") == (False, False)
    assert host.sysctl("net/ipv4/ip_forward") == "0"
    assert not forwards_at(host, "eth1")[0]
    host.module("netns_nat", name="out", state="absent")


def test_nothing_else_gets_through(routed):
    """Neither from outside to the namespace, nor between the host's other interfaces."""
    host, app = routed.host, routed.app
    host.module("netns_nat", **app.nat())
    app.serve(8080)
    for address, mgmt, server in ((app.address4, MGMT4, SERVER4), (app.address6, MGMT6, SERVER6)):
        assert host.ask(address, 8080).label == "app"
        assert not routed.internet.reaches(address, 8080)
        assert not routed.mgmt.reaches(address, 8080)
        assert not routed.internet.reaches(mgmt, SERVER_PORT)
        assert not routed.mgmt.reaches(server, SERVER_PORT)
    host.module("netns_nat", name="out", state="absent")


def test_only_the_sources_named_are_translated_and_forwarded(routed):
    host, app = routed.host, routed.app
    app.ns.ip("""
        address add 10.200.1.130/32 dev eth0
        address add fd00:200:1::130/128 dev eth0 nodad
    """)
    host.run("ip", "route", "add", "10.200.1.130/32", "dev", app.link)
    host.module("netns_nat", name="out", source=["10.200.1.0/25", "fd00:200:1::2/128"])
    listening = [routed.internet.serve(address, 7001, proto="udp") for address in (SERVER4, SERVER6)]
    assert app.ns.ask(SERVER4, 7001, "udp", source=app.address4).seen == UPLINK4
    assert app.ns.ask(SERVER6, 7001, "udp", source=app.address6).seen == UPLINK6
    assert not app.ns.reaches(SERVER4, 7001, "udp", source="10.200.1.130")
    assert not app.ns.reaches(SERVER6, 7001, "udp", source="fd00:200:1::130")
    assert [set(server.seen) for server in listening] == [{UPLINK4}, {UPLINK6}]


def test_excluded_destinations_see_the_namespaces_own_address(routed):
    """Site-to-site traffic, for instance: it goes out as it is, and its answers come back."""
    host, app = routed.host, routed.app
    host.apply("netns_nat", **app.nat(exclude=["203.0.113.0/24", "2001:db8:203::/64"]))
    for excluded, other, own, uplink in (
        (CLIENT4, SERVER4, app.address4, UPLINK4),
        (CLIENT6, SERVER6, app.address6, UPLINK6),
    ):
        routed.internet.serve(excluded, 7002)
        assert app.ns.ask(excluded, 7002).seen == own
        assert app.ns.ask(other, SERVER_PORT).seen == uplink
    host.module("netns_nat", name="out", state="absent")


def test_a_fixed_address(routed):
    host, app = routed.host, routed.app
    host.ip("""
        address add 198.51.100.77/24 dev eth0
        address add 2001:db8:100::77/64 dev eth0 nodad
    """)
    host.apply("netns_nat", name="out4", source=[app.net4], to_address="198.51.100.77")
    host.apply("netns_nat", name="out6", source=[app.net6], to_address="2001:db8:100::77")
    assert app.ns.ask(SERVER4, SERVER_PORT).seen == "198.51.100.77"
    assert app.ns.ask(SERVER6, SERVER_PORT).seen == "2001:db8:100::77"
    # The host itself goes on as before.
    assert host.ask(SERVER4, SERVER_PORT).seen == UPLINK4

    # Back to masquerade: new connections at once.
    done = host.apply("netns_nat", name="out4", source=[app.net4])
    assert "198.51.100.77" in done.before
    assert app.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4


def test_a_range_of_addresses(routed):
    host, app = routed.host, routed.app
    host.ip("""
        address add 198.51.100.77/24 dev eth0
        address add 198.51.100.78/24 dev eth0
    """)
    host.apply("netns_nat", name="out", source=[app.net4], to_address="198.51.100.77-198.51.100.78")
    seen = {app.ns.ask(SERVER4, SERVER_PORT).seen for _ in range(3)}
    assert seen <= {"198.51.100.77", "198.51.100.78"}


def test_only_through_the_interfaces_named(routed):
    host, app = routed.host, routed.app
    listening = [routed.mgmt.serve(address, 7003, proto="udp") for address in (MGMT4, MGMT6)]

    host.apply("netns_nat", **app.nat(out_interface=["eth0"]))
    for server, mgmt in ((SERVER4, MGMT4), (SERVER6, MGMT6)):
        assert app.ns.ask(server, SERVER_PORT).label == "internet"
        assert not app.ns.reaches(mgmt, 7003, "udp")
    assert [server.seen for server in listening] == [[], []], "packets got out at the wrong side"
    assert not forwards_at(host, "eth1")[0]

    host.apply("netns_nat", **app.nat(out_interface=["eth0", "eth1"]))
    for server, mgmt in ((SERVER4, MGMT4), (SERVER6, MGMT6)):
        assert app.ns.ask(server, SERVER_PORT).label == "internet"
        assert app.ns.ask(mgmt, SERVER_PORT).label == "mgmt"
        # Both are forwarding interfaces now, and still nothing passes between them.
        assert not routed.internet.reaches(mgmt, SERVER_PORT)
        assert not routed.mgmt.reaches(server, SERVER_PORT)

    host.apply("netns_nat", **app.nat(out_interface=["eth1"]))
    for server, mgmt in ((SERVER4, MGMT4), (SERVER6, MGMT6)):
        assert not app.ns.reaches(server, SERVER_PORT)
        assert app.ns.ask(mgmt, SERVER_PORT).label == "mgmt"
    assert not forwards_at(host, "eth0")[0], "forwarding stayed on where it is no longer needed"
    host.module("netns_nat", name="out", state="absent")


def test_without_forward_it_only_translates(routed):
    """For hosts whose forwarding somebody else decides about."""
    host, app = routed.host, routed.app
    before = host.snapshot()
    host.apply("netns_nat", **app.nat(forward=False))
    sysctls = host.snapshot()["host sysctls"]
    assert sysctls == before["host sysctls"]
    assert not app.ns.reaches(SERVER4, SERVER_PORT)

    host.sysctl("net/ipv4/ip_forward", 1)
    host.sysctl("net/ipv6/conf/all/forwarding", 1)
    assert app.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    assert app.ns.ask(SERVER6, SERVER_PORT).seen == UPLINK6


@pytest.mark.parametrize(
    "drift, words",
    [
        ("nft list tables | sed 's/^/delete /' | nft -f -", ["nftables table"]),
        ("echo 0 > /proc/sys/net/ipv4/conf/veth-app/forwarding", ["forwarding"]),
        ("echo 0 > /proc/sys/net/ipv4/conf/eth0/forwarding", ["forwarding"]),
        ("cd /proc/sys/net/ipv6/conf/eth0; for key in *forwarding; do echo 0 > $key || :; done", ["forwarding"]),
    ],
)
def test_drift_is_repaired(routed, drift, words):
    host, app = routed.host, routed.app
    host.module("netns_nat", **app.nat())
    before = host.snapshot()
    host.sh(drift)
    done = host.repair("netns_nat", **app.nat())
    for change in done.changes:
        assert any(word in change["object"] for word in words), "other things were changed too: %s" % done.changes
    host.assert_same(before, "not as it was before the drift")
    assert app.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    assert app.ns.ask(SERVER6, SERVER_PORT).seen == UPLINK6
    host.module("netns_nat", name="out", state="absent")


def test_two_entries_go_their_own_ways(routed):
    host, app = routed.host, routed.app
    host.module("netns_nat", name="one", source=[app.net4])
    before = host.snapshot()
    host.apply("netns_nat", name="two", source=[app.net6])
    assert app.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    assert app.ns.ask(SERVER6, SERVER_PORT).seen == UPLINK6
    host.apply("netns_nat", name="two", state="absent")
    host.assert_same(before)
    assert app.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    assert not app.ns.reaches(SERVER6, SERVER_PORT)
    host.module("netns_nat", name="one", state="absent")


def test_a_connection_lives_through_a_change_elsewhere(routed):
    host, app = routed.host, routed.app
    host.module("netns_nat", **app.nat())
    talks = [app.ns.connect(server, SERVER_PORT) for server in (SERVER4, SERVER6)]
    host.module("netns_nat", name="another", source=["10.222.0.0/16"])
    host.module("netns_nat", name="another", state="absent")
    assert all(talk.echo() for talk in talks)
    host.module("netns_nat", name="out", state="absent")


def test_a_namespace_as_the_router(world):
    """NAT inside a namespace: client --- gw --- host --- internet; the host's own stack has no part in gw's rules."""
    host = world.host
    host.module("netns", name="gw")
    host.module("netns", name="client")
    host.module(
        "veth",
        name="veth-gw",
        addresses=["10.200.1.1/24", "fd00:200:1::1/64"],
        peer={
            "name": "up",
            "netns": "gw",
            "addresses": ["10.200.1.2/24", "fd00:200:1::2/64"],
            "gateway": "10.200.1.1",
            "gateway6": "fd00:200:1::1",
        },
    )
    host.module(
        "veth",
        name="down",
        netns="gw",
        addresses=["10.201.0.1/24", "fd00:201::1/64"],
        peer={
            "name": "eth0",
            "netns": "client",
            "addresses": ["10.201.0.2/24", "fd00:201::2/64"],
            "gateway": "10.201.0.1",
            "gateway6": "fd00:201::1",
        },
    )
    host.module("netns_nat", name="host", source=["10.200.1.0/24", "fd00:200:1::/64"])
    before = host.snapshot()
    client = host.ns("client")
    assert not client.reaches(SERVER4, SERVER_PORT)

    host.apply("netns_nat", name="inner", netns="gw", source=["10.201.0.0/24", "fd00:201::/64"])
    assert host.snapshot()["host nft"] == before["host nft"]
    assert client.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    assert client.ask(SERVER6, SERVER_PORT).seen == UPLINK6
    host.serve("10.200.1.1", 7004)
    assert client.ask("10.200.1.1", 7004).seen == "10.200.1.2", "what the host sees is gw"

    host.apply("netns_nat", name="inner", netns="gw", state="absent")
    host.assert_same(before, "absent left something behind")


# --- flows that are tracked -------------------------------------------------------------------------------------------


def test_a_changed_nat_takes_its_udp_flows_along_within_a_packet(routed):
    """And only its own: another namespace's and a forward's go on."""
    host, app = routed.host, routed.app
    other = Behind(host, "other", 2).build()
    host.ip("address add 192.0.2.77/32 dev eth0")
    routed.internet.serve(SERVER4, 7003, proto="udp")
    host.module("netns_nat", **app.nat())
    host.module("netns_nat", **other.nat("other"))
    host.module("netns_forward", name="web", port="10105", to_address=app.address4)
    app.serve(10105)
    flow, others = app.ns.flow(SERVER4, 7003), other.ns.flow(SERVER4, 7003)
    inward = routed.internet.connect(UPLINK4, 10105, source=CLIENT4)
    assert flow.ask().seen == UPLINK4
    unmoved = others.ask()
    assert inward.echo()

    host.module("netns_nat", name="out", source=[app.net4], to_address="192.0.2.77")
    assert flow.ask().seen == "192.0.2.77"
    host.module("netns_nat", name="out", state="absent")
    with pytest.raises(NoAnswer):
        flow.ask(timeout=0.6)
    host.module("netns_nat", **app.nat())
    assert flow.ask().seen == UPLINK4
    assert others.ask() == unmoved
    assert inward.echo()
    for name in ("out", "other"):
        host.module("netns_nat", name=name, state="absent")
    host.module("netns_forward", name="web", state="absent")


def test_a_connection_lives_while_another_nat_says_the_same(routed):
    """Renamed, narrowed to what is used, moved into a topology: nothing differs for who is connected."""
    host, app = routed.host, routed.app
    host.module("netns_nat", **app.nat())
    out = app.ns.connect(SERVER4, SERVER_PORT)
    assert out.echo()
    host.module("netns_nat", **app.nat("renamed"))
    host.module("netns_nat", name="out", state="absent")
    host.module("netns_nat", name="renamed", source=[app.address4, app.address6])
    assert out.echo()
    host.module("netns_nat", name="renamed", state="absent")
