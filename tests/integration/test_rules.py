# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy routing: rules of a veth's ends.

An operator gives each of many interfaces a routing table and the rules that lead there, all in one task; traffic leaves
by the interface that its address belongs to. A rule that was lost comes back alone, and nobody else's is touched.
"""

from __future__ import annotations

import json

import pytest
from harness import NoAnswer

#: An address that every upstream has: who answers tells which way the question went.
ANYCAST = "192.0.2.1"
PORT = 7
MANY = 24
#: What a namespace with several interfaces in one subnet needs: see docs/policy_routing.md.
ONE_SUBNET = {
    "net.ipv4.conf.all.rp_filter": 2,
    "net.ipv4.conf.all.arp_ignore": 1,
    "net.ipv4.conf.all.arp_announce": 2,
}


@pytest.fixture
def app(host):
    host.module("netns", name="app")
    return host.ns("app")


#: `ip rule flush` takes the kernel's own rules along, without which nothing works.
FLUSH = """
ip -n %(netns)s rule flush
ip -n %(netns)s rule add lookup main priority 32766 protocol kernel
ip -n %(netns)s rule add lookup default priority 32767 protocol kernel
"""

RULES = [
    {"priority": 100, "from": "10.200.1.2", "table": "101"},
    {"priority": 101, "from": "fd00:200:1::2", "to": "fd00:99::/48", "table": "101"},
    {"priority": 200, "iif": "eth0", "fwmark": "0x1/0xff", "table": "70000"},
    {"priority": 201, "oif": "gone0", "not": True, "action": "prohibit"},
    {"priority": 202, "to": "0.0.0.0/0", "fwmark": "0/0xf0"},
]
PAIR = {
    "name": "veth-app",
    "addresses": ["10.200.1.1/24", "fd00:200:1::1/64"],
    "rules": [{"priority": 300, "iif": "veth-app", "table": "default"}],
    "peer": {
        "name": "eth0",
        "netns": "app",
        "addresses": ["10.200.1.2/24", "fd00:200:1::2/64"],
        "routes": [{"to": "default", "via": "10.200.1.1", "table": "101"}],
        "rules": RULES,
    },
}


def with_rules(*rules):
    return dict(PAIR, peer=dict(PAIR["peer"], rules=list(rules)))


def shown(stack, family="-4"):
    """Rules of ours as `ip rule` shows them."""
    lines = stack.run("ip", family, "rule", "show").splitlines()
    return [line.replace(" proto 196", "").replace("\t", " ") for line in lines if "proto 196" in line]


@pytest.mark.smoke
def test_rules_come_and_go(host, app):
    before = host.snapshot()
    done = host.apply("veth", **PAIR)
    assert shown(app) == [
        "100: from 10.200.1.2 lookup 101",
        "200: from all fwmark 0x1/0xff iif eth0 lookup 70000",
        "201: not from all oif gone0 [detached] prohibit",
        "202: from all fwmark 0/0xf0 lookup main",
    ]
    assert shown(app, "-6") == [
        "101: from fd00:200:1::2 to fd00:99::/48 lookup 101",
        "200: from all fwmark 0x1/0xff iif eth0 lookup 70000",
        "201: not from all oif gone0 [detached] prohibit",
    ]
    assert shown(host) == ["300: from all iif veth-app lookup default"]
    added = [change for change in done.changes if change["kind"] == "rule"]
    assert len(added) == 9
    assert added[0]["object"] == "rule 300 (IPv6) on the host"
    assert "+rule 100 in app: from 10.200.1.2/32 lookup 101" in done.diff_lines
    kinds = [change["kind"] for change in done.changes if "in app" in change["object"]]
    assert kinds.index("rule") > kinds.index("route")

    host.apply("veth", name="veth-app", state="absent")
    host.assert_same(before, "absent left something behind")


@pytest.mark.parametrize("action", ["prohibit", "blackhole", "unreachable"])
def test_routes_come_back_behind_a_rule_that_stops_everything(host, app, action):
    """The kernel would not find their next hops, and a kill switch must not be taken away for them."""
    routes = [
        {"to": to, "via": via, "table": table}
        for to, via in (("203.0.113.0/24", "10.200.1.1"), ("2001:db8:f::/48", "fd00:200:1::1"))
        for table in ("main", "77")
    ]
    kill_switch = {"priority": 100, "fwmark": "0/0xff", "action": action}
    options = dict(PAIR, peer=dict(PAIR["peer"], routes=routes, rules=[kill_switch]))
    host.apply("veth", **options)
    good = host.snapshot()
    for family in ("-4", "-6"):
        for table in ("main", "77"):
            app.run("ip", family, "route", "flush", "table", table, "protocol", "196")
    done = host.repair("veth", **options)
    assert [(change["action"], change["kind"]) for change in done.changes] == 4 * [("create", "route")]
    host.assert_same(good)


@pytest.mark.parametrize("netns", ["app", ""])
def test_rules_survive_their_link_and_go_all_the_same(host, app, netns):
    """A pair that ends with a namespace leaves rules on the host, which nothing but us takes away."""
    host.module("netns", name="app", state="absent")
    before = host.snapshot()
    host.module("netns", name="app")
    host.module("veth", **PAIR)
    if not netns:
        host.run("ip", "link", "delete", "veth-app")
    host.module("netns", name="app", state="absent")
    assert not shown(host)
    host.assert_same(before, "absent left something behind")


def test_a_list_given_is_the_whole_list_and_one_left_out_stays(host, app):
    host.module("veth", **PAIR)
    app.run("ip", "rule", "add", "from", "10.9.9.9", "lookup", "9", "priority", "900")
    theirs = host.snapshot()
    without = dict(PAIR, peer={key: value for key, value in PAIR["peer"].items() if key != "rules"})
    host.unchanged("veth", **without)
    done = host.apply("veth", **with_rules(RULES[0]))
    assert {change["action"] for change in done.changes} == {"delete"}
    assert len(done.changes) == 6
    assert shown(app) == ["100: from 10.200.1.2 lookup 101"]
    assert len(shown(host)) == 1, "the other end's list was left as it is"
    host.apply("veth", **PAIR)
    host.assert_same(theirs)
    host.apply("veth", **with_rules())
    assert not shown(app)
    assert "9.9.9" in app.run("ip", "rule")


def test_a_rule_changes_in_place(host, app):
    host.module("veth", **PAIR)
    done = host.apply("veth", **with_rules(dict(RULES[0], table="102"), *RULES[1:]))
    assert [(change["action"], change["before"], change["after"]) for change in done.changes] == [
        ("update", "from 10.200.1.2/32 lookup 101", "from 10.200.1.2/32 lookup 102")
    ]


@pytest.mark.parametrize(
    "drift, words",
    [
        ("ip -n app rule del priority 100", ["rule 100 in app"]),
        ("ip -n app -6 rule del priority 101", ["rule 101 (IPv6) in app"]),
        ("ip -n app -6 rule del priority 201", ["rule 201 (IPv6) in app"]),
        (FLUSH % {"netns": "app"}, ["rule 100 in app", "rule 200 in app", "rule 201 in app", "rule 202 in app"]),
        ("ip rule del priority 300", ["rule 300 on the host"]),
        (
            "ip -n app rule del priority 100; ip -n app rule add from 10.200.1.7 lookup 9 priority 100 protocol 196",
            ["rule 100 in app"],
        ),
        ("ip -n app rule add from 10.200.1.7 lookup 9 priority 100 protocol 196", ["rule 100 in app"]),
    ],
)
def test_drift_of_a_rule_is_repaired_alone(host, app, drift, words):
    host.module("veth", **PAIR)
    before = host.snapshot()
    host.sh(drift)
    done = host.repair("veth", **PAIR)
    assert sorted({change["object"] for change in done.changes}) == words
    host.assert_same(before, "not as it was before the drift")
    host.unchanged("veth", **PAIR)


def test_rules_of_others(host, app):
    app.run("ip", "rule", "add", "from", "10.200.1.2", "lookup", "101", "priority", "100")
    before = host.snapshot()
    done = host.apply("veth", **PAIR)
    assert "rule 100 in app" not in done.told, "an identical one is as good"
    host.apply("veth", name="veth-app", state="absent")
    host.assert_same(before, "and is left alone")
    app.run("ip", "rule", "add", "from", "10.200.1.9", "lookup", "9", "priority", "200")
    host.refuses("veth", "rule 200 in app", "from 10.200.1.9/32 lookup 9", "another priority", **PAIR)


def test_rules_of_another_owner(host, app):
    host.module("veth", **PAIR)
    other = {"name": "two", "peer": {"name": "eth1", "netns": "app", "rules": [dict(RULES[0], table="9")]}}
    host.refuses("veth", "rule 100 in app", "veth-app", "another priority", **other)
    shared = dict(other, peer=dict(other["peer"], rules=RULES[:1]))
    host.apply("veth", **shared)
    host.apply("veth", name="two", state="absent")
    assert shown(app)[0] == "100: from 10.200.1.2 lookup 101"
    host.unchanged("veth", **PAIR)


@pytest.mark.parametrize(
    "rule, words",
    [
        ({"priority": 0}, ["peer.rules[0].priority", "1 to 32765"]),
        ({"priority": 1, "from": "10.0.0.300"}, ["peer.rules[0].from", "CIDR"]),
        ({"priority": 1, "from": "10.0.0.1", "to": "fd00::/64"}, ["peer.rules[0].to", "one family"]),
        ({"priority": 1, "table": "mine"}, ["peer.rules[0].table", "routing table"]),
        ({"priority": 1, "fwmark": "x"}, ["peer.rules[0].fwmark", "0x1/0xff"]),
    ],
)
def test_rules_that_are_refused(host, app, rule, words):
    host.refuses("veth", *words, **with_rules(rule))


def test_info_shows_rules(host, app):
    host.module("veth", **PAIR)
    info = host.module("netns_info", names=["app"])
    (found,) = info["namespaces"]
    ours = [rule for rule in found["rules"] if rule["protocol"] == "linuxnet.netns"]
    assert [rule["priority"] for rule in ours] == [100, 200, 201, 202, 101, 200, 201]
    assert (ours[0]["from"], ours[0]["to"], ours[0]["table"], ours[0]["action"]) == (
        "10.200.1.2/32",
        "0.0.0.0/0",
        "101",
        "lookup",
    )
    assert (ours[1]["iif"], ours[1]["fwmark"], ours[1]["table"]) == ("eth0", "0x1/0xff", "70000")
    assert (ours[2]["not"], ours[2]["oif"], ours[2]["action"], ours[2]["table"]) == (True, "gone0", "prohibit", None)
    assert ours[3]["fwmark"] == "0x0/0xf0"
    assert [rule["protocol"] for rule in found["rules"] if rule["priority"] in (0, 32766)] == ["kernel"] * 4
    assert [(rule["priority"], rule["family"]) for rule in info["host"]["rules"]] == [(300, "ipv4"), (300, "ipv6")]


# --- on the wire ------------------------------------------------------------------------------------------------------


def upstream(host, name):
    """A namespace's stack that answers at ANYCAST."""
    stack = host.ns(name)
    stack.run("ip", "address", "add", ANYCAST + "/32", "dev", "lo")
    stack.serve(ANYCAST, PORT, label=name)
    return stack


