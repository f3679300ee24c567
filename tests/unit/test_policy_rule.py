# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policy routing rules: as options, as objects with a value, and on a kernel in memory."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.policy_rule import Rule, rules
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import State
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.veth import Veth
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.netlink import ROUTE_PROTOCOL
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import Clash
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.policy_rule import (
    is_ours,
    policy_rule,
    rule_value,
    wire_rule,
)
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st
from model_system import Netlink, converge, topology, uplinked
from test_engine import fails, items, single

V4, V6 = ipaddress.ip_interface("10.0.0.2/30"), ipaddress.ip_interface("fd00::2/64")


def built(*options, addresses=(V4, V6)):
    return rules("rules", [{"priority": 100 + number, **item} for number, item in enumerate(options)], addresses)


def values(*options, **more):
    return [policy_rule("app", rule)[1] for rule in built(*options, **more)]


# -- options --


def test_left_out_is_not_the_same_as_empty():
    assert rules("rules", None, ()) is None
    assert rules("rules", [], ()) == ()
    assert Veth.from_options({"name": "a"}).end.rules is None


@pytest.mark.parametrize(
    ("options", "addresses", "versions"),
    [
        ({"from": "10.0.0.1"}, (V4, V6), [4]),
        ({"to": "fd00::/64"}, (V4, V6), [6]),
        ({"from": "0.0.0.0/0"}, (V6,), [4]),
        ({"to": "::/0"}, None, [6]),
        ({}, (V4,), [4]),
        ({"iif": "eth0"}, (V6, V6), [6]),
        ({"iif": "eth0"}, (V6, V4), [4, 6]),
        ({"fwmark": "1"}, None, [4, 6]),
        ({"oif": "eth0"}, (), [4, 6]),
    ],
)
def test_the_family_is_that_of_the_networks_or_else_of_the_addresses(options, addresses, versions):
    assert [rule.version for rule in built(options, addresses=addresses)] == versions


def test_selectors_that_select_all_are_none():
    (rule,) = built({"from": "0.0.0.0/0", "to": "10.0.0.5/24"})
    assert rule == Rule(4, 100, destination=ipaddress.ip_network("10.0.0.0/24"))


def test_values_read_as_in_ip_rule():
    assert values(
        {"from": "10.0.0.1", "table": "101"},
        {"to": "fd00:1::/48", "iif": "lo", "oif": "eth0", "fwmark": "0x10/0xf0", "not": True},
        {"fwmark": 1, "action": "unreachable"},
        {"table": "default"},
        {"table": "local"},
        addresses=(V4,),
    ) == [
        "from 10.0.0.1/32 lookup 101",
        "not to fd00:1::/48 iif lo oif eth0 fwmark 0x10/0xf0 lookup main",
        "fwmark 0x1/0xffffffff unreachable",
        "lookup default",
        "lookup local",
    ]


@pytest.mark.parametrize(
    ("option", "value", "reason", "remedy", "options"),
    [
        ("rules[0].priority", 0, "is out of range", "1 to 32765", {"priority": 0}),
        ("rules[0].priority", 32766, "is out of range", "1 to 32765", {"priority": 32766}),
        ("rules[0].from", "10.0.0.300", "is not a network", "CIDR", {"from": "10.0.0.300"}),
        ("rules[0].to", "all", "is not a network", "CIDR", {"to": "all"}),
        ("rules[0].to", "fd00::/64", "but from is IPv4", "one family", {"from": "10.0.0.1", "to": "fd00::/64"}),
        ("rules[0].iif", "a/b", "is not a valid interface name", "letters", {"iif": "a/b"}),
        ("rules[0].oif", "x" * 16, "16 bytes", "shorten", {"oif": "x" * 16}),
        ("rules[0].fwmark", "blue", "is not a mark", "0x1/0xff", {"fwmark": "blue"}),
        ("rules[0].fwmark", "1/", "is not a mark", "0x1/0xff", {"fwmark": "1/"}),
        ("rules[0].fwmark", "-1", "32 bits", "0x1/0xff", {"fwmark": "-1"}),
        ("rules[0].fwmark", "0x100000000", "32 bits", "0x1/0xff", {"fwmark": "0x100000000"}),
        ("rules[0].fwmark", "0/0", "its mask is 0", "leave fwmark out", {"fwmark": "0/0"}),
        ("rules[0].fwmark", "0x101/0xff", "its mask leaves out", "all the bits", {"fwmark": "0x101/0xff"}),
        ("rules[0].table", "mine", "is not a routing table", "a number", {"table": "mine"}),
        ("rules[0].table", "7", "the action is blackhole", "remove", {"table": "7", "action": "blackhole"}),
    ],
)
def test_options_that_are_refused(option, value, reason, remedy, options):
    refused(option, value, reason, remedy, built, options)


