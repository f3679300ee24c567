# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of docs/scale.md that changes one host, then a tenth, then all, and stops where one fails."""

from __future__ import annotations

import pathlib

import pytest
from daemons import PORT, VARIABLES, assert_isolated, install
from fleetlib import playbooks

#: Not part of `make test`.
pytestmark = pytest.mark.slow

EXAMPLE = pathlib.Path(playbooks.collections()) / "ansible_collections/linuxnet/netns/docs/examples/roll_out.yml"
#: The controller, which looks afterwards, is not where the default route leads.
ROLES = {**VARIABLES, "isolated_daemon_uplink": ["eth0", "mgmt0"], "roll_out_port": PORT}


@pytest.fixture
def hosts(fleet):
    """All hosts, as good as new, and able to run the daemon."""
    for host in fleet:
        host.reset()
        host.booted()
        install(host)
    return list(fleet)


def test_one_after_the_other(fleet, hosts):
    done = fleet.run_playbook(EXAMPLE, ROLES)
    # A play of its own for each batch: 1 host, 10 % of 3 hosts (one at least), and the last.
    assert done.output.count("PLAY [Roll out") == 3
    assert [result.host for result in done.results if "Run the daemon" in result.task] == ["h1", "h2", "h3"]
    for host in hosts:
        assert_isolated(host)
        assert done.stats[host.name]["changed"] == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"isolated_daemon_user": "nobody-there"},  # the run fails
        {"roll_out_port": 9},  # it works, and does not serve
    ],
)
def test_the_first_failure_ends_it(fleet, hosts, broken):
    before = [host.snapshot() for host in hosts[1:]]
    done = fleet.run_playbook(EXAMPLE, {**ROLES, **broken}, fails=True)
    assert done.failed("h1") == 1
    assert not done.stats.keys() - {"h1", "localhost"}, "others were begun"
    for host, snapshot in zip(hosts[1:], before):
        host.assert_same(snapshot)


def test_a_host_that_is_lost_ends_it(fleet, hosts):
    """Ansible alone would go on: an unreachable host is none that has failed."""
    before = hosts[2].snapshot()
    hosts[0].ssh("systemctl stop ssh")
    try:
        done = fleet.run_playbook(EXAMPLE, {**ROLES, "roll_out_batches": [2, 1]}, fails=True)
    finally:
        hosts[0].reset()
    assert done.stats["h1"]["unreachable"] == 1
    assert done.task("no host was lost", "h2").result["msg"] == "Lost: h1"
    assert "h3" not in done.stats, "others were begun"
    hosts[2].assert_same(before)


def test_a_failure_ends_it_for_the_next_batch(fleet, hosts):
    """One of two is enough."""
    user = "{{ 'nobody-there' if inventory_hostname == 'h1' else 'daemon' }}"
    variables = {**ROLES, "isolated_daemon_user": user, "roll_out_batches": [2, 1]}
    done = fleet.run_playbook(EXAMPLE, variables, fails=True)
    assert done.failed("h1") == 1 and done.changed("h2") == 1
    assert "h3" not in done.stats, "others were begun"