def test_an_incoming_interface_decides(host):
    """Two ways out: what `hub` itself sends goes by `left`, what comes in from `client` by `right`."""
    pairs = []
    for number, (name, gateway, rules) in enumerate(
        [
            ("left", "10.60.0.2", []),
            ("right", None, []),
            ("client", None, [{"priority": 1000, "iif": "to-client", "table": "200"}]),
        ]
    ):
        net = "10.60.%d." % number
        routes = [{"to": "default", "via": "10.60.1.2", "table": "200"}] if name == "right" else []
        end = {"name": "to-" + name, "netns": "hub", "addresses": [net + "1/24"], "routes": routes, "rules": rules}
        peer = {"name": "eth0", "netns": name, "addresses": [net + "2/24"], "gateway": net + "1"}
        pairs.append(dict(end, **({"gateway": gateway} if gateway else {}), peer=peer))
    options = {
        "namespaces": [
            {"name": "hub", "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.rp_filter": 2}},
            *({"name": name} for name in ("left", "right", "client")),
        ],
        "veths": pairs,
    }
    before = host.snapshot()
    host.apply("netns_topology", **options)
    for name in ("left", "right"):
        upstream(host, name)
    assert host.ns("hub").ask(ANYCAST, PORT).label == "left"
    answer = host.ns("client").ask(ANYCAST, PORT)
    assert (answer.label, answer.seen) == ("right", "10.60.2.2")
    host.release()
    for name in ("left", "right"):
        host.ns(name).run("ip", "address", "del", ANYCAST + "/32", "dev", "lo")
    host.apply("netns_topology", state="absent")
    host.assert_same(before, "absent left something behind")