def test_a_priority_is_given_once_for_each_family():
    one = {"priority": 7, "from": "10.0.0.1"}
    assert len(built(one, {"priority": 7, "from": "fd00::1"})) == 2
    for other in (one, {"priority": 7, "from": "10.0.0.9"}, {"priority": 7}):
        refused("rules[1].priority", 7, "another IPv4 rule of this end", "its own priority", built, one, other)


def test_a_priority_is_given_once_in_a_namespace():
    def ends(*lists, netns="app"):
        veths = [
            {"name": f"v{number}", "peer": {"name": f"e{number}", "netns": netns, "rules": list(found)}}
            for number, found in enumerate(lists)
        ]
        return State.from_options({"veths": veths})

    one = {"priority": 7, "from": "10.0.0.1"}
    assert ends([one], [one], [{"priority": 7, "from": "fd00::1"}])
    refused(
        "veths[1].peer.rules", 7, "another IPv4 rule in app, which e0 has", "its own priority",
        ends, [one], [dict(one, table="9")],
    )  # fmt: skip


# -- values and messages --

networks = st.ip_addresses().flatmap(
    lambda address: st.integers(1, address.max_prefixlen).map(
        lambda length: ipaddress.ip_network((address, length), strict=False)
    )
)
names = st.text("abcdefgilmnort0189.-_", min_size=1, max_size=15)
marks = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1))


@given(
    st.booleans(),
    st.none() | networks,
    st.none() | networks,
    st.just("") | names | st.sampled_from(("from", "lookup", "not")),
    st.just("") | names,
    st.none() | marks,
    st.sampled_from(("lookup", "blackhole", "unreachable", "prohibit")),
    st.integers(1, 2**32 - 1),
)
def test_any_rule_of_ours_is_read_back_from_its_value(inverted, source, destination, iif, oif, mark, action, table):
    rule = Rule(4, 7, source, destination, iif, oif, mark, inverted, action, table if action == "lookup" else 0)
    item, value = policy_rule("app", rule)
    back = wire_rule(4, 7, value)
    assert rule_value(back) == value
    assert (back.source, back.destination, back.iif, back.oif) == (source, destination, iif, oif)
    assert (back.mark, back.inverted, back.table) == (mark, inverted, rule.table)
    assert is_ours(back._replace(protocol=ROUTE_PROTOCOL))
    assert not is_ours(back)
    assert item.stated == value


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tos": 4}, "tos 4 lookup main"),
        ({"ip_protocol": 6, "source_ports": (1, 2), "destination_ports": (80, 80)},
         "ipproto 6 sport 1-2 dport 80-80 lookup main"),
        ({"uids": (0, 9)}, "uidrange 0-9 lookup main"),
        ({"suppress_prefix": 0}, "suppress_prefixlength 0 lookup main"),
        ({"l3mdev": True, "table": 0}, "l3mdev 1 lookup 0"),
        ({"action": wire.FR_ACT_GOTO, "goto": 9}, "goto 9"),
        ({"action": 3}, "action 3"),
    ],
)  # fmt: skip
def test_what_we_cannot_ask_for_is_never_ours(more, words):
    rule = wire.Rule(**{"version": 4, "priority": 7, "action": wire.FR_ACT_TO_TBL, "table": 254, **more})
    assert rule_value(rule) == words
    assert not is_ours(rule._replace(protocol=ROUTE_PROTOCOL))


# -- on a kernel in memory --


def pair(here=None, there=None, name="app0"):
    peer = {"name": "eth0", "netns": "app", "addresses": ["10.0.0.2/30"]}
    if there is not None:
        peer["rules"] = there
    found = {"name": name, "addresses": ["10.0.0.1/30"], "peer": peer}
    return found if here is None else {**found, "rules": here}


def options(*arguments):
    return {"namespaces": [{"name": "app"}], "veths": [pair(*arguments)]}


HERE = [{"priority": 300, "from": "0.0.0.0/0", "iif": "app0", "table": "9"}]
THERE = [{"priority": 100, "from": "10.0.0.2", "table": "101"}]


def ours(space):
    return [f"{rule.priority}: {rule_value(rule)}" for rule in space.rules if rule.protocol == ROUTE_PROTOCOL]


def test_a_rule_comes_after_the_routes_and_goes_before_them():
    route = {"to": "default", "via": "10.0.0.1", "table": "101"}
    there = options(HERE, THERE)
    there["veths"][0]["peer"]["routes"] = [route]
    kernel = uplinked()
    made = items(converge(kernel, topology(there)))
    assert made.index("create rule 100 in app") > made.index("create route default dev eth0 table 101 in app")
    there["veths"][0]["peer"].update(routes=[], rules=[])
    gone = items(converge(kernel, topology(there)))
    assert gone == ["delete rule 100 in app", "delete route default dev eth0 table 101 in app"]


