# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tracked flows contradict the forwards and NATs that hold from now on."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.stale_flows import stale_flows
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_forward import Forward
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_nat import Nat
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.conntrack import IPS_DST_NAT, IPS_SRC_NAT, Flow
from hypothesis import given
from hypothesis import strategies as st

LOCAL = {ipaddress.ip_address("192.0.2.10"), ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("2001:db8::10")}


def forward(**options):
    return Forward.from_options(
        {"name": "in", "protocol": ["udp"], "port": "5000", "to_address": "10.0.0.2", **options}
    )


def flow(
    answers="10.0.0.2",
    answers_port=5000,
    protocol="udp",
    source="198.51.100.7",
    destination="192.0.2.10",
    port=5000,
    status=IPS_DST_NAT,
    answers_to=None,
):
    source, destination, answers, answers_to = (
        ipaddress.ip_address(item) for item in (source, destination, answers, answers_to or source)
    )
    return Flow(source.version, protocol, source, destination, port, answers, answers_port, answers_to, status, b"key")


def stale(flows, before, after, nat=((), ())):
    return stale_flows(flows, LOCAL, (before, nat[0]), (after, nat[1]))


def test_a_flow_of_an_unchanged_forward_lives_on():
    assert stale([flow()], [forward()], [forward()]) == []
    assert stale([flow()], [forward()], [forward(name="renamed", protocol=["tcp", "udp"], hairpin=False)]) == []


def test_flows_of_a_removed_forward_go():
    assert stale([flow()], [forward()], []) == [flow()]
    assert stale([flow(protocol="tcp")], [forward(protocol=["tcp"])], []) == [flow(protocol="tcp")]


def test_flows_to_the_old_place_of_a_changed_forward_go():
    assert stale([flow()], [forward()], [forward(to_address="10.0.0.6")]) == [flow()]
    assert stale([flow()], [forward()], [forward(to_port="6000")]) == [flow()]
    assert stale([flow()], [forward()], [forward(sources=["203.0.113.0/24"])]) == [flow()]
    assert stale([flow()], [forward()], [forward(listen_address=["10.0.0.1"])]) == [flow()]
    assert stale([flow()], [forward()], [forward(port="6000", to_port="5000")]) == [flow()]


def test_a_shifted_range_is_followed_port_by_port():
    shifted = forward(port="5000-5009", to_port="6000-6009")
    assert stale([flow(port=5003, answers_port=6003)], [shifted], [shifted]) == []
    wrong = flow(port=5003, answers_port=6004)
    assert stale([wrong], [shifted], [shifted]) == []  # nobody of ours began it
    assert stale([flow(port=5003, answers_port=6003)], [shifted], []) == [flow(port=5003, answers_port=6003)]


def test_datagrams_that_began_before_the_forward_go_past_it():
    early = flow(answers="192.0.2.10", status=0)
    assert stale([early], [], [forward()]) == [early]
    assert stale([early], [], [forward(sources=["203.0.113.0/24"])]) == []
    assert stale([early], [], [forward(port="5001")]) == []


def test_a_connection_to_the_host_itself_may_end_in_peace():
    assert stale([flow(answers="192.0.2.10", status=0, protocol="tcp")], [], [forward(protocol=["tcp"])]) == []


def test_translations_of_others_are_left_alone():
    other = flow(answers="172.17.0.2", answers_port=80)
    assert stale([other], [forward()], []) == []
    assert stale([other], [], []) == []
    assert stale([flow(destination="198.51.100.1")], [forward()], []) == []  # not to us: transit


def test_protocols_and_families_are_kept_apart():
    assert stale([flow(protocol="tcp")], [forward()], []) == []
    six = flow(source="fd00::7", destination="2001:db8::10", answers="fd00::2")
    assert stale([six], [forward()], []) == []
    assert stale([six], [forward(to_address="fd00::2")], []) == [six]


def test_the_host_reaching_its_own_forward_counts():
    assert stale([flow(source="127.0.0.1", destination="127.0.0.1")], [forward()], []) != []


def nat(**options):
    return Nat.from_options({"name": "out", "source": ["10.0.0.0/24"], **options})


