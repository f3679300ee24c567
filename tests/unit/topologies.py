# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random topologies, and random mischief done to what they made: strategies for the property tests."""

from __future__ import annotations

import ipaddress

from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from hypothesis import strategies as st

NAMES = ("app", "db", "web")
OTHERS = ("mail", "proxy", "wiki")
flags = st.booleans()


@st.composite
def _namespace(draw, names, number):
    found = {"name": names[number]}
    if draw(flags):
        found["loopback"] = draw(flags)
    if draw(flags):
        found["sysctls"] = draw(
            st.dictionaries(
                st.sampled_from(
                    (
                        "net.core.somaxconn",
                        "net/ipv4/ip_default_ttl",
                        "net.ipv4.ip_forward",
                        "net.ipv6.conf.all.forwarding",
                    )
                ),
                st.sampled_from((0, 1, "128")),
                max_size=3,
            )
        )
    if draw(flags):
        found["dns"] = {"nameservers": ["192.0.2.53"], "search": draw(st.sampled_from(([], ["example.net"])))}
    if draw(flags):
        found["hosts"] = {"192.0.2.7": ["files"]}
    return found


def _family(draw):
    return draw(st.sampled_from(((4,), (6,), (4, 6))))


@st.composite
def _rules(draw, number, link, address):
    """Rules of one end; its priorities and those of all other ends differ."""
    found = []
    for offset in range(draw(st.integers(0, 2))):
        rule = {"priority": 1000 + 10 * number + offset}
        if draw(flags):
            rule[draw(st.sampled_from(("from", "to")))] = address
        rule.update(
            draw(st.sampled_from(({}, {"iif": link}, {"oif": "gone"}, {"fwmark": "0x1"}, {"fwmark": "0/0xff"})))
        )
        rule.update(draw(st.sampled_from(({}, {"table": "77"}, {"table": "70000"}, {"action": "prohibit"}))))
        if draw(flags):
            rule["not"] = draw(flags)
        found.append(rule)
    return found


@st.composite
def _uplink_pair(draw, names, number):
    """A pair between the host and a namespace."""
    versions = _family(draw)
    host = {"name": f"{names[number]}0", "addresses": []}
    peer = {"name": "eth0", "netns": names[number], "addresses": []}
    number += 10 * (names is OTHERS)
    routes = []
    for version in versions:
        net, prefix = (f"10.0.{number}.", 30) if version == 4 else (f"fd00:0:0:{number}::", 64)
        host["addresses"].append(f"{net}1/{prefix}")
        peer["addresses"].append(f"{net}2/{prefix}")
        if draw(flags):
            peer["gateway" if version == 4 else "gateway6"] = f"{net}1"
        if draw(flags):
            routes.append(
                {
                    "to": "203.0.113.0/24" if version == 4 else "2001:db8:f::/48",
                    "via": f"{net}1",
                    **draw(st.sampled_from(({}, {"metric": 50}, {"table": "77"}, {"source": f"{net}2"}))),
                }
            )
        if draw(flags):
            host.setdefault("routes", []).append(
                {"to": f"10.77.{number}.0/24" if version == 4 else f"fd77:0:0:{number}::/64", "via": f"{net}2"}
            )
    if draw(flags):
        routes.append({"to": "10.66.0.0/16", "type": "blackhole"})
    if routes or draw(flags):
        peer["routes"] = routes
    for end in (host, peer):
        if draw(flags):
            address = draw(st.sampled_from(end["addresses"])).partition("/")[0]
            end["rules"] = draw(_rules(number, end["name"], address))
        if draw(flags):
            end["mtu"] = draw(st.sampled_from((1400, 9000)))
    if draw(flags):
        peer["mac"] = f"02:aa:00:00:00:{number:02}"
    return {**host, "peer": peer} if draw(flags) else {**peer, "peer": host}


def _link_pair(names, number):
    """A pair between two namespaces. Interface numbers repeat from one such pair to the next."""
    one, other = names[number], names[(number + 1) % len(names)]
    return {
        "name": f"to-{other}",
        "netns": one,
        "addresses": [f"10.1.{number}.1/24"],
        "peer": {"name": f"to-{one}", "netns": other, "addresses": [f"10.1.{number}.2/24"]},
    }


@st.composite
def _service(draw, names, number):
    return {
        "name": f"{names[number]}-daemon",
        "netns": names[number],
        "command": draw(st.sampled_from(("/usr/bin/daemon", "/usr/bin/daemon --verbose"))),
        "user": "nobody",
        "enabled": draw(flags),
        "state": draw(st.sampled_from(("started", "started", "stopped"))),
        "environment": draw(st.sampled_from(({}, {"LANG": "C"}))),
    }


