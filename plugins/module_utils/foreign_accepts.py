# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a namespace's ruleset takes beside other firewalls. Not imported where there are none: most hosts have none."""

from __future__ import annotations

from collections.abc import Sequence

from .accept_chain import wanted_state
from .compile.coexistence import declared_packets, dropped_text, needed_accepts
from .compile.firewall import Inside
from .compile.firewalld_policy import firewalld_policy, without_policy
from .compile.reach import Reach
from .compile.wanted import Wanted
from .desired.names import HOST
from .desired.state import State
from .doors.nft import FAMILY, TABLE
from .foreign_firewall import Listing
from .objects.firewalld_policy import FIREWALLD, FOLDER, FirewalldPolicy
from .objects.foreign_accept import ForeignAccept
from .snapshot import Snapshot

OWN_TABLE = (FAMILY, TABLE)


def add_accepts(
    netns: str, states: Sequence[State], where: Reach, inside: Sequence[Inside], snapshot: Snapshot, wanted: Wanted
) -> list[tuple[str, bool]]:
    """Add to *wanted* the accepts without which other firewalls would drop what *states* declare.

    Returns what is dropped all the same, as (sentence, whether that is certain and cannot come right).
    """
    listing = snapshot.foreign_tables(netns) or Listing.of(())
    packets = list(declared_packets(netns, states, where, inside))
    accepts = needed_accepts(without_policy(listing), packets, OWN_TABLE)
    policy = FirewalldPolicy()
    firewalld = netns == HOST and accepts.concern(FIREWALLD) and snapshot.system.files.is_directory(FOLDER)
    if firewalld:
        keep_policy(states, inside, wanted)
        if policy.observed(snapshot) == wanted.objects.get(policy):  # and may have been loaded
            accepts = needed_accepts(listing, packets, OWN_TABLE)
    for (family, table), chains in accepts.chains.items():
        wanted.add(ForeignAccept(netns, family, table), wanted_state(chains))
    found = []
    for label, verdict in accepts.dropped:
        reloads = policy in wanted.objects and (verdict.family, verdict.table) == FIREWALLD
        found.append((dropped_text(label, verdict, reloads), verdict.certain and not reloads))
    return found


def keep_policy(states: Sequence[State], inside: Sequence[Inside], wanted: Wanted) -> None:
    """Have firewalld accept it, too, when it makes its table anew."""
    text = firewalld_policy(HOST, states, inside)
    if text:
        wanted.add(FirewalldPolicy(), text)
