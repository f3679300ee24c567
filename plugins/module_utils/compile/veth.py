# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A veth pair compiled into objects."""

from __future__ import annotations

import hashlib
from typing import Any

from ..desired.veth import End, Veth
from ..objects.kernel_object import PRESENT
from ..objects.link_address import LinkAddress
from ..objects.link_route import LinkRoute, route_value
from ..objects.link_setting import LinkSetting
from ..objects.policy_rule import PolicyRule, policy_rule
from ..objects.veth_pair import veth_pair
from .wanted import Wanted


def compile_veth(veth: Veth, wanted: Wanted, machine_id: str) -> None:
    """Objects of a pair. Without a peer the pair itself is not asked for, only what hangs on the one end."""
    if veth.peer is not None:
        settings = (_creation(veth.end, machine_id), _creation(veth.peer, machine_id))
        wanted.add(veth_pair(veth.end.place, veth.peer.place, settings), PRESENT)
    for end in veth.ends:
        _compile_end(end, wanted)


def _compile_end(end: End, wanted: Wanted) -> None:
    for setting in ("mac", "mtu", "bridge", "up"):
        value = getattr(end, setting)
        if value is not None:
            wanted.add(LinkSetting(end.netns, end.name, setting), value)
    for item in end.addresses or ():
        wanted.add(LinkAddress(end.netns, end.name, str(item)), PRESENT)
    for route in end.all_routes:
        link = end.name if route.type == "unicast" else ""
        wanted.add(
            LinkRoute(end.netns, link, route.table, str(route.to), route.metric),
            route_value(route.type, route.via, route.source, route.onlink),
        )
    for rule in end.rules or ():
        wanted.add(*policy_rule(end.netns, rule))
    if end.addresses is not None:
        wanted.whole.add((LinkAddress.kind, end.netns, end.name))
    if end.routes is not None:
        wanted.whole.add((LinkRoute.kind, end.netns, end.name))
    if end.rules is not None:
        wanted.whole.add((PolicyRule.kind, end.netns, end.name))


def _creation(end: End, machine_id: str) -> dict[str, Any]:
    return {"mac": end.mac or stable_mac(machine_id, end.netns, end.name), "mtu": end.mtu, "up": end.up}


def stable_mac(machine_id: str, netns: str, link: str) -> str:
    """A locally administered address that is the same whenever this interface is made on this machine.

    Neighbours keep what they learnt over a rebuild, and udev, which gives random addresses a new value behind our
    back, leaves one alone that was set at creation.
    """
    digest = hashlib.sha256(f"{machine_id}\0{netns}\0{link}".encode("utf-8", "surrogateescape")).digest()
    return bytes([digest[0] & 0xFC | 0x02, *digest[1:6]]).hex(":")