def test_rules_are_read_only_where_they_matter(monkeypatch):
    kernel, asked = uplinked(), []
    read = Netlink.rules
    monkeypatch.setattr(Netlink, "rules", lambda self, netns: asked.append(netns) or read(self, netns))
    converge(kernel, topology(options()))
    assert asked == []
    converge(kernel, topology(options(None, THERE)))
    assert set(asked) == {"app"}


def test_a_rule_of_others():
    kernel = uplinked()
    theirs = wire.Rule(4, 300, wire.FR_ACT_TO_TBL, 9, iif="app0", protocol=3)
    kernel.host.rules.append(theirs)
    before = kernel.picture()
    assert "create rule 300 on the host" not in items(converge(kernel, topology(options(HERE))))
    converge(kernel, topology({}, absent=True))
    assert kernel.picture() == before
    kernel.host.rules[-1] = theirs._replace(table=10)
    fails(kernel, topology(options(HERE)), Clash, "rule 300 on the host", "iif app0 lookup 10", "not made by")


def test_ours_replaced_by_somebody_elses_is_left_alone_in_the_end():
    kernel = uplinked()
    converge(kernel, topology(options(HERE)))
    mine = next(rule for rule in kernel.host.rules if rule.priority == 300)
    kernel.host.rules[kernel.host.rules.index(mine)] = mine._replace(protocol=3)
    assert items(converge(kernel, topology(options(HERE)))) == []
    converge(kernel, topology({}, absent=True))
    assert mine._replace(protocol=3) in kernel.host.rules


def test_a_priority_of_another_owner():
    kernel = uplinked()
    converge(kernel, topology(options(HERE), "one"))
    other = {"name": "x0", "rules": [dict(HERE[0], table="8")], "peer": {"name": "x1"}}
    request = topology({"veths": [other]}, "two")
    fails(kernel, request, Clash, "rule 300 on the host", "topology one", "iif app0 lookup 9", "another priority")
    other["rules"] = HERE
    request = topology({"veths": [other]}, "two")
    assert not any("rule" in item for item in items(converge(kernel, request)))
    converge(kernel, topology({}, "two", absent=True))
    assert ours(kernel.host) == ["300: iif app0 lookup 9"]
    converge(kernel, topology({}, "one", absent=True))
    assert ours(kernel.host) == []


def test_a_single_pair_leaves_out_and_takes_off():
    kernel = uplinked()
    converge(kernel, single("namespaces", {"name": "app"}))
    converge(kernel, single("veths", pair(HERE, THERE)))
    assert items(converge(kernel, single("veths", pair()))) == []
    assert items(converge(kernel, single("veths", pair([], None)))) == ["delete rule 300 on the host"]
    assert ours(kernel.names["app"][0]) == ["100: from 10.0.0.2/32 lookup 101"]
    assert items(converge(kernel, single("veths", pair(HERE, [])))) == [
        "delete rule 100 in app",
        "create rule 300 on the host",
    ]


def test_of_two_ends_in_one_namespace_each_keeps_its_own():
    kernel = uplinked()
    both = {"name": "one", "rules": HERE, "peer": {"name": "two", "rules": THERE}}
    converge(kernel, single("veths", both))
    gone = items(converge(kernel, single("veths", {"name": "one", "rules": [], "peer": {"name": "two"}})))
    assert gone == ["delete rule 300 on the host"]
    assert ours(kernel.host) == ["100: from 10.0.0.2/32 lookup 101"]
    gone = items(converge(kernel, single("veths", {"name": "two", "rules": [], "peer": {"name": "one"}})))
    assert gone == ["delete rule 100 on the host"]


def test_rules_and_routes_to_nowhere_do_not_outlive_a_pair_that_ends_with_its_namespace():
    kernel = uplinked()
    before = kernel.picture()
    converge(kernel, single("namespaces", {"name": "app"}))
    veth = pair(HERE, THERE)
    veth["routes"] = [{"to": "10.66.0.0/16", "type": "blackhole"}]
    converge(kernel, single("veths", veth))
    gone = items(converge(kernel, single("namespaces", {"name": "app"}, absent=True)))
    assert "delete rule 300 on the host" in gone
    assert "delete route 10.66.0.0/16 on the host" in gone
    assert kernel.picture() == before


def test_a_rule_that_changes_is_never_gone_meanwhile():
    kernel = uplinked()
    converge(kernel, topology(options(HERE)))
    counts = []
    add, delete = type(kernel.host).add_rule, type(kernel.host).delete_rule

    class Space(type(kernel.host)):
        def add_rule(self, rule):
            add(self, rule)
            counts.append(len(ours(self)))

        def delete_rule(self, rule):
            delete(self, rule)
            counts.append(len(ours(self)))

    kernel.host.__class__ = Space
    (change,) = converge(kernel, topology(options([dict(HERE[0], action="prohibit", table="main")]))).changes
    assert (change.action, change.before, change.after) == ("update", "iif app0 lookup 9", "iif app0 prohibit")
    assert counts == [2, 1]
