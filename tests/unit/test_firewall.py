# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ruleset's text."""

from __future__ import annotations

import re

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.firewall import (
    EVERY,
    Inside,
    Ruleset,
    chain_name,
    compile_ruleset,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.desired import cidr
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.names import link_name
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_forward import Forward
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_nat import Nat
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from hypothesis import given, settings
from hypothesis import strategies as st
from model_system import converge, topology, uplinked
from topologies import topologies


def nat(**options):
    return Nat.from_options({"name": "out", "source": ["10.0.0.0/30"], **options})


def forward(**options):
    return Forward.from_options({"name": "in", "port": "10105", "to_address": "10.0.0.2", **options})


def nets(*texts):
    return tuple(cidr.network("", text) for text in texts)


def chains(text):
    """Chain -> lines."""
    found = {}
    for name, body in re.findall(r"^\tchain (\S+) \{\n(.*?)^\t\}\n", text, re.MULTILINE | re.DOTALL):
        assert name not in found, f"{name} is there twice"
        found[name] = [line.strip() for line in body.splitlines()]
    assert text.count("\tchain ") == len(found)
    return found


def compiled(**parts):
    return chains(compile_ruleset(Ruleset(**parts)))


APP = Inside("app0", nets("10.0.0.2/32"))


def test_nothing_declared_is_no_table():
    assert compile_ruleset(Ruleset()) is None
    assert compile_ruleset(Ruleset(defaults=("eth0",), opened={4: ("eth0",)})) is None


def test_a_small_case_line_by_line():
    """A namespace behind app0 that reaches out, and one port that leads into it."""
    found = compiled(
        inside=(Inside("app0", nets("10.0.0.2/32"), (), True),),
        nat=((nat(), ("app0",)),),
        forwards=((forward(), ("app0",)),),
        defaults=("eth0",),
        opened={4: ("eth0",)},
    )
    assert found == {
        "raw_prerouting": [
            "type filter hook prerouting priority -300; policy accept;",
            'iifname { "app0" } ip daddr 127.0.0.0/8 drop',
            'iifname . ip saddr { "app0" . 10.0.0.2 } accept',
            'iifname { "app0" } icmpv6 type { nd-router-advert, nd-redirect } drop',
            'iifname { "app0" } ip6 saddr { fe80::/10, :: } accept',
            'iifname { "app0" } drop',
        ],
        "forwards": ['meta nfproto ipv4 tcp dport 10105 counter dnat ip to 10.0.0.2 comment "forward in"'],
        "nat_prerouting": [
            "type nat hook prerouting priority -110; policy accept;",
            "ip daddr 127.0.0.0/8 return",
            "ip6 daddr ::1 return",
            "fib daddr type local jump forwards",
        ],
        "forwards_from_host": ['meta nfproto ipv4 tcp dport 10105 counter dnat ip to 10.0.0.2 comment "forward in"'],
        "nat_output": [
            "type nat hook output priority -110; policy accept;",
            "ip daddr 127.0.0.0/8 ip daddr != 127.0.0.1 return",
            "ip6 daddr ::1 return",
            "fib daddr type local jump forwards_from_host",
        ],
        "declared": [
            'ct status dnat ip daddr 10.0.0.2 tcp dport 10105 accept comment "forward in"',
            'oifname { "app0" } return',
            "ip saddr { 10.0.0.0/30 } ct state new accept",
        ],
        "from_inside": ["ct state established,related accept", "jump declared", "drop"],
        "to_inside": ["ct state established,related accept", "jump declared", "drop"],
        "opened": [
            "ct state established,related ct original ip saddr { 10.0.0.0/30 } accept",
            "ct state established,related ct status dnat accept",
            "jump declared",
            "drop",
        ],
        "filter_forward": [
            "type filter hook forward priority -10; policy accept;",
            'iifname { "app0" } goto from_inside',
            'oifname { "app0" } goto to_inside',
            'iifname { "eth0" } meta nfproto ipv4 goto opened',
        ],
        "nat_postrouting": [
            "type nat hook postrouting priority 90; policy accept;",
            'ct status dnat oifname . ip saddr { "app0" . 10.0.0.2 } masquerade',
            'ct status dnat oifname { "app0" } ip saddr 127.0.0.0/8 masquerade',
            'ip saddr { 10.0.0.0/30 } oifname != { "app0", "lo" } counter masquerade comment "nat out"',
        ],
    }


def test_a_link_with_nothing_declared_is_closed():
    found = compiled(inside=(APP,))
    assert found["from_inside"] == found["to_inside"] == ["ct state established,related accept", "drop"]
    assert set(found) == {"raw_prerouting", "from_inside", "to_inside", "filter_forward"}


def test_networks_behind_a_link_get_a_chain():
    found = compiled(
        inside=(Inside("app0", nets("10.0.0.2/32", "10.8.0.0/16", "fd08::/64")), Inside("db0", nets("10.0.1.2/32")))
    )
    assert found["source_app0"] == ["ip saddr { 10.8.0.0/16 } accept", "ip6 saddr { fd08::/64 } accept"]
    assert 'iifname . ip saddr { "app0" . 10.0.0.2, "db0" . 10.0.1.2 } accept' in found["raw_prerouting"]
    assert 'iifname vmap { "app0" : jump source_app0 }' in found["raw_prerouting"]
    assert found["raw_prerouting"][-1] == 'iifname { "app0", "db0" } drop'


def test_unknown_sources_are_not_guarded():
    assert "raw_prerouting" not in compiled(inside=(Inside("app0", None),))


def test_friends_reach_each_other():
    found = compiled(
        inside=(
            Inside("a0", nets("10.0.0.2/32"), ("b0",)),
            Inside("b0", nets("10.0.1.2/32"), ("a0",)),
            Inside("c0", nets("10.0.2.2/32")),
        )
    )
    assert 'iifname { "a0", "b0" } oifname { "a0", "b0" } accept' in found["from_inside"]
    assert found["from_inside"][-1] == "drop"
    assert not any('"c0"' in line for line in found["from_inside"])


@pytest.mark.parametrize(
    ("options", "incoming"),
    [
        ({}, "meta nfproto ipv4 tcp dport 10105 counter dnat ip to 10.0.0.2"),
        ({"to_port": "80"}, "meta nfproto ipv4 tcp dport 10105 counter dnat ip to 10.0.0.2:80"),
        ({"port": "8000-8010"}, "meta nfproto ipv4 tcp dport 8000-8010 counter dnat ip to 10.0.0.2"),
        (
            {"port": "80-81", "to_port": "9-10"},
            "meta nfproto ipv4 tcp dport 80-81 counter dnat ip to 10.0.0.2 : tcp dport map { 80 : 9, 81 : 10 }",
        ),
        ({"to_address": "fd00::2"}, "meta nfproto ipv6 tcp dport 10105 counter dnat ip6 to fd00::2"),
        (
            {"to_address": "fd00::2", "to_port": "80"},
            "meta nfproto ipv6 tcp dport 10105 counter dnat ip6 to [fd00::2]:80",
        ),
        (
            {"to_address": "fd00::2", "port": "80-81", "to_port": "90-91"},
            "meta nfproto ipv6 tcp dport 80-81 counter dnat ip6 to fd00::2 : tcp dport map { 80 : 90, 81 : 91 }",
        ),
        ({"protocol": ["sctp"]}, "meta nfproto ipv4 sctp dport 10105 counter dnat ip to 10.0.0.2"),
        (
            {"listen_address": ["192.0.2.2", "192.0.2.1"]},
            "meta nfproto ipv4 ip daddr { 192.0.2.1, 192.0.2.2 } tcp dport 10105 counter dnat ip to 10.0.0.2",
        ),
        (
            {"sources": ["198.51.100.0/24", "203.0.113.7"]},
            "meta nfproto ipv4 ip saddr { 198.51.100.0/24, 203.0.113.7 } tcp dport 10105 counter dnat ip to 10.0.0.2",
        ),
        (
            {"sources": ["198.51.100.0/25", "198.51.100.128/25", "198.51.100.7"]},
            "meta nfproto ipv4 ip saddr { 198.51.100.0/24 } tcp dport 10105 counter dnat ip to 10.0.0.2",
        ),
        (
            {"in_interface": ["eth0"]},
            'meta nfproto ipv4 iifname { "app0", "eth0" } tcp dport 10105 counter dnat ip to 10.0.0.2',
        ),
        (
            {"in_interface": ["eth0"], "hairpin": False},
            'meta nfproto ipv4 iifname { "eth0" } tcp dport 10105 counter dnat ip to 10.0.0.2',
        ),
        ({"hairpin": False}, 'meta nfproto ipv4 iifname != { "app0" } tcp dport 10105 counter dnat ip to 10.0.0.2'),
    ],
)
def test_forwards(options, incoming):
    item = forward(**options)
    found = compiled(inside=(APP,), forwards=((item, ("app0",)),))
    assert found["forwards"] == [f'{incoming} comment "forward in"']
    assert ("nat_output" in found) == ("nat_postrouting" in found) == item.hairpin
    if item.hairpin:
        assert not any("iifname" in line for line in found["forwards_from_host"]), (
            "what the host itself sends came in nowhere"
        )
    for chain in ("nat_prerouting", "nat_output"):
        for line in found.get(chain, [])[1:]:
            assert "jump" not in line or line.startswith("fib daddr type local "), "DNAT only for local destinations"


def test_a_forward_of_two_protocols_is_two_rules():
    found = compiled(forwards=((forward(protocol=["udp", "tcp"]), ()),))
    assert [line.split(" dport")[0].split()[-1] for line in found["forwards"]] == ["tcp", "udp"]
    assert len(found["declared"]) == 2


def test_narrower_forwards_are_matched_first():
    items = [
        forward(name="any"),
        forward(name="source", sources=["198.51.100.0/24"]),
        forward(name="interface", in_interface=["eth0"]),
        forward(name="address", listen_address=["192.0.2.1"]),
    ]
    found = compiled(forwards=tuple((item, ()) for item in items))
    assert [line.split('"')[-2] for line in found["forwards"]] == [
        "forward address",
        "forward interface",
        "forward source",
        "forward any",
    ]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, 'ip saddr { 10.0.0.0/30 } oifname != { "app0", "lo" } counter masquerade'),
        ({"out_interface": ["eth1", "eth0"]}, 'ip saddr { 10.0.0.0/30 } oifname { "eth0", "eth1" } counter masquerade'),
        (
            {"exclude": ["10.9.0.0/16"]},
            'ip saddr { 10.0.0.0/30 } oifname != { "app0", "lo" } ip daddr != { 10.9.0.0/16 } counter masquerade',
        ),
        (
            {"to_address": "192.0.2.9"},
            'ip saddr { 10.0.0.0/30 } oifname != { "app0", "lo" } counter snat ip to 192.0.2.9',
        ),
        (
            {"to_address": "192.0.2.9-192.0.2.12"},
            'ip saddr { 10.0.0.0/30 } oifname != { "app0", "lo" } counter snat ip to 192.0.2.9-192.0.2.12',
        ),
        (
            {"source": ["fd00::/64"], "to_address": "2001:db8::9"},
            'ip6 saddr { fd00::/64 } oifname != { "app0", "lo" } counter snat ip6 to 2001:db8::9',
        ),
    ],
)
def test_nats(options, line):
    assert compiled(nat=((nat(**options), ("app0",)),))["nat_postrouting"][1:] == [f'{line} comment "nat out"']


