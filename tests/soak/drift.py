# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hands do to a host between two runs, each as shell commands, so that they can be told and done again.

An act is a dict: ``act`` is its name, ``at`` the namespace ("" is the host) in which the script ``do`` runs. ``undo``
runs on the host once the run after it is over: what stands in the way for good would stop everything that follows.
Acts that start with "foreign" are somebody else's coming and going, and what they made has to be left alone.
"""

from __future__ import annotations

import json
import re

from topologies import NAMES, OTHERS

ALL = (*NAMES, *OTHERS)
PROTOCOL = 196
OURS = re.compile(r"(%s)0|to-(%s)|strange0" % ("|".join(ALL), "|".join(ALL)))
KEEP_RULES = "ip %s rule add pref 32766 table main; ip %s rule add pref 32767 table default;"

THEIR_TABLE = """
table inet theirs {
    set known { type ipv4_addr; flags interval; elements = { 192.0.2.0/28, 203.0.113.9 } }
    chain forward { type filter hook forward priority 10; policy accept; ip saddr @known counter accept; }
    chain output { type nat hook output priority 0; policy accept; }
}
table ip theirs {
    chain input { type filter hook input priority 0; policy accept; tcp dport 22 accept; }
}
"""

#: What somebody else has on the host from the start.
FOREIGN = r"""
mkdir -p /etc/netns/theirs
echo 'nameserver 192.0.2.99' > /etc/netns/theirs/resolv.conf
printf '%s' "$1" > /run/theirs.nft
nft -f /run/theirs.nft
ip netns add theirs
ip link add theirs0 type veth peer name eth0 netns theirs
ip address add 172.31.0.1/24 dev theirs0
ip link set theirs0 up
ip -n theirs address add 172.31.0.2/24 dev eth0
ip -n theirs link set eth0 up
ip -n theirs route add default via 172.31.0.1
ip -n theirs rule add pref 500 from 172.31.0.2 table 500
ip netns exec theirs nft add table inet theirs
ip link add br0 address 02:00:00:00:02:01 type bridge
ip link set br0 mtu 1450
ip route add 10.200.0.0/16 via 192.0.2.2
ip route add blackhole 10.201.0.0/16 proto static
ip rule add pref 600 from 10.200.0.0/16 table 600
ip -6 rule add pref 600 from fd99:600::/64 table 600
echo 2 > /proc/sys/net/ipv4/conf/eth1/rp_filter
"""

#: Coming and going, by name.
GUESTS = {
    "namespace": (
        "ip netns add guest; ip -n guest link set lo up; mkdir /etc/netns/guest; echo guest > /etc/netns/guest/hosts",
        "ip netns delete guest; rm -r /etc/netns/guest",
    ),
    "veth": (
        "ip link add guest0 type veth peer name guest1; ip address add 172.30.0.1/24 dev guest0; ip link set guest0 up",
        "ip link delete guest0",
    ),
    "table": ("nft 'add table ip guest; add chain ip guest first'", "nft delete table ip guest"),
    "route": ("ip route add 10.96.0.0/16 via 192.0.2.2 proto static", "ip route delete 10.96.0.0/16"),
    "route of ours' number": (
        "ip -6 route add fd96::/48 via 2001:db8:192::2 proto 196",
        "ip -6 route delete fd96::/48",
    ),
    "rule": ("ip rule add pref 700 iif theirs0 blackhole", "ip rule delete pref 700"),
    "address": ("ip address add 10.97.0.1/24 dev eth1", "ip address delete 10.97.0.1/24 dev eth1"),
    "address6": ("ip address add fd97::1/64 dev eth1 nodad", "ip address delete fd97::1/64 dev eth1"),
    "sysctl": (
        "echo 1 > /proc/sys/net/ipv4/conf/eth1/log_martians",
        "echo 0 > /proc/sys/net/ipv4/conf/eth1/log_martians",
    ),
    "mtu": ("ip link set eth1 mtu 1400", "ip link set eth1 mtu 1500"),
    "file": ("echo theirs > /etc/netns/stray", "rm /etc/netns/stray"),
    "leftover": ("touch /run/netns/stray", "rm /run/netns/stray"),
    "bridge address": ("ip address add 172.29.0.1/24 dev br0", "ip address delete 172.29.0.1/24 dev br0"),
}


class Drift:
    def __init__(self, host, random):
        self._host, self._random = host, random
        self.guests = set()
        #: Where something was put that is not the collection's to remove.
        self.folders = set()

    def draw(self):
        """One act, or None where the one that was chosen has nothing to act on."""
        name = self._random.choice(ACTS)
        found = name(self)
        if found is None:
            return None
        place, what, script, undo = (*found, "")[:4]
        act = {"act": what, "at": place, "do": script, "undo": undo}
        self.note(act)
        return act

    def note(self, act):
        """Remember what an act leaves that is not the collection's to remove."""
        script = act["do"]
        if act["act"].startswith("foreign "):
            self.guests = {name for name, (come, _go) in GUESTS.items() if come == script} | (
                self.guests - {name for name, (_come, go) in GUESTS.items() if go == script}
            )
        elif "ln -s" in script or "mkdir" in script:
            self.folders.update(re.findall(r"/etc/netns/\w+", script))

    # -- where --

    def _spaces(self):
        return [name for name in self._host.namespaces() if name in ALL]

    def _space(self):
        spaces = self._spaces()
        return self._random.choice(spaces) if spaces else None

    def _place(self):
        return self._random.choice(["", *self._spaces()])

    def _ip(self, place, *words):
        stack = self._host.ns(place) if place else self._host
        return [item for item in json.loads(stack.run("ip", "-j", "-d", "-N", *words) or "[]") if item]

    def _link(self):
        """(namespace, interface) of one of our links, or None."""
        place = self._place()
        links = sorted(
            item["ifname"]
            for item in self._ip(place, "link", "show")
            if item.get("linkinfo", {}).get("info_kind") == "veth" and (place or OURS.fullmatch(item["ifname"]))
        )
        return (place, self._random.choice(links)) if links else None

    def _on_link(self, what, script, *more):
        found = self._link()
        return found and (found[0], what, script.format(link=found[1]), *more)

    # -- links --

    def address(self):
        found = self._link()
        if not found:
            return None
        items = [
            "%s/%s" % (item["local"], item["prefixlen"])
            for link in self._ip(found[0], "address", "show", "dev", found[1])
            for item in link["addr_info"]
        ]
        return items and (
            found[0], "address", "ip address delete %s dev %s" % (self._random.choice(items), found[1])
        ) or None  # fmt: skip

    def more_addresses(self):
        return self._on_link(
            "more addresses", "ip address add 10.99.0.1/24 dev {link}; ip address add fd99::1/64 dev {link} nodad"
        )

    def flush_addresses(self):
        return self._on_link("flush addresses", "ip address flush dev {link} scope global")

    def down(self):
        return self._on_link("down", "ip link set {link} down")

    def mtu(self):
        return self._on_link("mtu", "ip link set {link} mtu 1300")

    def mac(self):
        return self._on_link("mac", "ip link set {link} address 02:ee:00:00:00:ee")

    def delete_link(self):
        return self._on_link("delete link", "ip link delete {link}")

    def rename(self):
        return self._on_link(
            "rename", "ip link set {link} down; ip link set {link} name strange0; ip link set strange0 up"
        )

    def alias(self):
        return self._on_link("alias", "ip link set {link} alias ''")

    def bridge(self):
        found = self._link()
        return ("", "bridge", "ip link set %s master br0" % found[1]) if found and not found[0] else None

    def loopback(self):
        place = self._space()
        return place and (place, "loopback", "ip link set lo %s" % self._random.choice(("up", "down")))

    # -- routes and rules --

    def route(self):
        place = self._place()
        items = [
            "%s %s dev %s table %s metric %s" % (family, item["dst"], item["dev"], item["table"], item.get("metric", 0))
            for family in ("-4", "-6")
            for item in self._ip(place, family, "route", "show", "table", "all")
            if item.get("protocol") == str(PROTOCOL) and "dev" in item and item["dst"] != "fd96::/48"
        ]
        if not items:
            return None
        family, rest = self._random.choice(sorted(items)).split(" ", 1)
        return place, "route", "ip %s route delete %s" % (family, rest)

    def more_routes(self):
        return self._on_link("more routes", "ip route add 10.98.0.0/16 dev {link}")

    def rule(self):
        place = self._place()
        items = [
            "%s rule delete pref %s" % (family, item["priority"])
            for family in ("-4", "-6")
            for item in self._ip(place, family, "rule", "show")
            if item.get("protocol") == str(PROTOCOL)
        ]
        return (place, "rule", "ip " + self._random.choice(sorted(items))) if items else None

    def flush_rules(self):
        place = self._place()
        if not place:
            return place, "flush rules", "ip -4 rule flush protocol 196; ip -6 rule flush protocol 196"
        script = "".join("ip %s rule flush; %s" % (family, KEEP_RULES % (family, family)) for family in ("-4", "-6"))
        return place, "flush rules", script

    def other_rule(self):
        found = self.rule()
        if not found:
            return None
        place, _what, script = found
        added = script.replace("delete", "add") + " oif other table 78 protocol 196"
        return place, "other rule", self._random.choice((added, script + "; " + added))

    def more_rules(self):
        place = self._space()
        return place and (
            place,
            "more rules",
            "ip rule add pref %d iif any0 blackhole" % self._random.choice((500, 32000)),
        )

    # -- the filter --

    def table(self):
        return self._place(), "delete table", "nft delete table inet linuxnet_netns"

    def flush_table(self):
        return self._place(), "flush table", "nft flush table inet linuxnet_netns"

    def flush_chain(self):
        place = self._place()
        chain = self._random.choice(("filter_forward", "forwards", "nat_postrouting", "raw_prerouting", "declared"))
        return place, "flush chain", "nft flush chain inet linuxnet_netns " + chain

    def more_in_table(self):
        return (
            self._place(),
            "more in table",
            "nft 'add chain inet linuxnet_netns extra; add rule inet linuxnet_netns extra accept'",
        )

    def flush_ruleset(self):
        place = self._place()
        return place, "flush ruleset", "nft flush ruleset" + ("" if place else "; nft -f /run/theirs.nft")

    # -- sysctls and files --

    def switch(self):
        key = self._random.choice(("ipv4/conf/{link}/forwarding", "ipv6/conf/{link}/force_forwarding",
                                   "ipv4/conf/{link}/route_localnet"))  # fmt: skip
        return self._on_link("switch", "echo 0 > /proc/sys/net/%s" % key)

    def uplink_switch(self):
        link = self._random.choice(("eth0", "eth1"))
        key = self._random.choice(("ipv4/conf/%s/forwarding", "ipv6/conf/%s/force_forwarding")) % link
        return "", "uplink's switch", "echo 0 > /proc/sys/net/" + key

    def inner_sysctl(self):
        key, value = self._random.choice((("core/somaxconn", 99), ("ipv4/ip_default_ttl", 99), ("ipv4/ip_forward", 1),
                                          ("ipv4/ip_forward", 0), ("ipv6/conf/all/forwarding", 0)))  # fmt: skip
        place = self._space()
        return place and (place, "sysctl", "echo %d > /proc/sys/net/%s" % (value, key))

    def edit_file(self):
        act = self._random.choice(("echo edited >>", "rm -f", "truncate -s 0", "ln -sf /etc/hostname"))
        path = "/etc/netns/%s/%s" % (self._random.choice(ALL), self._random.choice(("resolv.conf", "hosts")))
        return "", "file", f"if [ -e {path} ]; then {act} {path}; fi"

    def stray_file(self):
        path = "/etc/netns/" + self._random.choice(ALL)
        return "", "stray file", f"if [ -d {path} ]; then mkdir -p {path}/theirs; fi"

    def delete_folder(self):
        return "", "delete folder", "rm -rf /etc/netns/" + self._random.choice(ALL)

    # -- namespaces --

    def _deletion(self):
        """The kernel takes it apart in the background; the next run is to meet a host that holds still."""
        name = self._space()
        return name, "ip netns delete %s; %s" % (name, GONE)

    def delete_namespace(self):
        name, script = self._deletion()
        return name and ("", "delete namespace", script)

    def leftover(self):
        name, script = self._deletion()
        return name and ("", "leftover", "%s touch /run/netns/%s" % (script, name))

    def recreate_namespace(self):
        name, script = self._deletion()
        return name and ("", "recreate namespace", "%s ip netns add %s" % (script, name))

    def stack(self):
        name = self._space()
        return name and ("", "stack", f"mount --bind /run/netns/{name} /run/netns/{name}")

    def live_inside(self):
        """Somebody lives in a namespace, with or without a name."""
        name = self._space()
        if not name:
            return None
        nameless = self._random.random() < 0.25
        words = {"name": name, "pid": "/run/lodger.%d" % nameless}
        script = LODGER % words
        if nameless:
            return "", "live in a nameless one", script + "ip netns delete %s;" % name, EVICTION % words + GONE
        return "", "live inside", script, EVICTION % words

    # -- in the way --

    def _in_the_way(self, what, script, undo):
        return "", "in the way: " + what, script, undo

    def their_address(self):
        number = self._random.choice((0, 1, 2, 10, 11, 12))
        address = self._random.choice(("10.0.%d.1/32", "10.0.%d.1/29", "fd00:0:0:%d::7/128")) % number
        there = "%s dev eth1" % address
        return self._in_the_way("address", "ip address add %s nodad" % there, "ip address delete " + there)

    def their_route(self):
        route = "10.77.%d.0/24 via 192.0.2.2" % self._random.choice((0, 1, 2, 10, 11, 12))
        return self._in_the_way("route", "ip route add " + route, "ip route delete " + route)

    def their_rule(self):
        rule = "pref %d from 192.0.2.77 table 79" % (1000 + 10 * self._random.choice((0, 1, 2, 10, 11, 12)))
        return self._in_the_way("rule", "ip rule add " + rule, "ip rule delete " + rule)

    def their_link(self):
        name = self._random.choice(ALL) + "0"
        return self._in_the_way(
            "link",
            "! ip link show %s 2>/dev/null && ip link add %s type bridge" % (name, name),
            "if [ -e /sys/class/net/%s/bridge ]; then ip link delete %s; fi" % (name, name),
        )

    def their_namespace(self):
        """Only while nobody of ours is to have that name: it would be taken for ours, come back."""
        name = self._random.choice(ALL)
        if self._host.exists("/run/netns/" + name) or name in self._host.sh("cat /var/lib/linuxnet-netns/* || :"):
            return None
        return self._in_the_way("namespace", "ip netns add " + name, "ip netns delete " + name)

    def directory(self):
        path = "/etc/netns/%s/%s" % (self._random.choice(ALL), self._random.choice(("resolv.conf", "hosts")))
        return self._in_the_way(
            "directory", f"if [ -f {path} ]; then rm {path}; mkdir {path}; fi",
            f"if [ -d {path} ]; then rmdir {path}; fi",
        )  # fmt: skip

    # -- others --

    def guest(self):
        name = self._random.choice(sorted(GUESTS))
        come = name not in self.guests
        return "", "foreign %s %s" % (name, "comes" if come else "goes"), GUESTS[name][0 if come else 1]

    def see_off(self):
        """Acts after which all guests have gone, and what they put into folders of ours."""
        gone = [("foreign %s goes" % name, GUESTS[name][1]) for name in sorted(self.guests)]
        gone += [("foreign files go", "rm -rf " + folder) for folder in sorted(self.folders)]
        self.guests, self.folders = set(), set()
        return [{"act": what, "at": "", "do": script, "undo": ""} for what, script in gone]


