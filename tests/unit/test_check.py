# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of netns_check that need no kernel; tests/integration/test_check.py induces the failures for real."""

from __future__ import annotations

import ast
import ipaddress
import pathlib

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.check import (
    diagnosis,
    hooks,
    missing_route,
    name_service,
    private,
    reverse_path,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.check.connections import (
    Connections,
    Entry,
    answer_to,
    as_asked,
    known_here,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.check.diagnosis import diagnose
from ansible_collections.linuxnet.netns.plugins.module_utils.check.listening import listening, loopback_only
from ansible_collections.linuxnet.netns.plugins.module_utils.check.packet import Packet
from ansible_collections.linuxnet.netns.plugins.module_utils.check.question import Question
from ansible_collections.linuxnet.netns.plugins.module_utils.check.route_lookup import Flow, Found, Refused, lookup
from ansible_collections.linuxnet.netns.plugins.module_utils.check.ruleset import Ruleset
from ansible_collections.linuxnet.netns.plugins.module_utils.check.stack import Socket
from ansible_collections.linuxnet.netns.plugins.module_utils.check.translate import translated
from ansible_collections.linuxnet.netns.plugins.module_utils.check.verdict import CAUSES
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import NetnsError, SystemRefused
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_check import OPTIONS
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st

PLUGINS = pathlib.Path(diagnosis.__file__).parents[2]
ip, net = ipaddress.ip_address, ipaddress.ip_network


# -- a host by values --


def route(to, index=2, **more):
    fields = dict(table=254, metric=0, type=wire.RTN_UNICAST, tos=0, via=None, source=None, onlink=False, protocol=4)
    return wire.FibRoute(network=net(to), index=index, **{**fields, **more})


def local(address, index=2):
    return route(address, index, table=255, type=wire.RTN_LOCAL)


def link(index, name, up=True, running=True, kind="veth", alias="", mtu=1500):
    return wire.Link(index, name, kind, up, mtu, "02:00:00:00:00:01", 0, alias, 0, None, running)


class Stack:
    """A namespace that holds what it is told."""

    def __init__(self, name="", links=(), addresses=(), routes=(), rules=(), sockets=(), sysctls=(), ruleset=()):
        self.name = name
        self.links = [link(1, "lo", kind=""), *links]
        self.addresses = [wire.Address(index, ipaddress.ip_interface(text), 0x80, 0) for index, text in addresses]
        self.routes = [*routes, *(local(item.address.ip, item.index) for item in self.addresses)]
        self.rules, self.neighbours, self.sockets = list(rules), [], list(sockets)
        self.ruleset, self.blind_spots = list(ruleset), []
        self._sysctls = dict(sysctls)

    def sysctl(self, path):
        return self._sysctls.get(path)


class Host:
    """Stacks by name, pairs by (namespace, index), files by path."""

    def __init__(self, *stacks, pairs=(), files=(), leftovers=()):
        self.stacks = {stack.name: stack for stack in stacks}
        self.pairs = {**dict(pairs), **{end: start for start, end in dict(pairs).items()}}
        self.files, self.leftovers = dict(files), leftovers

    def names(self):
        return sorted(name for name in self.stacks if name)

    def exists(self, netns):
        return netns in self.stacks

    def leftover(self, netns):
        return netns in self.leftovers

    def stack(self, netns):
        return self.stacks[netns]

    def other_end(self, netns, this):
        found = self.pairs.get((netns, this.index))
        return None if found is None else (
            found[0], next(item for item in self.stacks[found[0]].links if item.index == found[1])
        )

    def text(self, path):
        return self.files.get(path)


def router(**app):
    """A host with `app` behind it; NAT out is a foreign masquerade."""
    masquerade = [
        {"chain": {"family": "ip", "table": "n", "name": "p", "type": "nat", "hook": "postrouting", "prio": 100}},
        {"rule": {"family": "ip", "table": "n", "chain": "p", "handle": 5, "expr": [{"masquerade": None}]}},
    ]
    host = Stack(
        links=[link(2, "v-app"), link(3, "eth0", kind="")],
        addresses=[(2, "10.0.0.1/30"), (3, "192.0.2.10/24")],
        routes=[route("10.0.0.0/30"), route("192.0.2.0/24", 3), route("0.0.0.0/0", 3, via=ip("192.0.2.1"))],
        sysctls={"net/ipv4/conf/v-app/forwarding": "1", "net/ipv4/conf/eth0/forwarding": "1"},
        ruleset=masquerade,
    )
    inner = Stack(
        "app",
        links=[link(2, "eth0")],
        addresses=[(2, "10.0.0.2/30")],
        routes=[route("10.0.0.0/30"), route("0.0.0.0/0", via=ip("10.0.0.1"))],
        **app,
    )
    return Host(host, inner, pairs={("app", 2): ("", 2)})


def ask(host, **options):
    return diagnose(host, Question.from_options(options))


def test_a_router():
    found = ask(router(), netns="app", to_address="9.9.9.9", port=443)
    assert (found.cause, found.certain, found.path_mtu) == ("", True, 1500)
    assert [(hop.netns, hop.link_out, hop.source) for hop in found.path] == [
        ("app", "eth0", "10.0.0.2"),
        ("", "eth0", "192.0.2.10"),
    ]
    assert found.as_dict()["ok"] is True
    assert "nothing blocks tcp to 9.9.9.9 port 443" in found.msg


def test_what_cannot_be_told_is_said():
    host = router()
    host.stack("").blind_spots.append("iptables-legacy has tables, which nft does not list")
    found = ask(host, netns="app", to_address="9.9.9.9", port=443)
    assert found.cause == "" and not found.certain
    assert "as far as can be told" in found.msg
    assert [step for step in found.steps if step.ok is None]


def test_a_rule_that_cannot_be_read_is_a_doubt():
    limit = {"limit": {"rate": 5, "burst": 5, "per": "second"}}
    host = router(
        ruleset=[
            {"chain": {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": "output", "prio": 0}},
            {"rule": {"family": "inet", "table": "t", "chain": "c", "handle": 2, "expr": [limit, {"drop": None}]}},
        ]
    )
    found = ask(host, netns="app", to_address="9.9.9.9", port=443)
    assert found.cause == "" and not found.certain


def test_a_loop_ends():
    host = router()
    host.stacks[""].ruleset.clear()
    host.stacks[""].routes[2] = route("0.0.0.0/0", 2, via=ip("10.0.0.2"))
    host.stacks["app"]._sysctls["net/ipv4/conf/eth0/forwarding"] = "1"
    found = ask(host, direction="in", in_interface="eth0", to_address="9.9.9.9", port=443)
    assert found.cause == "loop"


def test_an_answer_that_ends_elsewhere():
    """Another namespace has the very address that the answer goes to."""
    host = router()
    host.stacks[""].ruleset.clear()
    host.stacks[""].links.append(link(4, "v-two"))
    host.stacks[""].routes.insert(0, route("10.0.0.2/32", 4))
    host.stacks["two"] = Stack(
        "two", links=[link(2, "eth0")], addresses=[(2, "10.0.0.2/30")], routes=[route("10.0.0.0/30")]
    )
    host.pairs.update({("two", 2): ("", 4), ("", 4): ("two", 2)})
    found = ask(host, netns="app", to_address="9.9.9.9", port=443, require_nat=False)
    assert (found.cause, "in two" in found.msg) == ("answer_lost", True)


@pytest.mark.parametrize("names", [["lo"], ["lo", "eth0"]])
def test_tentative_addresses_do_not_speak(names):
    host = router()
    inner = host.stacks["app"]
    inner.addresses = [wire.Address(2, ipaddress.ip_interface("fd00::2/64"), 0xC0 if names[1:] else 0x88, 0)]
    inner.routes = [route("fd00::/64"), route("::/0", via=ip("fd00::1"))]
    found = ask(host, netns="app", to_address="2001:db8::1", port=443)
    assert found.cause == "address_tentative"


# -- routes --


def rule(priority, action=wire.FR_ACT_TO_TBL, table=254, **more):
    return wire.Rule(4, priority, action, table, **more)


def test_the_longest_prefix_then_the_metric():
    routes = [route("0.0.0.0/0", 9), route("10.0.0.0/8", 3, metric=5), route("10.0.0.0/8", 4, metric=2)]
    assert lookup([], routes, Flow(ip("10.1.1.1"))).route.index == 4
    assert lookup([], routes, Flow(ip("11.1.1.1"))).route.index == 9
    assert lookup([], routes[1:], Flow(ip("11.1.1.1"))) is None


def test_rules_go_on_and_refuse():
    routes = [route("0.0.0.0/0", 9), route("10.0.0.0/8", table=7, type=wire.RTN_THROW), route("0.0.0.0/0", 3, table=8)]
    flow = Flow(ip("10.1.1.1"))
    assert lookup([rule(1, table=7), rule(2)], routes, flow).route.index == 9
    assert isinstance(lookup([rule(1, wire.RTN_PROHIBIT)], routes, flow), Refused)
    assert lookup([rule(1, table=8, suppress_prefix=0), rule(2)], routes, flow).route.index == 9
    goto = [rule(1, wire.FR_ACT_GOTO, goto=5), rule(2, wire.RTN_BLACKHOLE), rule(5)]
    assert isinstance(lookup(goto, routes, flow), Found)
    # A rule that nobody resolves is passed over.
    assert isinstance(lookup([rule(1, wire.FR_ACT_GOTO, goto=4), *goto[1:]], routes, flow), Refused)


@pytest.mark.parametrize(
    ("mode", "link_name", "objects"),
    [("0", "eth1", False), ("1", "eth1", True), ("2", "eth1", False), ("1", "eth0", False)],
)
def test_reverse_path(mode, link_name, objects):
    stack = Stack(
        links=[link(2, "eth0"), link(3, "eth1")],
        addresses=[(2, "192.0.2.1/24")],
        routes=[route("0.0.0.0/0")],
        sysctls={"net/ipv4/conf/all/rp_filter": mode, f"net/ipv4/conf/{link_name}/rp_filter": "0"},
    )
    packet = Packet(ip("9.9.9.9"), ip("192.0.2.1"), "tcp", port=1, in_link=link_name)
    assert bool(reverse_path.objection(stack, packet)) == objects
    own = Packet(ip("192.0.2.1"), ip("192.0.2.1"), "tcp", in_link=link_name)
    assert "martian" in reverse_path.objection(stack, own)


# -- the firewall --


def chain_of(name, hook="", kind="filter", policy="accept", table=hooks.OWN_TABLE):
    base = {"type": kind, "hook": hook, "prio": 0, "policy": policy} if hook else {}
    return {"chain": {"family": table[0], "table": table[1], "name": name, **base}}


def rule_of(chain, *expr, handle=9, table=hooks.OWN_TABLE):
    return {"rule": {"family": table[0], "table": table[1], "chain": chain, "handle": handle, "expr": list(expr)}}


def equals(left, right):
    return {"match": {"op": "==", "left": left, "right": right}}


IIF = {"meta": {"key": "iifname"}}
PACKET = Packet(ip("10.0.0.2"), ip("9.9.9.9"), "tcp", port=443, in_link="v-app", out_link="eth0")


def no_fib(_result, _flags):
    return "unicast"


def test_own_chains_jump_and_drop():
    rules = Ruleset(
        [
            chain_of("f", "forward"),
            chain_of("inside"),
            rule_of("f", {"vmap": {"key": IIF, "data": {"set": [["v-app", {"goto": {"target": "inside"}}]]}}}),
            rule_of("inside", equals({"payload": {"protocol": "tcp", "field": "dport"}}, 80), {"accept": None}),
            rule_of("inside", {"drop": None}, handle=12),
        ]
    )
    assert hooks.own_filter(rules, "forward", PACKET, no_fib).dropped.handle == 12
    assert hooks.own_filter(rules, "forward", PACKET.on("other", "eth0"), no_fib).dropped is None
    assert hooks.own_filter(rules, "input", PACKET, no_fib).dropped is None


def test_the_first_translation_counts():
    theirs = ("ip", "nat")
    shift = {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[443, 8443]]}}}
    rules = Ruleset(
        [
            chain_of("p", "prerouting", "nat", table=theirs),
            rule_of("p", {"counter": None}, {"dnat": {"addr": "10.0.0.9", "port": shift}}, table=theirs),
            rule_of("p", {"dnat": {"addr": "10.0.0.8"}}, table=theirs),
        ]
    )
    found = hooks.translation(rules, "prerouting", PACKET, no_fib).translated
    changed = translated(PACKET, found, None)
    assert (str(changed.destination), changed.port, changed.dnat) == ("10.0.0.9", 8443, True)


def test_a_target_of_iptables_is_a_doubt():
    theirs = ("ip", "nat")
    rules = Ruleset(
        [
            chain_of("POSTROUTING", "postrouting", "nat", table=theirs),
            rule_of("POSTROUTING", {"xt": {"type": "match", "name": "set"}}, {"masquerade": None}, table=theirs),
        ]
    )
    outcome = hooks.translation(rules, "postrouting", PACKET, no_fib)
    assert outcome.translated is None and outcome.doubt is not None


def test_answers_find_their_connection():
    first = Packet(ip("10.0.0.2"), ip("192.0.2.10"), "tcp", port=80)
    last = Packet(ip("192.0.2.10"), ip("10.0.0.9"), "tcp", port=8080, dnat=True, snat=True)
    known = Connections([Entry("", first, last)])
    answer = answer_to(last)
    entry = known.of_answer("", answer)
    assert entry is not None and known.of_answer("app", answer) is None
    inner = known_here(answer, entry)
    assert (inner.destination, inner.original) == (first.source, (first.source, first.destination))
    outer = as_asked(inner, entry)
    assert (outer.source, outer.source_port, outer.destination) == (first.destination, 80, first.source)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["forward", "v-app", "10.0.0.0", "@s", "drop"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["match", "op", "left", "right", "vmap", "key", "data", "set", "jump", "target", "meta", "payload", "ct"]
            + ["fib", "drop", "accept", "prefix", "range", "concat", "map", "dnat", "addr", "xt", "name", "elem", "val"]
        ),
        inner,
        max_size=3,
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4))
def test_no_rule_is_too_strange(expressions):
    objects = [chain_of("f", "forward"), rule_of("f", *expressions), rule_of("f", {"drop": None})]
    rules = Ruleset(objects)
    hooks.own_filter(rules, "forward", PACKET, no_fib)


