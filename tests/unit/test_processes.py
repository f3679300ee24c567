# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which unit a process belongs to."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.processes import service_of, systemds_group

NESTED = "/machine.slice/machine-h1.scope/payload"


@pytest.mark.parametrize(
    ("group", "init", "unit"),
    [
        ("/system.slice/app.service", "/init.scope", "app.service"),
        ("/system.slice/system-app.slice/app@1.service", "/init.scope", "app@1.service"),
        ("/system.slice/app.service/nginx.service", "/init.scope", "app.service"),
        ("/user.slice/user-7.slice/user@7.service/app.slice/nginx.service", "/init.scope", "user@7.service"),
        ("/user.slice/user-0.slice/session-3.scope", "/init.scope", ""),
        (NESTED + "/system.slice/app.service", NESTED + "/init.scope", "app.service"),
        ("/outer.service/payload/system.slice/app.service", "/outer.service/payload/init.scope", "app.service"),
        ("/", "/", ""),
        ("", "", ""),
    ],
)
def test_it_is_the_outermost_one_of_this_system(group, init, unit):
    assert service_of(group, init) == unit


@pytest.mark.parametrize(
    ("lines", "group"),
    [
        (["0::/system.slice/a.service\n"], "/system.slice/a.service"),
        (["4:net_cls,net_prio:/\n", "1:name=systemd:/system.slice/a.service\n", "0::/\n"], "/system.slice/a.service"),
        (["9:name=systemd:/\n", "0::/system.slice/a.service\n"], "/system.slice/a.service"),
        (["9:name=systemd:/\n", "0::/\n"], "/"),
        (["0::/with:colons\n"], "/with:colons"),
        (["nonsense\n"], ""),
        ([], ""),
    ],
)
def test_it_is_looked_up_in_systemds_own_hierarchy(lines, group):
    assert systemds_group(lines) == group
