# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's playbooks through ansible-runner, which is what AWX and execution environments run them with."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
import yaml
from daemons import PLAYBOOK, VARIABLES, assert_isolated, assert_published, install
from fleetlib import playbooks, remote
from fleetlib.inventory import environment, inventory

#: Not part of `make test`.
pytestmark = pytest.mark.slow

#: What AWX does with a job: a directory with inventory, variables and settings, and a run in there.
SCRIPT = """
import json, sys
import ansible_runner

private, playbook = sys.argv[1:]
done = ansible_runner.run(private_data_dir=private, playbook=playbook, quiet=True)
events = [
    {"task": event["event_data"]["task"], "result": event["event_data"]["res"]}
    for event in done.events if event["event"] in ("runner_on_ok", "runner_on_failed")
]
print(json.dumps({"status": done.status, "rc": done.rc, "stats": done.stats, "events": events}))
"""


@pytest.fixture
def job(fleet, host, tmp_path):
    """Runs a playbook of the collection for the host through ansible_runner.run, on the controller."""
    pytest.importorskip("ansible_runner")

    def run(playbook, variables, user="root"):
        private = tmp_path / "private"
        for folder in ("inventory", "env", "project"):
            (private / folder).mkdir(parents=True, exist_ok=True)
        (private / "inventory" / "hosts.yml").write_text(inventory(fleet.layout, fleet.image, [host.number], user))
        settings = {**environment(fleet.layout), "ANSIBLE_COLLECTIONS_PATH": playbooks.collections()}
        del settings["ANSIBLE_INVENTORY"]
        (private / "env" / "envvars").write_text(json.dumps(settings))
        (private / "env" / "extravars").write_text(json.dumps(variables))
        words = [*remote.inside(fleet.layout.controller), sys.executable, "-c", SCRIPT, str(private), playbook]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_a_playbook_of_the_collection(fleet, host, job):
    install(host)
    before = host.snapshot()
    done = job(PLAYBOOK, VARIABLES, user="admin")
    assert done["status"] == "successful" and done["stats"]["changed"] == {"h1": 1}, done
    (event,) = [event for event in done["events"] if "Run the daemon" in event["task"]]
    # The plan gets through as a job's event, for those who read events.
    assert event["result"]["changed"] and event["result"]["changes"]
    assert_isolated(host)
    assert_published(fleet, host)
    done = job(PLAYBOOK, VARIABLES, user="admin")
    assert done["status"] == "successful" and not done["stats"]["changed"], done
    done = job(PLAYBOOK, {"isolated_daemon_name": "app", "isolated_daemon_state": "absent"})
    assert done["status"] == "successful" and done["stats"]["changed"] == {"h1": 1}, done
    host.assert_same(before, "something was left behind")


def test_an_execution_environment_finds_what_it_needs():
    """The files that ansible-builder reads are in what is installed; none of it is for managed hosts."""
    root = pathlib.Path(playbooks.collections()) / "ansible_collections/linuxnet/netns"
    found = yaml.safe_load((root / "meta/execution-environment.yml").read_text())["dependencies"]
    lines = {name: (root / path).read_text().splitlines() for name, path in found.items()}
    lines = {name: [line for line in text if line and not line.startswith("#")] for name, text in lines.items()}
    assert lines == {"python": [], "system": ["openssh-clients [platform:rpm]", "openssh-client [platform:dpkg]"]}


def test_a_refusal(host, job):
    install(host)
    done = job(PLAYBOOK, {**VARIABLES, "isolated_daemon_user": "nobody-there"})
    assert done["status"] == "failed" and done["rc"] == 2
    assert "is not an account" in done["events"][-1]["result"]["msg"]
