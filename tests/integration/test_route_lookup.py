# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking up routes by hand, against the kernel: for random tables and rules, `ip route get` has to agree."""

from __future__ import annotations

import ipaddress
import json
import os
import random
import sys

import pytest
from harness.modules import collections_dir

sys.path.insert(0, str(collections_dir()))

from ansible_collections.linuxnet.netns.plugins.module_utils.check.route_lookup import (
    Flow,
    Found,
    chosen_source,
    lookup,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.netlink import NetlinkSocket
from harness.enter import in_netns

LINKS = ("eth0", "eth1", "eth2")
TABLES = ("main", "100", "101")
REFUSALS = ("blackhole", "unreachable", "prohibit", "throw")


def network(chance, version):
    """One of few, so that prefixes lie in each other."""
    if version == 4:
        length = chance.choice((0, 8, 12, 16, 24, 30, 32))
        address = ipaddress.ip_address("10.%d.%d.%d" % (chance.randrange(2), chance.randrange(2), chance.randrange(8)))
    else:
        length = chance.choice((0, 16, 48, 64, 126, 128))
        address = ipaddress.ip_address(
            "fd00:%d::%d:%d" % (chance.randrange(2), chance.randrange(2), chance.randrange(8))
        )
    return ipaddress.ip_network((address, length), strict=False)


def some_route(chance, version):
    table, metric = chance.choice(TABLES), chance.choice((0, 10, 20))
    extra = (" table %s" % table) + (" metric %d" % metric if metric else "")
    if chance.random() < 0.25:
        return "route add %s %s%s" % (chance.choice(REFUSALS), network(chance, version), extra)
    return "route add %s dev %s%s" % (network(chance, version), chance.choice(LINKS), extra)


def some_rule(chance, version, priority):
    words = ["rule add priority %d" % priority]
    if chance.random() < 0.3:
        words.append("not")
    if chance.random() < 0.5:
        words.append("from %s" % network(chance, version))
    if chance.random() < 0.5:
        words.append("to %s" % network(chance, version))
    if chance.random() < 0.3:
        words.append("iif %s" % chance.choice((*LINKS, "lo")))
    if chance.random() < 0.2:
        words.append("fwmark 0x1/0x3")
    what = chance.random()
    if what < 0.15:
        words.append(chance.choice(REFUSALS[:3]))
    elif what < 0.25:
        words.append("goto %d" % (priority + chance.choice((15, 20))))
    else:
        words.append("lookup %s" % chance.choice(TABLES))
        if chance.random() < 0.3:
            words.append("suppress_prefixlength %d" % chance.choice((0, 16)))
    return " ".join(words)


def build(host, chance, version):
    """Links, addresses, and what of the random routes and rules the kernel takes."""
    for number, link in enumerate(LINKS):
        host.ip(
            "link add %s type veth peer name %s-peer\nlink set %s up\nlink set %s-peer up" % (link, link, link, link)
        )
        host.ip(
            "address add 10.9.%d.1/24 dev %s\naddress add fd09:%d::1/64 dev %s nodad" % (number, link, number, link)
        )
        host.sysctl("net/ipv4/conf/%s/forwarding" % link, 1)
    host.sysctl("net/ipv6/conf/all/forwarding", 1)
    lines = [some_route(chance, version) for _ in range(25)]
    lines += [some_rule(chance, version, 1000 + 10 * number) for number in range(6)]
    host.run("ip", "-%d" % version, "-force", "-batch", "-", input="\n".join(lines) + "\n", check=False)


def kernel(host, version, flow):
    """(kind, link, source) that the kernel finds; only the kind where it refuses."""
    words = ["ip", "-%d" % version, "-j", "route", "get", str(flow.destination)]
    if flow.source is not None:
        words += ["from", str(flow.source)]
    if flow.iif != "lo":
        words += ["iif", flow.iif]
    if flow.mark:
        words += ["mark", str(flow.mark)]
    done = host.run(*words, check=False)
    if done.returncode != 0:
        return ("refused",)
    (found,) = json.loads(done.stdout)
    kind = found.get("type", "unicast")
    if kind != "unicast" and kind != "local":
        return ("refused",)
    if kind == "local":
        return ("local",)
    return ("unicast", found["dev"]) + ((found.get("prefsrc"),) if flow.iif == "lo" and flow.source is None else ())


def ours(state, flow):
    links, addresses, routes, rules = state
    answer = lookup(rules, routes, flow)
    if not isinstance(answer, Found):
        return ("refused",)
    route = answer.route
    if route.type == wire.RTN_LOCAL:
        return ("local",)
    if route.type != wire.RTN_UNICAST:
        return ("refused",)
    name = next(link.name for link in links if link.index == route.index)
    if flow.iif == "lo" and flow.source is None:
        source = chosen_source(route, addresses, flow.destination)
        return ("unicast", name, None if source is None else str(source))
    return ("unicast", name)


def read(host):
    """Everything that the lookup goes by, through the very door."""
    from ansible_collections.linuxnet.netns.plugins.module_utils.doors.netlink import Netlink

    door = Netlink()
    door._sockets[""] = in_netns(host.netns_path, NetlinkSocket)
    try:
        return door.links(""), door.addresses(""), door.fib(""), door.rules("")
    finally:
        door.close()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("seed", range(int(os.environ.get("NETNS_ROUTE_SEEDS") or 4)))
def test_the_kernel_agrees(host, version, seed):
    chance = random.Random("%d %d" % (seed, version))
    build(host, chance, version)
    state = read(host)
    met = set()
    for _number in range(60):
        target = network(chance, version)
        destination = (
            target.network_address if target.prefixlen in (32, 128) else target[min(3, target.num_addresses - 1)]
        )
        if destination.is_unspecified or not destination.is_private:
            continue
        if chance.random() < 0.2:
            destination = ipaddress.ip_address("10.9.1.1" if version == 4 else "fd09:1::1")
        own = ipaddress.ip_address("10.9.0.1" if version == 4 else "fd09::1")
        theirs = ipaddress.ip_address("10.9.2.77" if version == 4 else "fd09:2::77")
        flow = chance.choice(
            (
                Flow(destination),
                Flow(destination, own),
                Flow(destination, theirs, iif="eth2"),
                Flow(destination, mark=1),
            )
        )
        expected, found = kernel(host, version, flow), ours(state, flow)
        met.add(expected[0])
        assert found == expected, "%s\n%s" % (
            flow,
            host.run("ip", "-%d" % version, "rule") + host.run("ip", "-%d" % version, "route", "show", "table", "all"),
        )
    assert met, "not a single question"
