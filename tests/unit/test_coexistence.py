# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an accept is needed in the tables of others, where it stands, and the scripts that put it there."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.accept_chain import (
    ForeignTable,
    chains_of,
    iptables_script,
    nft_script,
    wanted_state,
    with_accept,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.accept_mark import ACCEPT_CHAIN, MARK
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.coexistence import (
    declared_packets,
    dropped_text,
    needed_accepts,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.firewall import (
    Inside,
    Ruleset,
    compile_ruleset,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.firewalld_policy import (
    firewalld_policy,
    without_policy,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.reach import Reach
from ansible_collections.linuxnet.netns.plugins.module_utils.desired import cidr
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import State
from ansible_collections.linuxnet.netns.plugins.module_utils.foreign_firewall import Listing
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.firewalld_policy import CHAIN
from test_foreign_firewall import ACCEPT, DROP, IIF, IN, OUT, OUT6, OWN, chain, jump, listing, match, rule

LOG = {"log": {"prefix": "end "}}
handles = itertools.count(100)


def read(*items):
    """A listing in which every rule has a handle of its own."""
    for item in items:
        if "rule" in item:
            item["rule"]["handle"] = next(handles)
    return Listing.of(items)


def needed(*items, packet=OUT):
    return needed_accepts(read(*items), [("nat out", packet)], OWN)


def table(*items):
    return ForeignTable.of(read(*items), "inet", "t")


def sub(name, *rules):
    return [chain(name, hook=None), *(rule(*statements, name=name) for statements in rules)]


POLICY = chain(policy="drop")


# -- where --


@pytest.mark.parametrize(
    "name, chains",
    [
        ("docker", {("ip", "filter"): {"FORWARD"}}),
        ("iptables", {("ip", "filter"): {"FORWARD"}, ("ip6", "filter"): {"FORWARD"}}),
        ("ufw", {("ip", "filter"): {"FORWARD"}, ("ip6", "filter"): {"FORWARD"}}),
        ("firewalld", {("inet", "firewalld"): {"filter_FWD_public"}}),
    ],
)
def test_real_ones(name, chains):
    found = needed_accepts(Listing.of(listing(name)), [("out", OUT), ("in", IN), ("out", OUT6)], OWN)
    assert (found.chains, found.dropped) == (chains, [])


def test_nothing_is_needed_where_nobody_drops():
    assert not needed(chain()).chains
    assert not needed(POLICY, rule(match(IIF, "v-*"), ACCEPT)).chains


def test_the_place_is_right_before_what_drops_everything():
    place = table(POLICY, rule(match(IIF, "eth1"), DROP), rule(LOG), rule(DROP), rule(ACCEPT)).place
    assert place("forward") == 2
    assert table(POLICY, rule(match(IIF, "eth1"), DROP)).place("forward") == 1
    assert table(*sub("end", [LOG], [DROP]), POLICY, rule(ACCEPT), rule(jump("end"))).place("forward") == 1


def test_a_chain_that_only_drops_is_left_alone_for_the_one_that_leads_there():
    items = [chain(), *sub("end", [LOG], [DROP]), rule(ACCEPT, name="other"), rule(jump("end"))]
    assert needed(*items).chains == {("inet", "t"): {"forward"}}


def test_a_chain_of_its_own_with_an_end():
    zone = sub("zone", [match(IIF, "eth9"), ACCEPT], [DROP])
    assert needed(chain(), *zone, rule(match(IIF, "v-app"), jump("zone", "goto"))).chains == {("inet", "t"): {"zone"}}


@pytest.mark.parametrize(
    "items",
    [
        [chain(), rule(match(IIF, "v-app"), DROP)],
        [POLICY, rule(match(IIF, "v-app"), DROP)],
        [chain(), *sub("log-drop", [LOG], [DROP]), rule(match(IIF, "v-app"), jump("log-drop"))],
        [chain(), rule({"vmap": {"key": IIF, "data": {"set": [["v-app", DROP]]}}})],
    ],
)
def test_what_drops_on_purpose_wins(items):
    found = needed(*items)
    assert not found.chains
    ((label, verdict),) = found.dropped
    assert label == "nat out" and verdict.certain
    text = dropped_text(label, verdict)
    assert text.startswith("nat out is dropped by another firewall: table inet t, chain ")
    assert "meta mark & 0x4000000 == 0x4000000 accept" in text


def test_chains_that_cannot_be_helped():
    early = needed(chain(policy="drop", prio=-9))
    assert not early.chains and "priority 0" in dropped_text(*early.dropped[0])
    early = needed(chain(prio=-150), rule(match(IIF, "v-app"), DROP))
    assert "remove that rule" in dropped_text(*early.dropped[0])
    owned = needed({"table": {"family": "inet", "name": "t", "flags": ["owner"]}}, POLICY)
    assert not owned.chains
    assert "firewall-cmd --reload" in dropped_text(*owned.dropped[0], reloads=True)


def test_more_than_one_chain_drops():
    late = [chain(table="late", prio=10, policy="drop")]
    assert needed(POLICY, *late).chains == {("inet", "t"): {"forward"}, ("inet", "late"): {"forward"}}


# -- whether it is there --


def ours(*more):
    return [*sub(ACCEPT_CHAIN, [match({"&": [{"meta": {"key": "mark"}}, MARK]}, MARK), ACCEPT]), *more]


def test_states():
    assert table(POLICY, rule(ACCEPT)).state() is None
    assert table(*ours(POLICY, rule(jump(ACCEPT_CHAIN)))).state() == "in forward" == wanted_state({"forward"})
    assert chains_of("in a, forward") == ["a", "forward"]
    wrong = [
        ours(POLICY),
        ours(POLICY, rule(jump(ACCEPT_CHAIN)), rule(match(IIF, "eth1"), DROP)),
        ours(POLICY, rule(DROP), rule(jump(ACCEPT_CHAIN))),
        ours(POLICY, rule(jump(ACCEPT_CHAIN)), rule(jump(ACCEPT_CHAIN))),
        [*sub(ACCEPT_CHAIN), POLICY, rule(jump(ACCEPT_CHAIN))],
        [*sub(ACCEPT_CHAIN, [ACCEPT]), POLICY, rule(jump(ACCEPT_CHAIN))],
        [*ours(POLICY, rule(jump(ACCEPT_CHAIN))), rule(ACCEPT, name=ACCEPT_CHAIN)],
        [POLICY, rule(jump(ACCEPT_CHAIN))],
    ]
    for items in wrong:
        assert chains_of(table(*items).state()) == [], items


def test_an_old_iptables_matches_the_mark_with_an_extension():
    items = sub(ACCEPT_CHAIN, [{"xt": {"type": "match", "name": "mark"}}, {"counter": None}, ACCEPT])
    assert table(*items, POLICY, rule(jump(ACCEPT_CHAIN))).state() == "in forward"


def test_what_is_needed_does_not_depend_on_what_is_there():
    items = [POLICY, rule(match(IIF, "eth1"), DROP)]
    there = ours(*items, rule(jump(ACCEPT_CHAIN)))
    assert needed(*items).chains == needed(*there).chains == {("inet", "t"): {"forward"}}
    assert read(*there).verdict(OUT, OWN).accepted
    assert with_accept(read(*items), "inet", "t", ["forward"]).verdict(OUT, OWN).accepted
    assert not with_accept(read(*there), "inet", "t", []).verdict(OUT, OWN).accepted


# -- scripts --


def test_scripts_for_nft():
    plain = table(POLICY, rule(ACCEPT))
    assert nft_script(plain, ["forward"]) == (
        "add chain inet t linuxnet-netns\n"
        "add rule inet t linuxnet-netns meta mark & 0x04000000 == 0x04000000 counter accept\n"
        "add rule inet t forward jump linuxnet-netns\n"
    )
    assert nft_script(plain, []) == ""
    ended = table(*ours(POLICY, rule(DROP), rule(jump(ACCEPT_CHAIN))))
    drop, jumping = ended.chains["forward"][0]["handle"], ended.jumps["forward"][0][1]
    assert nft_script(ended, ["forward", "gone"]).splitlines() == [
        f"delete rule inet t forward handle {jumping}",
        "flush chain inet t linuxnet-netns",
        "add chain inet t linuxnet-netns",
        "add rule inet t linuxnet-netns meta mark & 0x04000000 == 0x04000000 counter accept",
        f"insert rule inet t forward handle {drop} jump linuxnet-netns",
    ]
    assert nft_script(ended, []).splitlines()[1:] == [
        "flush chain inet t linuxnet-netns",
        "delete chain inet t linuxnet-netns",
    ]


def test_scripts_for_iptables():
    there = table(*ours(POLICY, rule(jump(ACCEPT_CHAIN)), rule(ACCEPT)))
    assert iptables_script(there, ["forward"]).splitlines() == [
        *("*t", ":linuxnet-netns - [0:0]"),
        "-A linuxnet-netns -m mark --mark 0x4000000/0x4000000 -j ACCEPT",
        *("-D forward -j linuxnet-netns", "-I forward 2 -j linuxnet-netns", "COMMIT"),
    ]
    assert iptables_script(there, []).splitlines() == [
        *("*t", "-D forward -j linuxnet-netns", "-F linuxnet-netns", "-X linuxnet-netns", "COMMIT")
    ]
    assert not there.of_iptables
    assert ForeignTable.of(Listing.of(listing("docker")), "ip", "filter").of_iptables


# -- what is declared --


NATTED = {"name": "out", "source": ["10.0.0.2/32", "10.0.1.0/24"]}
FORWARD = {"name": "in", "port": "80", "to_port": "8080", "to_address": "10.0.0.2", "protocol": ["tcp", "udp"]}
REACH = Reach(
    [(cidr.network("", "10.0.0.0/30"), "v-a"), (cidr.network("", "10.0.1.0/24"), "v-b")], ["v-a", "v-b"],
    {4: ("eth0",), 6: ()},
)  # fmt: skip
INSIDE = (Inside("v-a", (cidr.network("", "10.0.0.2/32"),), friends=("v-b",)), Inside("v-b"))


def test_packets():
    states = [State.from_options({"nat": [NATTED], "forwards": [FORWARD]})]
    found = list(declared_packets("", states, REACH, INSIDE))
    seen = {(item.in_interface, item.out_interface, item.source, item.port, item.ct_state) for _label, item in found}
    assert seen == {
        ("v-a", "eth0", "10.0.0.2", None, "new"),
        ("eth0", "v-a", None, None, "established"),
        ("v-b", "eth0", None, None, "new"),
        ("eth0", "v-b", None, None, "established"),
        ("eth0", "v-a", None, 8080, "new"),
        ("v-a", "eth0", "10.0.0.2", None, "established"),
        ("v-a", "v-b", None, None, "new"),
    }
    assert {label for label, _packet in found} == {"nat out", "forward in", "isolate: false"}
    assert len(found) == len(set(found)) == 9
    assert not list(declared_packets("elsewhere", states, REACH, ()))


def test_the_policy_for_firewalld():
    states = [State.from_options({"nat": [NATTED, {"name": "6", "source": ["fd00::/64"]}], "forwards": [FORWARD]})]
    text = firewalld_policy("", states, ())
    assert [line.split('"')[1::2] for line in text.splitlines() if "<rule" in line] == [
        ["ipv4", "10.0.0.2/32"],
        ["ipv4", "10.0.1.0/24"],
        ["ipv6", "fd00::/64"],
    ]
    assert firewalld_policy("elsewhere", states, ()) == ""
    assert "10.0.0.2/32" in firewalld_policy("", [], INSIDE)
    loaded = read(POLICY, rule(jump(CHAIN)), *sub(CHAIN, [ACCEPT]))
    assert loaded.verdict(OUT, OWN).accepted and not without_policy(loaded).verdict(OUT, OWN).accepted


def test_packets_are_marked_only_where_somebody_looks():
    assert "mark" not in compile_ruleset(Ruleset(INSIDE))
    body = compile_ruleset(Ruleset(INSIDE, marked=True))
    assert 'iifname { "v-a", "v-b" } meta mark set meta mark | 0x04000000' in body
    assert 'oifname { "v-a", "v-b" } meta mark set meta mark | 0x04000000' in body
    assert "meta mark & 0x04000000 == 0x04000000 meta mark set meta mark & 0xfbffffff" in body
