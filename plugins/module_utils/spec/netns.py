# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of a namespace."""

from __future__ import annotations

DNS = dict(
    nameservers=dict(type="list", elements="str", default=[]),
    search=dict(type="list", elements="str", default=[]),
    options=dict(type="list", elements="str", default=[]),
)

#: Without ``state``, which only the module of its own has; an item of a topology is present by being listed.
OPTIONS = dict(
    name=dict(type="str", required=True),
    loopback=dict(type="bool", default=True),
    sysctls=dict(type="dict"),
    dns=dict(type="dict", options=DNS),
    hosts=dict(type="dict"),
    processes=dict(type="str", default="fail", choices=["fail", "kill"]),
    timeout=dict(type="int", default=10),
)