LODGER = """
setsid nsenter --net=/run/netns/%(name)s sleep 1000 </dev/null >/dev/null 2>&1 &
echo $! > %(pid)s
# not for ever: the namespace may be gone
for try in $(seq 200); do grep -qs sleep /proc/$!/comm && break; sleep 0.01; done
"""
EVICTION = """
pid=$(cat %(pid)s)
rm %(pid)s
if grep -qs sleep /proc/$pid/comm; then kill $pid; fi
while grep -qs sleep /proc/$pid/comm; do sleep 0.01; done
"""

#: Wait until no end is left whose other end was in a namespace that is being taken apart.
GONE = """
for try in $(seq 200); do
    { ip -o link; ip -o -all netns exec ip -o link; } 2>/dev/null > /run/seen
    sleep 0.05
    { ip -o link; ip -o -all netns exec ip -o link; } 2>/dev/null | cmp -s - /run/seen && break
done
rm -f /run/seen;
"""

_COMMON = (Drift.address, Drift.more_addresses, Drift.down, Drift.mtu, Drift.mac, Drift.route, Drift.rule, Drift.guest)
_RARE = (
    Drift.flush_addresses, Drift.delete_link, Drift.rename, Drift.alias, Drift.bridge, Drift.loopback,
    Drift.more_routes, Drift.flush_rules, Drift.other_rule, Drift.more_rules, Drift.table, Drift.flush_table,
    Drift.flush_chain, Drift.more_in_table, Drift.flush_ruleset, Drift.switch, Drift.uplink_switch,
    Drift.inner_sysctl, Drift.edit_file, Drift.stray_file, Drift.delete_folder, Drift.delete_namespace,
    Drift.leftover, Drift.recreate_namespace, Drift.stack, Drift.live_inside, Drift.their_address, Drift.their_route,
    Drift.their_rule, Drift.their_link, Drift.their_namespace, Drift.directory,
)  # fmt: skip
ACTS = _COMMON * 2 + _RARE


def perform(host, act):
    """Do an act, and say how it ended: what cannot be done is as good as not done."""
    stack = host
    if act["at"]:
        if act["at"] not in host.namespaces():
            return False
        stack = host.ns(act["at"])
    return stack.run("sh", "-c", act["do"], check=False).returncode == 0


def undo(host, act):
    if act["undo"]:
        host.run("sh", "-c", act["undo"], check=False)
