# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is not declared is not forwarded.

An operator gets namespaces that reach out and are reached through their forwards, and nothing else: no way from one to
another, none by routing to their addresses, none with a forged source, none through the host between its other
interfaces. And everything on the host that is not ours goes on as before, routers included.
"""

from __future__ import annotations

import contextlib

import pytest
from harness import (
    CLIENT4,
    CLIENT6,
    MGMT4,
    MGMT6,
    PATIENCE,
    SERVER4,
    SERVER6,
    SERVER_PORT,
    UPLINK4,
    UPLINK6,
    Behind,
    NoAnswer,
    World,
    topology,
)

V4, V6 = "IPv4", "IPv6"
SERVER = {V4: SERVER4, V6: SERVER6}
MGMT = {V4: MGMT4, V6: MGMT6}
UPLINK = {V4: UPLINK4, V6: UPLINK6}
CLIENT = {V4: CLIENT4, V6: CLIENT6}

both_families = pytest.mark.parametrize("family", [V4, V6])
both_protocols = pytest.mark.parametrize("proto", ["tcp", "udp"])

PUBLISHED, UNPUBLISHED = 8080, 8081


class Two:
    """Namespaces a and b behind the host by one topology; a publishes a port, over both protocols and families."""

    def __init__(self, before=lambda host: None, **options):
        self.world = World()
        try:
            self.host, self.internet, self.mgmt = self.world.host, self.world.internet, self.world.mgmt
            before(self.host)
            self.bare = self.host.snapshot()
            self.a, self.b = Behind(self.host, "a", 1), Behind(self.host, "b", 2)
            forwards = [
                {"name": "a-%s" % family.lower(), "protocol": ["tcp", "udp"], "port": str(PUBLISHED), "to_address": to}
                for family, to in ((V4, self.a.address4), (V6, self.a.address6))
            ]
            self.options = topology(self.a, self.b, forwards=forwards, name="two", **options)
            self.host.module("netns_topology", **self.options)
            self.servers = []
            for proto in ("tcp", "udp"):
                for one in (self.a, self.b):
                    self.servers += one.serve(PUBLISHED, UNPUBLISHED, proto=proto)
        except BaseException:
            self.world.close()
            raise

    @contextlib.contextmanager
    def untouched(self):
        """Nothing arrives at the servers in the namespaces: that no answer comes back is not enough."""
        for server in self.servers:
            server.seen.clear()
        yield
        assert [server.seen for server in self.servers] == [[]] * len(self.servers), "packets got through"


def address_of(one, family):
    return one.address4 if family == V4 else one.address6


@pytest.fixture(scope="module")
def two():
    """The default: isolated."""
    made = Two()
    yield made
    made.world.close()


@pytest.fixture(scope="module")
def joined():
    """With isolate: false."""
    made = Two(isolate=False)
    yield made
    made.world.close()


@pytest.fixture(scope="module")
def router():
    """On a host that is a router already, by its administrator's decision."""

    def switch_on(host):
        host.sysctl("net/ipv4/ip_forward", 1)
        host.sysctl("net/ipv6/conf/all/forwarding", 1)

    made = Two(before=switch_on)
    yield made
    made.world.close()


@pytest.fixture(params=["two", "router"])
def either(request):
    """Whatever the host was before, our interfaces are closed."""
    return request.getfixturevalue(request.param)


# --- what is declared -------------------------------------------------------------------------------------------------


@both_families
@both_protocols
def test_it_reaches_out_and_is_reached_through_its_forward(either, family, proto):
    for one in (either.a, either.b):
        assert one.ns.ask(SERVER[family], SERVER_PORT, proto).seen == UPLINK[family]
    answer = either.internet.ask(UPLINK[family], PUBLISHED, proto, source=CLIENT[family])
    assert (answer.label, answer.seen) == ("a", CLIENT[family])


# --- what is not ------------------------------------------------------------------------------------------------------


@both_families
@both_protocols
def test_not_from_one_namespace_to_another(either, family, proto):
    with either.untouched():
        for one, other in ((either.a, either.b), (either.b, either.a)):
            for port in (PUBLISHED, UNPUBLISHED):
                assert not one.ns.reaches(address_of(other, family), port, proto)
    assert either.host.ask(address_of(either.a, family), UNPUBLISHED, proto).label == "a"


@both_families
@both_protocols
def test_not_from_outside_by_routing_to_its_address(either, family, proto):
    with either.untouched():
        for port in (PUBLISHED, UNPUBLISHED):
            assert not either.internet.reaches(address_of(either.a, family), port, proto)
            assert not either.mgmt.reaches(address_of(either.a, family), port, proto)
            assert not either.internet.reaches(address_of(either.b, family), port, proto)


@both_families
def test_not_from_outside_to_an_unpublished_port(either, family):
    assert not either.internet.reaches(UPLINK[family], UNPUBLISHED)


def forged_sources(two, family):
    """Addresses that are not a's: nobody's, its neighbour's, the host's, a public one."""
    if family == V4:
        return ["10.99.9.9", "10.200.1.77", two.b.address4, UPLINK4, "203.0.113.200"]
    return ["fd00:99::9", "fd00:200:1::77", two.b.address6, UPLINK6, "2001:db8:203::200"]


@both_families
def test_not_with_a_forged_source(either, family):
    """What leaves the host is sent by its namespace, or not at all."""
    ns = either.a.ns
    server = either.internet.serve(SERVER[family], 7100 if family == V4 else 7101, proto="udp")
    for source in forged_sources(either, family):
        plain = source + ("/32" if family == V4 else "/128")
        ns.run("ip", "address", "add", plain, "dev", "lo", *(() if family == V4 else ("nodad",)))
        try:
            flow = ns.flow(SERVER[family], server.port, source=source)
            with pytest.raises(NoAnswer):
                flow.ask(timeout=0.4)
        finally:
            ns.run("ip", "address", "del", plain, "dev", "lo")
    assert server.seen == [], "forged packets got out"
    assert ns.ask(SERVER[family], server.port, "udp").seen == UPLINK[family]


