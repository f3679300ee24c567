# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which tracked flows contradict the forwards and NATs that hold from now on. Pure.

A flow keeps the translation it began with for as long as packets come. A changed forward would go on delivering to
the old place (UDP clients that never pause, for hours), a removed one would stay open for whoever was connected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..desired import cidr
from ..desired.netns_forward import Forward
from ..desired.netns_nat import Nat
from ..doors.conntrack import IPS_DST_NAT, IPS_SRC_NAT, Flow


def stale_flows(
    flows: Iterable[Flow],
    local: set[cidr.Address],
    before: tuple[Sequence[Forward], Sequence[Nat]],
    after: tuple[Sequence[Forward], Sequence[Nat]],
) -> list[Flow]:
    """Flows to forget. *local* are the namespace's own addresses; *before* and *after* hold its (forwards, NATs)."""
    old_forwards, new_forwards = _by_protocol(before[0]), _by_protocol(after[0])
    return [
        flow
        for flow in flows
        if _wrong_target(
            flow,
            local,
            old_forwards.get((flow.version, flow.protocol), ()),
            new_forwards.get((flow.version, flow.protocol), ()),
        )
        or _wrong_source(flow, local, before[1], after[1], new_forwards.get((flow.version, flow.protocol), ()))
    ]


def _by_protocol(forwards: Sequence[Forward]) -> dict[tuple[int, str], list[Forward]]:
    found: dict[tuple[int, str], list[Forward]] = {}
    for forward in forwards:
        for protocol in forward.protocol:
            found.setdefault((forward.version, protocol), []).append(forward)
    return found


def _wrong_target(flow: Flow, local: set[cidr.Address], old: Sequence[Forward], new: Sequence[Forward]) -> bool:
    taken = [forward for forward in new if _takes(forward, flow, local)]
    if any(_delivers(forward, flow) for forward in taken):
        return False
    if flow.status & IPS_DST_NAT:
        return any(_takes(forward, flow, local) and _delivers(forward, flow) for forward in old)
    # A datagram flow that began before the forward goes past it; a TCP connection to the host itself may end in peace.
    return flow.protocol == "udp" and bool(taken)


def _takes(forward: Forward, flow: Flow, local: set[cidr.Address]) -> bool:
    return (
        forward.port.first <= flow.port <= forward.port.last
        and (
            flow.destination in forward.listen_address
            if forward.listen_address
            else flow.destination in local or flow.destination.is_loopback
        )
        and (not forward.sources or any(flow.source in network for network in forward.sources))
    )


def _delivers(forward: Forward, flow: Flow) -> bool:
    return (
        flow.answers == forward.to_address
        and flow.answers_port == flow.port + forward.to_port.first - forward.port.first
    )


def _wrong_source(
    flow: Flow,
    local: set[cidr.Address],
    old: Sequence[Nat],
    new: Sequence[Nat],
    forwards: Sequence[Forward],
) -> bool:
    before, after = ([nat for nat in nats if _leaves_by(nat, flow)] for nats in (old, new))
    if not flow.status & IPS_SRC_NAT:
        # Datagrams that went out before there was a NAT would go on under an address that nobody can answer to.
        inward = flow.destination in local or flow.destination.is_loopback or flow.status & IPS_DST_NAT
        return flow.protocol == "udp" and not inward and bool(after) and not before
    if flow.status & IPS_DST_NAT and any(_takes(item, flow, local) and _delivers(item, flow) for item in forwards):
        return False  # a namespace that reaches itself by its forward, which hides it, whatever NAT there is
    kept = [nat for nat in after if _hides(nat, flow, local)]
    return bool(before) and not any(
        not nat.out_interface or nat.out_interface == was.out_interface for nat in kept for was in before
    )


def _leaves_by(nat: Nat, flow: Flow) -> bool:
    """Whether a flow is one of a NAT's, if it leaves through an interface of its."""
    return any(flow.source in network for network in nat.source if network.version == flow.version) and not any(
        flow.answers in network for network in nat.exclude if network.version == flow.version
    )


def _hides(nat: Nat, flow: Flow, local: set[cidr.Address]) -> bool:
    """Whether a NAT gives a flow the address that it has."""
    if nat.to_address is None:
        return flow.answers_to in local
    first, last = nat.to_address
    return first.version == flow.version and int(first) <= int(flow.answers_to) <= int(last)
