# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Others are at work on the same host: other runs, which wait for each other, and whoever else changes its network."""

from __future__ import annotations

import concurrent.futures
import time

import pytest
from harness import Behind, topology

# Links, addresses, routes, rules and namespaces come and go: many enough for a dump not to fit in one answer.
BUSY = """
while :; do
    for number in $(seq 40); do echo "link add busy$number type veth peer name ysub$number"; done | ip -batch -
    for number in $(seq 40); do echo "address add 172.31.$number.1/24 dev busy$number"; done | ip -batch -
    for number in $(seq 40); do echo "rule add priority $((20000 + number)) to 172.31.$number.0/24"; done | ip -batch -
    ip netns add busy; ip -n busy link set lo up; ip netns delete busy
    for number in $(seq 40); do echo "link delete busy$number"; done | ip -batch -
    for number in $(seq 40); do echo "rule delete priority $((20000 + number))"; done | ip -batch -
    echo
done
"""


@pytest.fixture
def host(world):
    return world.host


def test_runs_at_once_wait_for_each_other(host):
    """Six owners, each coming and going: none sees another one's work half done, and what they leave is what all of
    them asked for."""
    bare = host.snapshot()
    owners = {name: topology(Behind(host, name, number), name=name) for number, name in enumerate("abcdef", 1)}

    def live(name):
        for _time in range(2):
            assert host.module("netns_topology", **owners[name]).changed
            assert not host.module("netns_topology", **owners[name]).changed
            assert host.module("netns_topology", name=name, state="absent").changed
        return host.module("netns_topology", **owners[name])

    with concurrent.futures.ThreadPoolExecutor(len(owners)) as pool:
        results = list(pool.map(live, owners))
    assert all(result.changed for result in results)
    for name, options in owners.items():
        host.unchanged("netns_topology", **options)
        host.module("netns_topology", name=name, state="absent")
    host.assert_same(bare)


def test_a_run_waits_for_the_one_before(host):
    holder = host.start("sh", "-c", "exec flock /run/linuxnet-netns.lock sh -c 'echo; sleep 2'")
    holder.stdout.readline()
    start = time.monotonic()
    assert host.module("netns", name="app").changed
    assert time.monotonic() - start > 1.5


def test_what_others_change_meanwhile_is_no_obstacle(host):
    """A dump that was interrupted is taken again; what is gone before it was looked at was never there."""
    app = Behind(host, "app", 1)
    options = topology(app, forwards=[{"name": "web", "port": "10105", "to_address": app.address4}])
    host.module("netns_topology", **options)
    host.module("netns_topology", state="absent")
    busy = host.start("sh", "-c", BUSY)
    rounds = 0
    busy.stdout.readline()
    for _time in range(8):
        assert host.module("netns_topology", **options).changed
        host.unchanged("netns_topology", **options)
        host.ns("app").ip("address delete 10.200.1.2/24 dev eth0")
        assert host.module("netns_topology", **options).changed
        assert host.module("netns_topology", state="absent").changed
        rounds += 1
    assert busy.poll() is None and rounds == 8
