# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of a service that lives in a namespace."""

from __future__ import annotations

#: What a service can be asked to do. The module of its own also knows ``absent``.
STATES = ["started", "restarted", "stopped"]

OPTIONS = dict(
    name=dict(type="str", required=True),
    netns=dict(type="str", required=True),
    command=dict(type="str"),
    user=dict(type="str"),
    group=dict(type="str"),
    environment=dict(type="dict"),
    private_tmp=dict(type="bool", default=True),
    hardening=dict(type="dict"),
    enabled=dict(type="bool", default=True),
    state=dict(type="str", default="started", choices=STATES),
)
