# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ansible.cfg for operators on a real connection: what docs/fleet.md says of it is what ssh is started with."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest
from fleetlib import layout, remote
from fleetlib.inventory import environment, inventory

NOTHING = "[defaults]\n"


@pytest.fixture
def started(fleet, tmp_path):
    """What Ansible starts for one ping under a configuration (str): the lines of its commands over SSH."""
    # Variables take the place of what a file says, and the way to the host is not what is looked at.
    hosts = inventory(fleet.layout, fleet.image, [1]).replace("ansible_ssh_common_args", "ansible_ssh_extra_args")
    hosts = re.sub("(?m)^ *ansible_python_interpreter.*\n", "", hosts)
    (tmp_path / "inventory.yml").write_text(hosts)

    def run(text):
        (tmp_path / "ansible.cfg").write_text(text)
        settings = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        settings.update(environment(fleet.layout), ANSIBLE_CONFIG=str(tmp_path / "ansible.cfg"), ANSIBLE_NOCOLOR="1")
        # By its path: the tests' own Ansible, whatever is on the PATH.
        program = pathlib.Path(sys.executable).parent / "ansible"
        words = [*remote.inside(fleet.layout.controller), program, "-i", tmp_path / "inventory.yml"]
        words += ["h1", "-m", "ansible.builtin.ping", "-vvvv"]
        remote.end_kept_connections(fleet.layout)
        done = subprocess.run(words, env=settings, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and '"pong"' in done.stdout, done.stdout + done.stderr
        return [line for line in done.stdout.splitlines() if "SSH: EXEC" in line]

    return run


def test_one_command_and_a_connection_that_is_kept(started):
    (line,) = started((layout.CHECKOUT / "ansible.cfg").read_text())
    assert "ControlMaster=auto" in line and "ControlPersist=15m" in line
    assert "GSSAPIAuthentication=no" in line
    assert "ConnectTimeout=30" in line
    assert "/usr/bin/python3" in line


def test_without_it_there_are_many(started):
    """With the defaults: six for the module, and those that look for Python."""
    assert len(started(NOTHING)) > 6


def test_ssh_args_of_ones_own_lose_the_connection(started):
    lines = started("[ssh_connection]\nssh_args = -o ForwardAgent=no\n")
    assert not [line for line in lines if "ControlPersist" in line]
    lines = started("[ssh_connection]\nssh_common_args = -o ForwardAgent=no\n")
    assert all("ControlPersist" in line for line in lines)


def test_preferred_authentications_come_too_late(started):
    """ssh keeps the first of two, which is Ansible's own."""
    lines = started("[ssh_connection]\nssh_common_args = -o PreferredAuthentications=publickey\n")
    for line in lines:
        found = re.findall("PreferredAuthentications=([a-z,-]+)", line)
        assert found == ["gssapi-with-mic,gssapi-keyex,hostbased,publickey", "publickey"]
