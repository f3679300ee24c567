# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The nft door: our one table in each namespace, read and replaced through the ``nft`` command.

The command, not the library: nft 1.0.6 can crash on some input, and a crash must not take the module with it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any, Optional

from ..errors import MissingDependency, SystemRefused
from .in_namespace import enter_new, in_namespace, in_thread
from .nft_chains import forward_chains

FAMILY = "inet"
TABLE = "linuxnet_netns"

_SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


class Nft:
    """Texts in and out are nft's own language; a missing table is None."""

    def __init__(self) -> None:
        self._program: Optional[str] = None

    def require(self) -> str:
        """The path of nft, or MissingDependency with the package's name."""
        if self._program is None:
            self._program = _which("nft")
        if self._program is None:
            raise MissingDependency("the command nft was not found on this host; install the package nftables")
        return self._program

    def table(self, netns: str) -> Optional[str]:
        """Our table as nft prints it, without counters and handles; None if there is none."""
        return in_namespace(netns, self._list)

    def raw_table(self, netns: str) -> Optional[str]:
        """Our table as JSON with counters, for netns_info."""
        return in_namespace(netns, lambda: self._list("--json"))

    def ruleset(self, netns: str) -> str:
        """All tables of a namespace, whoever made them, as JSON."""
        return in_namespace(netns, lambda: self._run(["--json", "list", "ruleset"]))

    def replace(self, netns: str, body: Optional[str]) -> None:
        """Put *body* in place of whatever our table holds, or remove the table, in a single transaction.

        Deleting and adding in two transactions would drop the kernel's NAT hooks in between, and established
        connections would leak out untranslated and be reset.
        """
        in_namespace(netns, lambda: self._run(["--file", "-"], replacement(body)))

    def canonical(self, body: str) -> str:
        """*body* as this very nft prints it after the kernel took it: loaded into a scratch namespace and listed.

        nft rewrites what it is given (order, merged ranges, cleared host bits), differently from release to
        release; two listings by the same nft can be compared as text.
        """

        def work() -> str:
            enter_new()
            self._run(["--file", "-"], replacement(body))
            return self._list() or ""

        return in_thread(work)

    def forward_tables(self, netns: str) -> set[tuple[str, str]]:
        """The tables of others that look at what is forwarded, as (family, table). Costs no process."""
        return {(chain.family, chain.table) for chain in forward_chains(netns)} - {(FAMILY, TABLE)}

    def listing(self, netns: str, tables: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
        """Tables as ``nft --json`` lists them: the list under ``"nftables"``. One that just went is left out.

        A table at a time: nft 1.0.6 finds but the last one of a call, and what is in others need not be understood.
        """

        def work() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            for family, table in sorted(tables):
                found += _parsed(self._list("--json", family, table) or '{"nftables": []}')
            return found

        return in_namespace(netns, work)

    def run_script(self, netns: str, script: str) -> None:
        """Commands in nft's language, as one transaction."""
        in_namespace(netns, lambda: self._run(["--file", "-"], script))

    def restore_iptables(self, netns: str, family: str, script: str) -> bool:
        """A script of iptables-restore(8) for a table that iptables-nft made, which is not flushed; False if there is
        no such program."""
        name = "iptables" if family == "ip" else "ip6tables"
        found = [_which(f"{name}-nft-restore"), _which(f"{name}-restore")]
        program = next((path for path in found if path), None)
        if program is None:
            return False
        in_namespace(netns, lambda: self._run(["--noflush", "--wait", "5"], script, program))
        return True

    def has_chain(self, netns: str, family: str, table: str, chain: str) -> bool:
        """Whether a table has a chain."""
        try:
            in_namespace(netns, lambda: self._run(["--terse", "list", "chain", family, table, chain]))
        except SystemRefused as error:
            if "No such file or directory" in str(error):
                return False
            raise
        return True

    def take_policy_out_of_use(self, policy: str) -> None:
        """Have the running firewalld forget a policy whose file it has read; its other runtime settings stay."""
        program = _which("firewall-cmd")
        if program:
            self._run(["--quiet", f"--policy={policy}", "--remove-ingress-zone=ANY"], program=program)

    def _list(self, form: str = "--stateless", family: str = FAMILY, table: str = TABLE) -> Optional[str]:
        try:
            return self._run([form, "list", "table", family, table])
        except SystemRefused as error:
            if "No such file or directory" in str(error):
                return None
            raise

    def _run(self, arguments: list[str], script: Optional[str] = None, program: Optional[str] = None) -> str:
        done = subprocess.run(  # pylint: disable=ansible-bad-function  # there is no AnsibleModule down here
            [program or self.require(), *arguments],
            input=script,
            check=False,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            stdin=subprocess.DEVNULL if script is None else None,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode != 0:
            end = f"exit code {done.returncode}" if done.returncode > 0 else f"ended by signal {-done.returncode}"
            reason = " ".join(done.stderr.split()) or end
            raise SystemRefused(f"{os.path.basename(program or 'nft')}: {reason[:600]}")
        return done.stdout


def _which(name: str) -> Optional[str]:
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)


def _parsed(text: str) -> list[dict[str, Any]]:
    try:
        return list(json.loads(text)["nftables"])
    except (ValueError, LookupError, TypeError) as error:
        raise SystemRefused(f"nft: the listing of a table cannot be read ({error})") from None


def replacement(body: Optional[str]) -> str:
    """A script that replaces our table by ``table inet linuxnet_netns {body}`` or removes it.

    ``destroy`` is unknown to nft 1.0.6; declaring the empty table first makes ``delete`` safe.
    """
    name = f"table {FAMILY} {TABLE}"
    script = f"{name} {{\n}}\ndelete {name}\n"
    return script if body is None else f"{script}{name} {{\n{body}}}\n"
