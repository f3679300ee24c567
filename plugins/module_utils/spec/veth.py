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

#: In the words of `ip rule`, two of which Python does not take as keywords.
RULE = {
    "priority": dict(type="int", required=True),
    "not": dict(type="bool", default=False),
    "from": dict(type="str"),
    "to": dict(type="str"),
    "iif": dict(type="str"),
    "oif": dict(type="str"),
    "fwmark": dict(type="str"),
    "action": dict(type="str", default="lookup", choices=["lookup", "blackhole", "unreachable", "prohibit"]),
    "table": dict(type="str", default="main"),
}

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
    rules=dict(type="list", elements="dict", options=RULE),
)

OPTIONS = dict(END, peer=dict(type="dict", options=END))
