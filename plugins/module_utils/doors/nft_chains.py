# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The netlink door's view of nftables: which tables have a chain at a hook. No process: every run asks this."""

from __future__ import annotations

import errno
import socket
import struct
from typing import NamedTuple, Optional

from ..errors import SystemRefused
from . import netlink_messages as wire
from .conntrack import NETLINK_NETFILTER
from .in_namespace import in_namespace
from .netlink import NetlinkSocket

_NEW_CHAIN, _GET_CHAIN = 0x0A03, 0x0A04
_TABLE, _NAME, _HOOK = 1, 3, 4
_HOOK_NUMBER, _HOOK_PRIORITY = 1, 2
_FAMILIES = {socket.AF_INET: "ip", socket.AF_INET6: "ip6", 1: "inet"}
_FORWARD = 2
#: No nf_tables in this kernel, or not for us.
_WITHOUT = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.ENOENT, errno.EPERM)


class ForwardChain(NamedTuple):
    """A base chain at the forward hook, with its family and table by nft's names."""

    family: str
    table: str
    name: str
    priority: int


def forward_chains(netns: str) -> list[ForwardChain]:
    """The base chains at the forward hook of *netns*, for IPv4 and IPv6; none where there is no nftables."""
    try:
        control = in_namespace(netns, lambda: NetlinkSocket(NETLINK_NETFILTER))
    except OSError:
        return []
    try:
        messages = control.dump(_GET_CHAIN, struct.pack(">BBH", socket.AF_UNSPEC, 0, 0))
        return [chain for chain in (_chain(item) for item in messages if item.kind == _NEW_CHAIN) if chain]
    except SystemRefused as error:
        if error.errno in _WITHOUT:
            return []
        raise
    finally:
        control.close()


@wire.understood
def _chain(message: wire.Message) -> Optional[ForwardChain]:
    (family,) = struct.unpack_from("=B", message.body)
    found = wire.attributes(message.body, 4)
    if family not in _FAMILIES or _HOOK not in found:
        return None
    hook = wire.attributes(found[_HOOK], 0)
    (number,) = struct.unpack(">I", hook.get(_HOOK_NUMBER, bytes(4)))
    (priority,) = struct.unpack(">i", hook.get(_HOOK_PRIORITY, bytes(4)))
    if number != _FORWARD:
        return None
    table, name = (found.get(kind, b"").rstrip(b"\0").decode("utf-8", "surrogateescape") for kind in (_TABLE, _NAME))
    return ForwardChain(_FAMILIES[family], table, name, priority)
