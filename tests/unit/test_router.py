# SPDX-License-Identifier: GPL-3.0-or-later
"""The router role's composer: from namespaces behind a router to the lists of a topology."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import State
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from ansible_collections.linuxnet.netns.plugins.module_utils.router import host_interface, router_topology

V4 = {"addresses": ["10.0.0.2/30"], "gateways": ["10.0.0.1/30"]}
V6 = {"addresses": ["fd00::2/64"], "gateways": ["fd00::1/64"]}
BOTH = {"addresses": ["10.0.0.2/30", "fd00::2/64"], "gateways": ["10.0.0.1/30", "fd00::1/64"]}


def app(**options):
    return {"name": "app", **options}


def forwards(item, uplink=()):
    return router_topology([item], uplink)["forwards"]


def fails(namespaces, uplink=()):
    with pytest.raises(InvalidOption) as caught:
        router_topology(namespaces, uplink)
    return str(caught.value)


# -- what comes out --


def test_nothing():
    assert router_topology([]) == {"namespaces": [], "veths": [], "nat": [], "forwards": []}
    assert router_topology(None) == router_topology([])


def test_a_namespace_behind_the_router():
    inside = {"dns": {"search": ["example.net"]}, "hosts": {"192.0.2.1": "db"}, "sysctls": {"net.core.somaxconn": 9}}
    found = router_topology([app(**BOTH, **inside, forwards=[{"port": 10105}])])
    assert found == {
        "namespaces": [{"name": "app", **inside}],
        "veths": [{
            "name": "v-app", "addresses": ["10.0.0.1/30", "fd00::1/64"],
            "peer": {"name": "eth0", "netns": "app", "addresses": ["10.0.0.2/30", "fd00::2/64"],
                     "gateway": "10.0.0.1", "gateway6": "fd00::1"},
        }],
        "nat": [{"name": "app", "source": ["10.0.0.2/32", "fd00::2/128"], "out_interface": []}],
        "forwards": [
            {"name": "app-tcp-10105", "port": "10105", "in_interface": [], "to_address": "10.0.0.2"},
            {"name": "app-tcp-10105-v6", "port": "10105", "in_interface": [], "to_address": "fd00::2"},
        ],
    }


def test_the_engine_takes_what_comes_out():
    items = [
        app(**BOTH, forwards=[{"port": 10105, "protocol": "tcp,udp"}, {"port": "2000-2009", "to_port": "3000-3009"}]),
        {"name": "db", "addresses": ["10.0.0.6/30"], "gateways": ["10.0.0.5/30"], "nat": False,
         "forwards": [{"port": 5432, "sources": ["192.0.2.0/24"]}]},
        {"name": "a namespace with quite a \"long\" name, and a blank or two in it, which is nevertheless valid"},
    ]
    state = State.from_options(router_topology(items, ["up0"]))
    assert [len(state.namespaces), len(state.veths), len(state.nat), len(state.forwards)] == [3, 3, 1, 5]


def test_interfaces_can_be_named():
    veth, = router_topology([app(**V4, interface="to-app", peer_interface="uplink")])["veths"]
    assert (veth["name"], veth["peer"]["name"]) == ("to-app", "uplink")


def test_the_first_gateway_of_a_family_is_the_default_route():
    item = app(addresses=["10.0.0.2/30", "10.0.1.2/30"], gateways=["10.0.1.1/30", "10.0.0.1/30"])
    assert router_topology([item])["veths"][0]["peer"]["gateway"] == "10.0.1.1"


def test_one_family_has_one_default_route():
    assert "gateway6" not in router_topology([app(**V4)])["veths"][0]["peer"]
    assert "gateway" not in router_topology([app(**V6)])["veths"][0]["peer"]


def test_uplinks_narrow_both_directions():
    found = router_topology([app(**V4, forwards=[{"port": 80}, {"port": 81, "in_interface": ["wg0"]}])], ["up0", "up1"])
    assert found["nat"][0]["out_interface"] == ["up0", "up1"]
    assert [item["in_interface"] for item in found["forwards"]] == [["up0", "up1"], ["wg0"]]


@pytest.mark.parametrize("off", [False, "no", "false", 0])
def test_nat_can_be_left_out(off):
    assert router_topology([app(**V4, nat=off)])["nat"] == []


def test_no_nat_for_a_family_without_a_gateway():
    item = app(addresses=BOTH["addresses"], gateways=V4["gateways"])
    assert router_topology([item])["nat"][0]["source"] == ["10.0.0.2/32"]
    assert router_topology([app()])["nat"] == []


# -- names that are made up --


@pytest.mark.parametrize("netns, interface", [
    ("app", "v-app"),
    ("thirteenbytes", "v-thirteenbytes"),
    ("fourteen-bytes", "v-fourte-c8f1e7"),
    ("fourteen-bytez", "v-fourte-a80999"),
    ("blank space", "v-blanks-cefa1b"),
    ("ä", "v--33e6d7"),
])
def test_the_host_interface_fits_and_is_stable(netns, interface):
    assert host_interface(netns) == interface
    assert len(interface.encode()) <= 15


@pytest.mark.parametrize("forward, name", [
    ({"port": 80}, "app-tcp-80"),
    ({"port": "80"}, "app-tcp-80"),
    ({"port": "8000-8010"}, "app-tcp-8000-8010"),
    ({"port": 53, "protocol": ["udp", "tcp"]}, "app-tcp-udp-53"),
    ({"port": 53, "protocol": "udp,tcp"}, "app-tcp-udp-53"),
    ({"port": 80, "to_port": 8080, "sources": ["192.0.2.0/24"]}, "app-tcp-80"),
    ({"port": 80, "listen_address": ["192.0.2.1"]}, "app-tcp-80-192.0.2.1"),
    ({"port": 80, "name": "web"}, "web"),
])
def test_names_of_forwards(forward, name):
    assert forwards(app(**V4, forwards=[forward]))[0]["name"] == name


def test_names_do_not_depend_on_the_order():
    one, other = {"port": 80}, {"port": 81}
    names = {item["name"] for item in forwards(app(**BOTH, forwards=[one, other]))}
    assert names == {item["name"] for item in forwards(app(**BOTH, forwards=[other, one]))}
    assert len(names) == 4


def test_a_given_name_is_kept_apart_by_family():
    assert [item["name"] for item in forwards(app(**BOTH, forwards=[{"port": 80, "name": "web"}]))] == ["web", "web-v6"]


def test_long_names_are_shortened():
    item = {"name": "n" * 200, **V4, "forwards": [{"port": 80}, {"port": 81}]}
    found = router_topology([item])
    names = [entry["name"] for entry in (*found["nat"], *found["forwards"])]
    assert len(set(names)) == 3
    assert all(len(name) <= 64 for name in names)


# -- families of forwards --


@pytest.mark.parametrize("ends, forward, targets", [
    (V4, {}, ["10.0.0.2"]),
    (V6, {}, ["fd00::2"]),
    (BOTH, {}, ["10.0.0.2", "fd00::2"]),
    (BOTH, {"to_address": "10.0.0.2"}, ["10.0.0.2"]),
    (BOTH, {"to_address": "10.9.9.9"}, ["10.9.9.9"]),
    (BOTH, {"listen_address": ["192.0.2.1"]}, ["10.0.0.2"]),
    (BOTH, {"sources": ["2001:db8::/32"]}, ["fd00::2"]),
    (BOTH, {"sources": ["192.0.2.0/24", "2001:db8::/32"]}, ["10.0.0.2", "fd00::2"]),
    # a family without an allowed source is not one with any source
    (BOTH, {"listen_address": ["192.0.2.1", "2001:db8::1"], "sources": ["192.0.2.0/24"]}, ["10.0.0.2"]),
    ({"addresses": BOTH["addresses"], "gateways": V4["gateways"]}, {}, ["10.0.0.2"]),
    ({"addresses": ["10.0.0.2/29", "10.0.0.3/29"], "gateways": ["10.0.0.1/29"]}, {}, ["10.0.0.2"]),
    ({}, {"to_address": "10.9.9.9"}, ["10.9.9.9"]),
])
def test_families(ends, forward, targets):
    assert [item["to_address"] for item in forwards(app(**ends, forwards=[{"port": 80, **forward}]))] == targets


def test_each_family_gets_its_own_lists():
    forward = {"port": 80, "listen_address": ["192.0.2.1", "2001:db8::1"], "sources": ["192.0.2.0/24", "2001:db8::/32"]}
    one, other = forwards(app(**BOTH, forwards=[forward]))
    assert (one["listen_address"], one["sources"]) == (["192.0.2.1"], ["192.0.2.0/24"])
    assert (other["listen_address"], other["sources"]) == (["2001:db8::1"], ["2001:db8::/32"])


def test_options_of_a_forward_are_passed_on():
    forward, = forwards(app(**V4, forwards=[{"port": 80, "to_port": 8080, "hairpin": False, "protocol": ["udp"]}]))
    assert (forward["to_port"], forward["hairpin"], forward["protocol"]) == (8080, False, ["udp"])


def test_what_is_none_counts_as_left_out():
    forward = {"port": 80, "name": None, "sources": None, "to_address": None}
    item = app(**V4, dns=None, interface=None, nat=None, forwards=[forward])
    found = router_topology([item])
    assert found["namespaces"] == [{"name": "app"}]
    assert found["veths"][0]["name"] == "v-app"
    assert found["nat"] != []
    assert found["forwards"] == [{"name": "app-tcp-80", "port": "80", "in_interface": [], "to_address": "10.0.0.2"}]


# -- errors name what is wrong --


@pytest.mark.parametrize("namespaces, option", [
    ({"name": "app"}, "router_namespaces"),
    ("app", "router_namespaces"),
    (["app"], "router_namespaces[0]"),
    ([app(), {}], "router_namespaces[1].name"),
    ([{"name": "../app"}], "router_namespaces[0].name"),
    ([app(netns="x")], "router_namespaces[0].netns"),
    ([app(adresses=["10.0.0.2/30"])], "router_namespaces[0].adresses"),
    ([app(interface="sixteen-bytes-xx")], "router_namespaces[0].interface"),
    ([app(peer_interface="a/b")], "router_namespaces[0].peer_interface"),
    ([app(addresses=["10.0.0.2"])], "router_namespaces[0].addresses[0]"),
    ([app(addresses={"a": 1})], "router_namespaces[0].addresses"),
    ([app(addresses=["10.0.0.2/30"], gateways=["10.0.0.1/30", "fd00::1/64"])], "router_namespaces[0].gateways[1]"),
    ([app(addresses=["10.0.0.2/30"], gateways=["10.0.1.1/30"])], "router_namespaces[0].gateways[0]"),
    ([app(gateways=["10.0.0.1/30"])], "router_namespaces[0].gateways[0]"),
    ([app(**V4, nat="perhaps")], "router_namespaces[0].nat"),
    ([app(**V4, dns="192.0.2.53")], "router_namespaces[0].dns"),
    ([app(**V4, hosts=["192.0.2.1 a"])], "router_namespaces[0].hosts"),
    ([app(**V4, sysctls=[1])], "router_namespaces[0].sysctls"),
    ([app(**V4, forwards=[80])], "router_namespaces[0].forwards[0]"),
    ([app(**V4, forwards=[{}])], "router_namespaces[0].forwards[0].port"),
    ([app(**V4, forwards=[{"port": 80, "netns": "x"}])], "router_namespaces[0].forwards[0].netns"),
    ([app(**V4, forwards=[{"port": 80}, {"port": 81, "prot": "udp"}])], "router_namespaces[0].forwards[1].prot"),
    ([app(forwards=[{"port": 80}])], "router_namespaces[0].forwards[0].to_address"),
    ([app(**V4, forwards=[{"port": 80, "to_address": "nowhere"}])], "router_namespaces[0].forwards[0].to_address"),
    ([app(**V4, forwards=[{"port": 80, "sources": ["fd00::/8"]}])], "router_namespaces[0].forwards[0].sources"),
    ([app(**V4, forwards=[{"port": 80, "sources": ["x"]}])], "router_namespaces[0].forwards[0].sources[0]"),
    ([app(**V4, forwards=[{"port": 80}, {"port": 80, "sources": ["192.0.2.0/24"]}])],
     "router_namespaces[0].forwards[1].name"),
])
def test_errors(namespaces, option):
    assert fails(namespaces).startswith(f"{option}: ")


def test_uplink_must_be_a_list():
    assert router_topology([app(**V4)], "up0,up1")["nat"][0]["out_interface"] == ["up0", "up1"]
    assert fails([], {"up0": 1}).startswith("router_uplink: ")
