# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes back by itself: after a boot, after the ruleset was flushed, after the daemon was killed."""

from __future__ import annotations

import threading
import time

import pytest
from daemons import (
    APP4,
    APP6,
    CLOSED,
    CONTROLLER4,
    PLAYBOOK,
    PORT,
    VARIABLES,
    assert_closed,
    assert_isolated,
    assert_published,
    assert_reaches_out,
    install,
    pid,
)
from fleetlib import snapshot

ABSENT = {"isolated_daemon_name": "app", "isolated_daemon_state": "absent"}
LEDGER = "/var/lib/linuxnet-netns/ledger.json"


@pytest.fixture
def running(host):
    """A host with the daemon, and in `host.before` what it was like without."""
    install(host)
    host.before = host.snapshot()
    host.run_playbook(PLAYBOOK, VARIABLES)
    return host


def until(condition, seconds=15):
    """Wait until condition() holds; AssertionError otherwise."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "still not so after %d s" % seconds
        time.sleep(0.1)


def assert_all_there(fleet, host, attacker):
    until(lambda: fleet.internet.tcp(host.wan4, PORT) is not None)
    assert_isolated(host)
    assert_published(fleet, host)
    assert_reaches_out(host)
    assert_closed(host, attacker)
    assert host.ssh("linuxnet-netns check") == ""


@pytest.mark.parametrize("hard", [False, True], ids=["reboot", "power failure"])
def test_a_boot(fleet, running, attacker, hard):
    host = running
    host.reboot(hard=hard)
    assert host.booted() == "running"
    assert_all_there(fleet, host, attacker)
    assert host.run_playbook(PLAYBOOK, VARIABLES).changed() == 0
    host.run_playbook(PLAYBOOK, ABSENT)
    host.assert_same(host.before, "something was left behind after a boot")


EVERYTHING = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Everything
      linuxnet.netns.netns_topology:
        name: everything
        persist: true
        namespaces:
          - name: one
            dns: {nameservers: [192.0.2.53], search: [inside.example]}
            hosts: {192.0.2.7: files}
            sysctls: {net.ipv4.ip_forward: 1, net/ipv4/conf/two0.1/rp_filter: 2, net.core.somaxconn: 321}
          - name: two
            loopback: false
        veths:
          - name: v-one
            addresses: [10.200.0.1/30, "fd00:200::1/64"]
            routes: [{to: 10.77.0.0/16, via: 10.200.0.2, metric: 7}]
            rules: [{priority: 99, fwmark: "0x5", table: "55"}]
            peer:
              name: eth0
              netns: one
              mac: "02:00:00:00:00:77"
              mtu: 1400
              addresses: [10.200.0.2/30, "fd00:200::2/64"]
              gateway: 10.200.0.1
              gateway6: fd00:200::1
              routes: [{to: 10.66.0.0/16, type: blackhole}, {to: default, via: 10.200.0.1, table: "42"}]
              rules: [{priority: 1000, from: 10.200.0.2, table: "42"}]
          - name: two0.1
            netns: one
            addresses: [10.78.0.1/24]
            peer: {name: one0, netns: two, addresses: [10.78.0.2/24], gateway: 10.78.0.1}
        nat: [{name: out, source: [10.200.0.0/30, "fd00:200::/64"]}]
        forwards:
          - {name: in, port: "8000-8010", protocol: [tcp, udp], to_address: 10.200.0.2, sources: [203.0.113.0/24]}
"""


def test_a_boot_makes_all_of_it_again(host):
    host.run_playbook(EVERYTHING)
    before = host.snapshot()
    host.ssh("rm -r /etc/netns")
    host.reboot()
    assert host.booted() == "running"
    lines = snapshot.difference(before, host.snapshot())
    # The ledger says in which boot it was written, and the unit that restored has done its work.
    lines = [line for line in lines if "/ledger.json " not in line and " linuxnet-netns.service " not in line]
    assert not lines, "\n".join(lines)
    assert host.ssh("linuxnet-netns check") == ""
    assert host.run_playbook(EVERYTHING).changed() == 0


