# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module, sent as a file or through a pipe, as root or by sudo. (test_router.py does this with the topology.)"""

from __future__ import annotations

import daemons
import every_module
import pytest

#: Not part of `make test`.
pytestmark = pytest.mark.slow

WAYS = {
    "root, no pipelining": {"user": "root", "pipelining": False},
    "admin": {"user": "admin", "pipelining": True},
    "admin, no pipelining": {"user": "admin", "pipelining": False},
}


def test_every_module_says_the_same_in_all_ways(host):
    daemons.install(host)
    before = host.snapshot()
    plain = every_module.live(host, user="root", pipelining=True)
    for name, way in WAYS.items():
        difference = every_module.difference(plain, every_module.live(host, **way))
        assert not difference, "%s:\n%s" % (name, difference)
        host.assert_same(before, "something was left behind, as " + name)
    # Files that were sent are gone.
    assert host.ssh("find /root/.ansible /home/admin/.ansible -type f 2>/dev/null || :") == ""


@pytest.mark.parametrize("user", ["root", "admin"])
def test_a_daemon_without_pipelining(fleet, host, user):
    """The persistent copy on the host is taken out of the file that was sent."""
    daemons.install(host)
    way = {"user": user, "pipelining": False}
    assert host.run_playbook(daemons.PLAYBOOK, daemons.VARIABLES, **way).changed() == 1
    daemons.assert_published(fleet, host)
    assert host.ssh("linuxnet-netns check") == ""
    # What was sent one way is the same as what was sent the other.
    assert host.run_playbook(daemons.PLAYBOOK, daemons.VARIABLES, user=user, pipelining=True).changed() == 0


def test_a_sudo_that_wants_a_terminal(host):
    """With requiretty, pipelining cannot work, and Ansible's default does when it asks ssh for a terminal."""
    host.write("/etc/sudoers.d/terminal", "Defaults requiretty\n", mode="0440")
    tasks = every_module.play([every_module.task("netns", every_module.NETNS)])
    failed = host.run_playbook(tasks, user="admin", pipelining=True, fails=True)
    assert "you must have a tty" in failed.output
    terminal = {"variables": {"ANSIBLE_SSH_USETTY": "true"}, "pipelining": False}
    assert host.run_playbook(tasks, user="admin", **terminal).changed() == 1
