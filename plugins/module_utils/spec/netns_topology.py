# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Options of a whole host: lists of the very same options that the modules for single resources take."""

from __future__ import annotations

from . import netns, netns_forward, netns_nat, netns_service, veth


def _items(options: dict) -> dict:
    return dict(type="list", elements="dict", default=[], options=options)


OPTIONS = dict(
    name=dict(type="str", default="default"),
    namespaces=_items(netns.OPTIONS),
    veths=_items(veth.OPTIONS),
    nat=_items(netns_nat.OPTIONS),
    forwards=_items(netns_forward.OPTIONS),
    services=_items(netns_service.OPTIONS),
    isolate=dict(type="bool", default=True),
    persist=dict(type="bool", default=False),
)
