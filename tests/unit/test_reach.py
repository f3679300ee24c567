# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interface leads where."""

from __future__ import annotations

import ipaddress

from ansible_collections.linuxnet.netns.plugins.module_utils.compile.reach import reach
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.veth import Veth
from hypothesis import given
from hypothesis import strategies as st

LINKS = ("app0", "db0", "eth0", "eth1")


def net(text):
    return ipaddress.ip_network(text)


def end(name="app0", **options):
    return Veth.from_options({"name": name, **options}).end


def towards(found, *texts):
    return found.towards([net(text) for text in texts])


def test_connected_and_routed_networks():
    found = reach(
        [end(addresses=["10.0.0.1/30"], routes=[{"to": "10.8.0.0/16", "via": "10.0.0.2"}])],
        (),
        [("eth0", net("192.0.2.0/24"))],
        [("eth0", net("198.51.100.0/24"), 254)],
    )
    assert towards(found, "10.0.0.0/30") == towards(found, "10.0.0.2/32") == towards(found, "10.8.1.0/24") == ("app0",)
    assert towards(found, "192.0.2.7/32", "198.51.100.0/25") == ("eth0",)
    assert towards(found, "203.0.113.0/24", "fd00::/64") == ()
    assert found.ours == {"app0"}


def test_our_own_links_are_asked_first():
    """An uplink in 10.0.0.0/8 is not the way to 10.1.0.0/30 behind a pair of ours."""
    found = reach([end(addresses=["10.1.0.1/30"])], (), [("eth0", net("10.0.0.0/8")), ("eth1", net("10.1.0.0/31"))], [])
    assert towards(found, "10.1.0.0/30") == ("app0",)
    assert towards(found, "10.1.0.2/32") == ("app0",)
    assert towards(found, "10.2.0.0/16") == ("eth0",)
    assert towards(found, "10.0.0.0/8") == ("app0",)


def test_the_longest_prefix_decides():
    found = reach([], (), [("eth0", net("10.0.0.0/8")), ("eth1", net("10.1.0.0/16"))], [])
    assert towards(found, "10.1.2.0/24") == ("eth1",)
    assert towards(found, "10.2.2.0/24") == ("eth0",)


def test_default_routes_lead_nowhere_in_particular():
    found = reach(
        [end(addresses=["10.0.0.1/30"], gateway="10.0.0.2")],
        (),
        [],
        [("eth0", net("::/0"), 254), ("eth1", net("0.0.0.0/0"), 100)],
    )
    assert found.defaults == {4: ("app0",), 6: ("eth0",)}, "those of the main table only"
    assert towards(found, "203.0.113.0/24") == ()


def test_what_is_declared_as_a_whole_overrides_what_is_there():
    seen = [("app0", net("10.9.0.0/24"))], [("app0", net("10.8.0.0/16"), 254)]
    assert towards(reach([end()], (), *seen), "10.9.0.0/24", "10.8.0.0/16") == ("app0",)
    assert towards(reach([end(addresses=["10.0.0.1/30"], routes=[])], (), *seen), "10.9.0.0/24", "10.8.0.0/16") == ()


networks = st.builds(
    lambda number, prefix: ipaddress.ip_network((0x0A000000 + (number << 4), prefix), strict=False),
    st.integers(0, 255),
    st.integers(20, 32),
)


@given(st.lists(st.tuples(st.sampled_from(LINKS), networks), max_size=8), st.lists(networks, min_size=1, max_size=3))
def test_the_look_up_finds_what_a_look_at_every_network_finds(there, wanted):
    found = reach([], LINKS[:2], there, [])

    def slowly(network):
        same = [(other, link) for link, other in there if other.overlaps(network)]
        mine = [(other, link) for other, link in same if link in LINKS[:2]]
        inner = {link for other, link in mine if other.prefixlen >= network.prefixlen}
        wider = [(other.prefixlen, link) for other, link in mine or same if other.prefixlen <= network.prefixlen]
        longest = max((prefix for prefix, _link in wider), default=None)
        return inner or {link for prefix, link in wider if prefix == longest} or {link for _other, link in same}

    assert set(found.towards(wanted)) == {link for network in wanted for link in slowly(network)}
