# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example playbooks of docs/examples, as they are: each run twice, seen on the wire, and taken away again."""

from __future__ import annotations

import pathlib

import pytest
from daemons import install, pid, see
from fleetlib import playbooks
from fleetlib.testing import CLIENT4, GATEWAY4

EXAMPLES = pathlib.Path(playbooks.collections()) / "ansible_collections/linuxnet/netns/docs/examples"
ABSENT = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Gone
      linuxnet.netns.netns_topology:
        name: "{{ item }}"
        state: absent
      loop: "{{ topologies }}"
"""


@pytest.fixture
def example(host):
    """Runs an example twice; what it made is gone in the end."""
    install(host)
    host.before = host.snapshot()

    def run(name, **variables):
        done = host.run_playbook(EXAMPLES / (name + ".yml"), variables)
        assert done.changed() > 0
        assert host.run_playbook(EXAMPLES / (name + ".yml"), variables).changed() == 0
        return host

    return run


def gone(host, *topologies):
    host.run_playbook(ABSENT, {"topologies": topologies})
    host.assert_same(host.before, "the example left something behind")


def page(fleet, url):
    return fleet.internet.run("curl", "-sS", "--retry", 5, "--retry-connrefused", "--max-time", 10, url)


def test_every_example_has_a_test():
    # Those of the guide to fleets have test_async.py and test_roll_out.py.
    tested = {"long_work", "roll_out"} | {name[len("test_") :] for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.yml")} <= tested


def test_one_daemon(fleet, example):
    host = example("one_daemon", daemon="/usr/bin/python3 /opt/answer.py serve app 10105 9999")
    assert fleet.internet.tcp(host.wan4, 10105, source=CLIENT4).address == CLIENT4
    assert fleet.internet.tcp(host.wan6, 10105).label == "app"
    assert not fleet.internet.reaches(host.wan4, 9999)
    gone(host, "daemon-app")


def test_two_daemons(fleet, example):
    host = example("two_daemons")
    assert "Welcome to nginx" in page(fleet, f"http://{host.wan4}:8081/")
    assert "Directory listing" in page(fleet, f"http://{host.wan4}:8082/")
    for unit, place in (("nginx", "red"), ("blue", "blue")):
        assert host.ssh("ip netns exec %s ss -Hltn sport = 80" % place).strip()
        assert host.ssh("ip netns identify %d" % pid(host, unit)).strip() == place
    capabilities = host.ssh("grep CapEff /proc/%d/status" % pid(host, "blue")).split()[1]
    assert int(capabilities, 16) == 1 << 10, "CAP_NET_BIND_SERVICE and no other"
    assert not fleet.internet.reaches(host.wan4, 80)
    gone(host, "daemon-red", "daemon-blue")


def test_joined_namespaces(example):
    host = example("joined_namespaces")
    for address in ("10.201.0.2", "fd00:201::2"):
        host.ssh("ip netns exec left ping -c 1 -W 5 %s" % address)
    host.ssh("ssh-keygen -q -t ed25519 -N '' -f /opt/key && cat /opt/key.pub >>/root/.ssh/authorized_keys")
    login = "ip netns exec left ssh -n -i /opt/key -o StrictHostKeyChecking=accept-new 10.201.0.2"
    assert "10.201.0.2/30" in host.ssh(login + " ip -br address")
    assert host.ssh(login + " ip netns identify").strip() == "right"
    assert not host.reaches("10.201.0.2", 22), "the host has no way there"
    gone(host, "joined")


def test_management_sshd(fleet, example):
    host = example("management_sshd", management_networks=[CLIENT4 + "/32"])
    key = fleet.image.key
    login = ["ssh", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    login += ["-o", "LogLevel=ERROR", "-p", 2222]
    where = fleet.internet.run(*login, "-b", CLIENT4, "root@" + host.wan4, "ip netns identify")
    assert where.strip() == "management"
    assert not fleet.internet.reaches(host.wan4, 2222), "from another network"
    host.ssh("systemctl stop ssh")
    try:
        assert fleet.internet.run(*login, "-b", CLIENT4, "root@" + host.wan4, "id -u").strip() == "0"
    finally:
        fleet.internet.run(*login, "-b", CLIENT4, "root@" + host.wan4, "nsenter -t 1 -n systemctl start ssh")
    host.ssh("rm /etc/systemd/system/ssh.service.d/keep-directory.conf && systemctl daemon-reload")
    gone(host, "daemon-management")


def test_transmission(fleet, example):
    host = example("transmission", daemon="/usr/bin/python3 /opt/answer.py serve --http 9091 peer 51413", user="daemon")
    for ask in (fleet.internet.tcp, fleet.internet.udp):
        assert ask(host.wan4, 51413, source=CLIENT4).address == CLIENT4
    # The web interface sees the proxy, which is the host.
    assert "saw 10.200.1.1 " in page(fleet, f"http://{host.wan4}:9091/")
    assert host.ssh("ip netns exec transmission ip -4 -br address show eth0").split()[-1] == "10.200.1.2/24"
    # Spoofed: dropped, while the true address gets through.
    host.ssh("ip -n transmission address add 10.200.1.3/24 dev eth0")
    ping = "ip netns exec transmission ping -c 1 -W 1 -I %s " + GATEWAY4
    assert not host.succeeds(ping % "10.200.1.3")
    assert host.succeeds(ping % "10.200.1.2")
    assert GATEWAY4 not in see(host, "transmission", "cat /etc/resolv.conf")
    host.ssh("systemctl disable --quiet --now nginx; rm /etc/nginx/conf.d/transmission.conf")
    gone(host, "daemon-transmission")


def test_many_uplinks(example, host):
    host.ssh("ip link add br0 type bridge && ip address add 10.50.0.254/24 dev br0 && ip link set br0 up")
    example("many_uplinks", persist=False)
    identity = host.ssh("stat -Lc %i /run/netns/hub")

    def counts():
        """How many packets each link of the hub has sent."""
        words = host.ssh("ip netns exec hub sh -c 'cd /sys/class/net; grep . e*/statistics/tx_packets'").split()
        return {word.split("/")[0]: int(word.split(":")[1]) for word in words}

    def assert_each_leaves_by_its_own():
        for number in (1, 2, 13, 24):
            before = counts()
            host.ssh("ip netns exec hub ping -q -c 5 -i 0.01 -W 2 -I 10.50.0.%d 10.50.0.254" % number)
            sent = {link: after - before[link] for link, after in counts().items() if after - before[link] >= 5}
            assert list(sent) == ["e%d" % number], sent

    assert_each_leaves_by_its_own()
    # Rebuilt, without deleting the namespace.
    host.ssh("ip -n hub rule del priority 1013; ip -n hub link del e2; ip -n hub route flush table 1024")
    assert host.run_playbook(EXAMPLES / "many_uplinks.yml", {"persist": False}).changed() == 1
    assert host.run_playbook(EXAMPLES / "many_uplinks.yml", {"persist": False}).changed() == 0
    assert host.ssh("stat -Lc %i /run/netns/hub") == identity
    assert_each_leaves_by_its_own()
    host.run_playbook(ABSENT, {"topologies": ["hub"]})
    host.ssh("ip link del br0")
    host.assert_same(host.before, "the example left something behind")