def test_nothing_is_open_while_it_boots(fleet, running, attacker):
    """Asked all the time, from its first moment on: the filter is there before forwarding is."""
    host, stop, answered, asked = running, threading.Event(), [], []

    def ask(address, port, proto):
        while not stop.is_set():
            asked.append(address)
            if (
                attacker.udp(address, port, patience=0.05)
                if proto == "udp"
                else attacker.tcp(address, port, patience=0.2)
            ):
                answered.append((address, port, proto))

    targets = [(APP4, CLOSED, "udp"), (APP6, CLOSED, "udp"), (CONTROLLER4, 7, "udp"), (CONTROLLER4, 7, "tcp")]
    threads = [threading.Thread(target=ask, args=target) for target in targets]
    for thread in threads:
        thread.start()
    try:
        host.reboot()
        host.booted()
        until(lambda: fleet.internet.tcp(host.wan4, PORT) is not None)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not answered, answered
    assert len(asked) > 20 and set(asked) == {APP4, APP6, CONTROLLER4}


@pytest.mark.parametrize("verb", ["restart", "reload", "stop"])
def test_nftables_flushes_everything(fleet, running, attacker, verb):
    """Debian's /etc/nftables.conf begins with a flush, and so does stopping the service."""
    host = running
    host.ssh("systemctl start nftables")
    host.ssh("systemctl %s nftables" % verb)
    assert_published(fleet, host)
    assert_closed(host, attacker)
    assert host.ssh("linuxnet-netns check") == ""


def test_a_flush_finds_more_missing_than_rules(fleet, running, attacker):
    """nftables.service has a sandbox; what is made again from there is the host's all the same."""
    host = running
    host.ssh("ip netns delete app; systemctl restart nftables")
    assert "app" in host.ssh("ip netns list").split()
    assert host.ssh("stat -fc %T /run/netns/app").strip() == "nsfs"
    assert_all_there(fleet, host, attacker)


def test_somebody_flushes_everything(fleet, running):
    running.ssh("nft flush ruleset")
    assert not fleet.internet.reaches(running.wan4, PORT)
    drift = running.ssh("linuxnet-netns check || [ $? -eq 1 ]")
    assert drift == "topology daemon-app: create nftables table inet linuxnet_netns on the host\n"
    running.ssh("linuxnet-netns restore")
    assert_published(fleet, running)
    assert running.ssh("linuxnet-netns check") == ""


def test_firewalld_comes_and_goes(fleet, running):
    host = running
    process = pid(host)
    for act in ("start", "reload", "restart", "stop"):
        host.ssh("systemctl %s firewalld" % act)
        if act != "stop":
            until(lambda: "table inet firewalld" in host.ssh("nft list tables"))
        assert_published(fleet, host, protocols=("tcp",))
        assert host.ssh("linuxnet-netns check") == "", act
    assert pid(host) == process


@pytest.mark.parametrize("signal", ["TERM", "KILL", "SEGV"])
def test_the_daemon_is_killed(fleet, running, attacker, signal):
    process = pid(running)
    running.ssh("kill -%s %d" % (signal, process))
    until(lambda: pid(running) not in (0, process))
    assert_all_there(fleet, running, attacker)


def test_the_uplink_is_gone(fleet, running):
    """What can be restored is, the rest is said, and the unit is failed until it is mended."""
    host = running
    # by the time the network is up, it is not there
    host.write(
        "/etc/systemd/system/no-uplink.service",
        "[Unit]\nBefore=network.target\nWants=network.target\n[Service]\nType=oneshot\n"
        "ExecStart=/bin/sh -c 'ip route flush default; ip -6 route flush default'\n"
        "[Install]\nWantedBy=multi-user.target\n",
    )
    host.ssh("systemctl enable --quiet no-uplink")
    host.reboot()
    assert host.booted() == "degraded"
    assert host.ssh("systemctl --failed --plain --no-legend").split()[0] == "linuxnet-netns.service"
    said = host.ssh("journalctl --unit linuxnet-netns --boot --output cat")
    assert "topology daemon-app: not restored: eth0: it is gone, or no default route leads through it any more" in said
    # the daemon itself is there, for the host
    assert_isolated(host)
    assert host.tcp(APP4, PORT).label == "app"
    assert host.ssh("cat /proc/sys/net/ipv4/conf/eth0/forwarding").strip() == "0"

    host.ssh("ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:100::1")
    host.ssh("systemctl restart linuxnet-netns")
    assert_published(fleet, host)


