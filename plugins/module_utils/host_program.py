# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The engine's own source, to be installed on hosts that bring their namespaces back without Ansible."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from .compile.persistence import PACKAGE
from .errors import SystemRefused

if TYPE_CHECKING:
    from . import host_command, watchdog  # noqa: F401  # not used here, but by this Ansible knows that it has to come along

#: All that host_command and watchdog import, directly or not. A test compares it with what the files say.
MODULES: tuple[str, ...] = (
    "accept_chain",
    "accept_mark",
    "apply",
    "compile.coexistence",
    "compile.firewall",
    "compile.firewalld_policy",
    "compile.forwarding",
    "compile.netns",
    "compile.netns_service",
    "compile.persistence",
    "compile.reach",
    "compile.stale_flows",
    "compile.unit_text",
    "compile.veth",
    "compile.wanted",
    "confirmation",
    "desired.cidr",
    "desired.names",
    "desired.netns",
    "desired.netns_forward",
    "desired.netns_nat",
    "desired.netns_service",
    "desired.policy_rule",
    "desired.ports",
    "desired.state",
    "desired.tables",
    "desired.veth",
    "doors.conntrack",
    "doors.files",
    "doors.in_namespace",
    "doors.netlink",
    "doors.netlink_kept",
    "doors.netlink_messages",
    "doors.netns_mounts",
    "doors.nft",
    "doors.nft_chains",
    "doors.processes",
    "doors.pyroute2_messages",
    "doors.systemd",
    "engine",
    "errors",
    "foreign_accepts",
    "foreign_firewall",
    "host_command",
    "host_program",
    "ledger",
    "lock",
    "lockout",
    "nft_match",
    "nft_text",
    "objects.directory",
    "objects.enablement",
    "objects.firewalld_policy",
    "objects.foreign_accept",
    "objects.kernel_object",
    "objects.kinds",
    "objects.link_address",
    "objects.link_neighbour",
    "objects.link_route",
    "objects.link_setting",
    "objects.namespace",
    "objects.nft_table",
    "objects.physical_link",
    "objects.policy_rule",
    "objects.process",
    "objects.program",
    "objects.running_service",
    "objects.sysctl",
    "objects.text_file",
    "objects.unit_file",
    "objects.veth_pair",
    "plan",
    "preflight",
    "request",
    "restore",
    "rulesets",
    "services",
    "snapshot",
    "system",
    "watchdog",
)

_SYSTEM_PYTHON = "/usr/bin/python3"


def interpreter() -> str:
    """The Python that runs this, and so has pyroute2: the system's by the name that outlives an upgrade. That of a
    virtual environment is often a link to the system's, but has packages of its own."""
    virtual = sys.prefix != sys.base_prefix
    if not sys.executable or (not virtual and os.path.realpath(sys.executable) == os.path.realpath(_SYSTEM_PYTHON)):
        return _SYSTEM_PYTHON
    return sys.executable


def source() -> dict[str, str]:
    """Texts of the program by path. They come from wherever this module was loaded from: a folder, the archive in
    which Ansible sends modules, or Mitogen's importer."""
    texts = {f"{PACKAGE}/{name.replace('.', '/')}.py": _text(name) for name in MODULES}
    # Real packages, or those of another version would win over them where both are on the path (host_copy.py).
    packages = {os.path.dirname(path) for path in texts} - {PACKAGE}
    return {**texts, **{f"{package}/__init__.py": "" for package in packages}}


def _text(name: str) -> str:
    full_name = f"{__package__}.{name}"
    spec = importlib.util.find_spec(full_name)
    text = None
    if spec and spec.loader:
        text = spec.loader.get_source(full_name)  # type: ignore[attr-defined]
        if text is None:
            # Mitogen's importer has a source once the module was made; making it does not run it.
            importlib.util.module_from_spec(spec)
            text = spec.loader.get_source(full_name)  # type: ignore[attr-defined]
    if text is None:
        raise SystemRefused(f"the source of {full_name} cannot be read, and so the host cannot get a copy of it")
    return text
