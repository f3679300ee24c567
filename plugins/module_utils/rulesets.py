# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The firewall and the forwarding switches of each namespace that a run has a part in."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from . import preflight
from .compile import forwarding
from .compile.firewall import Inside, compile_ruleset
from .compile.reach import Reach
from .compile.wanted import Wanted
from .desired.names import HOST, where
from .desired.state import State
from .errors import Clash
from .ledger import Ledger
from .objects.firewalld_policy import FIREWALLD, FirewalldPolicy
from .objects.foreign_accept import ForeignAccept
from .objects.nft_table import NftTable
from .snapshot import Snapshot
from .system import System


class Rulesets:
    """One table for each namespace holds what all owners want there.

    *state* is what the run is about, *states* are those of all owners, its own included. ``warnings`` say what was
    declared and cannot work yet. *lenient*: what another firewall drops is a warning, not an error.
    """

    def __init__(
        self, system: System, ledger: Ledger, state: State, states: Sequence[State], lenient: bool = False
    ) -> None:
        self.warnings: list[str] = []
        self._system = system
        self._ledger = ledger
        self._state = state
        self._states = states
        self._lenient = lenient
        self._canonical: dict[tuple[str, str], str] = {}
        self._per_interface_v6 = preflight.has_force_forwarding(system)

    def compile(self, netns: str, snapshot: Snapshot, wanted: Wanted, leaving: Collection[str] = ()) -> None:
        """*leaving* are links that go with this run."""
        ours = {name for name, link in snapshot.links(netns).items() if preflight.is_ours(link)}
        where_to = forwarding.view(netns, self._states, snapshot, ours.difference(leaving), leaving)
        inside = forwarding.inside_links(netns, self._states, where_to)
        needs = forwarding.paths(netns, self._state, where_to, [item.link for item in inside])
        made, per_interface_v6 = self._ledger.made, self._per_interface_v6
        switches = forwarding.sysctls(netns, needs, snapshot, where_to.ours.union(leaving), made, per_interface_v6)
        for switch, value in switches.items():
            wanted.add(switch, value)
        everyone = [forwarding.paths(netns, state, where_to, ()) for state in self._states]
        forward = {
            version: tuple(sorted({link for item in everyone for link in item.forward[version]})) for version in (4, 6)
        }
        opened = forwarding.opened_links(netns, forward, snapshot, made, per_interface_v6)
        marked = self._coexist(netns, snapshot, where_to, inside, wanted)
        body = compile_ruleset(forwarding.ruleset(netns, self._states, where_to, inside, opened, marked))
        if body is not None:
            listing = self._listing(netns, body, snapshot)
            wanted.add(NftTable(netns, listing, body), listing)
        self._warn(netns, where_to)

    def _coexist(
        self, netns: str, snapshot: Snapshot, where_to: Reach, inside: tuple[Inside, ...], wanted: Wanted
    ) -> bool:
        """Add the accepts without which other firewalls would drop what is declared; True if there are any."""
        others = snapshot.foreign_tables(netns)
        # While firewalld is stopped, it keeps the policy that it has.
        stopped = netns == HOST and FirewalldPolicy() in self._ledger.made and not (others and others.knows(*FIREWALLD))
        if others is None and not stopped:
            return False
        from .foreign_accepts import add_accepts, keep_policy

        if stopped:
            keep_policy(self._states, inside, wanted)
        for text, hopeless in add_accepts(netns, self._states, where_to, inside, snapshot, wanted):
            if hopeless and not self._lenient:
                raise Clash(text)
            if text not in self.warnings:
                self.warnings.append(text)
        return any(isinstance(item, ForeignAccept) and item.netns == netns for item in wanted.objects)

    def _listing(self, netns: str, body: str, snapshot: Snapshot) -> str:
        """What nft makes of *body*. It need not be asked again if the table still reads as it did when it was."""
        present = snapshot.table(netns)
        if present is not None and self._ledger.listings.get(netns) == [_digest(body), _digest(present)]:
            return present
        return self._listed(netns, body)

    def _listed(self, netns: str, body: str) -> str:
        if (netns, body) not in self._canonical:
            self._system.nft.require()
            self._canonical[netns, body] = self._system.nft.canonical(body)
        return self._canonical[netns, body]

    def _warn(self, netns: str, where_to: Reach) -> None:
        """Say what was declared and cannot work yet."""
        nat = [item for item in self._state.nat if item.netns == netns and item.forward]
        forwards = [item for item in self._state.forwards if item.netns == netns]
        texts = [
            f"nat {item.name}: no interface {where(netns)} leads to {net} yet; run this again when it is there"
            for item in nat
            for net in item.source
            if not where_to.towards([net])
        ]
        for version in (4, 6):
            needs_uplink = any(version in item.versions and not item.out_interface for item in nat) or any(
                item.version == version and not item.in_interface for item in forwards
            )
            if needs_uplink and not where_to.defaults[version]:
                texts.append(
                    f"there is no IPv{version} default route {where(netns)}, so forwarding was enabled on no uplink; "
                    "name it with in_interface or out_interface"
                )
        self.warnings.extend(text for text in texts if text not in self.warnings)

    def remember(self, wanted: Wanted) -> None:
        """Note how nft lists the rulesets that are wanted, now that it was asked."""
        tables = [item for item in wanted.objects if isinstance(item, NftTable)]
        self._ledger.listings.update({item.netns: [_digest(item.body), _digest(item.listing)] for item in tables})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