@both_families
def test_a_forged_source_does_not_reach_the_management_network_either(either, family):
    server = either.mgmt.serve(MGMT[family], 7102 if family == V4 else 7103, proto="udp")
    ns = either.a.ns
    source, plain = ("192.0.2.99", "192.0.2.99/32") if family == V4 else ("2001:db8:192::99", "2001:db8:192::99/128")
    ns.run("ip", "address", "add", plain, "dev", "lo", *(() if family == V4 else ("nodad",)))
    assert not ns.reaches(MGMT[family], server.port, "udp", source=source)
    ns.run("ip", "address", "del", plain, "dev", "lo")
    assert server.seen == []


# --- the host's other interfaces --------------------------------------------------------------------------------------


@both_families
@both_protocols
def test_no_transit_opens_up(two, family, proto):
    """The uplink forwards for us now; it has to stay as closed for others as it was."""
    port = 7200
    inner = two.mgmt.serve(MGMT[family], port, proto=proto)
    outer = two.internet.serve(SERVER[family], port, proto=proto)
    assert not two.internet.reaches(MGMT[family], port, proto)
    assert not two.internet.reaches(MGMT[family], port, proto, source=CLIENT[family])
    assert not two.mgmt.reaches(SERVER[family], port, proto)
    # Not even in one direction: the management network would have answered to a closed door.
    assert (inner.seen, outer.seen) == ([], [])


def test_other_interfaces_do_not_forward(two):
    assert two.host.sysctl("net/ipv4/ip_forward") == "0"
    assert two.host.sysctl("net/ipv4/conf/eth1/forwarding") == "0"
    if two.host.exists("/proc/sys/net/ipv6/conf/all/force_forwarding"):
        assert two.host.sysctl("net/ipv6/conf/all/forwarding") == "0"
        assert two.host.sysctl("net/ipv6/conf/all/force_forwarding") == "0"
        for name in ("forwarding", "force_forwarding"):
            assert two.host.sysctl("net/ipv6/conf/eth1/" + name) == "0"


@both_families
@both_protocols
def test_a_router_goes_on_routing(router, family, proto):
    """The administrator's transit is not ours to police, with its own sources and all."""
    assert router.mgmt.ask(SERVER[family], SERVER_PORT, proto).seen == MGMT[family]
    answer = router.internet.ask(MGMT[family], SERVER_PORT, proto, source=CLIENT[family])
    assert (answer.label, answer.seen) == ("mgmt", CLIENT[family])


@pytest.mark.parametrize("name", ["two", "router"])
def test_it_can_be_switched_off_again(name):
    def switch_on(host):
        host.sysctl("net/ipv4/ip_forward", 1)
        host.sysctl("net/ipv6/conf/all/forwarding", 1)

    made = Two(before=switch_on if name == "router" else lambda host: None)
    try:
        made.world.release()
        made.host.module("netns_topology", name="two", state="absent")
        made.host.assert_same(made.bare, "absent left something behind")
        for family in (V4, V6):
            assert made.mgmt.reaches(SERVER[family], SERVER_PORT, timeout=PATIENCE) == (name == "router")
    finally:
        made.world.close()


# --- isolate: false ---------------------------------------------------------------------------------------------------


@both_families
@both_protocols
def test_namespaces_meet_when_they_are_allowed_to(joined, family, proto):
    answer = joined.a.ns.ask(address_of(joined.b, family), UNPUBLISHED, proto)
    assert answer.label == "b"
    assert joined.b.ns.ask(address_of(joined.a, family), UNPUBLISHED, proto).label == "a"


@both_families
def test_the_outside_stays_outside_all_the_same(joined, family):
    for port in (PUBLISHED, UNPUBLISHED):
        assert not joined.internet.reaches(address_of(joined.a, family), port)
        assert not joined.mgmt.reaches(address_of(joined.a, family), port)
    assert not joined.internet.reaches(MGMT[family], SERVER_PORT)
    assert not joined.mgmt.reaches(SERVER[family], SERVER_PORT)
    assert joined.internet.ask(UPLINK[family], PUBLISHED, source=CLIENT[family]).seen == CLIENT[family]


@both_families
def test_forged_sources_are_dropped_between_namespaces_too(joined, family):
    server = joined.b.ns.serve(address_of(joined.b, family), 7104 if family == V4 else 7105, proto="udp")
    ns = joined.a.ns
    source, plain = ("10.99.9.9", "10.99.9.9/32") if family == V4 else ("fd00:99::9", "fd00:99::9/128")
    ns.run("ip", "address", "add", plain, "dev", "lo", *(() if family == V4 else ("nodad",)))
    assert not ns.reaches(address_of(joined.b, family), server.port, "udp", source=source)
    ns.run("ip", "address", "del", plain, "dev", "lo")
    assert server.seen == []


def test_isolation_is_switched_while_running():
    made = Two()
    try:
        b = made.b.address4
        assert not made.a.ns.reaches(b, UNPUBLISHED)
        made.host.module("netns_topology", **dict(made.options, isolate=False))
        assert made.a.ns.ask(b, UNPUBLISHED).label == "b"
        made.host.module("netns_topology", **made.options)
        assert not made.a.ns.reaches(b, UNPUBLISHED)
    finally:
        made.world.close()