def test_a_nat_of_both_families_is_two_rules():
    found = compiled(nat=((nat(source=["10.0.0.0/30", "fd0::/64"], exclude=["f::/64"]), ("a",)),))
    assert found["nat_postrouting"][1:] == [
        'ip saddr { 10.0.0.0/30 } oifname != { "a", "lo" } counter masquerade comment "nat out"',
        'ip6 saddr { fd0::/64 } oifname != { "a", "lo" } ip6 daddr != { f::/64 } counter masquerade comment "nat out"',
    ]


def test_a_nat_without_forwarding_accepts_nothing():
    found = compiled(inside=(APP,), nat=((nat(forward=False), ("app0",)),), opened={4: ("eth0",)})
    assert "declared" not in found
    assert found["opened"] == ["drop"]


def test_a_nat_to_named_interfaces_accepts_only_those():
    assert compiled(inside=(APP,), nat=((nat(out_interface=["eth0"]), ("app0",)),))["declared"] == [
        'ip saddr { 10.0.0.0/30 } oifname { "eth0" } ct state new accept'
    ]


def test_a_global_switch_closes_every_interface():
    found = compiled(inside=(APP,), nat=((nat(source=["fd00::/64"]), ("app0",)),), opened={6: (EVERY,)})
    assert found["filter_forward"][-1] == "meta nfproto ipv6 goto opened"


