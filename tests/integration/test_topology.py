# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module netns_topology: a whole host in one task.

An operator lists what there is to be. What is no longer listed goes, what somebody else made stays, a clash is refused
before anything changes, and `state: absent` leaves the host as if nothing had been there.
"""

from __future__ import annotations

import pytest
from harness import (
    CLIENT4,
    CLIENT6,
    MGMT4,
    PATIENCE,
    SERVER4,
    SERVER6,
    SERVER_PORT,
    UPLINK4,
    UPLINK6,
    Behind,
    topology,
)


@pytest.fixture
def host(world):
    return world.host


@pytest.fixture
def app(host):
    return Behind(host, "app", 1)


@pytest.fixture
def db(host):
    return Behind(host, "db", 2)


def published(one, port=10105, **more):
    """The port of the host that reaches the namespace, over IPv4 and IPv6."""
    return [
        dict({"name": "%s-%s" % (one.name, family), "port": str(port), "to_address": address}, **more)
        for family, address in (("v4", one.address4), ("v6", one.address6))
    ]


def works(world, one, port=10105):
    """The namespace reaches out under the host's address, and is reached with the client's own."""
    assert one.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    assert one.ns.ask(SERVER6, SERVER_PORT).seen == UPLINK6
    one.serve(port)
    for uplink, client in ((UPLINK4, CLIENT4), (UPLINK6, CLIENT6)):
        answer = world.internet.ask(uplink, port, source=client)
        assert (answer.label, answer.seen) == (one.name, client)
    one.ns.release()


# --- the user story ---------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_router_in_one_task(world, host, app):
    before = host.snapshot()
    app_dns = dict(app.netns, dns={"nameservers": ["192.0.2.54"]}, sysctls={"net.ipv4.ip_unprivileged_port_start": 0})
    options = topology(app, forwards=published(app), namespaces=[app_dns])

    done = host.apply("netns_topology", **options)
    for word in ("app", app.link, app.address4 + "/24", app.address6 + "/64", "10105", "resolv.conf"):
        assert word in done.told
    assert done.warnings == []
    works(world, app)
    assert not world.internet.reaches(app.address4, 10105)
    assert not world.internet.reaches(MGMT4, SERVER_PORT)

    host.unchanged("netns_topology", **options)
    host.apply("netns_topology", state="absent")
    host.assert_same(before, "absent left something behind")
    host.unchanged("netns_topology", state="absent")


def test_an_empty_topology_is_nothing(host):
    before = host.snapshot()
    host.unchanged("netns_topology", name="empty")
    host.assert_same(before)


# --- what is no longer listed -----------------------------------------------------------------------------------------


def test_what_is_no_longer_listed_goes(world, host, app, db):
    host.module("netns_topology", **topology(app, forwards=published(app)))
    alone = host.snapshot()
    host.module("netns_topology", **topology(app, db, forwards=published(app) + published(db, 5432)))
    works(world, db, 5432)

    done = host.apply("netns_topology", **topology(app, forwards=published(app)))
    for word in ("db", db.link, "5432"):
        assert word in done.told
    assert host.namespaces() == ["app"]
    assert not world.internet.reaches(UPLINK4, 5432)
    works(world, app)
    host.assert_same(alone)


@pytest.mark.parametrize("gone", ["forwards", "nat"])
def test_each_kind_goes_on_its_own(world, host, app, gone):
    host.module("netns_topology", **topology(app, forwards=published(app)))
    inode = app.ns.inode
    host.apply("netns_topology", **dict(topology(app, forwards=published(app)), **{gone: []}))
    app.serve(10105)
    assert world.internet.reaches(UPLINK4, 10105, timeout=PATIENCE) == (gone != "forwards")
    assert world.internet.reaches(UPLINK6, 10105, timeout=PATIENCE) == (gone != "forwards")
    assert app.ns.reaches(SERVER4, SERVER_PORT, timeout=PATIENCE) == (gone != "nat")
    assert app.ns.inode == inode


def test_a_veth_goes_and_its_namespace_stays(host, app):
    host.module("netns_topology", **topology(app))
    inode = app.ns.inode
    host.apply("netns_topology", namespaces=[app.netns])
    assert app.link not in host.links()
    assert app.ns.inode == inode


def test_a_namespace_with_somebody_in_it_stays(host, app, db):
    host.module("netns_topology", **topology(app, db))
    process = db.ns.start("sh", "-c", 'echo "$$"; exec sleep 600')
    pid = process.stdout.readline().strip()
    host.refuses("netns_topology", pid, "db", **topology(app))
    host.refuses("netns_topology", pid, "db", state="absent")
    assert process.poll() is None


def test_processes_kill_is_remembered_for_the_day_the_namespace_goes(host, app, db):
    killing = dict(db.netns, processes="kill", timeout=2)
    host.module("netns_topology", **topology(app, db, namespaces=[app.netns, killing]))
    process = db.ns.start("sleep", "600")
    host.module("netns_topology", **topology(app))
    process.wait(timeout=3)
    assert host.namespaces() == ["app"]


# --- what is not ours -------------------------------------------------------------------------------------------------


FOREIGN = """
    ip netns add foreign
    ip link add foreign0 type veth peer name eth0 netns foreign
    ip address add 10.250.0.1/24 dev foreign0
    ip link set foreign0 up
    ip route add 10.251.0.0/16 via 10.250.0.2
    ip rule add from 10.250.0.0/16 lookup 77 priority 1000
    nft add table inet foreign
    nft add chain inet foreign forward '{ type filter hook forward priority 0; policy accept; }'
    nft add rule inet foreign forward tcp dport 9 drop
    mkdir -p /etc/netns/foreign /var/lib/linuxnet-netns-of-somebody
    echo "nameserver 192.0.2.66" > /etc/netns/foreign/resolv.conf
    echo 2 > /proc/sys/net/ipv4/conf/eth1/rp_filter
