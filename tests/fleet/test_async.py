# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of docs/fleet.md that starts work on hosts and does not wait: async, with poll 0."""

from __future__ import annotations

import pathlib
import time

from fleetlib import playbooks

ROOT = pathlib.Path(playbooks.collections()) / "ansible_collections/linuxnet/netns"
EXAMPLE = ROOT / "docs/examples/long_work.yml"
SECONDS = 8


def test_the_collection_works_while_the_host_does(host):
    before = host.snapshot()
    started = time.monotonic()
    work = "sh -c 'sleep %d; date +%%s%%N >/run/done'" % SECONDS
    done = host.run_playbook(EXAMPLE, {"long_work": work}, user="admin")
    assert time.monotonic() - started > SECONDS
    begun = done.task("Start what takes long")
    assert begun.result["started"] and not begun.result["finished"]
    network = done.task("Meanwhile, the network")
    assert network.changed
    # The namespace was there before the work was done.
    born = host.ssh("stat -c %.Z /run/netns/app").strip()
    assert float(born) < int(host.ssh("cat /run/done")) / 1e9
    waited = done.task("Wait until it is done")
    assert waited.result["finished"] and waited.result["rc"] == 0
    host.run_playbook("linuxnet.netns.teardown", {"router_name": "long-work"})
    host.assert_same(before, "something was left behind")


def test_a_failure_is_not_lost(host):
    done = host.run_playbook(EXAMPLE, {"long_work": "false"}, fails=True)
    assert done.task("Start what takes long").status == "ok"
    assert done.task("Wait until it is done").status == "failed"
    assert done.task("Meanwhile, the network").changed


def test_the_module_itself_may_be_async(host):
    """Nothing in it depends on who waits: polled, or started and asked for later."""
    text = """
- hosts: all
  gather_facts: false
  tasks:
    - name: The namespace
      linuxnet.netns.netns:
        name: app
      async: 60
      poll: 1
"""
    assert host.run_playbook(text).task("The namespace").changed
    assert not host.run_playbook(text).task("The namespace").changed