def test_our_own_links_are_not_opened():
    assert not any("goto opened" in line for line in compiled(inside=(APP,), opened={4: ("app0",)})["filter_forward"])


def test_a_long_shifted_range_maps_one_to_one():
    found = compiled(forwards=((forward(port="20000-20099", to_port="30000-30099"), ()),))
    pairs = re.findall(r"(\d+) : (\d+)", found["forwards"][0])
    assert [(int(one), int(other)) for one, other in pairs] == [(port, port + 10000) for port in range(20000, 20100)]


@pytest.mark.parametrize(
    ("link", "name"),
    [
        ("app0", "from_app0"),
        ("a.b-c_d", "from_a.b-c_d"),
        ("a+b", "from_x612b62"),
        ("a;b", "from_x613b62"),
        ("x612b62", "from_x78363132623632"),
    ],
)
def test_chain_names(link, name):
    assert chain_name("from", link) == name


def accepted(name):
    try:
        return link_name("name", name) == name
    except InvalidOption:
        return False


links = st.text(st.sampled_from("abxz019._-@+#;{}()&|$!~`^<>=?[],"), min_size=1, max_size=15).filter(accepted)


@given(
    st.lists(links, min_size=3, max_size=3, unique=True), st.text(st.sampled_from("ab ;{}#'$*"), min_size=1, max_size=8)
)
def test_any_accepted_name_stays_between_its_quotes(names, free_text):
    inner, one, other = names
    text = compile_ruleset(
        Ruleset(
            (
                Inside(inner, nets("10.0.0.2/32", "10.8.0.0/16"), (other,), True),
                Inside(other, nets("10.0.1.2/32"), (inner,)),
            ),
            ((nat(name=free_text, out_interface=[one]), (inner,)), (nat(name="b"), (inner,))),
            ((forward(name=free_text, in_interface=[one]), (inner,)),),
            (one,),
            {4: (one,)},
        )
    )
    quoted = re.findall(r'"([^"\n]*)"', text)
    assert set(quoted) <= {*names, "lo", f"nat {free_text}", "nat b", f"forward {free_text}"}
    assert re.sub(r'"[^"\n]*"', "", text).isascii()
    assert set(re.sub(r'"[^"\n]*"', "", text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789 \t\n{}.,:;/!=_-")
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_.-]*", name) for name in chains(text))


@given(links, links)
def test_chain_names_of_different_links_differ(one, other):
    assert (chain_name("source", one) == chain_name("source", other)) == (one == other)


@settings(max_examples=max(settings.default.max_examples // 4, 10))
@given(st.booleans(), topologies())
def test_the_rules_of_any_topology(force_forwarding, options):
    kernel = uplinked(force_forwarding)
    converge(kernel, topology(options))
    text = kernel.host.table
    if text is None:
        assert not any(not end.get("netns") for veth in options["veths"] for end in (veth, veth["peer"]))
        return
    found = chains(text)
    bases = {name: lines for name, lines in found.items() if lines[0].startswith("type ")}
    assert all(lines[0].endswith("policy accept;") for lines in bases.values())
    assert not any("drop" in line.split() for name in bases for line in bases[name] if name != "raw_prerouting"), (
        "traffic of others falls through"
    )
    targets = {
        target
        for lines in found.values()
        for line in lines
        for target in re.findall(r"\b(?:jump|goto) ([^\s,]+)", line)
    }
    assert targets == set(found) - set(bases), "no chain is missing, and none is idle"
    ours = {end["name"] for veth in options["veths"] for end in (veth, veth["peer"]) if not end.get("netns")}
    named = {name for item in options["forwards"] for name in item["in_interface"]} | {
        name for item in options["nat"] for name in item["out_interface"]
    }
    uplinks = {"eth0"} if options["nat"] or options["forwards"] else set()
    comments = re.findall(r'comment "([^"]*)"', text)
    assert set(re.findall(r'"([^"]*)"', text)) - set(comments) <= ours | named | uplinks | {"lo"}
    for line in found.get("filter_forward", [])[1:]:
        assert re.match(r"(iifname|oifname) \{|meta nfproto ipv6 goto opened$", line)
    for line in found.get("raw_prerouting", [])[1:]:
        assert line.startswith("iifname ") and not set(re.findall(r'"([^"]*)"', line)) - ours