@pytest.mark.parametrize("rp_filter", [1, 2])
def test_several_links_on_one_segment(host, rp_filter):
    """Each address answers for itself only: the neighbour learns the MAC address of the very link."""
    host.module("netns", name="lan")
    host.sh(
        "ip -n lan link add br0 type bridge; ip -n lan link set br0 up; ip -n lan address add 10.50.0.254/24 dev br0"
    )
    options = {
        "namespaces": [{"name": "hub", "sysctls": dict(ONE_SUBNET, **{"net.ipv4.conf.all.rp_filter": rp_filter})}],
        "veths": [
            {
                "name": "e%d" % number,
                "netns": "hub",
                "addresses": ["10.50.0.%d/24" % number],
                "routes": [
                    {"to": "10.50.0.0/24", "table": str(number)},
                    {"to": "default", "via": "10.50.0.254", "table": str(number)},
                ],
                "rules": [{"priority": 1000 + number, "from": "10.50.0.%d" % number, "table": str(number)}],
                "peer": {"name": "p%d" % number, "netns": "lan", "bridge": "br0"},
            }
            for number in (1, 2, 3)
        ],
    }
    host.apply("netns_topology", **options)
    lan, stack = upstream(host, "lan"), host.ns("hub")
    stack.serve("0.0.0.0", 80)
    for number in (3, 2, 1):
        address = "10.50.0.%d" % number
        assert lan.ask(address, 80).label == "hub", "asked from outside"
        assert stack.ask(ANYCAST, PORT, source=address).seen == address
        (link,) = json.loads(stack.run("ip", "-j", "link", "show", "e%d" % number))
        assert link["address"] in lan.run("ip", "neighbour", "show", address)


