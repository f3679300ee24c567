# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks across the resources of one owner."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_forward import Forward
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import State, check_forwards
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st
from topologies import topologies


def refuse(option, value, reason, remedy, single=False, **lists):
    return refused(option, value, reason, remedy, State.from_options, lists, single)


def pair(name, behind, *addresses, **options):
    return {"name": name, "addresses": list(addresses), "peer": {"name": "eth0", "netns": behind}, **options}


def inward(name, port, **options):
    return {"name": name, "port": port, "to_address": "10.0.0.2", **options}


def test_errors_name_the_item_of_a_list_but_not_for_a_single_resource():
    refuse("veths[1].name", "x" * 16, "16 bytes", "shorten", veths=[pair("a", "app"), pair("x" * 16, "db")])
    refuse("name", "x" * 16, "16 bytes", "shorten", single=True, veths=[pair("x" * 16, "db")])


def test_names_used_twice():
    refuse("namespaces[1].name", "app", "is listed twice", "keep one", namespaces=[{"name": "app"}, {"name": "app"}])
    refuse("veths[1].name", "a", "is listed twice", "keep one", veths=[pair("a", "app"), pair("a", "app")])
    refuse(
        "nat[1].name",
        "out",
        "is listed twice",
        "keep one",
        nat=[{"name": "out", "source": ["10.0.0.0/8"]}, {"name": "out", "source": ["10.1.0.0/16"]}],
    )
    refuse("forwards[1].name", "in", "is listed twice", "keep one", forwards=[inward("in", "80"), inward("in", "81")])
    refuse(
        "veths[1].peer.name",
        "eth0",
        "is used twice in app",
        "choose another",
        veths=[pair("a", "app"), pair("b", "app")],
    )
    State.from_options(
        {"nat": [{"name": "out", "source": ["10.0.0.0/8"]}, {"name": "out", "netns": "app", "source": ["10.0.0.0/8"]}]}
    )


def test_overlapping_addresses_within_one_namespace():
    refuse(
        "veths[1].addresses (b)",
        "10.0.0.1/30",
        "is also an address of veths[0].addresses (a) on the host",
        "one interface",
        veths=[pair("a", "app", "10.0.0.1/30"), pair("b", "db", "10.0.0.1/30")],
    )
    refuse(
        "veths[1].addresses (b)",
        "10.0.0.0/25",
        "overlaps 10.0.0.0/24 of veths[0].addresses (a) on the host",
        "distinct subnets",
        veths=[pair("a", "app", "10.0.0.1/24"), pair("b", "db", "10.0.0.2/25")],
    )
    refuse(
        "veths[1].addresses (b)",
        "fd00::/64",
        "overlaps fd00::/64 of",
        "routing table",
        veths=[pair("a", "app", "fd00::1/64"), pair("b", "db", "fd00::2/64")],
    )


def test_networks_that_do_not_collide():
    for veths in (
        [pair("a", "app", "10.0.0.1/30"), pair("b", "db", "10.0.0.5/30")],
        [pair("a", "app", "10.0.0.1/24", "10.0.0.2/24")],
        [pair("a", "app", "10.0.0.1/32"), pair("b", "db", "10.0.0.2/32")],
        [pair("a", "app", "10.0.0.1/24", netns="one"), pair("b", "db", "10.0.0.2/24", netns="two")],
        [
            pair("a", "app", "10.0.0.1/24"),
            pair("b", "db", "10.0.0.2/24", routes=[{"to": "10.9.0.0/16", "table": "100"}]),
        ],
    ):
        State.from_options({"veths": veths})


@given(st.lists(st.tuples(st.integers(0, 63), st.integers(24, 30)), min_size=2, max_size=6))
def test_the_sweep_over_sorted_networks_finds_what_comparing_all_pairs_finds(items):
    import ipaddress

    veths = [
        pair(f"v{number}", f"n{number}", f"10.0.0.{4 * block + 1}/{prefix}")
        for number, (block, prefix) in enumerate(items)
    ]
    nets = [ipaddress.ip_interface(veth["addresses"][0]) for veth in veths]
    collide = any(one.network.overlaps(other.network) for number, one in enumerate(nets) for other in nets[:number])
    try:
        State.from_options({"veths": veths})
    except InvalidOption as error:
        assert "overlaps" in str(error) or "is also an address" in str(error)
        assert collide
    else:
        assert not collide


def test_duplicate_forwards():
    text = refuse(
        "forwards[1].port",
        "80",
        "is a duplicate: forward one already takes 80",
        "listen_address, in_interface or sources",
        forwards=[inward("one", "80"), inward("two", "80", to_address="10.0.0.3")],
    )
    assert "(tcp)" in text
    refuse(
        "forwards[1].port",
        "85-95",
        "forward one already takes 80-90",
        "another port",
        forwards=[inward("one", "80-90"), inward("two", "85-95")],
    )
    refuse(
        "forwards[0].port",
        "85",
        "forward two already takes 80-90",
        "another port",
        forwards=[inward("one", "85"), inward("two", "80-90")],
    )
    refuse(
        "forwards[2].port",
        "100",
        "forward one already takes 1-200",
        "another port",
        forwards=[inward("one", "1-200"), inward("udp", "50-60", protocol=["udp"]), inward("two", "100")],
    )


def test_forwards_that_can_be_told_apart():
    State.from_options(
        {
            "forwards": [
                inward("any", "80"),
                inward("address", "80", listen_address=["192.0.2.1"]),
                inward("other", "80", listen_address=["192.0.2.2"]),
                inward("interface", "80", in_interface=["eth0"]),
                inward("source", "80", sources=["198.51.100.0/24"]),
                inward("udp", "80", protocol=["udp"]),
                inward("six", "80", to_address="fd00::2"),
                inward("inside", "80", netns="app"),
            ]
        }
    )


def test_a_duplicate_of_another_owner_names_the_owner():
    def forward(name):
        return Forward.from_options(inward(name, "80"))

    with pytest.raises(InvalidOption) as caught:
        check_forwards([forward("mine")], [("topology web", forward("theirs"))])
    assert str(caught.value).startswith("forwards[0].port: '80'")
    assert "forward theirs of topology web already takes 80" in str(caught.value)


@given(topologies())
def test_a_state_is_the_same_however_its_resources_are_looked_at(options):
    state = State.from_options(options)
    assert state == State.from_options(options)
    assert len({item.identity for item in state.resources}) == len(state.resources)
    assert state.without(item.identity for item in state.resources).resources == ()
    assert {item.name for item in state.namespaces} <= state.netns_names
