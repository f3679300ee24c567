# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running ansible-playbook on the controller, and reading what came of it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from . import layout, remote
from .inventory import environment, inventory

#: Seconds for a whole playbook: none of the tests' own takes half a minute.
PATIENCE = 600


class PlaybookFailed(AssertionError):
    """A playbook failed though the test did not expect it; the text is what Ansible printed."""


@dataclasses.dataclass
class TaskResult:
    """One task on one host. status: ok, failed, ignored, unreachable or skipped; result: what the module returned."""

    host: str
    task: str
    action: str
    status: str
    result: dict

    @property
    def changed(self):
        return bool(self.result.get("changed"))


@dataclasses.dataclass
class Outcome:
    """A run of ansible-playbook: its exit code, output, results in order, and the recap of each host.

    stats: {"h1": {"ok": 3, "changed": 1, "failures": 0, "unreachable": 0, "skipped": 0, ...}}
    """

    code: int
    output: str
    results: list
    stats: dict

    def changed(self, host=None):
        """How many tasks changed something, on that host ("h1") or on all of them."""
        return self._count("changed", host)

    def failed(self, host=None):
        """How many tasks failed, or found the host unreachable."""
        return self._count("failures", host) + self._count("unreachable", host)

    def _count(self, what, host):
        return sum(found[what] for name, found in self.stats.items() if host in (None, name))

    def task(self, name, host=None):
        """The last TaskResult of the task whose name contains `name`. LookupError if there is none."""
        for result in reversed(self.results):
            if name in result.task and host in (None, result.host):
                return result
        raise LookupError("no task %r in\n%s" % (name, self.output))


def collections():
    """The collections path under test, as in the other tests."""
    return os.environ.get("NETNS_TEST_COLLECTIONS") or str(layout.CHECKOUT / ".cache" / "collections")


def play(
    fleet,
    image,
    numbers,
    playbook,
    extra_vars=None,
    check=False,
    user="root",
    pipelining=True,
    forks=20,
    variables=None,
    arguments=(),
    fails=False,
):
    """Run a playbook for the hosts of these numbers; return its Outcome.

    playbook: a path, the name of a playbook in a collection, or the text of one (several lines). extra_vars: dict.
    variables: more environment (dict of str). arguments: more words for ansible-playbook. fails: whether it has to
    fail; PlaybookFailed if it turns out otherwise.
    """
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="play-", dir=fleet.state))
    try:
        if "\n" in str(playbook):
            text, playbook = playbook, scratch / "playbook.yml"
            playbook.write_text(text)
        (scratch / "inventory.yml").write_text(inventory(fleet, image, numbers, user))
        # Beside our Python, where there is no such command on the PATH.
        beside = str(pathlib.Path(sys.executable).parent)
        search = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
        command = [
            *remote.inside(fleet.controller),
            shutil.which("ansible-playbook", path=search) or "ansible-playbook",
            *("--inventory", str(scratch / "inventory.yml")),
            *("--forks", str(forks)),
            *("--extra-vars", json.dumps(extra_vars or {})),
            *(["--check", "--diff"] if check else []),
            *arguments,
            str(playbook),
        ]
        results = scratch / "results.jsonl"
        settings = {
            **os.environ,
            **environment(fleet),
            "PATH": search,
            "ANSIBLE_COLLECTIONS_PATH": collections(),
            "ANSIBLE_CALLBACK_PLUGINS": str(layout.HERE / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "fleet_results",
            "ANSIBLE_PIPELINING": str(pipelining),
            "ANSIBLE_NOCOLOR": "1",
            "LINUXNET_NETNS_FLEET_RESULTS": str(results),
            **(variables or {}),
        }
        done = subprocess.run(
            command,
            cwd=scratch,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        outcome = Outcome(done.returncode, done.stdout, [], {})
        for line in results.read_text().splitlines() if results.exists() else ():
            found = json.loads(line)
            if "stats" in found:
                outcome.stats = found["stats"]
            else:
                outcome.results.append(TaskResult(**found))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    # A play without hosts succeeds, and proves nothing.
    worked = done.returncode == 0 and bool(outcome.stats)
    if worked == bool(fails):
        raise PlaybookFailed("%s: exit %d\n%s" % (playbook, done.returncode, done.stdout))
    return outcome