"""


def test_foreign_things_stay(world, host, app, db):
    host.sh(FOREIGN)
    before = host.snapshot()
    host.module("netns_topology", **topology(app, db, forwards=published(app)))
    host.module("netns_topology", **topology(app))
    host.module("netns_topology", state="absent")
    host.assert_same(before, "foreign things were touched")


def test_things_added_by_hand_to_our_namespace_stay(host, app):
    """Another interface, another table: what we did not list there and did not make."""
    options = topology(app)
    host.module("netns_topology", **options)
    app.ns.sh("""
        ip link add br9 type bridge
        ip address add 10.252.0.1/24 dev br9
        nft add table inet mine
    """)
    before = host.snapshot()
    host.unchanged("netns_topology", **options)
    host.assert_same(before)


def test_what_a_single_module_made_is_not_removed_by_a_topology(world, host, app, db):
    db.build()
    host.module("netns_nat", **db.nat("single"))
    host.module("netns_forward", name="single", port="5432", to_address=db.address4)
    before = host.snapshot()

    host.module("netns_topology", **topology(app, forwards=published(app)))
    works(world, app)
    db.serve(5432)
    assert world.internet.ask(UPLINK4, 5432, source=CLIENT4).seen == CLIENT4
    assert db.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    host.module("netns_topology", state="absent")
    assert world.internet.ask(UPLINK4, 5432, source=CLIENT4).seen == CLIENT4
    host.assert_same(before)


def test_what_a_single_module_made_is_adopted_when_it_is_listed(world, host, app):
    before = host.snapshot()
    app.build()
    host.module("netns_nat", **app.nat("out-app"))
    host.module("netns_forward", **published(app)[0])
    inode = app.ns.inode
    app.serve(10105)
    talk = world.internet.connect(UPLINK4, 10105, source=CLIENT4)

    options = topology(app, forwards=published(app))
    host.module("netns_topology", **options)
    assert app.ns.inode == inode, "adopted, not made anew"
    assert talk.echo()
    host.unchanged("netns_topology", **options)
    world.release()
    host.module("netns_topology", state="absent")
    host.assert_same(before, "what was adopted is the topology's, and goes with it")


@pytest.mark.parametrize(
    "foreign, words",
    [
        ("ip link add veth-app type bridge", ["veth-app"]),
        ("ip link add veth-app type veth peer name elsewhere", ["veth-app"]),
        ("ip netns add app", ["app"]),
        ("ip netns add app; ip -n app link add eth0 type bridge", ["app"]),
        ("ip link add br9 type bridge; ip address add 10.200.1.1/24 dev br9", ["10.200.1.1", "br9"]),
        ("ip link add br9 type bridge; ip address add fd00:200:1::1/64 dev br9 nodad", ["fd00:200:1::1", "br9"]),
    ],
)
def test_a_clash_is_refused_before_anything_changes(host, app, foreign, words):
    host.sh(foreign)
    host.refuses("netns_topology", *words, **topology(app, forwards=published(app)))


def test_a_clash_leaves_the_old_topology_in_work(world, host, app, db):
    host.module("netns_topology", **topology(app, forwards=published(app)))
    host.ip("link add veth-db type bridge")
    host.refuses("netns_topology", "veth-db", **topology(app, db, forwards=published(app)))
    works(world, app)


# --- two topologies ---------------------------------------------------------------------------------------------------


def test_two_topologies_side_by_side(world, host, app, db):
    """Both need the uplink to forward; the last one switches off the light."""
    before = host.snapshot()
    first = topology(app, forwards=published(app), name="first")
    second = topology(db, forwards=published(db, 5432), name="second")
    host.module("netns_topology", **first)
    with_first = host.snapshot()
    host.apply("netns_topology", **second)
    works(world, app)
    works(world, db, 5432)
    host.unchanged("netns_topology", **first)
    assert not app.ns.reaches(db.address4, SERVER_PORT)

    host.apply("netns_topology", name="second", state="absent")
    host.assert_same(with_first, "removing one topology touched the other")
    works(world, app)
    host.apply("netns_topology", name="first", state="absent")
    host.assert_same(before, "absent left something behind")


def test_the_first_one_goes_first(world, host, app, db):
    before = host.snapshot()
    host.module("netns_topology", **topology(app, forwards=published(app), name="first"))
    second = topology(db, forwards=published(db, 5432), name="second")
    host.module("netns_topology", **second)
    host.apply("netns_topology", name="first", state="absent")
    works(world, db, 5432)
    host.unchanged("netns_topology", **second)
    host.module("netns_topology", name="second", state="absent")
    host.assert_same(before, "absent left something behind")


def test_namespaces_of_two_topologies_do_not_meet(world, host, app, db):
    host.module("netns_topology", **topology(app, name="first"))
    host.module("netns_topology", **topology(db, name="second"))
    for one, other in ((app, db), (db, app)):
        other.serve(8080)
        assert not one.ns.reaches(other.address4, 8080)
        assert not one.ns.reaches(other.address6, 8080)


@pytest.mark.parametrize("taken", ["namespace", "link", "port"])
def test_what_another_topology_has_is_a_clash(host, app, db, taken):
    host.module("netns_topology", **topology(app, forwards=published(app), name="first"))
    other = topology(db, forwards=published(db, 5432), name="second")
    if taken == "namespace":
        other["namespaces"] = [app.netns, db.netns]
    elif taken == "link":
        other["veths"] = [dict(db.veth, name=app.link)]
    else:
        other["forwards"] = published(db, 10105)
    host.refuses("netns_topology", "first", **other)


# --- drift ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "drift, words",
    [
        ("nft list tables | sed 's/^table/delete table/' | nft -f -", None),
        ("nft list tables | sed 's/^table/flush table/' | nft -f -", None),
        ("echo '# edited' >> /etc/netns/app/resolv.conf", ["/etc/netns/app/resolv.conf", "edited"]),
        ("ip -n app route del default", ["default", "0.0.0.0/0"]),
        ("ip address del 10.200.1.1/24 dev veth-app", ["10.200.1.1/24"]),
        ("ip -n app address del fd00:200:1::2/64 dev eth0", ["fd00:", "::/0", "default"]),
        ("ip link set veth-app mtu 1300", ["veth-app"]),
        ("ip -n app link set lo down", ["lo"]),
        ("ip netns exec app sysctl -qw net.ipv4.ip_unprivileged_port_start=1024", ["ip_unprivileged_port_start"]),
        ("sysctl -qw net.ipv4.conf.eth0.forwarding=0", ["forwarding"]),
    ],
)
def test_drift_is_found_named_and_repaired_alone(world, host, app, drift, words):
    namespace = {
        "name": "app",
        "dns": {"nameservers": ["192.0.2.54"]},
        "sysctls": {"net.ipv4.ip_unprivileged_port_start": 0},
    }
    veth = app.veth_with(mtu=1500, peer={"mtu": 1500})
    options = topology(app, forwards=published(app), namespaces=[namespace], veths=[veth])
    host.module("netns_topology", **options)
    before = host.snapshot()
    app.serve(10105)
    talk = world.internet.connect(UPLINK4, 10105, source=CLIENT4)

    host.sh(drift)
    done = host.repair("netns_topology", **options)
    assert done.diff_lines
    for line in done.diff_lines if words else ():
        assert any(word in line for word in words), "the diff speaks of other things too: %s" % done.diff_lines
    host.assert_same(before, "not as it was before the drift")
    assert talk.echo(), "a connection through an untouched forward was lost"
    assert world.internet.ask(UPLINK6, 10105, source=CLIENT6).seen == CLIENT6
    host.unchanged("netns_topology", **options)


def test_a_lost_namespace_is_made_anew_with_all_that_was_in_it(world, host, app, db):
    options = topology(app, db, forwards=published(app))
    host.module("netns_topology", **options)
    untouched = db.ns.inode
    host.run("ip", "netns", "del", "app")
    host.module("netns_topology", **options)
    works(world, app)
    assert db.ns.inode == untouched
    host.unchanged("netns_topology", **options)


def test_everything_lost_is_built_anew(world, host, app):
    """As after a reboot, with only the files left."""
    options = topology(app, forwards=published(app))
    host.module("netns_topology", **options)
    host.sh("""
        ip netns del app
        nft flush ruleset
        echo 0 > /proc/sys/net/ipv4/conf/eth0/forwarding
        echo 0 > /proc/sys/net/ipv6/conf/eth0/forwarding
    """)
    host.module("netns_topology", **options)
    works(world, app)
    host.unchanged("netns_topology", **options)


@pytest.mark.parametrize(
    "lost",
    [
        "ip netns del app",
        "ip link del veth-app",
        "nft flush ruleset",
        "rm -r /etc/netns/app",
        "ip netns del app; nft flush ruleset",
    ],
)
def test_absent_copes_with_what_is_gone_already(host, app, lost):
    before = host.snapshot()
    namespace = dict(app.netns, dns={"nameservers": ["192.0.2.54"]})
    host.module("netns_topology", **topology(app, forwards=published(app), namespaces=[namespace]))
    host.sh(lost)
    host.module("netns_topology", state="absent")
    host.assert_same(before, "absent left something behind")


# --- larger ones ------------------------------------------------------------------------------------------------------


def test_a_topology_with_links_between_namespaces(world, host):
    """front --- back: back has no way out at all."""
    front = Behind(host, "front", 1)
    between = {
        "name": "back0",
        "netns": "front",
        "addresses": ["10.201.0.1/24", "fd00:201::1/64"],
        "peer": {"name": "eth0", "netns": "back", "addresses": ["10.201.0.2/24", "fd00:201::2/64"]},
    }
    options = topology(front, namespaces=[front.netns, {"name": "back"}], veths=[front.veth, between])
    host.apply("netns_topology", **options)
    host.ns("back").serve("10.201.0.2", 5432)
    assert front.ns.ask("10.201.0.2", 5432).label == "back"
    assert not host.ns("back").reaches(SERVER4, SERVER_PORT)


def test_overlapping_networks_in_separate_namespaces(host):
    """Tenants choose their own addresses: equal ones do not meet as long as no namespace holds both."""
    options = {
        "namespaces": [{"name": name} for name in ("a", "b", "c", "d")],
        "veths": [
            {
                "name": "eth0",
                "netns": one,
                "addresses": ["10.0.0.1/24"],
                "peer": {"name": "eth0", "netns": other, "addresses": ["10.0.0.2/24"]},
            }
            for one, other in (("a", "b"), ("c", "d"))
        ],
    }
    host.apply("netns_topology", **options)
    for one, other in (("a", "b"), ("c", "d")):
        host.ns(other).serve("10.0.0.2", 80)
        assert host.ns(one).ask("10.0.0.2", 80).label == other


def test_thirty_namespaces(world, host):
    before = host.snapshot()
    many = [Behind(host, "n%d" % number, number) for number in range(1, 31)]
    forwards = [
        {"name": one.name, "port": str(20000 + number), "to_port": "80", "to_address": one.address4}
        for number, one in enumerate(many)
    ]
    options = topology(*many, forwards=forwards)
    assert host.module("netns_topology", **options).changed
    host.unchanged("netns_topology", **options)
    for number in (0, 14, 29):
        many[number].serve(80)
        answer = world.internet.ask(UPLINK4, 20000 + number, source=CLIENT4)
        assert (answer.label, answer.seen) == (many[number].name, CLIENT4)
    assert not many[3].ns.reaches(many[0].address4, 80)
    world.release()
    host.module("netns_topology", state="absent")
    host.assert_same(before, "absent left something behind")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.25, 0.35, 0.45, 0.6])
def test_a_killed_run_is_completed_by_the_next_one(world, host, app, db, delay):
    """Killed at any moment, the next run finds what is there; and what was made is ours to remove."""
    before = host.snapshot()
    options = topology(app, db, forwards=published(app))
    killed = ["timeout", "-s", "KILL", str(delay)]
    try:
        host.module("netns_topology", wrapper=killed, **options)
    except AssertionError:
        pass
    host.module("netns_topology", **options)
    works(world, app)
    host.unchanged("netns_topology", **options)
    world.release()
    try:
        host.module("netns_topology", wrapper=killed, state="absent")
    except AssertionError:
        pass
    host.module("netns_topology", state="absent")
    host.assert_same(before, "something was left behind")
