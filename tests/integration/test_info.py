# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module netns_info: what is there, read from the kernel and the firewall; nothing is touched.

An operator sees per namespace who it is, its links with the other end's name and namespace, addresses, routes, rules,
sysctls, who listens and who lives there, and the forwards and NAT with what went through.
"""

from __future__ import annotations

import pytest
from harness import CLIENT4, SERVER4, SERVER_PORT, UPLINK4, Behind, topology


@pytest.fixture
def host(world):
    return world.host


def by_name(result):
    return {item["name"]: item for item in result["namespaces"]}


@pytest.mark.smoke
def test_it_tells_all_about_a_router(world, host):
    app = Behind(host, "app", 1)
    forwards = [{"name": "web", "port": "10105", "to_address": app.address4, "sources": ["203.0.113.0/24"]}]
    host.module("netns_topology", **topology(app, forwards=forwards))
    app.ns.run("ip", "rule", "add", "from", "10.200.1.2", "lookup", "77", "priority", "1000")
    sleeper = app.ns.start("sh", "-c", 'echo "$$"; exec sleep 600')
    pid = int(sleeper.stdout.readline())
    app.serve(10105)
    app.serve(5353, proto="udp")
    assert app.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    for _ in range(3):
        assert world.internet.ask(UPLINK4, 10105, source=CLIENT4).label == "app"

    before = host.snapshot()
    result = host.module("netns_info")
    host.assert_same(before, "reading changed something", written=True)
    assert not result.changed
    assert list(by_name(result)) == ["app"]
    info = by_name(result)["app"]

    inode = app.ns.run("stat", "-L", "-c", "%i", "/proc/self/ns/net").strip()
    assert inode in str(info["identity"]["inode"])
    assert info["identity"]["cookie"]

    links = {link["name"]: link for link in info["links"]}
    assert sorted(links) == ["eth0", "lo"]
    assert links["eth0"]["peer"] == {"name": "veth-app", "netns": ""}
    assert (links["eth0"]["type"], links["eth0"]["up"], links["eth0"]["mtu"]) == ("veth", True, 1500)
    at_host = {link["name"]: link for link in result["host"]["links"]}
    assert at_host["veth-app"]["peer"] == {"name": "eth0", "netns": "app"}

    addresses = {(item["link"], item["address"]) for item in info["addresses"]}
    assert {("eth0", "10.200.1.2/24"), ("eth0", "fd00:200:1::2/64"), ("lo", "127.0.0.1/8")} <= addresses
    routes = {(item["to"], item["via"], item["link"]) for item in info["routes"]}
    assert {("0.0.0.0/0", "10.200.1.1", "eth0"), ("::/0", "fd00:200:1::1", "eth0")} <= routes
    assert any(rule["priority"] == 1000 and str(rule["table"]) == "77" for rule in info["rules"])

    assert info["sysctls"]["net/ipv4/ip_forward"] == "0"
    assert result["host"]["sysctls"]["net/ipv4/conf/veth-app/forwarding"] == "1"

    listening = {(item["protocol"], item["address"], item["port"]) for item in info["sockets"]}
    assert {("tcp", "10.200.1.2", 10105), ("tcp", "fd00:200:1::2", 10105), ("udp", "10.200.1.2", 5353)} <= listening
    assert {item["pid"]: item["command"] for item in info["processes"]} == {pid: "sleep"}

    (forward,) = result["host"]["forwards"]
    assert forward["name"] == "web"
    assert forward["protocol"] == ["tcp"]
    assert (forward["port"], forward["to_address"], forward["to_port"]) == ("10105", "10.200.1.2", "10105")
    assert forward["sources"] == ["203.0.113.0/24"]
    assert forward["packets"] == 3
    (nat,) = result["host"]["nat"]
    assert nat["name"] == "out-app"
    assert sorted(nat["source"]) == ["10.200.1.0/24", "fd00:200:1::/64"]
    assert nat["packets"] >= 1


def test_counters_count(world, host):
    """Each new connection adds one, and a run that changes nothing does not reset them."""
    app = Behind(host, "app", 1)
    forwards = [{"name": "web", "port": "10105", "to_address": app.address4}]
    host.module("netns_topology", **topology(app, forwards=forwards))
    app.serve(10105)

    def packets():
        (forward,) = host.module("netns_info", names=[])["host"]["forwards"]
        return forward["packets"]

    assert packets() == 0
    world.internet.ask(UPLINK4, 10105)
    assert packets() == 1
    host.unchanged("netns_topology", **topology(app, forwards=forwards))
    world.internet.ask(UPLINK4, 10105)
    assert packets() == 2


def test_only_the_namespaces_asked_for(host):
    for name in ("app", "app2", "other"):
        host.module("netns", name=name)
    assert list(by_name(host.module("netns_info", names=["other", "app"]))) == ["app", "other"]
    assert list(by_name(host.module("netns_info"))) == ["app", "app2", "other"]
    result = host.module("netns_info", names=["app", "nope"])
    assert list(by_name(result)) == ["app"]
    assert result["missing"] == ["nope"], "whoever asks whether a namespace is gone wants an answer, not a failure"


def test_other_peoples_namespaces_are_shown_too(host):
    host.run("ip", "netns", "add", "foreign")
    host.write("/run/netns/dhclient.pid", "4711\n")
    host.sh("ip link add foreign0 type veth peer name eth0 netns foreign")
    info = by_name(host.module("netns_info"))
    assert list(info) == ["foreign"], "a stray file is not a namespace"
    links = {link["name"]: link for link in info["foreign"]["links"]}
    assert links["eth0"]["peer"] == {"name": "foreign0", "netns": ""}


def test_a_peer_in_another_namespace_is_named(host):
    for name in ("a", "b", "c", "d"):
        host.module("netns", name=name)
    for one, other in (("a", "b"), ("c", "d")):
        host.module("veth", name="eth0", netns=one, peer={"name": "eth0", "netns": other})
    info = by_name(host.module("netns_info"))
    for one, other in (("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")):
        (eth0,) = [link for link in info[one]["links"] if link["name"] == "eth0"]
        assert eth0["peer"] == {"name": "eth0", "netns": other}


def test_a_name_made_anew_is_another_namespace(host):
    host.module("netns", name="app")
    first = by_name(host.module("netns_info"))["app"]["identity"]
    assert by_name(host.module("netns_info"))["app"]["identity"] == first
    host.module("netns", name="app", state="absent")
    host.module("netns", name="app")
    assert by_name(host.module("netns_info"))["app"]["identity"]["cookie"] != first["cookie"]


def test_it_reads_a_host_with_nothing_on_it(host):
    before = host.snapshot()
    result = host.module("netns_info")
    assert result["namespaces"] == []
    assert result["host"]["forwards"] == []
    host.assert_same(before, written=True)
    assert not host.exists("/run/netns")


def test_check_mode_reads_all_the_same(host):
    host.module("netns", name="app")
    assert list(by_name(host.module("netns_info", check=True))) == ["app"]