def hidden(source="10.0.0.2", answers_to="192.0.2.10", status=IPS_SRC_NAT, **options):
    """A flow out of a namespace."""
    away = {"destination": "203.0.113.1", "answers": "203.0.113.1", **options}
    return flow(source=source, answers_to=answers_to, status=status, **away)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_flows_of_a_dropped_nat_go_and_no_others(protocol):
    out = hidden(protocol=protocol)
    others = nat(source=["10.0.9.0/24"]), nat(to_address="192.0.2.99"), nat(exclude=["203.0.113.0/24"])
    for change in ([], *([other] for other in others)):
        assert stale([out], [], [], ([nat()], change)) == [out]
        assert stale([out._replace(status=0)], [], [], ([nat()], change)) == []
        assert stale([hidden("10.0.1.2", protocol=protocol)], [], [], ([nat()], change)) == []


def test_flows_that_another_nat_would_hide_the_same_way_live_on():
    out = hidden()
    same = [nat(), nat(name="renamed"), nat(source=["10.0.0.2", "10.0.7.0/24"]), nat(exclude=["198.51.100.0/24"])]
    for after in same:
        assert stale([out], [], [], ([nat()], [after])) == []
    fixed = hidden(answers_to="192.0.2.77")
    assert stale([fixed], [], [], ([nat(to_address="192.0.2.77")], [nat(to_address="192.0.2.70-192.0.2.80")])) == []
    assert stale([fixed], [], [], ([nat(to_address="192.0.2.77")], [nat()])) == [fixed]
    narrow = nat(out_interface=["eth0"])
    assert stale([out], [], [], ([narrow], [nat(out_interface=["eth1"])])) == [out]
    assert stale([out], [], [], ([narrow], [nat()])) == []


def test_datagrams_that_left_before_there_was_a_nat_get_it():
    early = hidden(answers_to="10.0.0.2", status=0)
    assert stale([early], [], [], ([], [nat()])) == [early]
    assert stale([early], [], [], ([nat()], [nat(name="renamed")])) == []
    assert stale([early._replace(protocol="tcp")], [], [], ([], [nat()])) == []
    to_the_host = hidden(destination="192.0.2.10", answers="192.0.2.10", answers_to="10.0.0.2", status=0)
    assert stale([to_the_host], [], [], ([], [nat()])) == []


def test_a_namespace_that_reaches_itself_by_its_forward_does_not_depend_on_a_nat():
    both = flow(source="10.0.0.2", answers_to="10.0.0.1", status=IPS_DST_NAT | IPS_SRC_NAT)
    assert stale([both], [forward()], [forward()], ([nat()], [])) == []
    assert stale([both], [forward()], [], ([nat()], [])) == [both]


flows = st.builds(
    flow,
    answers=st.sampled_from(["10.0.0.2", "10.0.0.3", "203.0.113.1"]),
    answers_port=st.sampled_from([5000, 5001]),
    protocol=st.sampled_from(["tcp", "udp"]),
    source=st.sampled_from(["198.51.100.7", "10.0.0.2", "10.0.0.3"]),
    destination=st.sampled_from(["192.0.2.10", "203.0.113.1"]),
    port=st.sampled_from([5000, 5001]),
    status=st.sampled_from([0, IPS_DST_NAT, IPS_SRC_NAT, IPS_DST_NAT | IPS_SRC_NAT]),
    answers_to=st.sampled_from(["10.0.0.2", "192.0.2.10", "192.0.2.77"]),
)
forwards = st.lists(
    st.builds(
        forward,
        protocol=st.sampled_from([["tcp"], ["udp"], ["tcp", "udp"]]),
        port=st.sampled_from(["5000", "5001", "5000-5001"]),
        to_address=st.sampled_from(["10.0.0.2", "10.0.0.3"]),
    ),
    max_size=2,
)
nats = st.lists(
    st.builds(
        nat,
        source=st.sampled_from([["10.0.0.2"], ["10.0.0.0/24"]]),
        to_address=st.sampled_from([None, "192.0.2.77"]),
        exclude=st.sampled_from([[], ["203.0.113.1"]]),
    ),
    max_size=2,
)


@given(flows, forwards, nats, forwards, nats)
def test_what_is_stale_is_of_ours_or_about_to_be(item, old, old_nat, new, new_nat):
    if stale([item], old, new, (old_nat, new_nat)):
        assert old or new or old_nat or new_nat
        concerned = item.status & (IPS_DST_NAT | IPS_SRC_NAT) or item.protocol == "udp"
        assert concerned
