# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module netns_check: each failure that people run into is induced for real, and has to be named; the wire must agree.

The world of a case is a host with two namespaces behind it: `app`, with NAT out and a forward to its port 10105, and
`db`, with NAT out. Nothing else is declared, so the two do not reach each other.
"""

from __future__ import annotations

import time

import pytest
from harness import (
    CLIENT4,
    CLIENT6,
    SERVER4,
    SERVER6,
    SERVER_PORT,
    UPLINK4,
    UPLINK6,
    Behind,
    World,
    difference,
    topology,
)

PORT = 10105


class Router:
    """The world of a case."""

    def __init__(self):
        self.world = World()
        try:
            self.host, self.internet, self.mgmt = self.world.host, self.world.internet, self.world.mgmt
            self.app, self.db = Behind(self.host, "app", 1), Behind(self.host, "db", 2)
            self.converge()
            # The internet knows no way to private addresses.
            self.internet.ip("route del 10.0.0.0/8\nroute del fd00::/8")
            self.bare = self.world.snapshot()
            self.app.serve(PORT)
        except BaseException:
            self.world.close()
            raise

    def converge(self, **more):
        forwards = [
            {"name": "web", "port": str(PORT), "to_address": self.app.address4},
            {"name": "web6", "port": str(PORT), "to_address": self.app.address6},
        ]
        self.host.module("netns_topology", **topology(self.app, self.db, **{"forwards": forwards, **more}))

    def check(self, **options):
        return self.host.module("netns_check", **options)


@pytest.fixture(scope="module")
def _routers():
    kept = []
    yield kept
    for router in kept:
        router.world.close()


@pytest.fixture
def router(_routers):
    """A case that leaves the world as it was passes it on to the next one; otherwise that gets a new one."""
    if not _routers:
        _routers.append(Router())
    yield _routers[0]
    _routers[0].world.release()
    if difference(_routers[0].bare, _routers[0].world.snapshot(), written=False):
        _routers.pop().world.close()
    else:
        _routers[0].app.serve(PORT)


# -- what a case asks, and how the wire is asked the same --


def out(address=SERVER4, port=SERVER_PORT, **more):
    """The namespace `app` reaches a server on the internet."""
    options = {"netns": "app", "to_address": address, "port": port, **more}
    return options, lambda router: router.app.ns.reaches(address, port, options.get("protocol", "tcp"))


def inwards(address=UPLINK4, source=CLIENT4, port=PORT, **more):
    """A client on the internet reaches the daemon in `app`."""
    options = {"direction": "in", "to_address": address, "source": source, "port": port, **more}
    return options, lambda router: router.internet.reaches(address, port, source=source)


def ping(address=SERVER4, netns="app", size=None):
    """An echo request, of a size if need be."""
    options = {"netns": netns, "to_address": address, **({"size": size} if size else {})}

    def real(router):
        # iputils counts without the headers
        wide = ["-M", "do", "-s", str(size - 28)] if size else []
        command = ["ping", "-n", "-q", "-c", "1", "-W", "1", *wide, address]
        return router.host.ns(netns).run(*command, check=False).returncode == 0

    return options, real


def between(port=PORT):
    """`app` reaches `db` at its own address."""
    options = {"netns": "app", "to_address": "10.200.2.2", "port": port}
    return options, lambda router: router.app.ns.reaches("10.200.2.2", port)


def itself(address="127.0.0.1", port=7777, **more):
    options = {"netns": "app", "to_address": address, "port": port, **more}
    return options, lambda router: router.app.ns.reaches(address, port)


WELL = {
    "out": out(),
    "out, IPv6": out(SERVER6),
    "out, UDP": out(protocol="udp"),
    "in": inwards(),
    "in, IPv6": inwards(UPLINK6, CLIENT6),
    "ping": ping(),
    "ping, IPv6": ping(SERVER6),
    "ping the gateway": ping("10.200.1.1"),
    "full-size packets": ping(size=1500),
}


@pytest.mark.smoke
def test_all_is_well(router):
    before = router.world.snapshot()
    for name, (question, wire) in WELL.items():
        result = router.check(**question)
        assert result["ok"], (name, result)
        assert result["certain"], (name, result)
        assert not result.changed
        assert result["cause"] is None and result["remedy"] is None
        assert wire(router), name
        assert router.host.module("netns_check", check=True, **question) == result
    assert router.world.snapshot() == before
    path = router.check(**out()[0])["path"]
    assert [(hop["netns"], hop["in"], hop["out"]) for hop in path] == [("app", None, "eth0"), ("", "veth-app", "eth0")]
    assert [hop["source"] for hop in path] == ["10.200.1.2", UPLINK4]
    path = router.check(**inwards(UPLINK6, CLIENT6, to_netns="app")[0])["path"]
    assert [(hop["netns"], hop["in"], hop["out"]) for hop in path] == [("", "eth0", "veth-app"), ("app", "eth0", None)]
    assert [hop["destination"] for hop in path] == ["fd00:200:1::2", "fd00:200:1::2"]
    # What is left out of a question from outside is what the uplink has.
    assert router.check(direction="in", port=PORT)["path"][-1]["netns"] == "app"


# -- what goes wrong: how it is induced, what is asked, the cause, and words that the message must have --


def inside(batch):
    """`ip` commands in `app`."""
    return lambda router: router.app.ns.ip(batch)


def on_host(batch):
    return lambda router: router.host.ip(batch)


def nft(rules, where="host"):
    """A table of somebody else."""

    def load(router):
        stack = router.host if where == "host" else router.host.ns(where)
        stack.run("nft", "-f", "-", input=rules)

    return load


def sysctl(path, value, where="host"):
    def write(router):
        (router.host if where == "host" else router.host.ns(where)).sysctl(path, value)

    return write


def file(path, text):
    return lambda router: router.host.write(path, text)


def run(*command):
    return lambda router: router.host.run(*command)


def all_of(*induced):
    def induce(router):
        for one in induced:
            one(router)

    return induce


def forwards(*items):
    """Other forwards than those of the world."""
    return lambda router: router.converge(forwards=list(items))


def to_app(port, **more):
    return {"name": "other", "port": str(port), "to_address": "10.200.1.2", **more}


def serve(address, port, where="app"):
    return lambda router: router.host.ns(where).serve(address, port)


def nothing(_router):
    pass


def chain(hook, *rules, policy="accept", kind="filter", priority=0):
    body = "; ".join((f"type {kind} hook {hook} priority {priority}; policy {policy}", *rules))
    return "table inet theirs { chain guard { %s; }\n}" % body


def asking(netns="app", name="www.example.org"):
    """A host's name: there is no wire to ask, because nobody here serves names."""
    return {"netns": netns, "to_address": name}, None


