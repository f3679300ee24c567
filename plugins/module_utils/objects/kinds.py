# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The kinds of objects by name, to read them back from the ledger. A new kind is one line here."""

from __future__ import annotations

from typing import Any

from .directory import Directory
from .enablement import Enablement
from .kernel_object import KernelObject
from .link_address import LinkAddress
from .link_route import LinkRoute
from .link_setting import LinkSetting
from .namespace import Namespace
from .nft_table import NftTable
from .policy_rule import PolicyRule
from .program import Program
from .running_service import RunningService
from .sysctl import Sysctl
from .text_file import TextFile
from .unit_file import UnitFile
from .veth_pair import VethPair

KINDS: dict[str, Any] = {
    kind.kind: kind
    for kind in (
        Directory,
        Program,
        TextFile,
        Namespace,
        NftTable,
        VethPair,
        LinkSetting,
        LinkAddress,
        Sysctl,
        LinkRoute,
        UnitFile,
        Enablement,
        RunningService,
        PolicyRule,
    )
}


def from_fields(fields: list[Any]) -> KernelObject:
    """The inverse of KernelObject.fields(); raises KeyError or TypeError on anything else."""
    return KINDS[fields[0]](*fields[1:])