LISTED = st.sampled_from(["chain", "rule", "set", "map", "table"])


@given(st.lists(st.dictionaries(LISTED, JSON, max_size=2), max_size=3))
def test_no_listing_is_too_strange(objects):
    try:
        Ruleset(objects)
    except SystemRefused:
        pass


# -- small things --


def test_who_listens():
    sockets = [Socket("tcp", "127.0.0.1", 80), Socket("tcp", "::", 81), Socket("tcp", "::ffff:10.0.0.2", 82)]
    assert loopback_only(listening(sockets, "tcp", ip("10.0.0.2"), 80).other)
    assert listening(sockets, "tcp", ip("10.0.0.2"), 81).here and listening(sockets, "tcp", ip("fd00::1"), 81).here
    assert listening(sockets, "tcp", ip("10.0.0.2"), 82).here
    assert listening(sockets, "udp", ip("10.0.0.2"), 81) == ([], [])
    assert not listening([Socket("tcp", "0.0.0.0", 80)], "tcp", ip("fd00::1"), 80).here


def test_names():
    files = {
        "/etc/resolv.conf": "nameserver 127.0.0.53\n",
        "/etc/netns/app/resolv.conf": "# x\nnameserver 9.9.9.9\nnameserver fe80::1%eth0\nnameserver nonsense\n",
        "/etc/hosts": "10.0.0.9 www.example.org www # www2\n",
    }
    found = name_service.resolver(Host(files=files), "app", "WWW.example.org.")
    assert (found.path, found.servers) == ("/etc/netns/app/resolv.conf", [ip("9.9.9.9"), ip("fe80::1")])
    assert (found.hosts_path, found.known) == ("/etc/hosts", [ip("10.0.0.9")])
    found = name_service.resolver(Host(files=files), "db", "www2")
    assert (found.path, found.known) == ("/etc/resolv.conf", [])
    assert name_service.resolver(Host(), "app", "x").path is None