def hub(count=MANY):
    """One namespace with *count* ends in one subnet, each with a table of its own, and as many namespaces behind."""
    numbers = range(1, count + 1)
    return {
        "namespaces": [
            {
                "name": "hub",
                "sysctls": ONE_SUBNET,
            },
            *({"name": "p%02d" % number} for number in numbers),
        ],
        "veths": [
            {
                "name": "e%02d" % number,
                "netns": "hub",
                "addresses": ["10.50.0.%d/24" % number],
                "routes": [
                    {"to": "10.50.0.0/24", "table": str(100 + number)},
                    {"to": "default", "via": "10.50.0.%d" % (100 + number), "table": str(100 + number)},
                ],
                "rules": [
                    {"priority": 1000 + number, "from": "10.50.0.%d" % number, "table": str(100 + number)},
                    {"priority": 2000 + number, "iif": "e%02d" % number, "table": str(100 + number)},
                ],
                "peer": {
                    "name": "eth0",
                    "netns": "p%02d" % number,
                    "addresses": ["10.50.0.%d/24" % (100 + number)],
                },
            }
            for number in numbers
        ],
    }


def each_leaves_by_its_own_link(stack):
    return {number: stack.ask(ANYCAST, PORT, source="10.50.0.%d" % number)[:2] for number in range(1, MANY + 1)} == {
        number: ("p%02d" % number, "10.50.0.%d" % number) for number in range(1, MANY + 1)
    }


@pytest.mark.slow
def test_many_links_into_one_namespace_in_one_subnet(host):
    before = host.snapshot()
    options = hub()
    host.apply("netns_topology", **options)
    stack = host.ns("hub")
    inode = stack.inode
    for number in range(1, MANY + 1):
        upstream(host, "p%02d" % number)
    assert each_leaves_by_its_own_link(stack)
    with pytest.raises(NoAnswer):
        stack.ask(ANYCAST, PORT, timeout=0.4)  # without a source address: the main table knows no way
    for number in (1, 7, MANY):
        way = stack.run("ip", "route", "get", "203.0.113.9", "from", "10.50.0.%d" % number)
        assert "dev e%02d table %d" % (number, 100 + number) in way

    good = host.snapshot()
    host.sh(FLUSH % {"netns": "hub"} + "ip -n hub link delete e05; ip -n hub route delete default table 111")
    done = host.repair("netns_topology", **options)
    rules = [change for change in done.changes if change["kind"] == "rule"]
    assert len(rules) == 2 * MANY
    (pair,) = [change["object"] for change in done.changes if change["kind"] == "veth"]
    assert "e05" in pair
    others = [change["object"] for change in done.changes if change["kind"] not in ("rule", "veth")]
    assert all("e05" in item or "p05" in item or "table 111" in item for item in others), others
    assert stack.inode == inode, "the namespace was made anew"
    host.assert_same(good, "not as it was before the drift")
    host.unchanged("netns_topology", **options)
    assert each_leaves_by_its_own_link(stack)

    host.release()
    for number in range(1, MANY + 1):
        host.ns("p%02d" % number).run("ip", "address", "del", ANYCAST + "/32", "dev", "lo")
    host.apply("netns_topology", state="absent")
    host.assert_same(before, "absent left something behind")
