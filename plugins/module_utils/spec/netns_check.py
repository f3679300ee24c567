# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of a check."""

from __future__ import annotations

OPTIONS = dict(
    netns=dict(type="str"),
    direction=dict(type="str", default="out", choices=["out", "in"]),
    to_address=dict(type="str"),
    port=dict(type="int"),
    protocol=dict(type="str", choices=["tcp", "udp", "sctp", "icmp"]),
    source=dict(type="str"),
    in_interface=dict(type="str"),
    out_interface=dict(type="str"),
    to_netns=dict(type="str"),
    size=dict(type="int"),
    require_nat=dict(type="bool"),
    fail=dict(type="bool", default=False),
)
