# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other firewalls do to a packet, read from listings of real ones (in rulesets/, counters left out)."""

from __future__ import annotations

import json
import pathlib
from dataclasses import replace

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.coexistence import needed_accepts
from ansible_collections.linuxnet.netns.plugins.module_utils.foreign_firewall import (
    Listing,
    Packet,
    Verdict,
    base_chains,
    verdict,
)
from hypothesis import given
from hypothesis import strategies as st

OWN = ("inet", "linuxnet_netns")
OUT = Packet(
    *("forward", "v-app", "eth0", 4, "10.200.0.2", "198.51.100.1", "tcp"), source_port=40000, port=443, ct_state="new"
)
IN = Packet(
    *("forward", "eth0", "v-app", 4, "203.0.113.9", "10.200.0.2", "tcp"),
    source_port=40000,
    port=80,
    ct_status_dnat=True,
)
OUT6 = replace(OUT, version=6, source="fd00::2", destination="2001:db8::1")
IN6 = replace(IN, version=6, source="2001:db8::1", destination="fd00::2")


def listing(name):
    return json.loads((pathlib.Path(__file__).parent / "rulesets" / f"{name}.json").read_text())


def chain(name="forward", table="t", family="inet", prio=0, policy="accept", hook="forward"):
    base = {"type": "filter", "hook": hook, "prio": prio, "policy": policy} if hook else {}
    return {"chain": {"family": family, "table": table, "name": name, **base}}


def rule(*statements, name="forward", table="t", family="inet", handle=7):
    return {
        "rule": {"family": family, "table": table, "chain": name, "handle": handle, "expr": [*statements]},
    }