@st.composite
def topologies(draw, names=NAMES):
    """Options of netns_topology that are valid by construction; those of NAMES and of OTHERS get along."""
    numbers = draw(st.lists(st.integers(0, len(names) - 1), unique=True, min_size=1))
    pairs = {number: draw(_uplink_pair(names, number)) for number in numbers if draw(st.integers(0, 4))}
    found = {
        "namespaces": [draw(_namespace(names, number)) for number in numbers],
        "veths": list(pairs.values()),
        "nat": [],
        "forwards": [],
        "isolate": draw(flags),
        "services": [draw(_service(names, number)) for number in numbers if draw(st.integers(0, 3)) == 0],
        "persist": draw(st.integers(0, 3)) == 0,
    }
    if names is NAMES and draw(st.integers(0, 3)) == 0:
        found["services"].append({"name": "nginx", "netns": names[numbers[0]], "enabled": draw(flags)})
    if len(numbers) == len(names):
        found["veths"] += [_link_pair(names, number) for number in numbers if draw(flags)]
    for number, pair in pairs.items():
        inner = pair["peer"] if pair["peer"].get("netns") else pair
        addresses = [ipaddress.ip_interface(item) for item in inner["addresses"]]
        if draw(flags):
            found["nat"].append(
                {
                    "name": names[number],
                    "source": [str(item.network) for item in addresses],
                    "out_interface": draw(st.sampled_from(([], ["eth0"]))),
                    "forward": draw(st.sampled_from((True, True, False))),
                }
            )
        for offset, item in enumerate(addresses):
            if draw(flags):
                found["forwards"].append(
                    {
                        "name": f"{names[number]}-{offset}",
                        "port": str(8000 + 1000 * (names is OTHERS) + 10 * number + offset),
                        "to_address": str(item.ip),
                        "protocol": draw(st.sampled_from((["tcp"], ["udp"], ["tcp", "udp"]))),
                        "hairpin": draw(flags),
                        "in_interface": draw(st.sampled_from(([], ["eth0"], ["eth1"]))),
                        **draw(st.sampled_from(({}, {"to_port": "80"}))),
                    }
                )
    return found


def _ours(kernel):
    """Interfaces that topologies made, of all namespaces."""
    spaces = [kernel.host, *(entry[0] for name, entry in kernel.names.items() if entry[0] and name in NAMES)]
    return [device for space in spaces for device in space.devices.values() if device.alias]


def _our_rules(space):
    return [rule for rule in space.rules if rule.protocol == 196]


@st.composite
def _mischief(draw, kernel):
    """Do one thing by hand, and say what it was."""
    device = draw(st.sampled_from(_ours(kernel) or [kernel.host.devices["eth1"]]))
    space = device.space
    ours = device.name != "eth1"
    what = draw(
        st.sampled_from(
            (
                "address",
                "foreign address",
                "route",
                "foreign route",
                "rule",
                "flush rules",
                "other rule",
                "foreign rule",
                "down",
                "mtu",
                "mac",
                "bridge",
                "delete link",
                "rename",
                "table",
                "flush",
                "switch",
                "file",
                "lost file",
                "lo",
                "delete namespace",
                "leftover",
                "stack",
                "service",
                "unit",
            )
        )
    )
    named = [name for name in NAMES if name in kernel.names and kernel.names[name][0]]
    if what == "address" and ours and device.addresses:
        space.delete_address(device, draw(st.sampled_from(device.addresses)))
    elif what == "foreign address" and ours:
        extra = [ipaddress.ip_interface(item) for item in ("10.99.0.1/24", "fd99::1/64")]
        for item in extra:
            if item not in device.addresses:
                space.add_address(device, item)
    elif what == "route" and space.routes and ours:
        doomed = draw(st.sampled_from(space.routes))
        if doomed.protocol == 196:
            space.routes.remove(doomed)
    elif what == "foreign route" and ours and device.up:
        route = wire.Route(
            ipaddress.ip_network("10.98.0.0/16"), 254, 0, wire.RTN_UNICAST, None, device.index, None, False, 3
        )
        if not any(other.network == route.network for other in space.routes):
            space.add_route(route)
    elif what == "rule" and _our_rules(space):
        space.rules.remove(draw(st.sampled_from(_our_rules(space))))
    elif what == "flush rules":
        space.rules = [rule for rule in space.rules if not rule.priority]
    elif what == "other rule" and _our_rules(space):
        rule = draw(st.sampled_from(_our_rules(space)))
        space.rules.append(rule._replace(oif="other"))
        if draw(flags):
            space.rules.remove(rule)
    elif what == "foreign rule":
        rule = wire.Rule(4, draw(st.sampled_from((500, 32000))), wire.RTN_BLACKHOLE, iif="theirs0", protocol=3)
        if rule not in space.rules:
            space.rules.append(rule)
    elif what == "down" and ours:
        device.take_down()
    elif what == "mtu" and ours:
        device.mtu = 1300
    elif what == "mac" and ours:
        device.mac = "02:ee:00:00:00:ee"
    elif what == "bridge" and ours and space is kernel.host:
        device.master = space.devices["br0"]
    elif what == "delete link" and ours:
        device.end()
    elif what == "rename" and ours and "strange0" not in space.devices:
        space.rename(device.name, "strange0")
    elif what == "table":
        space.table = None
    elif what == "flush" and space.table:
        space.table = "table inet linuxnet_netns {\n}\n"
    elif what == "switch" and ours:
        space.set_sysctl(f"net/ipv4/conf/{device.name}/forwarding", "0")
    elif what in ("file", "lost file"):
        for path in [
            path for path, text in kernel.files.items() if path.startswith("/etc/netns/") and text is not None
        ]:
            kernel.files[path] = "edited\n"
            if what == "lost file":
                del kernel.files[path]
    elif what == "service":
        for state in kernel.units.values():
            state.pop("pid", None)
    elif what == "unit":
        for path in kernel.files:
            if path.startswith("/etc/systemd/system/") and path.endswith((".service", ".conf")):
                kernel.files[path] += "# edited\n"
    elif named:
        name = draw(st.sampled_from(named))
        if what == "lo":
            kernel.names[name][0].devices["lo"].up ^= True
        elif what == "stack":
            kernel.names[name][1] = 2
        elif what in ("delete namespace", "leftover"):
            kernel.end_space(kernel.names[name][0])
            kernel.names.pop(name)
            if what == "leftover":
                kernel.names[name] = [None, 0]
    return what


def mischief(data, kernel):
    """A few acts by hand; returns their names."""
    return [data.draw(_mischief(kernel)) for _number in range(data.draw(st.integers(1, 3), label="acts"))]
