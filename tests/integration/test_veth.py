# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module veth: a pair of interfaces, one end here and one there, with addresses, routes and settings on both.

An operator gets both ends from one task, finds drift of any single attribute named and repaired without a touch to the
rest, and never loses an interface that somebody else made.
"""

from __future__ import annotations

import pytest
from harness import Behind

# A pair with all that an end can have.
FULL = {
    "name": "veth-app",
    "addresses": ["10.200.1.1/24", "fd00:200:1::1/64"],
    "mac": "02:00:00:00:0a:01",
    "mtu": 1400,
    "peer": {
        "name": "eth0",
        "netns": "app",
        "addresses": ["10.200.1.2/24", "10.200.1.3/24", "fd00:200:1::2/64"],
        "mac": "02:00:00:00:0a:02",
        "mtu": 1400,
        "gateway": "10.200.1.1",
        "gateway6": "fd00:200:1::1",
        "routes": [
            {"to": "10.77.0.0/16", "via": "10.200.1.1", "metric": 50, "source": "10.200.1.3"},
            {"to": "10.78.0.0/16", "type": "blackhole"},
            {"to": "10.79.0.0/16", "via": "10.99.0.1", "onlink": True},
            {"to": "10.80.0.0/16", "via": "10.200.1.1", "table": "77"},
            {"to": "fd00:77::/48", "via": "fd00:200:1::1", "metric": 50},
            {"to": "fd00:78::/48", "type": "blackhole"},
            {"to": "fd00:80::/48", "via": "fd00:200:1::1", "table": "77"},
        ],
    },
}


@pytest.fixture
def app(host):
    host.module("netns", name="app")
    return host.ns("app")


def with_peer(**changed):
    return dict(FULL, peer=dict(FULL["peer"], **changed))


# --- the pair ---------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_pair_comes_and_goes(host, app):
    before = host.snapshot()

    done = host.apply("veth", **FULL)
    for word in ("veth-app", "eth0", "10.200.1.1/24", "10.200.1.2/24", "fd00:200:1::1/64", "fd00:200:1::2/64"):
        assert word in done.told
    assert host.links() == ["lo", "veth-app"]
    app.serve("10.200.1.2", 8080)
    app.serve("fd00:200:1::2", 8080)
    assert host.ask("10.200.1.2", 8080).seen == "10.200.1.1"
    assert host.ask("fd00:200:1::2", 8080).seen == "fd00:200:1::1"
    host.release()

    done = host.apply("veth", name="veth-app", state="absent")
    assert host.links() == ["lo"]
    assert host.ns("app").run("ls", "/sys/class/net", check=False) is not None
    host.assert_same(before, "absent left something behind")


def test_every_attribute_is_as_asked(host, app):
    host.module("veth", **FULL)
    for stack, ifname, mac in ((host, "veth-app", "02:00:00:00:0a:01"), (app, "eth0", "02:00:00:00:0a:02")):
        text = stack.run("ip", "link", "show", ifname)
        assert "mtu 1400" in text
        assert mac in text
        assert "LOWER_UP" in text
    for target, words in {
        "192.0.2.99": "via 10.200.1.1 dev eth0 src 10.200.1.2",
        "10.77.0.1": "via 10.200.1.1 dev eth0 src 10.200.1.3",
        "10.79.0.1": "via 10.99.0.1 dev eth0",
        "2001:db8::1": "via fd00:200:1::1 dev eth0",
    }.items():
        assert words in app.run("ip", "route", "get", target)
    for target in ("10.78.0.1", "fd00:78::1"):
        assert app.run("ip", "route", "get", target, check=False).returncode != 0
    assert "metric 50" in app.run("ip", "route", "show", "10.77.0.0/16")
    assert "onlink" in app.run("ip", "route", "show", "10.79.0.0/16")
    assert "via 10.200.1.1" in app.run("ip", "route", "show", "10.80.0.0/16", "table", "77")
    assert "via fd00:200:1::1" in app.run("ip", "-6", "route", "show", "fd00:80::/48", "table", "77")


def test_addresses_are_usable_at_once(host, app):
    """No waiting for duplicate address detection: a daemon that starts next can bind."""
    host.module("veth", **FULL)
    assert "tentative" not in app.run("ip", "-6", "address", "show", "dev", "eth0", "scope", "global")
    app.serve("fd00:200:1::2", 8080)


@pytest.mark.parametrize("identity", [{"name": "veth-app"}, {"name": "eth0", "netns": "app"}])
def test_a_pair_goes_by_either_end(host, app, identity):
    before = host.snapshot()
    host.module("veth", **FULL)
    host.apply("veth", state="absent", **identity)
    host.assert_same(before, "absent left something behind")
    host.unchanged("veth", state="absent", **identity)


def test_both_ends_inside_namespaces(host, app):
    host.module("netns", name="db")
    before = host.snapshot()
    options = {
        "name": "to-db",
        "netns": "app",
        "addresses": ["10.201.0.1/30", "fd00:201::1/64"],
        "peer": {"name": "to-app", "netns": "db", "addresses": ["10.201.0.2/30", "fd00:201::2/64"]},
    }
    host.apply("veth", **options)
    assert host.links() == ["lo"]
    for address, seen in (("10.201.0.2", "10.201.0.1"), ("fd00:201::2", "fd00:201::1")):
        host.ns("db").serve(address, 8080)
        assert app.ask(address, 8080).seen == seen
    host.release()
    host.apply("veth", name="to-db", netns="app", state="absent")
    host.assert_same(before, "absent left something behind")


def test_both_ends_on_the_host(host):
    before = host.snapshot()
    host.apply("veth", name="one", peer={"name": "two"})
    assert host.links() == ["lo", "one", "two"]
    host.apply("veth", name="one", state="absent")
    host.assert_same(before, "absent left something behind")


def test_names_of_fifteen_bytes(host, app):
    host.apply("veth", name="fifteen-bytes-x", peer={"name": "fifteen-bytes-y", "netns": "app"})
    assert "fifteen-bytes-x" in host.links()


def test_an_end_may_stay_down(host, app):
    host.apply("veth", name="veth-app", up=False, peer={"name": "eth0", "netns": "app"})
    assert "UP" not in host.run("ip", "-o", "link", "show", "veth-app").split(">")[0].replace("LOWER_UP", "")
    host.apply("veth", name="veth-app", up=True, peer={"name": "eth0", "netns": "app"})
    assert "UP" in host.run("ip", "-o", "link", "show", "veth-app").split(">")[0]


def test_a_bridge_as_master(host, app):
    host.ip("""
        link add br0 address 02:00:00:00:00:99 type bridge
        link set br0 up
        address add 10.200.1.1/24 dev br0
    """)
    before = host.snapshot()
    peer = {"name": "eth0", "netns": "app", "addresses": ["10.200.1.2/24"]}
    options = {"name": "veth-app", "bridge": "br0", "peer": peer}
    host.apply("veth", **options)
    app.serve("10.200.1.2", 8080)
    assert host.ask("10.200.1.2", 8080).seen == "10.200.1.1"

    connected = host.snapshot()
    host.run("ip", "link", "set", "veth-app", "nomaster")
    done = host.repair("veth", **options)
    assert "br0" in done.told
    host.assert_same(connected)
    host.release()

    host.apply("veth", name="veth-app", state="absent")
    host.assert_same(before, "absent left something behind")


def test_a_bridge_inside_a_namespace(host, app):
    """A namespace as a switch."""
    app.run("ip", "link", "add", "br0", "type", "bridge")
    host.apply("veth", name="veth-app", peer={"name": "port1", "netns": "app", "bridge": "br0"})
    assert "master br0" in app.run("ip", "link", "show", "port1")


# --- whole lists, and lists left out ----------------------------------------------------------------------------------


def test_a_list_given_is_the_whole_list(host, app):
    host.module("veth", **FULL)
    before = host.snapshot()
    app.ip("""
        address add 10.9.9.9/32 dev eth0
        address add fd00:9::9/128 dev eth0 nodad
        route add 10.66.0.0/16 via 10.200.1.1 dev eth0
        route add fd00:66::/48 via fd00:200:1::1 dev eth0
    """)
    done = host.repair("veth", **FULL)
    for word in ("10.9.9.9", "fd00:9::9", "10.66.0.0/16", "fd00:66::/48"):
        assert word in done.told
    assert {change["action"] for change in done.changes} == {"delete"}
    host.assert_same(before)


def test_a_list_left_out_is_left_alone(host, app):
    options = {"name": "veth-app", "peer": {"name": "eth0", "netns": "app"}}
    host.module("veth", **options)
    host.ip("address add 10.200.1.1/24 dev veth-app")
    app.ip("""
        address add 10.200.1.2/24 dev eth0
        route add 10.66.0.0/16 via 10.200.1.1
    """)
    before = host.snapshot()
    host.unchanged("veth", **options)
    host.assert_same(before)


def test_an_empty_list_empties(host, app):
    host.module("veth", **FULL)
    done = host.apply("veth", **dict(FULL, addresses=[]))
    assert "10.200.1.1/24" in done.told
    assert "10.200.1" not in host.run("ip", "address", "show", "dev", "veth-app")
    assert "10.200.1.2/24" in app.run("ip", "address", "show", "dev", "eth0")


def test_what_is_taken_off_the_list_goes_alone(host, app):
    host.module("veth", **FULL)
    routes = [route for route in FULL["peer"]["routes"] if route["to"] != "10.78.0.0/16"]
    done = host.apply("veth", **with_peer(routes=routes))
    assert [change["action"] for change in done.changes] == ["delete"]
    assert all("10.78.0.0/16" in line for line in done.diff_lines)


def test_a_changed_route_is_changed_alone(host, app):
    host.module("veth", **FULL)
    routes = [dict(route) for route in FULL["peer"]["routes"]]
    for route in routes:
        if route["to"] == "10.80.0.0/16":
            route["via"] = "10.200.1.9"
    done = host.apply("veth", **with_peer(routes=routes))
    assert all("10.80.0.0/16" in line for line in done.diff_lines)
    assert "via 10.200.1.9" in app.run("ip", "route", "show", "10.80.0.0/16", "table", "77")


# --- drift ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _built():
    from harness import Host

    node = Host()
    node.module("netns", name="app")
    node.module("veth", **FULL)
    yield node
    node.close()


@pytest.fixture
def built(_built):
    """A host with the full pair; each drift leaves it as it found it."""
    _built.module("veth", **FULL)
    return _built


HOST_END, APP_END = "ip", "ip -n app"


@pytest.mark.parametrize(
    "drift, words",
    [
        (HOST_END + " address del 10.200.1.1/24 dev veth-app", ["10.200.1.1/24"]),
        (HOST_END + " address del fd00:200:1::1/64 dev veth-app", ["fd00:200:1::1/64"]),
        (APP_END + " address del 10.200.1.3/24 dev eth0", ["10.200.1.3/24", "10.77.0.0/16"]),
        (APP_END + " address add 10.9.9.9/24 dev eth0", ["10.9.9.9/24"]),
        (APP_END + " address add fd00:9::9/64 dev eth0 nodad", ["fd00:9::9/64"]),
        (
            HOST_END + " address add 10.200.1.1/32 dev veth-app; ip address del 10.200.1.1/24 dev veth-app",
            ["10.200.1.1/32", "10.200.1.1/24"],
        ),
        (HOST_END + " link set veth-app mtu 1300", ["veth-app"]),
        (APP_END + " link set eth0 mtu 1300", ["eth0"]),
        (HOST_END + " link set veth-app address 02:00:00:00:0b:01", ["veth-app"]),
        (HOST_END + " link set veth-app down", ["veth-app", "fd00:200:1::1/64"]),
        (APP_END + " route del default", ["default", "0.0.0.0/0"]),
        (APP_END + " -6 route del default", ["default", "::/0"]),
        (APP_END + " route change default via 10.200.1.77", ["default", "0.0.0.0/0"]),
        (APP_END + " route del 10.77.0.0/16", ["10.77.0.0/16"]),
        (APP_END + " route del blackhole 10.78.0.0/16", ["10.78.0.0/16"]),
        (APP_END + " route del 10.79.0.0/16", ["10.79.0.0/16"]),
        (APP_END + " route del 10.80.0.0/16 table 77", ["10.80.0.0/16"]),
        (APP_END + " -6 route del fd00:77::/48", ["fd00:77::/48"]),
        (APP_END + " -6 route del blackhole fd00:78::/48", ["fd00:78::/48"]),
        (APP_END + " -6 route del fd00:80::/48 table 77", ["fd00:80::/48"]),
        (APP_END + " route change 10.80.0.0/16 via 10.200.1.77 table 77", ["10.80.0.0/16"]),
    ],
)
def test_drift_of_one_thing_is_repaired_alone(built, drift, words):
    before = built.snapshot()
    built.sh(drift)
    done = built.repair("veth", **FULL)
    assert done.diff_lines
    for line in done.diff_lines:
        assert any(word in line for word in words), "the diff speaks of other things too: %s" % done.diff_lines
    built.assert_same(before, "not as it was before the drift")


def test_a_downed_end_inside_comes_back_with_all_it_lost(built):
    """The kernel drops IPv6 addresses and every route of a link that goes down."""
    before = built.snapshot()
    built.sh("ip -n app link set eth0 down")
    done = built.repair("veth", **FULL)
    for word in ("fd00:200:1::2/64", "10.77.0.0/16", "fd00:77::/48", "10.80.0.0/16"):
        assert word in done.told
    built.assert_same(before, "not as it was before the drift")
    built.unchanged("veth", **FULL)


# --- the other end ----------------------------------------------------------------------------------------------------


def test_a_pair_whose_other_end_moves_is_replaced(host, app):
    host.module("netns", name="db")
    host.module("veth", **FULL)
    done = host.apply("veth", **with_peer(netns="db"))
    assert "db" in done.told
    assert "eth0" not in app.run("ip", "link")
    host.ns("db").serve("10.200.1.2", 8080)
    assert host.ask("10.200.1.2", 8080).label == "db"


def test_a_renamed_other_end_is_put_right(host, app):
    host.module("veth", **FULL)
    app.ip("""
        link set eth0 down
        link set eth0 name wrong
        link set wrong up
    """)
    done = host.repair("veth", **FULL)
    assert "eth0" in done.told
    assert "wrong" not in app.run("ip", "link")
    app.serve("10.200.1.2", 8080)
    assert host.ask("10.200.1.2", 8080).label == "app"
    host.unchanged("veth", **FULL)


def test_an_end_that_was_deleted_comes_back_with_the_pair(host, app):
    host.module("veth", **FULL)
    before = host.snapshot()
    app.run("ip", "link", "del", "eth0")
    host.repair("veth", **FULL)
    host.assert_same(before)


def test_a_namespace_made_anew_gets_its_end_again(host, app):
    host.module("veth", **FULL)
    host.sh("ip netns del app; ip netns add app; ip -n app link set lo up")
    host.module("veth", **FULL)
    host.ns("app").serve("10.200.1.2", 8080)
    assert host.ask("10.200.1.2", 8080).label == "app"
    host.unchanged("veth", **FULL)


@pytest.mark.parametrize(
    "foreign",
    ["link add veth-app type bridge", "link add veth-app type veth peer name elsewhere"],
)
def test_a_name_that_somebody_else_has_is_a_clash(host, app, foreign):
    host.ip(foreign)
    host.refuses("veth", "veth-app", **FULL)


def test_a_name_that_somebody_else_has_inside_is_a_clash(host, app):
    app.ip("link add eth0 type bridge")
    host.refuses("veth", "eth0", "app", **FULL)


def test_absent_does_not_take_what_somebody_else_made(host):
    host.ip("link add br0 type bridge")
    before = host.snapshot()
    host.module("veth", name="br0", state="absent", fails=True)
    host.assert_same(before)


def test_an_address_that_another_interface_has_is_a_clash(world):
    """The owner is named: the operator can tell which of the two is wrong."""
    app = Behind(world.host, "app", 1)
    world.host.module("netns", **app.netns)
    for address in ("198.51.100.10/24", "2001:db8:100::10/64"):
        world.host.refuses("veth", address.split("/")[0], "eth0", **app.veth_with(addresses=[address]))
