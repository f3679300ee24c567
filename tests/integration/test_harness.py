# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests of the tests: what they stand on tells the truth, and goes away without a trace."""

from __future__ import annotations

import os

import pytest
from harness import (
    CLIENT4,
    CLIENT6,
    MGMT4,
    MGMT6,
    SERVER4,
    SERVER6,
    SERVER_PORT,
    UPLINK4,
    UPLINK6,
    Host,
    NoAnswer,
    difference,
)


def test_the_host_has_its_own_files_and_processes(host):
    host.write("/etc/netns/x/resolv.conf", "nameserver 192.0.2.53\n")
    host.write("/var/lib/linuxnet-netns/x", "x")
    host.run("mkdir", "/run/netns")
    assert host.read("/etc/netns/x/resolv.conf") == "nameserver 192.0.2.53\n"
    assert "root:" in host.read("/etc/passwd")
    assert host.run("ps", "-p", "1", "-o", "comm=").strip() == "cat"
    assert host.links() == ["lo"]
    for path in ("/etc/netns/x", "/var/lib/linuxnet-netns/x"):
        assert not os.path.exists(path)


def test_a_host_goes_with_all_its_processes():
    host = Host()
    host.run("ip", "netns", "add", "app")
    sleeper = host.start("sleep", "600")
    pid = host.pid
    host.close()
    assert sleeper.poll() is not None
    assert not os.path.exists("/proc/%d/ns/net" % pid)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_the_world_talks(world, proto):
    for target, seen in ((SERVER4, UPLINK4), (SERVER6, UPLINK6)):
        answer = world.host.ask(target, SERVER_PORT, proto)
        assert (answer.label, answer.seen) == ("internet", seen)
    for target in (MGMT4, MGMT6):
        assert world.host.ask(target, SERVER_PORT, proto).label == "mgmt"
    for address, client in ((UPLINK4, CLIENT4), (UPLINK6, CLIENT6)):
        world.host.serve(address, 8080, proto=proto, label="on the host")
        assert world.internet.ask(address, 8080, proto, source=client).seen == client


def test_nothing_goes_through_the_host_that_does_not_forward(world):
    for target in (MGMT4, MGMT6):
        assert not world.internet.reaches(target, SERVER_PORT)
    for target in (SERVER4, SERVER6):
        assert not world.mgmt.reaches(target, SERVER_PORT)
    # It would, if the host were a router: both sides know the way.
    world.host.sysctl("net/ipv4/ip_forward", 1)
    world.host.sysctl("net/ipv6/conf/all/forwarding", 1)
    for target in (MGMT4, MGMT6):
        assert world.internet.ask(target, SERVER_PORT).label == "mgmt"
    for target in (SERVER4, SERVER6):
        assert world.mgmt.ask(target, SERVER_PORT).label == "internet"


def test_silence_is_told_from_an_answer(world):
    with pytest.raises(NoAnswer):
        world.host.ask(SERVER4, 9999, timeout=0.5)
    with pytest.raises(NoAnswer):
        world.host.ask(SERVER4, 9999, "udp", timeout=0.5)


def test_a_connection_tells_whether_it_lives(world):
    connection = world.host.connect(SERVER4, SERVER_PORT)
    assert connection.echo()
    assert connection.echo()
    flow = world.host.flow(SERVER4, SERVER_PORT)
    assert flow.ask().seen_port == flow.ask().seen_port


def test_two_snapshots_of_the_same_are_equal(world):
    world.host.run("ip", "netns", "add", "app")
    assert difference(world.host.snapshot(), world.host.snapshot()) == []


@pytest.mark.parametrize(
    "change, topic",
    [
        ("ip link add br9 type bridge", "host links"),
        ("ip link set eth0 mtu 1400", "host links"),
        ("ip link set eth1 down", "host links"),
        ("ip link set eth0 alias foreign", "host links"),
        ("ip address add 10.9.9.9/32 dev eth0", "host addresses"),
        ("ip -6 address add fd00:9::9/128 dev eth0 nodad", "host addresses"),
        ("ip route add 10.9.0.0/16 via 198.51.100.1", "host routes4"),
        ("ip route add blackhole 10.9.0.0/16 table 77", "host routes4"),
        ("ip -6 route add fd00:9::/32 via 2001:db8:100::1 metric 7", "host routes6"),
        ("ip rule add from 10.9.0.0/16 lookup 77", "host rules4"),
        ("ip -6 rule add from fd00:9::/32 lookup 77", "host rules6"),
        ("nft add table inet foreign", "host nft"),
        ("echo 1 > /proc/sys/net/ipv4/ip_forward", "host sysctls"),
        ("echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet", "host sysctls"),
        ("echo 1 > /proc/sys/net/ipv6/conf/eth1/forwarding", "host sysctls"),
        ("mkdir -p /etc/netns/app; echo hello > /etc/netns/app/hosts", "files"),
        ("mkdir -p /var/lib/linuxnet-netns; echo hello > /var/lib/linuxnet-netns/ledger", "files"),
        ("ip netns add other", "other links"),
        ("ip netns exec app ip link set lo up", "app links"),
        ("ip netns exec app ip address add 10.9.9.9/32 dev lo", "app addresses"),
        ("ip netns exec app nft add table ip foreign", "app nft"),
        ("ip netns exec app sysctl -qw net.ipv4.ip_forward=1", "app sysctls"),
        ("mount --bind /run/netns/app /run/netns/app", "files"),
        ("touch /run/netns/stray", "files"),
    ],
)
def test_a_snapshot_sees_every_change(world, change, topic):
    world.host.run("ip", "netns", "add", "app")
    before = world.host.snapshot()
    world.host.sh(change)
    lines = difference(before, world.host.snapshot())
    assert any(topic in line for line in lines), lines
