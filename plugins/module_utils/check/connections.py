# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What conntrack will know of the connection: how each namespace changed it, to undo that for the answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional

from .packet import ESTABLISHED, Packet


@dataclass(frozen=True)
class Entry:
    """The first packet as a namespace got it, and as it let it go."""

    netns: str
    first: Packet
    last: Packet


@dataclass
class Connections:
    """The entries, in the order of the way."""

    entries: list[Entry] = field(default_factory=list)

    def of_answer(self, netns: str, answer: Packet) -> Optional[Entry]:
        """The entry that an answer belongs to in a namespace."""
        ends = (answer.source, answer.destination)
        for entry in reversed(self.entries):
            if entry.netns == netns and (entry.last.destination, entry.last.source) == ends:
                return entry
        return None


def answer_to(packet: Packet) -> Packet:
    """What whoever got *packet* sends back."""
    return Packet(
        source=packet.destination,
        destination=packet.source,
        protocol=packet.protocol,
        source_port=packet.port,
        port=packet.source_port,
        state=ESTABLISHED,
    )


def known_here(answer: Packet, entry: Optional[Entry]) -> Packet:
    """The answer as it enters a namespace: its connection is known there, and back is its own destination."""
    if entry is None:
        return replace(answer, original=None, dnat=False, snat=False)
    return replace(
        answer,
        destination=entry.first.source,
        port=entry.first.source_port,
        original=(entry.first.source, entry.first.destination),
        dnat=entry.last.dnat,
        snat=entry.last.snat,
    )


def as_asked(answer: Packet, entry: Optional[Entry]) -> Packet:
    """The answer as it leaves a namespace: from the address that was asked."""
    if entry is None:
        return answer
    return replace(answer, source=entry.first.destination, source_port=entry.first.port)
