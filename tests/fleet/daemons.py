# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolated daemon of the tests: its variables, and how to look at the process."""

from __future__ import annotations

from fleetlib import answer
from fleetlib.testing import CLIENT4, CLIENT6, GATEWAY4, GATEWAY6

PLAYBOOK = "linuxnet.netns.isolated_daemon"
PORT, CLOSED = 10105, 9999
APP4, APP6 = "10.200.0.2", "fd00:200::2"
CONTROLLER4 = "172.30.0.1"
#: On the disk, so that it is there after a reboot; where no snapshot looks.
PROGRAM = "/opt/answer.py"
COMMAND = f"/usr/bin/python3 {PROGRAM} serve app {PORT} {CLOSED}"
VARIABLES = {
    "isolated_daemon_name": "app",
    "isolated_daemon_command": COMMAND,
    "isolated_daemon_user": "daemon",
    "isolated_daemon_addresses": [APP4 + "/30", APP6 + "/64"],
    "isolated_daemon_gateways": ["10.200.0.1/30", "fd00:200::1/64"],
    "isolated_daemon_ports": [{"port": PORT, "protocol": ["tcp", "udp"]}],
    "isolated_daemon_dns": {"nameservers": [GATEWAY4], "search": ["inside.example"]},
    "isolated_daemon_hosts": {"192.0.2.7": ["files"]},
}


def install(host):
    """Put the daemon's program on the host."""
    with open(answer.__file__) as source:
        host.write(PROGRAM, source.read())


def pid(host, unit="app"):
    """The main process of a service (int; 0 if there is none)."""
    return int(host.ssh("systemctl show --property=MainPID --value %s" % unit))


def see(host, unit, command):
    """The output of a command in the service's mount namespace."""
    return host.ssh("nsenter --target $(systemctl show -p MainPID --value %s) --mount -- %s" % (unit, command))


def assert_published(fleet, host, port=PORT, protocols=("tcp", "udp"), label="app"):
    """The internet reaches the daemon, which sees who asks."""
    for address, client in ((host.wan4, CLIENT4), (host.wan6, CLIENT6)):
        for protocol in protocols:
            said = getattr(fleet.internet, protocol)(address, port, source=client)
            assert said is not None, f"{host} does not answer {protocol} at {address} port {port}"
            assert (said.label, said.address) == (label, client)


def assert_closed(host, attacker):
    """Nothing else does: neither another port, nor the namespace's own addresses, nor what is behind the host."""
    targets = [
        *((address, CLOSED) for address in (host.wan4, host.wan6)),
        *((address, port) for address in (APP4, APP6) for port in (PORT, CLOSED)),
        (CONTROLLER4, 7),
    ]
    assert attacker.answered([(proto, *target) for target in targets for proto in ("tcp", "udp")]) == []
    for proto in ("tcp", "udp"):
        assert not host.reaches(CONTROLLER4, 7, proto, namespace="app")


def assert_reaches_out(host, namespace="app"):
    """The internet sees the host's address."""
    for protocol in ("tcp", "udp"):
        ask = getattr(host, protocol)
        assert ask(GATEWAY4, 7, namespace=namespace).address == host.wan4
        assert ask(GATEWAY6, 7, namespace=namespace).address == host.wan6


def assert_isolated(host, unit="app", namespace="app"):
    """The process is where, who and what it should be."""
    number = pid(host, unit)
    assert host.ssh("ip netns identify %d" % number).strip() == namespace
    status = dict(line.split(":", 1) for line in host.ssh("cat /proc/%d/status" % number).splitlines() if ":" in line)
    daemon = host.ssh("id -u daemon").strip()
    assert status["Uid"].split() == [daemon] * 4
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"].strip() == "1"
    assert see(host, unit, "cat /etc/resolv.conf").splitlines()[1:] == [
        "nameserver " + GATEWAY4,
        "search inside.example",
    ]
    assert see(host, unit, "getent -s files hosts files").split() == ["192.0.2.7", "files"]
    assert see(host, unit, "grep ^hosts: /etc/nsswitch.conf").split() == ["hosts:", "files", "dns"]
    host.ssh("touch /tmp/of-the-host")
    assert "of-the-host" not in see(host, unit, "ls /tmp")
    host.ssh("rm /tmp/of-the-host")
