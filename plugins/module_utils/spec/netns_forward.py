# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of an inbound port forward."""

from __future__ import annotations

OPTIONS = dict(
    name=dict(type="str", required=True),
    netns=dict(type="str"),
    protocol=dict(type="list", elements="str", default=["tcp"], choices=["tcp", "udp", "sctp"]),
    port=dict(type="str", required=True),
    listen_address=dict(type="list", elements="str", default=[]),
    in_interface=dict(type="list", elements="str", default=[]),
    to_address=dict(type="str", required=True),
    to_port=dict(type="str"),
    sources=dict(type="list", elements="str", default=[]),
    hairpin=dict(type="bool", default=True),
)