@pytest.mark.parametrize(
    ("text", "expected"), [("10.1.2.3", True), ("100.64.0.1", True), ("fd00::1", True), ("198.51.100.1", False)]
)
def test_private(text, expected):
    assert private.is_private(ip(text)) is expected


def test_marks_say_where_links_belong():
    one = link(2, "eth0", alias="linuxnet.netns: v-app on the host -- eth0 in app")
    assert missing_route.home_of(one, "app") is None
    assert missing_route.home_of(one, "db") == "app"
    assert missing_route.home_of(link(2, "eth0"), "db") is None
    assert missing_route.marked_ends("mine") == []


# -- options --


def question(**options):
    return Question.from_options(options)


def test_defaults():
    assert question(to_address="9.9.9.9").protocol == "icmp"
    assert question(to_address="9.9.9.9", port=53).protocol == "tcp"
    assert question(to_address="example.org").to_name == "example.org"
    assert question(direction="in", port=1).to_address is None
    assert question(to_address="9.9.9.9", to_netns="").to_netns == ""
    filled = {name: option.get("default") for name, option in OPTIONS.items()}
    assert question(**{**filled, "to_address": "::1"}) == question(to_address="::1")


@pytest.mark.parametrize(
    ("options", "option", "reason", "remedy"),
    [
        ({}, "to_address", "is missing", "give an address"),
        ({"to_address": "10.0.0.0/8"}, "to_address", "is not an IP address", "write an"),
        ({"to_address": "1.2.3"}, "to_address", "is not an IP address", "write an"),
        ({"to_address": "224.0.0.1"}, "to_address", "one host", "give the address"),
        ({"to_address": "example.org", "direction": "in"}, "to_address", "is not an IP address", "write an"),
        ({"to_address": "::1", "protocol": "udp"}, "protocol", "none was given", "set port"),
        ({"to_address": "::1", "protocol": "icmp", "port": 5}, "port", "icmp", "leave it out"),
        ({"to_address": "::1", "port": 0}, "port", "is not a port", "1 to 65535"),
        ({"to_address": "::1", "source": "10.0.0.1"}, "source", "not of the family", "one family"),
        ({"to_address": "::1", "size": 20}, "size", "is not the size", "use 28"),
        ({"to_address": "::1", "in_interface": "eth0"}, "in_interface", "says nothing", "direction=in"),
        ({"direction": "in", "out_interface": "eth0"}, "out_interface", "says nothing", "direction=out"),
        ({"to_address": "::1", "netns": "a/b"}, "netns", "not a valid namespace", "plain file name"),
    ],
)
def test_what_cannot_be_asked(options, option, reason, remedy):
    refused(option, options.get(option), reason, remedy, Question.from_options, options)


@given(st.dictionaries(st.sampled_from(["netns", "to_address", "source", "to_netns"]), st.text(max_size=20)))
def test_no_text_is_too_strange(options):
    try:
        Question.from_options(options)
    except NetnsError:
        pass


def test_every_cause_is_documented_and_used():
    text = (PLUGINS / "modules/netns_check.py").read_text()
    assert [cause for cause in CAUSES if f"V({cause})" not in text] == []
    raised = {
        node.value
        for path in (PLUGINS / "module_utils/check").glob("*.py")
        if path.name != "verdict.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(CAUSES) - raised == set()
