# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A default route learnt by router advertisement survives.

IPv6 hosts get their way out from the router on the uplink. A host that starts to forward stops to listen to it, unless
told otherwise: an operator must not lose IPv6 half an hour after a converge.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import time

import pytest
from harness import SERVER6, SERVER_PORT, UPLINK6, Behind, topology
from harness.enter import in_netns

# Makes the engine behave as on Linux before 6.17, which can forward IPv6 for all interfaces or for none.
OLD_KERNEL = {"LINUXNET_NETNS_NO_FORCE_FORWARDING": "1"}

kernels = pytest.mark.parametrize("env", [None, OLD_KERNEL], ids=["this kernel", "before 6.17"])


def advertise(node, ifname, lifetime=1800):
    """Send one router advertisement: "I am a default router, for so many seconds"."""
    (link,) = json.loads(node.run("ip", "-j", "link", "show", ifname))
    mac = bytes.fromhex(link["address"].replace(":", ""))
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, lifetime, 0, 0) + b"\x01\x01" + mac

    def send():
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
            index = socket.if_nametoindex(ifname)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.sendto(message, ("ff02::1", 0, 0, index))

    in_netns(node.netns_path, send)


def learnt(host):
    """The remaining seconds of the default route that the kernel has learnt; None without one."""
    text = host.run("ip", "-6", "route", "show", "default", "proto", "ra")
    found = re.search(r"expires (\d+)sec", text)
    return int(found.group(1)) if found else None


def wait_for(condition, seconds=3):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def host(world):
    """A host whose IPv6 default route is the router's word alone."""
    world.host.run("ip", "-6", "route", "del", "default")
    # A neighbour that does not answer as a router is no longer one.
    world.internet.sysctl("net/ipv6/conf/all/forwarding", 1)
    assert world.host.sysctl("net/ipv6/conf/eth0/accept_ra") == "1"
    advertise(world.internet, "up0", 600)
    wait_for(lambda: learnt(world.host))
    assert world.host.ask(SERVER6, SERVER_PORT).label == "internet"
    return world.host


@kernels
def test_the_route_stays_and_goes_on_being_renewed(world, host, env):
    before = host.snapshot()
    app = Behind(host, "app", 1)
    forwards = [{"name": "web", "port": "10105", "to_address": app.address6}]
    options = topology(app, forwards=forwards)
    host.apply("netns_topology", env=env, **options)

    assert learnt(host), "the default route is lost"
    assert app.ns.ask(SERVER6, SERVER_PORT).seen == UPLINK6
    # Still listening: the next advertisement renews the route.
    advertise(world.internet, "up0", 1800)
    wait_for(lambda: (learnt(host) or 0) > 1000)
    app.ns.serve(app.address6, 10105)
    assert world.internet.ask(UPLINK6, 10105).label == "app"
    host.unchanged("netns_topology", env=env, **options)
    world.release()

    host.module("netns_topology", env=env, state="absent")
    assert learnt(host), "the default route is lost on the way back"
    host.assert_same(before, "absent left something behind")
    advertise(world.internet, "up0", 900)
    wait_for(lambda: 800 < (learnt(host) or 0) <= 900)


@kernels
def test_it_stays_with_nat_alone(world, host, env):
    app = Behind(host, "app", 1).build()
    before = host.snapshot()
    host.apply("netns_nat", env=env, **app.nat())
    assert learnt(host)
    assert app.ns.ask(SERVER6, SERVER_PORT).seen == UPLINK6
    advertise(world.internet, "up0", 1800)
    wait_for(lambda: (learnt(host) or 0) > 1000)
    host.apply("netns_nat", env=env, name="out", state="absent")
    assert learnt(host)
    host.assert_same(before, "absent left something behind")


def test_an_old_kernel_opens_no_transit_either(world, host):
    """The global switch makes a router of the host; the filter keeps it closed for all that is not ours."""
    app = Behind(host, "app", 1)
    host.module("netns_topology", env=OLD_KERNEL, **topology(app))
    assert app.ns.ask(SERVER6, SERVER_PORT).seen == UPLINK6
    app.serve(8080)
    for target, port in (("2001:db8:192::2", SERVER_PORT), (app.address6, 8080)):
        assert not world.internet.reaches(target, port)
    assert not world.mgmt.reaches(SERVER6, SERVER_PORT)
    assert not world.mgmt.reaches(app.address6, 8080)
    assert host.ask(app.address6, 8080).label == "app"
