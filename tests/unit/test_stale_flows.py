# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tracked flows contradict the forwards and NATs that hold from now on."""

from __future__ import annotations

import ipaddress

from ansible_collections.linuxnet.netns.plugins.module_utils.compile.stale_flows import stale_flows
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_forward import Forward
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_nat import Nat
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.conntrack import IPS_DST_NAT, IPS_SRC_NAT, Flow

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
):
    source, destination, answers = (ipaddress.ip_address(item) for item in (source, destination, answers))
    return Flow(source.version, protocol, source, destination, port, answers, answers_port, status, b"key")


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


def test_flows_of_a_dropped_nat_go_and_no_others():
    nat = Nat.from_options({"name": "out", "source": ["10.0.0.0/24"]})
    out = flow(source="10.0.0.2", destination="203.0.113.1", answers="203.0.113.1", status=IPS_SRC_NAT)
    assert stale([out], [], [], ([nat], [])) == [out]
    assert stale([out], [], [], ([nat], [nat])) == []
    assert stale([out._replace(status=0)], [], [], ([nat], [])) == []
    assert stale([out._replace(source=ipaddress.ip_address("10.0.1.2"))], [], [], ([nat], [])) == []