def match(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


IIF, OIF = {"meta": {"key": "iifname"}}, {"meta": {"key": "oifname"}}
SADDR, DADDR = ({"payload": {"protocol": "ip", "field": field}} for field in ("saddr", "daddr"))
DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
ACCEPT, DROP, RETURN = {"accept": None}, {"drop": None}, {"return": None}
UNREAD = {"xt": {"type": "match", "name": "set"}}


def jump(name, kind="jump"):
    return {kind: {"target": name}}


def of(*items, packet=OUT):
    return verdict([chain(policy="drop"), *items], packet, OWN)


# -- real ones --


def test_docker_drops_by_its_policy():
    for packet in (OUT, IN):
        found = verdict(listing("docker"), packet, OWN)
        assert (found.accepted, found.family, found.table, found.chain, found.rule) == (
            *(False, "ip", "filter", "FORWARD"),
            "policy drop",
        )
    assert verdict(listing("docker"), OUT6, OWN) == Verdict(True)  # it made no rules for IPv6


def test_docker_lets_its_own_out():
    own = replace(OUT, in_interface="docker0", source="172.17.0.2")
    assert verdict(listing("docker"), own, OWN).accepted
    assert verdict(listing("docker"), replace(IN, out_interface="docker0", destination="172.17.0.2"), OWN).accepted
    found = verdict(listing("docker"), replace(OUT, out_interface="docker0"), OWN)
    assert not found.accepted and found.rule == "policy drop"


@pytest.mark.parametrize("packet", [OUT, OUT6])
def test_firewalld_rejects_what_goes_out(packet):
    found = verdict(listing("firewalld"), packet, OWN)
    assert found.accepted is False and found.certain
    assert (found.table, found.chain) == ("firewalld", "filter_FWD_public")
    assert found.rule == "reject with icmpx admin-prohibited" and found.handle


@pytest.mark.parametrize("packet", [IN, IN6])
def test_firewalld_accepts_what_was_destination_natted_and_replies(packet):
    assert verdict(listing("firewalld"), packet, OWN) == Verdict(True)
    reply = replace(packet, ct_state="established", ct_status_dnat=False)
    assert verdict(listing("firewalld"), reply, OWN) == Verdict(True)


def test_firewalld_guards_the_host():
    packet = Packet("input", "eth0", "", 4, "203.0.113.9", "198.51.100.11", "tcp", 40000, 22)
    assert verdict(listing("firewalld"), packet, OWN).accepted
    found = verdict(listing("firewalld"), replace(packet, port=80), OWN)
    assert found.accepted is False and found.chain == "filter_IN_public"
    assert verdict(listing("firewalld"), replace(packet, in_interface="lo", port=80), OWN).accepted
    assert verdict(listing("firewalld"), replace(packet, hook="output"), OWN).accepted


@pytest.mark.parametrize("packet, family", [(OUT, "ip"), (IN, "ip"), (OUT6, "ip6"), (IN6, "ip6")])
def test_ufw_drops_by_its_policy(packet, family):
    found = verdict(listing("ufw"), packet, OWN)
    assert (found.accepted, found.family, found.chain, found.rule) == (False, family, "FORWARD", "policy drop")
    assert f"ufw{'' if family == 'ip' else '6'}-before-forward: [conntrack] accept" in found.unread
    assert not found.certain
    assert verdict(listing("ufw"), replace(packet, ct_state="established"), OWN) == Verdict(True)


def test_iptables_by_hand():
    found = verdict(listing("iptables"), replace(OUT, destination="203.0.113.7"), OWN)
    assert found.accepted is False and found.rule == "ip daddr 203.0.113.0/24 [REJECT]"
    assert str(found).startswith("table ip filter, chain FORWARD: ip daddr 203.0.113.0/24 [REJECT] (handle ")
    assert verdict(listing("iptables"), OUT, OWN).rule == "policy drop"
    assert verdict(listing("iptables"), replace(OUT, protocol="udp"), OWN).rule == "policy drop"


def test_base_chains_come_in_the_kernels_order():
    found = base_chains([chain(table="late", prio=10), chain("any", hook=None), chain(table="early", prio=-150)])
    assert [(item.table, item.priority, item.policy) for item in found] == [
        ("early", -150, "accept"),
        ("late", 10, "accept"),
    ]


# -- how the kernel walks --


def test_an_accept_ends_its_own_chain_alone():
    first = [chain(table="a", prio=-5), rule(ACCEPT, table="a")]
    assert verdict([*first, chain(policy="drop")], OUT, OWN).table == "t"
    assert verdict(first, OUT, OWN) == Verdict(True)


def test_ours_is_passed_over():
    ours = [chain(table=OWN[1], policy="drop")]
    assert verdict(ours, OUT, OWN) == Verdict(True)
    assert verdict(ours, OUT, ("inet", "another")).accepted is False


def test_other_hooks_and_families_are_not_asked():
    others = [
        chain(policy="drop", **other) for other in ({"hook": "input"}, {"family": "ip6"}, {"family": "arp"})
    ]
    assert verdict(others, OUT, OWN) == Verdict(True)
    assert verdict(others, OUT6, OWN).family == "ip6"


def test_jumps_come_back_and_gotos_do_not():
    sub = [chain("sub", hook=None), rule(RETURN, name="sub"), rule(ACCEPT, name="sub")]
    assert of(*sub, rule(jump("sub")), rule(ACCEPT)).accepted
    assert of(*sub, rule(jump("sub", "goto")), rule(ACCEPT)).rule == "policy drop"
    assert of(rule(jump("sub")), rule(DROP, name="sub", handle=9), rule(ACCEPT)).handle == 9
    assert of(rule(jump("sub")), rule(ACCEPT, name="sub"), rule(DROP)).accepted
    assert of(rule(jump("forward")), rule(ACCEPT)).accepted  # the kernel would refuse that one


def test_a_return_in_a_base_chain_is_its_policy():
    assert of(rule(RETURN), rule(ACCEPT)).rule == "policy drop"


@pytest.mark.parametrize(
    "statement, matches",
    [
        (match(IIF, "v-app"), True),
        (match(IIF, "v-*"), True),
        (match(IIF, "v-*", "!="), False),
        (match(OIF, {"set": ["eth1", "eth0"]}), True),
        (match(OIF, {"set": ["eth1", "eth2"]}, "!="), True),
        (match(SADDR, {"prefix": {"addr": "10.200.0.0", "len": 24}}), True),
        (match(SADDR, {"prefix": {"addr": "10.201.0.0", "len": 24}}), False),
        (match(SADDR, {"range": ["10.200.0.1", "10.200.0.2"]}), True),
        (match(SADDR, {"range": ["10.200.0.3", "10.200.0.9"]}), False),
        (match(SADDR, "10.200.0.2"), True),
        (match({"payload": {"protocol": "ip6", "field": "saddr"}}, "fd00::2", "!="), False),
        (match(DPORT, 443), True),
        (match(DPORT, 443, "!="), False),
        (match(DPORT, {"set": [22, {"range": [400, 500]}]}), True),
        (match(DPORT, 400, ">"), True),
        (match(DPORT, 400, "<="), False),
        (match({"payload": {"protocol": "th", "field": "sport"}}, 40000), True),
        (match({"payload": {"protocol": "udp", "field": "dport"}}, 443, "!="), False),
        (match({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]}), True),
        (match({"meta": {"key": "l4proto"}}, 6), True),
        (match({"meta": {"key": "nfproto"}}, "ipv6"), False),
        (match({"meta": {"key": "protocol"}}, "ip"), True),
        (match({"payload": {"protocol": "ip", "field": "protocol"}}, "udp"), False),
        (match({"ct": {"key": "state"}}, ["established", "related"], "in"), False),
        (match({"ct": {"key": "state"}}, "new", "in"), True),
        (match({"ct": {"key": "state"}}, ["established", "related"], "!"), True),
        (match({"ct": {"key": "state"}}, "invalid", "!="), True),
        (match({"ct": {"key": "status"}}, "dnat", "in"), False),
        (match({"ct": {"key": "direction"}}, "original"), True),
        (match({"fib": {"result": "type", "flags": ["daddr"]}}, "local"), False),
        (match({"concat": [IIF, SADDR]}, {"set": [{"concat": ["v-app", "10.200.0.2"]}]}), True),
        (match({"concat": [IIF, SADDR]}, {"set": [{"concat": ["v-app", "10.200.0.3"]}]}), False),
        (match(IIF, {"set": [{"elem": {"val": "v-app", "comment": "ours"}}]}), True),
        (match({"meta": {"key": "mark"}}, 5), None),
        (match({"&": [{"meta": {"key": "mark"}}, 4]}, 4), None),
        (match({"payload": {"base": "th", "offset": 0, "len": 16}}, 4), None),
        (match({"concat": [IIF, {"meta": {"key": "mark"}}]}, {"set": [{"concat": ["v-app", 5]}]}), None),
        (match({"concat": [IIF, {"meta": {"key": "mark"}}]}, {"set": [{"concat": ["eth0", 5]}]}), False),
        (match(SADDR, "@unheard_of"), None),
        (UNREAD, None),
        ({"xt": None}, None),
        ({"limit": {"rate": 5, "per": "second"}}, None),
        ({"xt": {"type": "match", "name": "comment"}}, True),
    ],
)
def test_matches(statement, matches):
    found = of(rule(statement, {"counter": {"packets": 1, "bytes": 2}}, ACCEPT))
    if matches is None:
        assert found.accepted is False and len(found.unread) == 1
        assert verdict([chain(), rule(statement, DROP)], OUT, OWN).accepted is None
    else:
        assert found.accepted is matches and not found.unread


