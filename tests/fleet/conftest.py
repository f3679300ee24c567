# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the fleet tests: they need root, boot hosts, and touch nothing of the machine they run on."""

from __future__ import annotations

import os
import pathlib
import socket
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("fleetlib.testing")

from fleetlib import layout, lifecycle, playbooks  # noqa: E402
from fleetlib.testing import Fleet, machine  # noqa: E402

#: The fleet of the tests; nobody else's has this name. Each worker of pytest-xdist has one of its own.
NAME = (os.environ.get("LINUXNET_NETNS_FLEET_NAME") or "test") + os.environ.get("PYTEST_XDIST_WORKER", "")
HOSTS = 3
MGMT_NET4 = "172.30.0.0/24"


def pytest_collection_modifyitems(items):
    here = str(pathlib.Path(__file__).parent)
    if os.geteuid() != 0:
        for item in items:
            if str(item.path).startswith(here):
                item.add_marker(pytest.mark.skip(reason="needs root: hosts are booted"))


@pytest.fixture(scope="session", autouse=True)
def the_machine_itself():
    before = machine()
    yield
    assert machine() == before, "the tests changed the machine itself"


@pytest.fixture(scope="session")
def fleet():
    """Three hosts that are up; whoever changes one leaves it as it was, or resets it."""
    root = pathlib.Path(playbooks.collections()) / "ansible_collections" / "linuxnet" / "netns"
    assert root.is_dir(), "no installed collection at %s: run `make build`" % root
    described = lifecycle.find(NAME)
    # Two runs at a time, of whatever checkouts, would take the hosts from each other. The name goes with this process.
    with socket.socket(socket.AF_UNIX) as taken:
        try:
            taken.bind("\0%s/tests/%s" % (layout.PROJECT, NAME))
        except OSError as error:
            pytest.fail("the fleet %r is another run's; LINUXNET_NETNS_FLEET_NAME is for its name: %s" % (NAME, error))
        lifecycle.down(described)  # what a killed run has left
        try:
            lifecycle.up(layout.Layout(NAME), HOSTS)
            yield Fleet(NAME)
        finally:
            lifecycle.down(lifecycle.find(NAME))


@pytest.fixture
def host(fleet):
    """A host as good as new."""
    fleet[1].reset()
    fleet[1].booted()
    return fleet[1]


@pytest.fixture
def attacker(fleet, host):
    """The internet with routes to what is behind the host: what does not get through, the host has stopped."""
    internet = fleet.internet
    routes = [
        ("10.0.0.0/8", host.wan4),
        (MGMT_NET4, host.wan4),
        ("fd00::/8", host.wan6),
    ]
    for network, gateway in routes:
        internet.run("ip", "route", "replace", network, "via", gateway)
    # And the management network would answer.
    ways_back = ["198.51.100.0/24", "10.0.0.0/8"]
    for network in ways_back:
        fleet.controller.run("ip", "route", "replace", network, "via", host.mgmt4)
    yield internet
    for network, _gateway in routes:
        internet.run("ip", "route", "del", network)
    for network in ways_back:
        fleet.controller.run("ip", "route", "del", network)
