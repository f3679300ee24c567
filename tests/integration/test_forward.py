# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module netns_forward: a port of the host reaches a daemon in a namespace, which sees who is asking.

An operator gets exactly the ports declared, for whom they are declared, over IPv4 and IPv6, TCP, UDP and SCTP; from
outside, from the host itself and from the namespace behind; and no packet that was on its way elsewhere is hijacked.
"""

from __future__ import annotations

import time

import pytest
from harness import (
    CLIENT4,
    CLIENT6,
    MGMT4,
    MGMT6,
    MGMT_HOST4,
    MGMT_HOST6,
    SERVER4,
    SERVER6,
    STRANGER4,
    STRANGER6,
    UPLINK4,
    UPLINK6,
    NoAnswer,
)

V4, V6 = "IPv4", "IPv6"
UPLINK = {V4: UPLINK4, V6: UPLINK6}
CLIENT = {V4: CLIENT4, V6: CLIENT6}
STRANGER = {V4: STRANGER4, V6: STRANGER6}
MGMT_HOST = {V4: MGMT_HOST4, V6: MGMT_HOST6}
MGMT = {V4: MGMT4, V6: MGMT6}
SERVER = {V4: SERVER4, V6: SERVER6}

both_families = pytest.mark.parametrize("family", [V4, V6])
both_protocols = pytest.mark.parametrize("proto", ["tcp", "udp"])


def address_of(app, family):
    return app.address4 if family == V4 else app.address6


def forward(app, family, **options):
    """The options of a forward to the namespace."""
    return dict({"name": "web", "port": "10105", "to_address": address_of(app, family)}, **options)


def remove(routed, name="web"):
    routed.host.module("netns_forward", name=name, state="absent")


# --- the classic ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family, proto",
    [
        pytest.param(V4, "tcp", marks=pytest.mark.smoke),
        (V4, "udp"),
        (V6, "tcp"),
        pytest.param(V6, "udp", marks=pytest.mark.smoke),
    ],
)
def test_a_daemon_behind_sees_the_client(routed, family, proto):
    host, app = routed.host, routed.app
    before = host.snapshot()
    app.serve(10105, proto=proto)
    assert not routed.internet.reaches(UPLINK[family], 10105, proto, source=CLIENT[family])

    done = host.apply("netns_forward", **forward(app, family, protocol=[proto]))
    assert "10105" in done.told
    assert address_of(app, family) in done.told
    answer = routed.internet.ask(UPLINK[family], 10105, proto, source=CLIENT[family])
    assert (answer.label, answer.seen, answer.port) == ("app", CLIENT[family], 10105)
    # Its neighbours' ports stay closed.
    assert not routed.internet.reaches(UPLINK[family], 10106, proto, source=CLIENT[family])

    host.apply("netns_forward", name="web", state="absent")
    host.assert_same(before, "absent left something behind")
    assert not routed.internet.reaches(UPLINK[family], 10105, proto, source=CLIENT[family])


@both_families
def test_a_port_is_open_only_for_its_protocol(routed, family):
    app = routed.app
    app.serve(10105, proto="tcp")
    app.serve(10105, proto="udp")
    routed.host.module("netns_forward", **forward(app, family))
    assert routed.internet.ask(UPLINK[family], 10105, "tcp").label == "app"
    assert not routed.internet.reaches(UPLINK[family], 10105, "udp")

    routed.host.module("netns_forward", **forward(app, family, protocol=["tcp", "udp"]))
    assert routed.internet.ask(UPLINK[family], 10105, "tcp").label == "app"
    assert routed.internet.ask(UPLINK[family], 10105, "udp").label == "app"
    remove(routed)


@both_families
def test_another_port_inside(routed, family):
    app = routed.app
    app.serve(80)
    routed.host.module("netns_forward", **forward(app, family, to_port="80"))
    answer = routed.internet.ask(UPLINK[family], 10105, source=CLIENT[family])
    assert (answer.port, answer.seen) == (80, CLIENT[family])
    assert not routed.internet.reaches(UPLINK[family], 80)
    remove(routed)


@pytest.mark.parametrize("family", [V4, V6])
def test_sctp_has_its_rules(routed, family):
    """Few kernels have SCTP sockets, so the rules have to do; the wire is tested with TCP and UDP."""
    before = routed.host.snapshot()
    done = routed.host.apply("netns_forward", **forward(routed.app, family, protocol=["sctp"]))
    assert "sctp" in done.told
    assert "sctp" in "\n".join(routed.host.snapshot()["host nft"])
    routed.host.apply("netns_forward", name="web", state="absent")
    routed.host.assert_same(before)


# --- ranges -----------------------------------------------------------------------------------------------------------


@both_families
@both_protocols
def test_a_range_keeps_its_ports(routed, family, proto):
    app = routed.app
    app.serve(*range(8000, 8004), proto=proto)
    routed.host.apply("netns_forward", **forward(app, family, port="8000-8002", protocol=[proto]))
    for port in (8000, 8001, 8002):
        assert routed.internet.ask(UPLINK[family], port, proto, source=CLIENT[family]).port == port
    assert not routed.internet.reaches(UPLINK[family], 8003, proto)
    remove(routed)


@both_families
@both_protocols
def test_a_shifted_range_maps_one_to_one_or_is_refused(routed, family, proto):
    """nft by itself would choose any port of the range: worse than an error."""
    app = routed.app
    app.serve(*range(9000, 9004), proto=proto)
    options = forward(app, family, port="8000-8003", to_port="9000-9003", protocol=[proto])
    result = routed.host.module("netns_forward", check=True, **options, fails=None)
    if result.get("failed"):
        for word in ("to_port", "9000-9003"):
            assert word in result.msg
        return
    routed.host.module("netns_forward", **options)
    # More than once: a port chosen by chance would be right now and then.
    for port in (8003, 8000, 8002, 8001, 8003, 8000):
        assert routed.internet.ask(UPLINK[family], port, proto, source=CLIENT[family]).port == port + 1000
    remove(routed)


# --- which address, which interface, who ------------------------------------------------------------------------------


@both_families
def test_only_at_the_addresses_listed(routed, family):
    host, app = routed.host, routed.app
    host.ip("""
        address add 198.51.100.11/24 dev eth0
        address add 198.51.100.12/24 dev eth0
        address add 2001:db8:100::11/64 dev eth0 nodad
        address add 2001:db8:100::12/64 dev eth0 nodad
    """)
    app.serve(10105)
    one, two = {V4: ("198.51.100.11", "198.51.100.12"), V6: ("2001:db8:100::11", "2001:db8:100::12")}[family]

    host.apply("netns_forward", **forward(app, family, listen_address=[one, two]))
    for listed in (one, two):
        assert routed.internet.ask(listed, 10105, source=CLIENT[family]).seen == CLIENT[family]
    assert not routed.internet.reaches(UPLINK[family], 10105)

    host.apply("netns_forward", **forward(app, family, listen_address=[two]))
    assert not routed.internet.reaches(one, 10105)
    assert routed.internet.ask(two, 10105).label == "app"


@both_families
def test_one_port_on_several_addresses_goes_several_ways(routed, family):
    """Each is removed on its own."""
    host, app = routed.host, routed.app
    other = {V4: "198.51.100.11", V6: "2001:db8:100::11"}[family]
    host.sh("ip address add %s dev eth0 %s" % ((other + "/24", "") if family == V4 else (other + "/64", "nodad")))
    app.serve(81)
    app.serve(82)
    host.module("netns_forward", **forward(app, family, name="one", listen_address=[UPLINK[family]], to_port="81"))
    host.module("netns_forward", **forward(app, family, name="two", listen_address=[other], to_port="82"))
    assert routed.internet.ask(UPLINK[family], 10105).port == 81
    assert routed.internet.ask(other, 10105).port == 82
    host.module("netns_forward", name="one", state="absent")
    assert not routed.internet.reaches(UPLINK[family], 10105)
    assert routed.internet.ask(other, 10105).port == 82


@both_families
def test_only_at_the_interfaces_listed(routed, family):
    host, app = routed.host, routed.app
    app.serve(10105)
    host.module("netns_forward", **forward(app, family, in_interface=["eth0"]))
    assert routed.internet.ask(UPLINK[family], 10105, source=CLIENT[family]).seen == CLIENT[family]
    assert not routed.mgmt.reaches(MGMT_HOST[family], 10105)
    assert not routed.mgmt.reaches(UPLINK[family], 10105)

    host.module("netns_forward", **forward(app, family, in_interface=["eth0", "eth1"]))
    assert routed.internet.ask(UPLINK[family], 10105).label == "app"
    assert routed.mgmt.ask(MGMT_HOST[family], 10105).seen == MGMT[family]
    # Both sides may come in, and neither gets through to the other.
    assert not routed.internet.reaches(MGMT[family], 7)
    assert not routed.mgmt.reaches(SERVER[family], 7)

    host.module("netns_forward", **forward(app, family, in_interface=["eth1"]))
    assert not routed.internet.reaches(UPLINK[family], 10105)
    assert routed.mgmt.ask(MGMT_HOST[family], 10105).seen == MGMT[family]
    remove(routed)


@both_families
@both_protocols
def test_only_for_the_sources_listed(routed, family, proto):
    host, app = routed.host, routed.app
    app.serve(10105, proto=proto)
    allowed = {V4: ["203.0.113.8/31"], V6: ["2001:db8:203::8/125"]}[family]
    host.apply("netns_forward", **forward(app, family, sources=allowed, protocol=[proto]))
    assert routed.internet.ask(UPLINK[family], 10105, proto, source=CLIENT[family]).seen == CLIENT[family]
    assert not routed.internet.reaches(UPLINK[family], 10105, proto, source=STRANGER[family])
    remove(routed)


# --- hairpin ----------------------------------------------------------------------------------------------------------


@both_families
@both_protocols
def test_it_works_from_the_host_itself_and_from_the_namespace_behind(routed, family, proto):
    host, app = routed.host, routed.app
    app.serve(10105, proto=proto)
    host.module("netns_forward", **forward(app, family, protocol=[proto]))
    assert host.ask(UPLINK[family], 10105, proto).label == "app"
    assert host.ask(MGMT_HOST[family], 10105, proto).label == "app"
    assert app.ns.ask(UPLINK[family], 10105, proto).label == "app"
    # The rest of the world goes on seeing who asks.
    assert routed.internet.ask(UPLINK[family], 10105, proto, source=CLIENT[family]).seen == CLIENT[family]
    remove(routed)


@both_protocols
def test_it_works_at_localhost(routed, proto):
    host, app = routed.host, routed.app
    before = host.snapshot()
    app.serve(10105, proto=proto)
    host.module("netns_forward", **forward(app, V4, protocol=[proto]))
    assert host.ask("127.0.0.1", 10105, proto).label == "app"
    remove(routed)
    host.assert_same(before, "absent left something behind")


@both_families
def test_without_hairpin_it_works_only_from_outside(routed, family):
    host, app = routed.host, routed.app
    app.serve(10105)
    host.module("netns_forward", **forward(app, family, hairpin=False))
    assert routed.internet.ask(UPLINK[family], 10105, source=CLIENT[family]).seen == CLIENT[family]
    assert not host.reaches(UPLINK[family], 10105)
    assert not app.ns.reaches(UPLINK[family], 10105)
    remove(routed)


@both_families
def test_one_address_comes_before_every_address(routed, family):
    """Of two forwards of one port, that for the address itself wins, whichever was there first."""
    host, app = routed.host, routed.app
    app.serve(81, 82)
    special = forward(app, family, name="special", to_port="82", listen_address=[UPLINK[family]])
    general = forward(app, family, name="general", to_port="81")
    for order in ((general, special), (special, general)):
        for options in order:
            host.module("netns_forward", **options)
        assert routed.internet.ask(UPLINK[family], 10105).port == 82
        assert host.ask(MGMT_HOST[family], 10105).port == 81
        for options in order:
            remove(routed, options["name"])


@both_protocols
def test_a_forward_at_localhost_is_for_the_host_itself(routed, proto):
    """For whom 127.0.0.1 is the only address to listen at: nobody else gets there, not even by asking for 127.0.0.1."""
    host, app = routed.host, routed.app
    app.serve(10105, proto=proto)
    host.module("netns_forward", **forward(app, V4, protocol=[proto], listen_address=["127.0.0.1"]))
    assert host.ask("127.0.0.1", 10105, proto).label == "app"
    assert not routed.internet.reaches(UPLINK4, 10105, proto)
    pretend_that_localhost_is(routed.internet, UPLINK4, SERVER4)
    assert not routed.internet.reaches("127.0.0.1", 10105, proto, source=SERVER4)


def pretend_that_localhost_is(stack, gateway, source):
    """Packets to 127.0.0.1 go out on the wire: whoever sits next to the host can send that."""
    stack.sh(
        """
        echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
        ip address del 127.0.0.1/8 dev lo
        ip route replace 127.0.0.0/8 via %s src %s
    """
        % (gateway, source)
    )


def test_nothing_on_localhost_becomes_reachable_from_outside(routed):
    host, app = routed.host, routed.app
    host.module("netns_forward", **forward(app, V4, protocol=["tcp", "udp"]))
    private = host.serve("127.0.0.1", 5432, proto="udp")
    assert host.ask("127.0.0.1", 5432, "udp").label == "host"
    private.seen.clear()
    pretend_that_localhost_is(app.ns, app.gateway4, app.address4)
    pretend_that_localhost_is(routed.internet, UPLINK4, SERVER4)
    assert not app.ns.reaches("127.0.0.1", 5432, "udp", source=app.address4)
    assert not routed.internet.reaches("127.0.0.1", 5432, "udp", source=SERVER4)
    assert private.seen == []
    # Not even the forward itself, which local processes reach there.
    app.serve(10105)
    assert not routed.internet.reaches("127.0.0.1", 10105, source=SERVER4)


# --- what is not for us -----------------------------------------------------------------------------------------------


@both_families
@both_protocols
def test_traffic_on_its_way_elsewhere_is_not_hijacked(routed, family, proto):
    """The host is a router already; connections through it to the same port number are none of our business."""
    host, app = routed.host, routed.app
    host.sysctl("net/ipv4/ip_forward", 1)
    host.sysctl("net/ipv6/conf/all/forwarding", 1)
    routed.internet.serve(SERVER[family], 10105, proto=proto)
    app.serve(10105, proto=proto)
    host.module("netns_nat", **app.nat())
    host.apply("netns_forward", **forward(app, family, protocol=[proto]))
    assert routed.internet.ask(UPLINK[family], 10105, proto).label == "app"
    assert routed.mgmt.ask(SERVER[family], 10105, proto).label == "internet"
    assert app.ns.ask(SERVER[family], 10105, proto).label == "internet"
    assert host.ask(SERVER[family], 10105, proto).label == "internet"


@both_families
def test_the_hosts_own_daemons_keep_their_ports(routed, family):
    host, app = routed.host, routed.app
    host.serve(UPLINK[family], 22)
    app.serve(10105)
    host.module("netns_forward", **forward(app, family))
    assert routed.internet.ask(UPLINK[family], 22).label == "host"
    assert routed.internet.ask(UPLINK[family], 10105).label == "app"
    remove(routed)


@both_families
def test_the_namespaces_address_stays_closed_even_at_the_published_port(routed, family):
    host, app = routed.host, routed.app
    app.serve(10105)
    app.serve(80)
    host.module("netns_forward", **forward(app, family))
    assert routed.internet.ask(UPLINK[family], 10105).label == "app"
    for port in (10105, 80):
        assert not routed.internet.reaches(address_of(app, family), port)
        assert not routed.mgmt.reaches(address_of(app, family), port)
    remove(routed)


@both_families
def test_a_forward_alone_lets_nothing_out(routed, family):
    """In and back, that is all: the namespace cannot start a connection of its own."""
    app = routed.app
    app.serve(10105)
    routed.host.module("netns_forward", **forward(app, family))
    assert routed.internet.ask(UPLINK[family], 10105).label == "app"
    server = routed.internet.serve(SERVER[family], 7005, proto="udp")
    assert not app.ns.reaches(SERVER[family], 7005, "udp")
    assert server.seen == []
    remove(routed)


# --- clashes ----------------------------------------------------------------------------------------------------------


def test_a_port_taken_by_another_forward_is_refused(routed):
    host, app = routed.host, routed.app
    host.module("netns_forward", **forward(app, V4))
    host.refuses("netns_forward", "10105", "web", **forward(app, V4, name="second"))
    host.refuses("netns_forward", "10100-10110", "web", **forward(app, V4, name="second", port="10100-10110"))
    # Another protocol, another port, another family: no clash.
    for number, free in enumerate(
        (forward(app, V4, protocol=["udp"]), forward(app, V4, port="10106"), forward(app, V6))
    ):
        free["name"] = "free-%d" % number
        assert host.module("netns_forward", check=True, **free).changed
    remove(routed)


# --- changes and drift while traffic flows ----------------------------------------------------------------------------


@both_families
def test_a_connection_lives_through_changes_and_repairs_elsewhere(routed, family):
    host, app = routed.host, routed.app
    app.serve(10105)
    app.serve(10106)
    host.module("netns_forward", **forward(app, family))
    host.module("netns_forward", **forward(app, family, name="other", port="10106"))
    talk = routed.internet.connect(UPLINK[family], 10105, source=CLIENT[family])
    local = host.connect(UPLINK[family], 10105)

    host.module("netns_forward", **forward(app, family, name="other", port="10107", to_port="10106"))
    assert talk.echo()
    assert routed.internet.ask(UPLINK[family], 10107).port == 10106

    before = host.snapshot()
    off = "cd /proc/sys/net/%s/conf/%s; for key in *forwarding; do echo 0 > $key || :; done"
    host.sh(off % (family.lower(), app.link))
    host.repair("netns_forward", **forward(app, family))
    host.assert_same(before)
    assert talk.echo()

    host.module("netns_forward", name="other", state="absent")
    assert talk.echo()
    assert local.echo()
    host.unchanged("netns_forward", **forward(app, family))
    remove(routed)


@pytest.mark.parametrize(
    "damage",
    [
        "nft list tables | sed 's/^table/delete table/' | nft -f -",
        "nft list tables | sed 's/^table/flush table/' | nft -f -",
    ],
)
def test_a_flushed_table_is_repaired(routed, damage):
    host, app = routed.host, routed.app
    app.serve(10105)
    host.module("netns_forward", **forward(app, V4))
    before = host.snapshot()
    host.sh(damage)
    assert not routed.internet.reaches(UPLINK4, 10105)
    done = host.repair("netns_forward", **forward(app, V4))
    assert "10105" in done.told or "web" in done.told
    host.assert_same(before, "not as it was before the drift")
    assert routed.internet.ask(UPLINK4, 10105, source=CLIENT4).seen == CLIENT4
    host.unchanged("netns_forward", **forward(app, V4))
    remove(routed)


def test_a_single_rule_or_element_removed_is_repaired(routed):
    """Every rule and every map element in our tables, one after the other."""
    host, app = routed.host, routed.app
    app.serve(10105)
    host.module("netns_forward", **forward(app, V4))
    before = host.snapshot()
    handles = host.sh(r"""
        nft -a list ruleset | awk '
            $1 == "table" { table = $2 " " $3 }
            $1 == "chain" { chain = $2 }
            $1 ~ /^(table|chain|map|set)$/ { next }
            / # handle / { print table, chain, "handle", $NF }
        '
    """).splitlines()
    assert len(handles) > 3
    # The first, one of the middle and the last: each costs two runs.
    for rule in {handles[0], handles[len(handles) // 2], handles[-1]}:
        host.sh("nft delete rule " + rule)
        host.repair("netns_forward", **forward(app, V4))
        host.assert_same(before, "not as it was before the drift")
    assert routed.internet.ask(UPLINK4, 10105, source=CLIENT4).seen == CLIENT4
    remove(routed)


def test_a_rule_slipped_into_our_table_is_removed(routed):
    host, app = routed.host, routed.app
    host.module("netns_forward", **forward(app, V4))
    before = host.snapshot()
    host.sh(r"""
        nft list ruleset | awk '$1 == "table" { table = $2 " " $3 } $1 == "chain" { print table, $2; exit }' |
        while read -r family table chain; do nft add rule $family $table $chain tcp dport 9 accept; done
    """)
    assert host.snapshot() != before
    host.repair("netns_forward", **forward(app, V4))
    host.assert_same(before)
    remove(routed)


def test_somebody_elses_rules_are_left_alone(routed):
    host, app = routed.host, routed.app
    host.sh("""
        nft add table inet admin
        nft add chain inet admin input '{ type filter hook input priority 0; policy accept; }'
        nft add rule inet admin input tcp dport 9 drop
    """)
    before = host.snapshot()
    host.apply("netns_forward", **forward(app, V4))
    assert "tcp dport 9 drop" in "\n".join(host.snapshot()["host nft"])
    host.apply("netns_forward", name="web", state="absent")
    host.assert_same(before, "absent left something behind")


@both_families
def test_a_changed_forward_takes_its_udp_flows_along(routed, family):
    """A UDP flow that goes on for ever would keep its old way for ever."""
    host, app = routed.host, routed.app
    app.serve(5353, 5354, proto="udp")
    host.module("netns_forward", **forward(app, family, port="53", to_port="5353", protocol=["udp"]))
    flow = routed.internet.flow(UPLINK[family], 53, source=CLIENT[family])
    assert flow.ask().port == 5353
    host.module("netns_forward", **forward(app, family, port="53", to_port="5354", protocol=["udp"]))
    assert flow.ask().port == 5354
    remove(routed)
    with pytest.raises(NoAnswer):
        flow.ask(timeout=0.6)


@both_families
def test_an_untouched_udp_flow_is_not_cut(routed, family):
    host, app = routed.host, routed.app
    app.serve(5353, 5354, proto="udp")
    host.module("netns_forward", **forward(app, family, port="5353", protocol=["udp"]))
    flow = routed.internet.flow(UPLINK[family], 5353, source=CLIENT[family])
    first = flow.ask()
    host.module("netns_forward", **forward(app, family, name="other", port="53", to_port="5354", protocol=["udp"]))
    host.module("netns_forward", name="other", state="absent")
    assert flow.ask() == first
    remove(routed)


def test_a_flow_that_was_there_before_the_forward_finds_it(routed):
    """A client that keeps trying holds a conntrack entry that knows of no forward."""
    host, app = routed.host, routed.app
    app.serve(5353, proto="udp")
    # Connection tracking is on: something else needs it.
    host.module("netns_forward", **forward(app, V4, name="other", port="9999"))
    host.serve(UPLINK4, 53, proto="udp", label="host")
    flow = routed.internet.flow(UPLINK4, 53, source=CLIENT4)
    assert flow.ask().label == "host"
    time.sleep(0.1)
    host.module("netns_forward", **forward(app, V4, port="53", to_port="5353", protocol=["udp"]))
    assert flow.ask().label == "app"
    remove(routed)
    remove(routed, "other")


# --- inside a namespace -----------------------------------------------------------------------------------------------


def test_a_namespace_as_the_router(world):
    """internet --- host --- gw --- app: a port of the host is one of gw's, and that one is app's."""
    host = world.host
    for name in ("gw", "app"):
        host.module("netns", name=name)
    host.module(
        "veth",
        name="veth-gw",
        addresses=["10.200.1.1/24"],
        peer={"name": "up", "netns": "gw", "addresses": ["10.200.1.2/24"], "gateway": "10.200.1.1"},
    )
    host.module(
        "veth",
        name="down",
        netns="gw",
        addresses=["10.201.0.1/24"],
        peer={"name": "eth0", "netns": "app", "addresses": ["10.201.0.2/24"], "gateway": "10.201.0.1"},
    )
    host.module("netns_forward", name="outer", port="10105", to_address="10.200.1.2")
    host.ns("app").serve("10.201.0.2", 80)
    before = host.snapshot()
    host.apply("netns_forward", name="inner", netns="gw", port="10105", to_address="10.201.0.2", to_port="80")
    assert world.internet.ask(UPLINK4, 10105, source=CLIENT4).seen == CLIENT4
    assert host.ns("gw").ask("10.200.1.2", 10105).label == "app"
    host.apply("netns_forward", name="inner", netns="gw", state="absent")
    host.assert_same(before, "absent left something behind")
