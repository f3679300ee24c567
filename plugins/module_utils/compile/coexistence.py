# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Where other firewalls would drop what is declared, and which accept in their tables helps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Optional

from ..accept_chain import ForeignTable, with_accept
from ..accept_mark import MARK, MARKED_FROM
from ..desired import cidr
from ..desired.state import State
from ..foreign_firewall import Listing, Packet, Verdict
from .firewall import Inside
from .reach import Reach

#: So many chains of one ruleset drop the same packet at most.
_MOST_CHAINS = 16


@dataclass
class Accepts:
    """``chains`` by (family, table): where an accept is needed. ``dropped``: declarations that none helps, each with
    the verdict."""

    chains: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    dropped: list[tuple[str, Verdict]] = field(default_factory=list)

    def concern(self, place: tuple[str, str]) -> bool:
        """Whether the table at *place* drops anything that is declared."""
        return place in self.chains or any(place == (item.family, item.table) for _label, item in self.dropped)


def declared_packets(
    netns: str, states: Iterable[State], where: Reach, inside: Iterable[Inside]
) -> Iterator[tuple[str, Packet]]:
    """A packet of each flow that is declared for *netns* and passes one of our links, with the declaration's name; and
    one that answers it."""
    ours = {item.link for item in inside}
    seen: set[Packet] = set()
    for label, packet in _packets(netns, states, where, inside):
        if packet not in seen and {packet.in_interface, packet.out_interface} & ours:
            seen.add(packet)
            yield label, packet


def _packets(netns: str, states: Iterable[State], where: Reach, inside: Iterable[Inside]) -> Iterator:
    for state in states:
        for nat in state.nat:
            if nat.netns != netns or not nat.forward:
                continue
            for version in nat.versions:
                for net in cidr.of_version(nat.source, version):
                    for link in where.towards([net]):
                        for out in nat.out_interface or where.defaults[version]:
                            packet = Packet("forward", link, out, version, _single(net))
                            yield f"nat {nat.name}", packet
                            yield f"nat {nat.name}", _answer(packet)
        for forward in state.forwards:
            if forward.netns != netns:
                continue
            target = str(forward.to_address)
            for link in where.towards([cidr.network("to_address", target)]):
                for source in forward.in_interface or where.defaults[forward.version]:
                    for protocol in forward.protocol:
                        packet = Packet(
                            *("forward", source, link, forward.version, None, target, protocol),
                            port=forward.to_port.first,
                            ct_status_dnat=True,
                        )
                        yield f"forward {forward.name}", packet
                        yield f"forward {forward.name}", _answer(packet)
    for item in inside:
        for friend in item.friends:
            for version in {net.version for net in item.sources or ()}:
                yield "isolate: false", Packet("forward", item.link, friend, version)


def _single(net: cidr.Network) -> Optional[str]:
    """The address, if it is but one: a rule may speak of some of a network."""
    return str(net.network_address) if net.prefixlen == net.max_prefixlen else None


def _answer(packet: Packet) -> Packet:
    return replace(
        packet,
        in_interface=packet.out_interface,
        out_interface=packet.in_interface,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.port,
        port=packet.source_port,
        ct_state="established",
    )


def needed_accepts(listing: Listing, packets: Iterable[tuple[str, Packet]], own_table: tuple[str, str]) -> Accepts:
    """What it takes for *packets* to pass all other tables of *listing*, whatever of it is there already."""
    found = Accepts()
    for place in {base.place for base in listing.bases if base.place != own_table}:
        listing = with_accept(listing, *place, ())
    for label, packet in packets:
        for _chain in range(_MOST_CHAINS):
            verdict = listing.verdict(packet, own_table)
            if verdict.accepted is not False:
                break
            place = verdict.family, verdict.table
            table = ForeignTable.of(listing, *place)
            chain = table.chain_for(verdict)
            chains = found.chains.get(place, set())
            if chain is None or chain in chains or place in listing.owned or verdict.priority <= MARKED_FROM:
                if all(verdict != other for _label, other in found.dropped):
                    found.dropped.append((label, verdict))
                break
            found.chains[place] = {*chains, chain}
            listing = with_accept(listing, *place, found.chains[place])
    return found


def dropped_text(label: str, verdict: Verdict, reloads: bool = False) -> str:
    """What to tell an operator about a declaration that another firewall drops. *reloads*: firewalld will accept it
    once it has read our policy."""
    sure = "is dropped" if verdict.certain else "may be dropped"
    if reloads:
        remedy = (
            "nobody but firewalld can write to its table, and its policy linuxnet-netns, which accepts it, is read by "
            "firewall-cmd --reload; that forgets what was changed at runtime alone, and so is left to you"
        )
    elif verdict.priority <= MARKED_FROM and not verdict.rule.startswith("policy"):
        remedy = "remove that rule, or accept there what comes and goes through the namespaces' links"
    elif verdict.priority <= MARKED_FROM:
        remedy = "accept there what comes and goes through the namespaces' links, or give the chain priority 0 (filter)"
    else:
        line = f"meta mark & {MARK:#x} == {MARK:#x} accept"
        remedy = f"remove that rule, or put before it: {line}"
    return f"{label} {sure} by another firewall: {verdict}; {remedy}"
