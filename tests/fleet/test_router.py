# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `router` and its playbooks on booted hosts, over SSH: what was promised, seen on the wire from outside."""

from __future__ import annotations

import pytest
from fleetlib import snapshot
from fleetlib.testing import CLIENT4, CLIENT6, GATEWAY4, GATEWAY6

ROUTER = "linuxnet.netns.router"
TEARDOWN = "linuxnet.netns.teardown"
PORT, CLOSED = 10105, 9999
APP4, APP6 = "10.200.0.2", "fd00:200::2"
CONTROLLER4 = "172.30.0.1"
VARIABLES = {
    "router_uplink": ["eth0"],
    "router_namespaces": [
        {
            "name": "app",
            "addresses": [APP4 + "/30", APP6 + "/64"],
            "gateways": ["10.200.0.1/30", "fd00:200::1/64"],
            "dns": {"nameservers": [GATEWAY4]},
            "forwards": [{"port": PORT, "protocol": ["tcp", "udp"]}],
        },
        {
            "name": "other",
            "addresses": ["10.200.1.2/30", "fd00:201::2/64"],
            "gateways": ["10.200.1.1/30", "fd00:201::1/64"],
        },
    ],
}

WAYS = pytest.mark.parametrize(
    ("user", "pipelining"),
    [("root", True), ("root", False), ("admin", True), ("admin", False)],
    ids=["root", "root without pipelining", "admin", "admin without pipelining"],
)


@WAYS
def test_the_whole_life_of_a_router(host, user, pipelining):
    way = {"user": user, "pipelining": pipelining}
    before = host.snapshot()

    foretold = host.run_playbook(ROUTER, VARIABLES, check=True, **way)
    assert foretold.changed() == 1
    host.assert_same(before, "check mode changed the host")

    done = host.run_playbook(ROUTER, VARIABLES, **way)
    assert done.changed() == 1
    assert done.task("Route").result["changes"] == foretold.task("Route").result["changes"]

    after = host.snapshot()
    assert host.run_playbook(ROUTER, VARIABLES, **way).changed() == 0
    assert host.run_playbook(ROUTER, VARIABLES, check=True, **way).changed() == 0
    host.assert_same(after, "a second run changed the host")

    gone = host.run_playbook(TEARDOWN, {"router_name": "router"}, **way)
    assert gone.changed() == 1
    host.assert_same(before, "the teardown left something behind")
    assert host.run_playbook(TEARDOWN, **way).changed() == 0


def test_traffic(fleet, host, attacker):
    before = host.snapshot()
    host.run_playbook(ROUTER, VARIABLES)
    host.serve(PORT, CLOSED, namespace="app")
    host.serve(PORT, CLOSED, namespace="other")

    # In, by the forward: the daemon sees the client.
    for address, client in ((host.wan4, CLIENT4), (host.wan6, CLIENT6)):
        for ask in (attacker.tcp, attacker.udp):
            answer = ask(address, PORT, source=client)
            assert (answer.label, answer.address) == ("app", client)

    # Out: the world sees the host.
    for name in ("app", "other"):
        for ask in (host.tcp, host.udp):
            assert ask(GATEWAY4, 7, namespace=name).address == host.wan4
            assert ask(GATEWAY6, 7, namespace=name).address == host.wan6
    assert host.ssh("ip netns exec app cat /etc/resolv.conf").split()[-1] == GATEWAY4

    # Not in by any other way: a closed port, and the namespaces' own addresses, to which there is a route. Nor through.
    questions = [(proto, address, CLOSED) for proto in ("tcp", "udp") for address in (host.wan4, host.wan6)]
    for address in (APP4, APP6, "10.200.1.2", "fd00:201::2"):
        questions += [(proto, address, port) for proto in ("tcp", "udp") for port in (PORT, CLOSED)]
    questions += [(proto, CONTROLLER4, 7) for proto in ("tcp", "udp")]
    assert attacker.answered(questions) == []

    # Neither across: the namespaces do not reach each other, nor the management network, which the host does reach.
    assert not host.reaches("10.200.1.2", PORT, namespace="app")
    assert not host.reaches("fd00:200::2", CLOSED, "udp", namespace="other")
    assert host.tcp(CONTROLLER4, 7).label == "controller"
    for name in ("app", "other"):
        for proto in ("tcp", "udp"):
            assert not host.reaches(CONTROLLER4, 7, proto, namespace=name)

    # The daemons end with their connections; then nothing is left.
    host.stop("app", "other")
    host.run_playbook(TEARDOWN)
    host.assert_same(before, "the teardown left something behind")


def test_the_checks_of_silence_would_notice_an_open_host(fleet, host, attacker):
    """The same questions, of a host that forwards whatever comes: each of them is answered."""
    host.run_playbook(ROUTER, VARIABLES)
    host.serve(CLOSED, namespace="app")
    host.serve(CLOSED, namespace="other")
    host.ssh("nft flush ruleset && sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    for ask in (attacker.tcp, attacker.udp):
        assert ask(APP4, CLOSED).label == "app"
        assert ask(APP6, CLOSED).label == "app"
        assert ask(CONTROLLER4, 7).label == "controller"
    questions = [(proto, address, CLOSED) for proto in ("tcp", "udp") for address in (APP4, APP6)]
    assert attacker.answered(questions) == questions
    assert host.tcp("10.200.1.2", CLOSED, namespace="app").label == "other"
    assert host.tcp(CONTROLLER4, 7, namespace="app").label == "controller"


def test_a_fleet_of_routers_in_one_run(fleet):
    for host in fleet:
        host.reset()
        host.booted()
    before = {host: host.snapshot() for host in fleet}
    done = fleet.run_playbook(ROUTER, VARIABLES)
    assert [done.changed(host.name) for host in fleet] == [1] * len(fleet)
    for host in fleet:
        host.serve(PORT, namespace="app")
        assert fleet.internet.tcp(host.wan4, PORT, source=CLIENT4).address == CLIENT4
        host.stop("app")
    assert fleet.run_playbook(ROUTER, VARIABLES).changed() == 0
    fleet.run_playbook(TEARDOWN)
    for host in fleet:
        host.assert_same(before[host])


@pytest.mark.parametrize("trouble", ["reboot", "nft flush ruleset"])
def test_the_next_run_repairs(fleet, host, trouble):
    before = host.snapshot()
    variables = {**VARIABLES, "router_persist": False}
    host.run_playbook(ROUTER, variables)
    after = host.snapshot()
    if trouble == "reboot":
        host.reboot()
        host.booted()
    else:
        host.ssh(trouble)
    assert host.run_playbook(ROUTER, variables).changed() == 1
    lines = snapshot.difference(after, host.snapshot())
    # The ledger says in which boot it was written.
    lines = [line for line in lines if "/ledger.json " not in line]
    assert not lines, "\n".join(lines)
    host.serve(PORT, namespace="app")
    assert fleet.internet.tcp(host.wan4, PORT, source=CLIENT4).address == CLIENT4
    host.stop("app")
    host.run_playbook(TEARDOWN)
    host.assert_same(before)
