# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of an outbound NAT."""

from __future__ import annotations

OPTIONS = dict(
    name=dict(type="str", required=True),
    netns=dict(type="str"),
    source=dict(type="list", elements="str", required=True),
    exclude=dict(type="list", elements="str", default=[]),
    out_interface=dict(type="list", elements="str", default=[]),
    to_address=dict(type="str"),
    forward=dict(type="bool", default=True),
)
