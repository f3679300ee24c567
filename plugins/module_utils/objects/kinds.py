# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The kinds of objects by name, to read them back from the ledger. A new kind is one line here."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from .directory import Directory
from .enablement import Enablement
from .firewalld_policy import FirewalldPolicy
from .foreign_accept import ForeignAccept
from .kernel_object import KernelObject, Value
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
        ForeignAccept,
        FirewalldPolicy,
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


#: By kind, the types of the fields that identify an object.
_TYPES: dict[str, list[Any]] = {
    name: [{"str": str, "int": int}[str(item.type)] for item in dataclasses.fields(kind) if item.compare]
    for name, kind in KINDS.items()
}


def from_fields(fields: list[Any]) -> KernelObject:
    """The inverse of KernelObject.fields(); raises LookupError, TypeError or ValueError on anything else."""
    kind, *values = fields
    if [type(value) for value in values] != _TYPES[kind]:
        raise TypeError(f"{values} do not make a {kind}")
    for value in values:
        if isinstance(value, str) and not (value.isascii() and "\0" not in value):
            os.fsencode(value)  # what is no name of a file is none of an object either
            if "\0" in value:
                raise ValueError(f"{value!r} cannot be a name")
    return KINDS[kind](*values)


def with_value(item: KernelObject, value: Any) -> tuple[KernelObject, Value]:
    """*item* and the *value* that it had before us; raises LookupError, TypeError or ValueError for one that it cannot
    have had."""
    if value is not None:
        item.check(value)
    return item, value
