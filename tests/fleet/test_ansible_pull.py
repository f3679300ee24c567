# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-pull on a booted host, as docs/scale.md has it: the host fetches a repository and configures itself."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest
from daemons import PORT, VARIABLES, assert_isolated, assert_published, install
from fleetlib import playbooks, remote
from fleetlib.testing import CommandFailed

#: Not part of `make test`.
pytestmark = pytest.mark.slow

COLLECTION = "ansible_collections/linuxnet/netns"
CONTROLLER = "172.30.0.1"
#: The playbook of the repository, and an inventory for all hosts, of which each takes its own part.
LOCAL = """---
- name: The network of this host
  hosts: all
  gather_facts: false
  roles:
    - role: linuxnet.netns.isolated_daemon
"""
ANSIBLE = "/opt/ansible"
PULL = (
    f"PYTHONPATH={ANSIBLE} {ANSIBLE}/bin/ansible-pull --url git://{CONTROLLER}/site.git --directory /var/lib/site "
    "--inventory inventory.yml"
)


class Site:
    """A repository with a playbook, an inventory and the collection."""

    def __init__(self, path):
        self.path = path
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.name", "operator")
        self.git("config", "user.email", "operator@example.com")
        installed = pathlib.Path(playbooks.collections()) / COLLECTION
        for part in ("plugins", "roles", "meta", "galaxy.yml", "MANIFEST.json"):
            source, target = installed / part, path / "collections" / COLLECTION / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, target)
        (path / "local.yml").write_text(LOCAL)

    def git(self, *words):
        subprocess.run(["git", "-C", str(self.path), *words], check=True, capture_output=True)

    def publish(self, variables):
        """Commit an inventory in which the host h1 has these variables, and another host others."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
        other = {"isolated_daemon_name": "not-ours", "isolated_daemon_user": "nobody"}
        tree = {"all": {"vars": local, "hosts": {"h1": variables, "h2": other}}}
        (self.path / "inventory.yml").write_text(json.dumps(tree))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "As it is to be")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The directory that pip would install ansible-core to, on a host with Python 3.11: the newest that it can run."""
    target = tmp_path_factory.mktemp("ansible")
    words = ["--quiet", "--disable-pip-version-check", "--target", str(target), "--python-version", "3.11"]
    words += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:"]
    subprocess.run([sys.executable, "-m", "pip", "install", *words, "ansible-core>=2.18"], check=True)
    return target


@pytest.fixture
def site(fleet, tmp_path):
    """The Site that the controller offers to hosts as git://CONTROLLER/site.git."""
    path = tmp_path / "site.git"
    path.mkdir()
    offered = Site(path)
    words = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=" + CONTROLLER, "--base-path=%s" % tmp_path]
    daemon = subprocess.Popen([*remote.inside(fleet.layout.controller), *words, str(path)])
    try:
        yield offered
    finally:
        daemon.terminate()
        daemon.wait(10)


@pytest.fixture
def puller(host, wheels):
    """A host with ansible-core, the daemon's program, and nothing of the controller's."""
    install(host)
    packed = subprocess.Popen(["tar", "-C", str(wheels), "--exclude=__pycache__", "-c", "."], stdout=subprocess.PIPE)
    # What pip makes here begins with the path of this Python.
    unpack = f"mkdir {ANSIBLE} && tar -C {ANSIBLE} -x && sed -i '1s|^#!.*|#!/usr/bin/python3|' {ANSIBLE}/bin/*"
    subprocess.run(remote.command(host.layout, host.fleet.image, "root", [unpack]), stdin=packed.stdout, check=True)
    assert packed.wait(60) == 0
    # Once more the address that git will ask: the repository is there by now.
    for _ in range(50):
        if host.succeeds(f"git ls-remote git://{CONTROLLER}/site.git"):
            break
        time.sleep(0.1)
    return host


def write_units(host):
    """Put the units of docs/scale.md on the host, with the test's repository in them; return their paths."""
    text = (pathlib.Path(playbooks.collections()) / COLLECTION / "docs/scale.md").read_text()
    (units,) = re.findall("```ini\n(# /etc/systemd/system/.*?)```", text, re.DOTALL)
    parts = re.split(r"^# (/etc/\S+)\n", units, flags=re.MULTILINE)[1:]
    found = dict(zip(parts[::2], parts[1::2]))
    for path, unit in found.items():
        host.write(path, unit.replace("https://git.example.com/", f"git://{CONTROLLER}/"))
    complaints = host.ssh("systemd-analyze verify %s 2>&1 || :" % " ".join(found))
    assert "site." not in complaints, complaints
    return list(found)


def test_a_host_configures_itself(fleet, site, puller):
    host = puller
    before = host.snapshot()
    site.publish(VARIABLES)
    said = host.ssh(PULL)
    assert "h1" in said and "changed=1 " in said and "h2" not in said, said
    assert_isolated(host)
    assert_published(fleet, host)

    after = host.snapshot()
    assert "changed=0 " in host.ssh(PULL)
    said = host.ssh(PULL + " --only-if-changed")
    assert "Repository has not changed" in said and "PLAY" not in said
    host.assert_same(after, "a run without changes changed the host")

    site.publish({**VARIABLES, "isolated_daemon_ports": [PORT, 8080]})
    assert "changed=1 " in host.ssh(PULL + " --only-if-changed")
    assert "changed=0 " in host.ssh(PULL)

    site.publish({"isolated_daemon_name": "app", "isolated_daemon_state": "absent"})
    # As its timer would start it: without a login, and without the environment of one.
    paths = write_units(host)
    assert "site.timer" in host.ssh("systemctl daemon-reload && systemctl enable --now site.timer 2>&1")
    host.ssh("systemctl start site.service")
    assert "changed=1 " in host.ssh("journalctl --no-pager -o cat -u site.service")
    host.ssh("systemctl disable --quiet --now site.timer && rm %s && systemctl daemon-reload" % " ".join(paths))
    host.assert_same(before, "something was left behind")


def test_what_is_refused_fails_the_pull(site, puller):
    before = puller.snapshot()
    site.publish({**VARIABLES, "isolated_daemon_user": "nobody-there"})
    with pytest.raises(CommandFailed, match="is not an account"):
        puller.ssh(PULL)
    puller.assert_same(before, "a refused run changed the host")


def test_without_the_repository_nothing_happens_unless_forced(fleet, site, puller):
    """A host whose repository is out of reach keeps what it has, and can repair itself from its copy."""
    site.publish(VARIABLES)
    puller.ssh(PULL)
    gone = PULL.replace("site.git", "gone.git")
    puller.ssh("ip link del v-app")
    with pytest.raises(CommandFailed):
        puller.ssh(gone)
    puller.ssh(gone + " --force")
    assert_published(fleet, puller)
