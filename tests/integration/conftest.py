# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the integration tests: they need root, and touch nothing of the machine they run on."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("harness")

from harness import Behind, Host, World, difference  # noqa: E402
from harness.modules import collections_dir  # noqa: E402


def pytest_collection_modifyitems(items):
    here = str(pathlib.Path(__file__).parent)
    if os.geteuid() != 0:
        for item in items:
            if str(item.path).startswith(here):
                item.add_marker(pytest.mark.skip(reason="needs root: network namespaces are made and removed"))


@pytest.fixture(scope="session", autouse=True)
def the_machine_itself():
    """What the tests may never change: the network, the namespaces and the files of the machine they run on."""
    before = _machine()
    yield
    after = _machine()
    assert after == before, "the tests changed the machine itself"


def _machine():
    if os.geteuid() != 0:
        return None
    commands = {
        "links": "ip -o link show | sed 's/ state .*//; s/^[0-9]*: //'",
        "routes": "ip route show table all",
        "routes6": "ip -6 route show table all | grep -v -e fe80 -e ff00 | sed 's/ expires.*//'",
        "rules": "ip rule; ip -6 rule",
        "nft": "nft -s list ruleset",
        "forwarding": "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
        "files": "ls -d /run/netns /run/netns/* /etc/netns /etc/netns/* /var/lib/linuxnet-netns 2>/dev/null || :",
    }
    return {
        topic: subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout
        for topic, command in commands.items()
    }


@pytest.fixture(scope="session", autouse=True)
def the_collection():
    root = collections_dir() / "ansible_collections" / "linuxnet" / "netns"
    assert root.is_dir(), "no installed collection at %s: run `make build`" % root


@pytest.fixture
def host():
    """A computer of its own, without any cable."""
    node = Host()
    yield node
    node.close()


@pytest.fixture
def world():
    """A host between the internet and a management network."""
    made = World()
    yield made
    made.close()


class Routed:
    """A world whose host has a namespace `app` behind it, made by the modules netns and veth."""

    def __init__(self):
        self.world = World()
        try:
            self.host, self.internet, self.mgmt = self.world.host, self.world.internet, self.world.mgmt
            self.app = Behind(self.host, "app", 1).build()
            self.bare = self.world.snapshot()
        except BaseException:
            self.world.close()
            raise


@pytest.fixture(scope="module")
def _routed():
    kept = []
    yield kept
    for routed in kept:
        routed.world.close()


@pytest.fixture
def routed(_routed):
    """A host with a namespace `app` behind it, and nothing forwarded yet.

    A test that leaves it as it was passes it on to the next one; otherwise that gets a new one.
    """
    if not _routed:
        _routed.append(Routed())
    yield _routed[0]
    _routed[0].world.release()
    if difference(_routed[0].bare, _routed[0].world.snapshot(), written=False):
        _routed.pop().world.close()