def test_part_of_it_no_longer_fits(fleet, running):
    """A name that is taken costs only what needs it."""
    host = running
    other = {**VARIABLES, "isolated_daemon_name": "other", "isolated_daemon_ports": []}
    other["isolated_daemon_addresses"], other["isolated_daemon_gateways"] = ["10.200.8.2/30"], ["10.200.8.1/30"]
    host.run_playbook(PLAYBOOK, other)
    host.write(
        "/etc/systemd/system/squatter.service",
        "[Unit]\nBefore=linuxnet-netns.service\n[Service]\nType=oneshot\n"
        "ExecStart=/sbin/ip link add v-other type bridge\n[Install]\nWantedBy=multi-user.target\n",
    )
    host.ssh("systemctl enable --quiet squatter")
    host.reboot()
    assert host.booted() == "degraded"
    said = host.ssh("journalctl --unit linuxnet-netns --boot --output cat")
    assert "topology daemon-other: not restored: veths v-other: " in said and "'v-other' on the host is taken" in said
    assert_published(fleet, host)
    assert host.ssh("ip netns identify %d" % pid(host, "other")).strip() == "other"
    host.ssh("ip link del v-other; systemctl restart linuxnet-netns; linuxnet-netns check")


def test_a_ledger_of_a_later_version_is_refused(running):
    running.ssh('sed -i \'s/"version": 1/"version": 9/\' ' + LEDGER)
    for command, code in (("check", 2), ("restore", 1), ("show", 1)):
        said = running.ssh("linuxnet-netns %s 2>&1; echo $?" % command)
        assert "has format 9" in said and "upgrade the collection" in said
        assert said.split()[-1] == str(code)


def test_show(running):
    said = running.ssh("linuxnet-netns show app 2>&1 || linuxnet-netns show daemon-app")
    assert "there is no topology 'app'" in said
    assert '"namespace app"' in said and '"persist": true' in said


def test_ansibles_python_is_not_the_systems(fleet, running, attacker):
    """A Python of its own, without pyroute2, which is gone when the host boots."""
    host = running
    host.run_playbook(PLAYBOOK, ABSENT)
    host.ssh("python3 -m venv --without-pip /opt/ansible")
    other = {**VARIABLES, "ansible_python_interpreter": "/opt/ansible/bin/python"}
    assert host.run_playbook(PLAYBOOK, other).changed() == 1
    assert host.ssh("head -n 1 /usr/local/sbin/linuxnet-netns").strip() == "#!/usr/bin/python3 -IB"
    assert host.run_playbook(PLAYBOOK, other).changed() == 0
    assert host.run_playbook(PLAYBOOK, VARIABLES).changed() == 0
    host.ssh("rm -r /opt/ansible")
    host.reboot()
    host.booted()
    assert_all_there(fleet, host, attacker)


def test_only_ansibles_python_has_pyroute2(fleet, host, attacker):
    """A virtual environment, whose python is a link to the system's: the command has to use the very same."""
    install(host)
    host.ssh(
        "python3 -m venv --without-pip /opt/ansible && "
        "mv /usr/lib/python3/dist-packages/pyroute2* /opt/ansible/lib/python3*/site-packages/"
    )
    variables = {**VARIABLES, "ansible_python_interpreter": "/opt/ansible/bin/python"}
    assert host.run_playbook(PLAYBOOK, variables).changed() == 1
    assert host.ssh("head -n 1 /usr/local/sbin/linuxnet-netns").strip() == "#!/opt/ansible/bin/python -IB"
    assert host.run_playbook(PLAYBOOK, variables).changed() == 0
    host.reboot()
    assert host.booted() == "running"
    assert_all_there(fleet, host, attacker)


def test_two_runs_wait_for_each_other(running):
    """The command against a play: neither sees the other's work half done."""
    host, failures = running, []

    def play():
        try:
            for _time in range(2):
                host.run_playbook(PLAYBOOK, ABSENT)
                host.run_playbook(PLAYBOOK, VARIABLES)
        except Exception as error:  # pylint: disable=broad-exception-caught
            failures.append(error)

    thread = threading.Thread(target=play)
    thread.start()
    while thread.is_alive():
        host.ssh("! command -v linuxnet-netns >/dev/null || linuxnet-netns restore >/dev/null 2>&1 || :")
    thread.join()
    assert not failures, failures
    assert_isolated(host)
    assert host.ssh("linuxnet-netns check") == ""
