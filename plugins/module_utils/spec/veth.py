# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of a veth pair: those of its first end, and under ``peer`` the same for the other one."""

from __future__ import annotations

ROUTE = dict(
    to=dict(type="str", required=True),
    via=dict(type="str"),
    metric=dict(type="int"),
    table=dict(type="str", default="main"),
    source=dict(type="str"),
    onlink=dict(type="bool", default=False),
    type=dict(type="str", default="unicast", choices=["unicast", "blackhole", "unreachable", "prohibit", "throw"]),
)

END = dict(
    name=dict(type="str", required=True),
    netns=dict(type="str"),
    addresses=dict(type="list", elements="str"),
    mac=dict(type="str"),
    mtu=dict(type="int"),
    up=dict(type="bool", default=True),
    bridge=dict(type="str"),
    gateway=dict(type="str"),
    gateway6=dict(type="str"),
    routes=dict(type="list", elements="dict", options=ROUTE),
)

OPTIONS = dict(END, peer=dict(type="dict", options=END))