def unasked(**options):
    return options, None


def from_host(address, port=None):
    options = {"to_address": address, **({"port": port} if port else {})}

    def real(router):
        if port:
            return router.host.reaches(address, port)
        return router.host.run("ping", "-n", "-c", "1", "-W", "1", address, check=False).returncode == 0

    return options, real


HOST_ALL = "net/ipv4/conf/all/"
TABLE = {
    # namespaces
    "no such namespace": (nothing, unasked(netns="nope", to_address=SERVER4), "netns_missing", "nope"),
    "half-made namespace": (
        run("touch", "/run/netns/half"),
        unasked(netns="half", to_address=SERVER4),
        "netns_leftover",
        "/run/netns/half",
    ),
    # links
    "lo down": (all_of(serve("127.0.0.1", 7777), inside("link set lo down")), itself(), "link_down", "lo"),
    "lo down, own address": (
        all_of(serve("10.200.1.2", 7777), inside("link set lo down")),
        itself("10.200.1.2"),
        "link_down",
        "lo",
    ),
    "namespace end down": (inside("link set eth0 down"), out(), "link_down", "eth0 is down in app"),
    "host end down": (on_host("link set veth-app down"), out(), "link_down", "veth-app on the host is down"),
    "host end down, seen from outside": (on_host("link set veth-app down"), inwards(), "link_down", "veth-app"),
    "host end down, seen from outside, IPv6": (
        on_host("link set veth-app down"),
        inwards(UPLINK6, CLIENT6),
        "no_route",
        "sent back out through eth0",
    ),
    "namespace end down, seen from outside": (inside("link set eth0 down"), inwards(), "link_down", "eth0 in app"),
    "cable unplugged": (
        lambda router: router.internet.ip("link set up0 down"),
        out(),
        "link_no_carrier",
        "eth0 on the host",
    ),
    "link moved away": (
        on_host("link set veth-app netns db"),
        out(),
        "link_elsewhere",
        "veth-app is not on the host: the device is in db",
    ),
    "link moved away and up": (
        all_of(on_host("link set veth-app netns db"), run("ip", "-n", "db", "link", "set", "veth-app", "up")),
        out(),
        "link_elsewhere",
        "the device is in db",
    ),
    "namespace end moved away": (
        all_of(
            run("ip", "-n", "db", "link", "del", "eth0"), run("ip", "-n", "app", "link", "set", "eth0", "netns", "db")
        ),
        out(),
        "link_elsewhere",
        "eth0 is not in app: the device is in db",
    ),
    "uplink moved away": (
        on_host("link set eth1 netns db"),
        unasked(direction="in", in_interface="eth1", port=PORT),
        "link_elsewhere",
        "eth1 is not on the host: the device is in db",
    ),
    "link gone": (inside("link del eth0"), out(), "link_missing", "no link in app"),
    # addresses
    "no address": (inside("address flush dev eth0"), out(), "no_address", "no IPv4 address in app"),
    "no address, IPv6": (
        inside("address del fd00:200:1::2/64 dev eth0"),
        out(SERVER6),
        "no_address",
        "no IPv6 address in app",
    ),
    "target's address missing": (
        run("ip", "-n", "db", "address", "del", "10.200.2.2/24", "dev", "eth0"),
        from_host("10.200.2.2"),
        "address_not_local",
        "10.200.2.2; what hears it is eth0 in db",
    ),
    "address of nobody": (nothing, inwards("198.51.100.77"), "address_not_local", "198.51.100.77 is not an address"),
    # routes
    "no default route": (inside("route del default"), out(), "no_route", "no route to 198.51.100.1 in app"),
    "no default route, IPv6": (inside("route del ::/0"), out(SERVER6), "no_route", "in app"),
    "no default route for the answer": (inside("route del default"), inwards(), "no_route", "answer:"),
    "wrong gateway": (
        inside("route replace default via 10.200.1.99"),
        out(),
        "gateway_unreachable",
        "10.200.1.99 of the route default via 10.200.1.99 dev eth0 in app is nobody's address",
    ),
    "gateway of another network": (
        all_of(
            inside("address add 10.200.9.2/24 dev eth0\naddress del 10.200.1.2/24 dev eth0"),
            on_host("address del 10.200.1.1/24 dev veth-app"),
        ),
        out(),
        "gateway_not_on_link",
        "10.200.1.1 of the route default via 10.200.1.1 dev eth0 in app is in no network of its link",
    ),
    "blackhole": (inside("route add blackhole 198.51.100.0/24"), out(), "route_blackhole", "blackhole 198.51.100.0/24"),
    "unreachable on the host": (
        on_host("route add unreachable 198.51.100.1/32"),
        out(),
        "route_blackhole",
        "unreachable 198.51.100.1/32",
    ),
    "prohibit by a rule": (
        inside("rule add priority 77 to 198.51.100.0/24 prohibit"),
        out(),
        "route_blackhole",
        "priority 77",
    ),
    "policy rule into an empty table that refuses": (
        inside("rule add priority 50 from 10.200.1.2 lookup 77\nroute add unreachable default table 77"),
        out(),
        "route_blackhole",
        "table 77",
    ),
    # the kernel's switches
    "forwarding off": (sysctl("net/ipv4/conf/veth-app/forwarding", 0), out(), "forwarding_off", "veth-app"),
    "ip_forward off": (
        all_of(sysctl("net/ipv4/ip_forward", 1), sysctl("net/ipv4/ip_forward", 0)),
        out(),
        "forwarding_off",
        "veth-app",
    ),
    "forwarding off for the answer": (
        sysctl("net/ipv4/conf/eth0/forwarding", 0),
        out(),
        "forwarding_off",
        "answer: IPv4 packets that come through eth0",
    ),
    "forwarding off, from outside": (sysctl("net/ipv4/conf/eth0/forwarding", 0), inwards(), "forwarding_off", "eth0"),
    "reverse path filter": (
        all_of(on_host("route add 203.0.113.0/24 via 192.0.2.2"), sysctl("net/ipv4/conf/eth0/rp_filter", 1)),
        inwards(in_interface="eth0"),
        "rp_filter",
        "the route back to 203.0.113.9 leads through eth1",
    ),
    "reverse path filter, no way back": (
        all_of(on_host("route del default"), sysctl("net/ipv4/conf/eth0/rp_filter", 2)),
        inwards(in_interface="eth0"),
        "rp_filter",
        "no route back to 203.0.113.9",
    ),
    "echo requests ignored": (
        sysctl("net/ipv4/icmp_echo_ignore_all", 1, "app"),
        from_host("10.200.1.2"),
        "icmp_ignored",
        "in app",
    ),
    "small MTU at the other end": (
        on_host("link set veth-app mtu 1400"),
        ping(size=1500),
        "mtu",
        "veth-app on the host",
    ),
    "small MTU of the uplink": (on_host("link set eth0 mtu 1400"), ping(size=1500), "mtu", "eth0 on the host"),
    # the firewall
    "their forward policy": (
        nft(chain("forward", policy="drop")),
        out(),
        "foreign_drop",
        "table inet theirs, chain guard: policy drop",
    ),
    "their forward policy, from outside": (nft(chain("forward", policy="drop")), inwards(), "foreign_drop", "theirs"),
    "their rule": (
        nft(chain("forward", 'iifname "veth-app" tcp dport 7 drop')),
        out(),
        "foreign_drop",
        "iifname veth-app tcp dport 7 drop (handle",
    ),
    "their input in the namespace": (
        nft(chain("input", "ct state established accept", policy="drop"), "app"),
        inwards(),
        "foreign_drop",
        "in app at input",
    ),
    "their output in the namespace": (
        nft(chain("output", "ip daddr 198.51.100.1 reject"), "app"),
        out(),
        "foreign_drop",
        "output",
    ),
    "their rule drops the answer": (
        nft(chain("input", "ip saddr 198.51.100.1 drop"), "app"),
        out(),
        "foreign_drop",
        "answer:",
    ),
    "our NAT emptied": (
        run("nft", "flush", "chain", "inet", "linuxnet_netns", "nat_postrouting"),
        out(),
        "no_nat",
        "from 10.200.1.2",
    ),
    "our table gone": (run("nft", "delete", "table", "inet", "linuxnet_netns"), out(), "no_nat", "10.200.1.2"),
    "our table gone, from outside": (
        run("nft", "delete", "table", "inet", "linuxnet_netns"),
        inwards(),
        "no_forward",
        "",
    ),
    "no NAT declared": (lambda router: router.converge(nat=[]), out(), "own_filter", "was not declared"),
    "isolated": (serve("10.200.2.2", PORT, "db"), between(), "own_filter", "from veth-app to veth-db"),
    "routed past the forward": (
        lambda router: router.internet.ip("route add 10.200.1.0/24 via 198.51.100.10"),
        inwards("10.200.1.2"),
        "own_filter",
        "",
    ),
    "forged source": (
        inside("address add 10.66.0.1/32 dev lo"),
        (
            {"netns": "app", "to_address": SERVER4, "port": SERVER_PORT, "source": "10.66.0.1"},
            lambda router: router.app.ns.reaches(SERVER4, SERVER_PORT, source="10.66.0.1"),
        ),
        "own_filter",
        "raw_prerouting",
    ),
    # forwards
    "forward missing": (
        forwards(),
        inwards(),
        "no_forward",
        "port 10105 of 198.51.100.10 is forwarded to no namespace",
    ),
    "forward of others": (
        forwards(to_app(PORT, sources=["192.0.2.0/24", "203.0.113.66"])),
        inwards(),
        "forward_sources",
        "192.0.2.0/24",
    ),
    "forward at another address": (
        forwards(to_app(PORT, listen_address=["192.0.2.1"])),
        inwards(),
        "no_forward",
        "at 192.0.2.1 only",
    ),
    "forward for another interface": (
        forwards(to_app(PORT, in_interface=["eth1"])),
        inwards(),
        "no_forward",
        "not through this interface",
    ),
    "forward into the wrong namespace": (
        nothing,
        unasked(direction="in", port=PORT, to_netns="db"),
        "wrong_netns",
        "in app",
    ),
    "nobody listens": (forwards(to_app(8080)), inwards(port=8080), "not_listening", "tcp port 8080 in app"),
    "listening on the host instead": (
        all_of(forwards(to_app(8080)), lambda router: router.host.serve("0.0.0.0", 8080)),
        inwards(port=8080),
        "not_listening",
        "somebody listens at that port on the host",
    ),
    "listening at loopback": (
        all_of(forwards(to_app(8081)), serve("127.0.0.1", 8081)),
        inwards(port=8081),
        "listening_loopback_only",
        "127.0.0.1 only",
    ),
    "listening at another address": (
        all_of(forwards(to_app(8082)), inside("address add 10.200.1.3/24 dev eth0"), serve("10.200.1.3", 8082)),
        inwards(port=8082),
        "listening_elsewhere",
        "10.200.1.3",
    ),
    "DNAT to loopback": (
        all_of(
            forwards(to_app(8083)),
            serve("127.0.0.1", 8083),
            nft(chain("prerouting", "tcp dport 8083 dnat ip to 127.0.0.1", kind="nat", priority=-100), "app"),
        ),
        inwards(port=8083),
        "route_localnet",
        "127.0.0.1",
    ),
    # names
    "no resolv.conf": (run("rm", "/etc/resolv.conf"), asking(), "dns_no_resolv_conf", "for app"),
    "empty resolv.conf": (
        file("/etc/netns/app/resolv.conf", "search example.org\n"),
        asking(),
        "dns_no_nameserver",
        "",
    ),
    "the host's stub": (
        file("/etc/resolv.conf", "nameserver 127.0.0.53\n"),
        asking(),
        "dns_loopback_nameserver",
        "127.0.0.53",
    ),
    "name server out of reach": (
        file("/etc/netns/app/resolv.conf", "nameserver 10.200.2.2\n"),
        asking(),
        "dns_unreachable",
        "own_filter",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_failure_is_named(router, name):
    induce, (question, wire), cause, words = TABLE[name]
    induce(router)
    before = router.world.snapshot()
    result = router.check(**question)
    assert (result["ok"], result["cause"]) == (False, cause), result
    assert words in result.msg, result.msg
    assert result["remedy"]
    assert [step["ok"] for step in result["checks"]].count(False) >= 1
    assert result["checks"][-1]["ok"] is False
    assert router.world.snapshot() == before
    assert wire is None or not wire(router), "the wire disagrees"


def test_failing_is_the_callers_choice(router):
    question = {"netns": "app", "to_address": "10.200.2.2", "port": PORT}
    quiet = router.check(**question)
    loud = router.host.module("netns_check", fails=True, fail=True, **question)
    assert (loud["error"], loud["cause"], loud["path"]) == ("blocked", "own_filter", quiet["path"])
    assert loud.msg == "%s; %s" % (quiet.msg, quiet["remedy"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to_address": SERVER4, "protocol": "tcp"}, "port"),
        ({"to_address": SERVER4, "port": 70000}, "port: 70000"),
        ({"to_address": "10.0.0.0/8"}, "to_address"),
        ({"port": 80}, "to_address"),
        ({"to_address": SERVER4, "source": SERVER6, "port": 1}, "source"),
        ({"to_address": SERVER4, "netns": "a/b"}, "netns"),
        ({"to_address": SERVER4, "in_interface": "eth0"}, "in_interface"),
    ],
)
def test_bad_options_are_refused(router, options, words):
    router.host.refuses("netns_check", words, check=False, **options)


def test_a_gateway_out_there_that_does_not_answer(router):
    """Nobody on this host has the address; that it did not answer the last time is in the neighbours' table."""
    router.host.ip("route replace default via 198.51.100.99")
    router.internet.serve(CLIENT4, PORT)
    question, wire = out(CLIENT4, PORT)
    assert not wire(router)
    for _attempt in range(50):
        if "FAILED" in router.host.run("ip", "neighbour", "show", "198.51.100.99"):
            break
        time.sleep(0.2)
    result = router.check(**question)
    assert (result["cause"], wire(router)) == ("gateway_unreachable", False), result
    assert "198.51.100.99" in result.msg


def test_a_private_source_may_have_a_way_back(router):
    router.host.run("nft", "flush", "chain", "inet", "linuxnet_netns", "nat_postrouting")
    router.internet.ip("route add 10.200.1.0/24 via 198.51.100.10")
    question, wire = out()
    assert router.check(**question)["cause"] == "no_nat"
    assert router.check(require_nat=False, **question)["ok"]
    assert wire(router)


def test_namespaces_that_may_reach_each_other(router):
    router.converge(isolate=False)
    router.db.ns.serve("10.200.2.2", PORT)
    question, wire = between()
    result = router.check(**question)
    assert result["ok"] and wire(router), result
    assert [hop["netns"] for hop in result["path"]] == ["app", "", "db"]


def test_hairpin(router):
    """The host itself, and the namespace behind a forward, reach the daemon by the host's address."""
    for options, stack in (({}, router.host), ({"netns": "app"}, router.app.ns)):
        result = router.check(to_address=UPLINK4, port=PORT, to_netns="app", **options)
        assert result["ok"] and stack.reaches(UPLINK4, PORT), result
    # Not so a namespace whose forward it is not, unless it is declared.
    result = router.check(netns="db", to_address=UPLINK4, port=PORT)
    assert result["ok"] == router.db.ns.reaches(UPLINK4, PORT), result


def test_names(router):
    host = router.host
    host.write("/etc/netns/app/resolv.conf", "nameserver 10.200.2.2\nnameserver %s\n" % SERVER4)
    result = router.check(netns="app", to_address="www.example.org")
    assert result["ok"], result
    assert SERVER4 in result.msg
    assert [step["detail"] for step in result["checks"] if step["name"] == "dns" and step["ok"] is False]
    host.write("/etc/netns/app/hosts", "127.0.0.1 localhost\n%s www.example.org www\n" % SERVER4)
    result = router.check(netns="app", to_address="www", port=SERVER_PORT)
    assert result["ok"], result
    assert result["path"][-1]["destination"] == SERVER4


def test_a_bridge(router):
    """Two namespaces on a bridge of the host reach each other through it, and not through its filter."""
    router.host.run("ip", "netns", "add", "one")
    router.host.run("ip", "netns", "add", "two")
    router.host.ip("""
        link add br0 type bridge
        link set br0 up
        link add p1 master br0 type veth peer name eth0 netns one
        link add p2 master br0 type veth peer name eth0 netns two
        link set p1 up
        link set p2 up
    """)
    for number, name in ((1, "one"), (2, "two")):
        router.host.ns(name).ip("link set eth0 up\naddress add 10.50.0.%d/24 dev eth0" % number)
    router.host.ns("two").serve("10.50.0.2", PORT)
    question = {"netns": "one", "to_address": "10.50.0.2", "port": PORT}
    result = router.check(**question)
    assert result["ok"] and router.host.ns("one").reaches("10.50.0.2", PORT), result
    router.host.ip("link set p2 down")
    result = router.check(**question)
    assert not result["ok"] and not router.host.ns("one").reaches("10.50.0.2", PORT), result
    router.host.ip("link set p2 up\nlink set br0 down")
    assert (router.check(**question)["ok"], router.host.ns("one").reaches("10.50.0.2", PORT)) == (False, False)
