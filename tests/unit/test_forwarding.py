# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which switches are set where, and what stays closed all the same."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.compile import forwarding
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.firewall import EVERY
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import State
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.sysctl import Sysctl


class FakeSnapshot:
    """A host with an uplink eth0 (192.0.2.10, default routes of both families), a second interface eth1, and app0."""

    def __init__(self, sysctls=(), links=("lo", "eth0", "eth1", "app0")):
        self._sysctls = {"net/ipv4/conf/all/forwarding": "0", "net/ipv6/conf/all/forwarding": "0"}
        for link in links:
            self._sysctls.update(
                {
                    f"net/ipv4/conf/{link}/forwarding": "0",
                    f"net/ipv6/conf/{link}/forwarding": "0",
                    f"net/ipv6/conf/{link}/force_forwarding": "0",
                    f"net/ipv6/conf/{link}/accept_ra": "1",
                }
            )
        self._sysctls.update(sysctls)
        self._links = links

    def sysctl(self, netns, path):
        return self._sysctls.get(path)

    def links(self, netns):
        return dict.fromkeys(self._links)

    def all_addresses(self, netns):
        return [
            ("lo", wire.Address(1, ipaddress.ip_interface("127.0.0.1/8"), 0x80, 254)),
            ("eth0", wire.Address(2, ipaddress.ip_interface("192.0.2.10/24"), 0x80, 0)),
        ]

    def all_routes(self, netns):
        for text, via in (("0.0.0.0/0", "192.0.2.1"), ("::/0", "fe80::1")):
            yield (
                "eth0",
                wire.Route(
                    ipaddress.ip_network(text), 254, 0, wire.RTN_UNICAST, ipaddress.ip_address(via), 2, None, False, 3
                ),
            )


VETH = {
    "name": "app0",
    "addresses": ["10.0.0.1/30", "fd00::1/64"],
    "peer": {"name": "eth0", "netns": "app", "addresses": ["10.0.0.2/30", "fd00::2/64"]},
}
NAT4, NAT6 = {"name": "out", "source": ["10.0.0.0/30"]}, {"name": "six", "source": ["fd00::/64"]}
IN4, IN6 = (
    {"name": "in", "port": "80", "to_address": "10.0.0.2"},
    {"name": "in6", "port": "80", "to_address": "fd00::2"},
)


def state(single=False, **lists):
    return State.from_options({"veths": [VETH], **lists}, single)


def view(found, snapshot=None, ours=("app0",)):
    return forwarding.view("", [found], snapshot or FakeSnapshot(), ours)


def switches(found, snapshot=None, made=(), per_interface=True):
    snapshot = snapshot or FakeSnapshot()
    where = view(found, snapshot)
    inside = [item.link for item in forwarding.inside_links("", [found], where)]
    needs = forwarding.paths("", found, where, inside)
    got = forwarding.sysctls("", needs, snapshot, where.ours, dict(made), per_interface)
    assert all(item.netns == "" for item in got)
    return {item.path: value for item, value in got.items()}


def opened(found, snapshot=None, made=(), per_interface=True):
    snapshot = snapshot or FakeSnapshot()
    needs = forwarding.paths("", found, view(found, snapshot), ())
    return forwarding.opened_links("", needs.forward, snapshot, dict(made), per_interface)


def test_nothing_declared_switches_nothing():
    assert switches(state()) == {}
    assert opened(state()) == {}


def test_nat_opens_its_own_link_and_the_uplink():
    assert switches(state(nat=[NAT4])) == {"net/ipv4/conf/app0/forwarding": "1", "net/ipv4/conf/eth0/forwarding": "1"}
    assert opened(state(nat=[NAT4])) == {4: ("app0", "eth0")}


def test_nat_to_named_interfaces_opens_those():
    assert switches(state(nat=[{**NAT4, "out_interface": ["eth1"]}])) == {
        "net/ipv4/conf/app0/forwarding": "1",
        "net/ipv4/conf/eth1/forwarding": "1",
    }


def test_nat_without_forward_opens_nothing():
    assert switches(state(nat=[{**NAT4, "forward": False}])) == {}


def test_a_forward_opens_where_it_comes_in_and_redirects_localhost():
    assert switches(state(forwards=[IN4])) == {
        "net/ipv4/conf/app0/forwarding": "1",
        "net/ipv4/conf/eth0/forwarding": "1",
        "net/ipv4/conf/app0/route_localnet": "1",
    }
    assert switches(state(forwards=[{**IN4, "in_interface": ["eth1"], "hairpin": False}])) == {
        "net/ipv4/conf/app0/forwarding": "1",
        "net/ipv4/conf/eth1/forwarding": "1",
    }


@pytest.mark.parametrize(
    ("listen", "redirected"),
    [([], True), (["127.0.0.1"], True), (["192.0.2.10"], False), (["127.0.0.1", "192.0.2.10"], True)],
)
def test_localhost_is_redirected_only_where_a_forward_listens_there(listen, redirected):
    assert (
        "net/ipv4/conf/app0/route_localnet" in switches(state(forwards=[{**IN4, "listen_address": listen}]))
    ) == redirected


def test_ipv6_per_interface_where_the_kernel_can():
    assert switches(state(nat=[NAT6])) == {
        "net/ipv6/conf/app0/force_forwarding": "1",
        "net/ipv6/conf/eth0/force_forwarding": "1",
    }
    assert opened(state(nat=[NAT6])) == {6: ("app0", "eth0")}