def test_named_sets():
    named = {"set": {"family": "inet", "table": "t", "name": "mine", "elem": ["v-app"]}}
    assert of(named, rule(match(IIF, "@mine"), ACCEPT)).accepted
    empty = {"set": {"family": "inet", "table": "t", "name": "mine"}}
    assert of(empty, rule(match(IIF, "@mine"), ACCEPT)).certain
    fleeting = {"set": {**named["set"], "flags": ["timeout"]}}
    assert not of(fleeting, rule(match(IIF, "@mine"), ACCEPT)).certain
    foreign = {"set": {**named["set"], "table": "other"}}
    assert not of(foreign, rule(match(IIF, "@mine"), ACCEPT)).certain


def test_verdict_maps():
    state = {"ct": {"key": "state"}}

    def vmap(*pairs, key=state):
        return {"vmap": {"key": key, "data": {"set": [*pairs]}}}

    assert of(rule(vmap(["established", ACCEPT], ["new", jump("sub")])), rule(ACCEPT, name="sub")).accepted
    assert of(rule(vmap(["invalid", ACCEPT])), rule(DROP, handle=9)).handle == 9
    assert of(rule(vmap(["new", DROP])), rule(ACCEPT)).rule == "ct state vmap { new : drop }"
    named = {"map": {"family": "inet", "table": "t", "name": "links", "map": "verdict", "elem": [["v-app", ACCEPT]]}}
    assert of(named, rule({"vmap": {"key": IIF, "data": "@links"}})).accepted
    unknown = vmap([5, DROP], key={"meta": {"key": "mark"}})
    assert verdict([chain(), rule(unknown)], OUT, OWN).accepted is None
    pairs = {"concat": [IIF, {"meta": {"key": "mark"}}]}
    maybe = vmap([{"concat": ["v-app", 5]}, DROP], key=pairs)
    assert verdict([chain(), rule(maybe)], OUT, OWN).accepted is None
    assert verdict([chain(), rule(vmap([{"concat": ["eth0", 5]}, DROP], key=pairs))], OUT, OWN) == Verdict(True)


