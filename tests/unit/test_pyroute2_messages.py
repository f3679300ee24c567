# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyroute2's message classes come without the rest of it, and leave no trace in an interpreter that others share."""

from __future__ import annotations

import subprocess
import sys

START = """
import sys
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink, pyroute2_messages

def encoded():
    return [
        netlink.encode("link", {"index": 7}, [("IFLA_IFNAME", "eth0"), ("IFLA_MTU", 1400)]),
        netlink.encode("address", {"family": 2, "index": 7}, [("IFA_LOCAL", "192.0.2.1")]),
        netlink.encode("route", {"family": 10}, [("RTA_GATEWAY", "2001:db8::1")]),
        netlink.encode("rule", {"family": 2}, [("FRA_PRIORITY", 100)]),
    ]

def loaded():
    return [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]
"""


def run(script):
    done = subprocess.run([sys.executable, "-c", START + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_else_of_it_is_loaded():
    run("assert all(encoded()); assert not loaded(); assert 'asyncio' not in sys.modules")


def test_others_can_import_it_afterwards():
    run("before = encoded(); import pyroute2; pyroute2.IPRoute, pyroute2.netlink.rtnl; assert encoded() == before")


def test_what_others_have_imported_is_used_and_stays():
    run(
        """
import pyroute2
there = loaded()
classes = pyroute2_messages.message_classes()
assert classes["link"] is sys.modules["pyroute2.netlink.rtnl.ifinfmsg"].ifinfmsg
assert all(encoded()) and set(there) <= set(loaded()) and sys.modules["pyroute2"] is pyroute2
"""
    )


def test_both_ways_write_the_same():
    run("before = encoded(); import pyroute2; netlink._SHAPES.clear(); assert encoded() == before")


def test_a_facade_whose_modules_are_elsewhere_is_run(tmp_path):
    # As pyroute2 0.6 is: the package itself has no modules, and makes aliases when it is imported.
    (tmp_path / "pyroute2").mkdir()
    (tmp_path / "pyroute2" / "__init__.py").write_text(
        """
import sys, types
for name in ("ifinfmsg", "ifaddrmsg", "rtmsg", "fibmsg", "ndmsg"):
    module = types.ModuleType(name)
    setattr(module, name, name + " of the facade")
    sys.modules["pyroute2.netlink.rtnl." + name] = module
for parent in ("pyroute2.netlink", "pyroute2.netlink.rtnl"):
    sys.modules[parent] = types.ModuleType(parent)
"""
    )
    run(
        f"""
sys.path.insert(0, {str(tmp_path)!r})
assert pyroute2_messages.message_classes()["route"] == "rtmsg of the facade"
assert not loaded()
"""
    )