def test_ipv6_by_the_global_switch_keeps_learnt_routes():
    """Interfaces that listen to router advertisements go on doing so; ours and lo do not."""
    found = switches(state(forwards=[IN6]), FakeSnapshot({"net/ipv6/conf/eth1/accept_ra": "0"}), per_interface=False)
    assert found == {"net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/eth0/accept_ra": "2"}
    assert opened(state(forwards=[IN6]), per_interface=False) == {6: (EVERY,)}


def test_accept_ra_stays_as_long_as_the_switch_is_ours():
    made = {Sysctl("", "net/ipv6/conf/all/forwarding"): "0", Sysctl("", "net/ipv6/conf/eth0/accept_ra"): "1"}
    now = FakeSnapshot(
        {
            "net/ipv6/conf/all/forwarding": "1",
            "net/ipv6/conf/eth0/forwarding": "1",
            "net/ipv6/conf/eth0/accept_ra": "2",
            "net/ipv6/conf/eth1/forwarding": "1",
        }
    )
    assert switches(state(nat=[NAT6]), now, made, False) == {
        "net/ipv6/conf/all/forwarding": "1",
        "net/ipv6/conf/eth0/accept_ra": "2",
    }
    assert opened(state(nat=[NAT6]), now, made, False) == {6: (EVERY,)}


@pytest.mark.parametrize("per_interface", [True, False])
def test_a_host_that_routes_ipv6_already_is_left_alone(per_interface):
    router = FakeSnapshot({"net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/eth0/forwarding": "1"})
    assert switches(state(nat=[NAT6]), router, per_interface=per_interface) == {}
    assert opened(state(nat=[NAT6]), router, per_interface=per_interface) == {}


def test_a_host_that_routes_ipv4_already_stays_open():
    router = FakeSnapshot({"net/ipv4/conf/all/forwarding": "1", "net/ipv4/conf/eth0/forwarding": "1"})
    assert opened(state(nat=[NAT4]), router) == {}


def test_an_interface_that_forwarded_before_us_stays_open():
    before = FakeSnapshot({"net/ipv4/conf/eth0/forwarding": "1"})
    assert opened(state(nat=[NAT4]), before) == {4: ("app0",)}
    ours = {Sysctl("", "net/ipv4/conf/eth0/forwarding"): "0"}
    assert opened(state(nat=[NAT4]), before, ours) == {4: ("app0", "eth0")}, "it is our doing"


def inside(*states):
    return {
        item.link: item
        for item in forwarding.inside_links("", states, forwarding.view("", states, FakeSnapshot(), ("app0",)))
    }


def test_a_topology_closes_its_ends_on_the_host():
    found = inside(state())
    assert [str(net) for net in found["app0"].sources] == ["10.0.0.2/32", "fd00::2/128"]
    assert not found["app0"].localnet and not found["app0"].friends


def test_networks_routed_to_a_namespace_may_come_from_there():
    veth = {
        **VETH,
        "routes": [
            {"to": "10.8.0.0/16", "via": "10.0.0.2"},
            {"to": "default", "via": "10.0.0.2", "table": "7"},
            {"to": "10.9.0.0/16", "type": "blackhole"},
        ],
    }
    assert [str(net) for net in inside(state(veths=[veth]))["app0"].sources] == [
        "10.0.0.2/32",
        "fd00::2/128",
        "10.8.0.0/16",
    ]


def test_a_pair_of_a_single_module_is_closed_only_when_used():
    assert inside(state(True)) == {}
    assert set(inside(state(True), State.from_options({"nat": [NAT4]}, True))) == {"app0"}


def test_ends_in_bridges_and_pairs_within_a_namespace_are_not_closed():
    assert inside(state(veths=[{**VETH, "addresses": [], "bridge": "br0"}])) == {}
    assert inside(state(veths=[{"name": "a", "peer": {"name": "b"}}])) == {}
    assert inside(state(veths=[{"name": "a", "netns": "x", "peer": {"name": "b", "netns": "y"}}])) == {}


def test_an_uplink_is_never_an_inside_link():
    assert set(inside(state(nat=[{"name": "lan", "source": ["192.0.2.0/24"]}]))) == {"app0"}


def test_friends_where_a_topology_does_not_isolate():
    other = {
        "name": "db0",
        "addresses": ["10.0.1.1/30"],
        "peer": {"name": "eth0", "netns": "db", "addresses": ["10.0.1.2/30"]},
    }
    found = inside(state(veths=[VETH, other], isolate=False))
    assert (found["app0"].friends, found["db0"].friends) == (("db0",), ("app0",))
    assert not any(item.friends for item in inside(state(veths=[VETH, other])).values())
    apart = inside(state(isolate=False), State.from_options({"veths": [other], "isolate": False}))
    assert not any(item.friends for item in apart.values()), "of different topologies"


def test_namespaces_concerned():
    assert forwarding.namespaces_concerned(state()) == {""}
    assert forwarding.namespaces_concerned(state(True)) == set()
    assert forwarding.namespaces_concerned(
        State.from_options({"nat": [{**NAT4, "netns": "gw"}], "forwards": [{**IN4, "netns": "dmz"}]})
    ) == {"gw", "dmz"}


def test_the_ruleset_knows_what_lives_behind_what():
    found = state(nat=[NAT4], forwards=[IN4, {**IN6, "netns": "app"}])
    where = view(found)
    rules = forwarding.ruleset("", [found], where, (), {4: ("eth0",)})
    assert [(item.name, links) for item, links in (*rules.nat, *rules.forwards)] == [
        ("out", ("app0",)),
        ("in", ("app0",)),
    ]
    assert (rules.defaults, rules.opened) == (("eth0",), {4: ("eth0",)})