# -- what cannot be told --


def test_a_certain_drop_after_an_unread_accept_counts():
    found = of(rule(UNREAD, ACCEPT), rule(DROP, handle=9))
    assert (found.accepted, found.handle, found.certain) == (False, 9, False)
    assert found.unread == ("forward: [set] accept",)


def test_an_unread_drop_is_in_doubt_unless_a_certain_one_follows():
    assert of(rule(UNREAD, DROP), rule(ACCEPT)).accepted is None
    assert of(rule(UNREAD, DROP), rule(ACCEPT)).rule == "[set] drop"
    assert of(rule(UNREAD, DROP), rule(DROP, handle=9)).handle == 9
    later = [chain(table="later", prio=10), rule(DROP, table="later")]
    assert verdict([chain(), rule(UNREAD, DROP), *later], OUT, OWN).table == "later"


def test_what_an_unread_jump_leads_to_is_in_doubt():
    assert of(rule(UNREAD, jump("sub")), rule(DROP, name="sub"), rule(ACCEPT)).accepted is None
    assert of(rule(UNREAD, jump("sub")), rule(ACCEPT, name="sub")).rule == "policy drop"
    assert of(rule(UNREAD, jump("sub", "goto")), rule(RETURN, name="sub"), rule(ACCEPT)).accepted


@pytest.mark.parametrize("target, accepted", [("LOG", True), ("MARK", True), ("REJECT", False), ("NFQUEUE", None)])
def test_targets_of_iptables(target, accepted):
    found = verdict([chain(), rule({"xt": {"type": "target", "name": target}})], OUT, OWN)
    assert found.accepted is accepted


def test_an_unknown_target_or_statement_may_drop():
    assert verdict([chain(), rule({"xt": {"type": "target", "name": "SYNPROXY"}})], OUT, OWN).accepted is None
    assert verdict([chain(), rule({"of a later nft": 1})], OUT, OWN).accepted is None
    assert verdict([chain(), rule({"xt": None})], OUT, OWN).accepted is None
    assert verdict([chain(), rule({"queue": {"num": 1}}), rule(DROP)], OUT, OWN).accepted is None


def test_what_is_not_known_of_a_packet_matches_nothing_for_certain():
    unknown = replace(OUT, in_interface=None, source=None, port=None)
    for statement in (match(IIF, "v-app"), match(SADDR, "10.200.0.2"), match(DPORT, 443)):
        found = of(rule(statement, ACCEPT), packet=unknown)
        assert found.accepted is False and not found.certain
    assert of(rule(match(IIF, "eth0"), ACCEPT), packet=replace(OUT, hook="forward", in_interface="")).certain


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["accept", "@s", "10.0.0.1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["match", "op", "left", "right", "xt", "vmap", "key", "data", "set", "meta", "payload", "jump"]
                + ["target", "concat", "elem", "val", "prefix", "range", "accept", "drop", "name", "type", "addr"]
                + ["len", "fib", "ct"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=4))
def test_whatever_nft_prints_has_an_answer(expressions):
    items = [chain(), {"rule": {"family": "inet", "table": "t", "chain": "forward", "expr": expressions}}]
    assert verdict(items, OUT, OWN).accepted in (True, False, None)
    needed_accepts(Listing.of(items), [("out", OUT)], OWN)


@given(st.lists(JSON | st.dictionaries(st.sampled_from(["table", "chain", "rule", "set", "map"]), JSON), max_size=4))
def test_whatever_nft_lists_has_an_answer(items):
    assert verdict([chain(), *items], OUT, OWN).accepted in (True, False, None)
