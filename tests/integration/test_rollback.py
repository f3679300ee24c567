# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A step that fails half-way: the host is as it was before, and the message says which step failed and why.

The failures are real ones: the kernel refuses a value that only it can judge, nft fails in the middle of the work.
"""

from __future__ import annotations

import pytest
from harness import CLIENT4, SERVER4, SERVER_PORT, UPLINK4, Behind, topology

# In the place of nft: refuses to load rules into the host's namespace, does everything else.
BROKEN_NFT = """#!/bin/sh
if [ "$(readlink /proc/self/ns/net)" = "$(readlink /proc/1/ns/net)" ]; then
    case " $* " in
        *" -c "* | *" --check "*) ;;
        *" -f "* | *" --file "*) echo "Error: Could not process rule: simulated" >&2; exit 1 ;;
    esac
fi
exec /run/real-nft "$@"
"""


@pytest.fixture
def host(world):
    return world.host


@pytest.fixture
def app(host):
    return Behind(host, "app", 1)


def break_nft(host):
    host.write("/run/broken-nft", BROKEN_NFT)
    host.sh("""
        nft=$(readlink -f "$(command -v nft)")
        cp "$nft" /run/real-nft
        chmod 755 /run/broken-nft /run/real-nft
        mount --bind /run/broken-nft "$nft"
    """)


def mend_nft(host):
    host.sh('umount "$(readlink -f "$(command -v nft)")"')


def full(app, **namespace):
    return topology(
        app,
        namespaces=[dict(app.netns, dns={"nameservers": ["192.0.2.54"]}, **namespace)],
        forwards=[{"name": "web", "port": "10105", "to_address": app.address4}],
    )


# Values with nothing wrong about their form.
REFUSED_BY_THE_KERNEL = {"net.ipv4.conf.all.rp_filter": "banana"}


@pytest.mark.smoke
def test_a_value_the_kernel_refuses_undoes_everything(host, app):
    before = host.snapshot()
    result = host.module("netns_topology", fails=True, **full(app, sysctls=REFUSED_BY_THE_KERNEL))
    assert "rp_filter" in result.msg
    assert "banana" in result.msg
    host.assert_same(before, "the failed run left something behind")
    # And nothing stands in the way of the next attempt.
    host.apply("netns_topology", **full(app))


def test_a_failing_nft_undoes_everything(host, app):
    before = host.snapshot()
    break_nft(host)
    result = host.module("netns_topology", fails=True, **full(app))
    mend_nft(host)
    assert "nft" in result.msg
    assert "simulated" in result.msg, "nft's own words are missing"
    host.assert_same(before, "the failed run left something behind")
    host.apply("netns_topology", **full(app))


def test_a_failed_change_leaves_the_old_state_in_work(world, host, app):
    """Namespaces added, removed and changed in one task, and the last step fails."""
    gone, new = Behind(host, "gone", 2), Behind(host, "new", 3)
    forwards = [{"name": "web", "port": "10105", "to_address": app.address4}]
    host.module("netns_topology", **topology(app, gone, forwards=forwards))
    before = host.snapshot()
    app.serve(10105)
    gone.serve(80)
    talk = world.internet.connect(UPLINK4, 10105, source=CLIENT4)

    break_nft(host)
    changed = topology(app, new, forwards=[dict(forwards[0], port="10106")])
    changed["veths"][0] = app.veth_with(mtu=1400, peer={"mtu": 1400})
    result = host.module("netns_topology", fails=True, **changed)
    mend_nft(host)
    assert "nft" in result.msg
    host.assert_same(before, "the failed run changed the host")

    assert talk.echo()
    assert world.internet.ask(UPLINK4, 10105, source=CLIENT4).seen == CLIENT4
    for one in (app, gone):
        assert one.ns.ask(SERVER4, SERVER_PORT).seen == UPLINK4
    assert host.ask(gone.address4, 80).label == "gone"
    host.unchanged("netns_topology", **topology(app, gone, forwards=forwards))


def test_a_link_that_was_down_is_down_again(host, app):
    """Its IPv6 addresses had gone with it: they come, and go once more when the run fails."""
    host.module("netns_topology", **topology(app))
    app.ns.ip("link set eth0 down")
    before = host.snapshot()
    break_nft(host)
    forward = {"name": "web", "port": "10105", "to_address": app.address4}
    result = host.module("netns_topology", fails=True, **topology(app, forwards=[forward]))
    mend_nft(host)
    assert "simulated" in result.msg and "Everything was undone" in result.msg
    host.assert_same(before, "the failed run changed the host")


def test_what_hung_on_a_pair_that_went_comes_back_with_it(host, app):
    """What others entered there is among it: a neighbour, an address, a route."""
    other = Behind(host, "other", 2)
    host.module("netns_topology", **topology(app, other))
    host.ip("""
        neighbour add 10.200.2.9 lladdr 02:00:00:00:00:09 dev veth-other nud permanent
        neighbour add fd00:200:2::9 lladdr 02:00:00:00:00:09 dev veth-other nud permanent
    """)
    other.ns.ip("neighbour add 10.200.2.8 lladdr 02:00:00:00:00:08 dev eth0 nud permanent")
    before = host.snapshot()
    break_nft(host)
    without = topology(app, nat=False, namespaces=[app.netns, other.netns])
    assert "simulated" in host.module("netns_topology", fails=True, **without).msg
    mend_nft(host)
    host.assert_same(before, "the failed run changed the host")
    gone = host.module("netns_topology", **without)
    assert "neighbour 10.200.2.9 on veth-other on the host" in [change["object"] for change in gone.changes]


def test_a_failed_absent_leaves_the_topology(world, host, app):
    host.module("netns_topology", **full(app))
    before = host.snapshot()
    break_nft(host)
    host.module("netns_topology", state="absent", fails=True)
    mend_nft(host)
    host.assert_same(before, "the failed run changed the host")
    app.serve(10105)
    assert world.internet.ask(UPLINK4, 10105, source=CLIENT4).seen == CLIENT4
    host.module("netns_topology", state="absent")


def test_a_failed_forward_leaves_the_others(world, host, app):
    app.build()
    host.module("netns_forward", name="web", port="10105", to_address=app.address4)
    before = host.snapshot()
    break_nft(host)
    result = host.module("netns_forward", name="other", port="10106", to_address=app.address4, fails=True)
    mend_nft(host)
    assert "simulated" in result.msg
    host.assert_same(before, "the failed run changed the host")
    app.serve(10105)
    assert world.internet.ask(UPLINK4, 10105, source=CLIENT4).seen == CLIENT4


def test_what_the_kernel_took_before_it_refused_is_undone(host):
    host.module("netns", name="app", sysctls={"net.ipv4.conf.all.arp_ignore": 0})
    before = host.snapshot()
    more = {"net.ipv4.conf.all.arp_ignore": 1, "net.ipv6.conf.all.forwarding": 1}
    host.module("netns", name="app", sysctls=dict(REFUSED_BY_THE_KERNEL, **more), fails=True)
    host.assert_same(before, "the failed run changed the host")


def test_a_file_that_cannot_be_written_undoes_everything(host, app):
    before = host.snapshot()
    host.sh("""
        mkdir -p /run/full
        mount -t tmpfs -o size=4k,nr_inodes=3,mode=755 full /run/full
        mkdir /run/full/netns
        mkdir -p /etc/netns
        mount --bind /run/full/netns /etc/netns
        dd if=/dev/zero of=/run/full/filler bs=4k count=1 2>/dev/null
    """)
    result = host.module("netns_topology", fails=True, **full(app))
    assert "/etc/netns" in result.msg
    host.sh("umount /etc/netns; rmdir /etc/netns")
    host.assert_same(before, "the failed run left something behind")


#: What the kernel takes along with an address, or when a link goes down: none of it was made by us.
ANOTHERS = """
    ip link add lan0 type veth peer name lan1
    ip link set lan1 up
    ip link set lan0 up
    ip address add 192.168.7.2/24 broadcast + dev lan0
    ip address add 192.168.7.3/24 dev lan0
    ip address add 192.168.7.4/24 dev lan0 label lan0:4
    ip address add fd00:7::2/64 dev lan0 nodad
    ip address add fd00:7::3/64 dev lan0 nodad noprefixroute
    ip route add 10.70.0.0/16 via 192.168.7.1 mtu lock 1300 proto static
    ip route add 10.71.0.0/16 via 10.70.0.9 dev lan0 onlink src 192.168.7.3 metric 7
    ip route add 10.72.0.0/16 dev lan0 table 70 scope link
    ip route add 10.73.0.0/16 src 192.168.7.4 nexthop via 192.168.7.1 weight 3 nexthop via 192.168.7.9 weight 1
    ip route add 10.74.0.0/16 dev lo src 192.168.7.3
    ip -6 route add fd00:70::/48 via fd00:7::1 metric 9
    ip neighbour add 192.168.7.50 lladdr 02:00:00:00:00:50 dev lan0 nud permanent
"""


WAY = """
    ip -4 -details route show table all
    ip -6 -details route show table all | grep -v "table local"
    ip address show lan0 scope global
    ip neighbour show nud permanent
"""


@pytest.mark.parametrize(
    "change",
    [
        {"up": False},
        {"addresses": []},
        {"addresses": ["192.168.7.9/24"]},
        {"addresses": ["192.168.7.3/24", "192.168.7.4/24"]},
        {"mtu": 1200},
        {"up": False, "addresses": [], "mtu": 1400},
    ],
    ids=str,
)
def test_what_the_kernel_takes_along_comes_back(host, app, change):
    """Setting a link down costs the routes through it, removing an address those that start there; and the order of
    addresses says which one packets are sent from."""
    host.sh(ANOTHERS)
    before = host.snapshot()
    way = host.sh(WAY)
    break_nft(host)
    options = {**topology(app), "veths": [app.veth, {"name": "lan0", **change}]}
    result = host.module("netns_topology", fails=True, **options)
    mend_nft(host)
    assert "simulated" in result.msg and "Everything was undone" in result.msg, result.msg
    host.assert_same(before, "the failed run left something behind")
    assert host.sh(WAY) == way
