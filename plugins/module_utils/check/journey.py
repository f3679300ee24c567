# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Walking a packet from namespace to namespace, as the kernel would. Pure: it looks at a Namespaces, and sends nothing.

Each stage of a stack is a method, in the kernel's order: routing, the hooks of the firewall, the link. The first one
that stops the packet raises Blocked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Optional, Union

from ..desired.cidr import Address
from ..desired.names import where
from ..doors import netlink_messages as wire
from ..foreign_firewall import verdict as foreign_verdict
from . import missing_route, reverse_path
from .connections import Connections, Entry, as_asked, known_here
from .hooks import OWN_TABLE, Outcome, own_filter, translation
from .packet import ESTABLISHED, NEW, Packet
from .private import leaves_for_good
from .route_lookup import Flow, Found, Refused, chosen_source, in_table, lookup, route_text
from .ruleset import Ruleset
from .segment import answering, segment
from .stack import Namespaces, Stack, link_at, link_named
from .tracked_match import UNKNOWN, at
from .translate import translated
from .verdict import Blocked, Hop, Verdict

_MOST_HOPS = 24
_LOCAL_TABLE = wire.RT_TABLE_LOCAL
_FIB_TYPES = {
    wire.RTN_LOCAL: "local",
    wire.RTN_BROADCAST: "broadcast",
    wire.RTN_ANYCAST: "anycast",
    wire.RTN_MULTICAST: "multicast",
}


class Delivered(NamedTuple):
    """The packet reached a socket's door in this namespace."""

    netns: str
    packet: Packet


class Left(NamedTuple):
    """The packet left for where nobody can look from here."""

    netns: str
    link: str
    packet: Packet


End = Union[Delivered, Left]


class Journey:
    """One connection: there() for its first packet, back() for the answer. They note what they check in *verdict*."""

    def __init__(
        self, namespaces: Namespaces, verdict: Verdict, size: Optional[int] = None, require_nat: Optional[bool] = None
    ) -> None:
        self.namespaces = namespaces
        self.verdict = verdict
        self.connections = Connections()
        #: Set until a packet from outside is in its first namespace: the address that it is to find there.
        self.expected_here: Optional[Address] = None
        self._size = size
        self._require_nat = require_nat
        self._hops = 0
        self._answering = ""
        self._rulesets: dict[str, Ruleset] = {}

    def send(self, netns: str, packet: Packet, bound: bool = False, out_interface: str = "") -> End:
        """A packet of the namespace's own. Unless *bound*, its source is chosen by the route."""
        self._answering = "answer: " if packet.state == ESTABLISHED else ""
        stack = self.namespaces.stack(netns)
        entry = self.connections.of_answer(netns, packet) if packet.state == ESTABLISHED else None
        if packet.state == ESTABLISHED:
            packet = known_here(packet, entry)
        if packet.destination.is_loopback:
            self._loopback_up(stack)
        route = self._route(stack, packet, bound, out_interface)
        if not bound and packet.state == NEW:
            source = chosen_source(route, stack.addresses, packet.destination)
            if source is None:
                raise missing_route.no_address(self.namespaces, stack, packet.version)
            packet = replace(packet, source=source)
            route = self._route(stack, packet, True, out_interface)
        if packet.state == NEW:
            packet = replace(packet, original=None)
        first = packet
        packet = packet.on(out_link=self._name(stack, route))
        changed = self._translate(stack, "output", packet)
        if changed.destination != packet.destination:
            route = self._route(stack, changed, True, "")
            changed = changed.on(out_link=self._name(stack, route))
        packet = self._filter(stack, "output", changed)
        if route.type in (wire.RTN_LOCAL, wire.RTN_ANYCAST):
            return self._to_itself(stack, first, packet, entry)
        return self._emit(stack, "", first, packet, route, entry)

    def arrive(self, netns: str, link: str, packet: Packet) -> End:
        """A packet that comes through a link."""
        self._hops += 1
        if self._hops > _MOST_HOPS:
            raise Blocked("route", "loop", f"{packet} goes round in circles, last {where(netns)}", "look at the routes")
        stack = self.namespaces.stack(netns)
        entry = None
        packet = packet.on(in_link=link)
        if packet.state == ESTABLISHED:
            entry = self.connections.of_answer(netns, packet)
        else:
            packet = replace(packet, original=None, dnat=False, snat=False, mark=0)
        first = packet
        # The tables see an answer with its connection's original direction, and still untranslated.
        known = known_here(packet, entry) if packet.state == ESTABLISHED else packet
        packet = self._filter(stack, "prerouting", replace(known, destination=packet.destination, port=packet.port))
        packet = self._translate(stack, "prerouting", packet) if packet.state == NEW else known
        self._martians(stack, packet)
        route = self._input_route(stack, packet)
        expected, self.expected_here = self.expected_here, None
        local = route.type in (wire.RTN_LOCAL, wire.RTN_ANYCAST, wire.RTN_BROADCAST, wire.RTN_MULTICAST)
        if not local:
            self._not_meant_for_others(stack, packet, route, expected)
            self._forwarding(stack, packet)
        self._reverse_path(stack, packet)
        if local:
            self._filter(stack, "input", packet)
            return self._delivered(stack, link, first, packet, entry, route)
        packet = self._filter(stack, "forward", packet.on(link, self._name(stack, route)))
        return self._emit(stack, link, first, packet, route, entry)

    def answer_arrives(self, netns: str, link: str, answer: Packet) -> End:
        """The answer of somebody outside, who cannot be seen, through the link by which the packet left."""
        self._answering = "answer: "
        return self.arrive(netns, link, answer)

    # -- stages --

    def _note(self, name: str, detail: str, ok: Optional[bool] = True) -> None:
        self.verdict.check(name, self._answering + detail, ok)

    def _blocked(self, name: str, cause: str, detail: str, remedy: str) -> Blocked:
        return Blocked(name, cause, self._answering + detail, remedy)

    def _name(self, stack: Stack, route: wire.FibRoute) -> str:
        if route.type == wire.RTN_LOCAL:
            return "lo"
        link = link_at(stack, route.index)
        return link.name if link else ""

    def _loopback_up(self, stack: Stack) -> None:
        link = link_named(stack, "lo")
        if link is not None and not link.up:
            raise self._blocked(
                "link",
                "link_down",
                f"lo is down {where(stack.name)}",
                f"set loopback: true in the netns module, or: ip -n {stack.name} link set lo up",
            )

    def _route(self, stack: Stack, packet: Packet, bound: bool, out_interface: str) -> wire.FibRoute:
        """Of a packet of the namespace's own."""
        oif = link_named(stack, out_interface) if out_interface else None
        if out_interface and oif is None:
            raise missing_route.no_link(self.namespaces, stack, out_interface)
        return self._found(
            stack,
            packet,
            Flow(
                packet.destination,
                packet.source if bound else None,
                oif=out_interface,
                oif_index=oif.index if oif else 0,
                mark=packet.mark,
                protocol=packet.protocol,
                source_port=packet.source_port,
                port=packet.port,
            ),
        )

    def _input_route(self, stack: Stack, packet: Packet) -> wire.FibRoute:
        return self._found(
            stack,
            packet,
            Flow(
                packet.destination,
                packet.source,
                iif=packet.in_link,
                mark=packet.mark,
                protocol=packet.protocol,
                source_port=packet.source_port,
                port=packet.port,
            ),
        )

    def _found(self, stack: Stack, packet: Packet, flow: Flow) -> wire.FibRoute:
        answer = lookup(stack.rules, stack.routes, flow)
        if answer is None or (isinstance(answer, Found) and _is_kernels_no(answer.route)):
            blocked = missing_route.explain(self.namespaces, stack, packet.destination)
            blocked.detail = self._answering + blocked.detail
            raise blocked
        if isinstance(answer, Refused):
            raise self._blocked(
                "route",
                "route_blackhole",
                f"the policy rule with priority {answer.rule.priority} {where(stack.name)} refuses packets to "
                f"{packet.destination}",
                f"remove the rule (ip{_netns(stack)} rule del priority {answer.rule.priority}), or narrow it",
            )
        route = answer.route
        if route.type in (wire.RTN_BLACKHOLE, wire.RTN_UNREACHABLE, wire.RTN_PROHIBIT):
            text = route_text(route, "")
            raise self._blocked(
                "route",
                "route_blackhole",
                f"the route {text} {where(stack.name)} takes {packet.destination}",
                f"remove it (ip{_netns(stack)} route del {text}), or add a more specific route",
            )
        self._note("route", f"{route_text(route, self._name(stack, route))} {where(stack.name)}")
        return route

    def _martians(self, stack: Stack, packet: Packet) -> None:
        """Loopback addresses do not travel."""
        if packet.in_link == "lo" or not (packet.destination.is_loopback or packet.source.is_loopback):
            return
        keys = [f"net/ipv4/conf/{item}/route_localnet" for item in ("all", packet.in_link)]
        if packet.version == 4 and any(stack.sysctl(key) == "1" for key in keys):
            return
        address = packet.destination if packet.destination.is_loopback else packet.source
        raise self._blocked(
            "address",
            "route_localnet",
            f"{address} cannot be reached from {packet.in_link} {where(stack.name)}: loopback addresses do not travel"
            + (" (route_localnet is off)" if packet.version == 4 else ""),
            "have the daemon listen on the namespace's own address and forward to that; or proxy (for instance "
            "systemd-socket-proxyd). route_localnet would open 127.0.0.0/8 to the network",
        )

    def _not_meant_for_others(
        self, stack: Stack, packet: Packet, route: wire.FibRoute, expected: Optional[Address]
    ) -> None:
        """A packet from outside that the namespace would send back where it came from: the address is not its own."""
        if packet.destination == expected and self._name(stack, route) == packet.in_link:
            raise self._blocked(
                "address",
                "address_not_local",
                f"{packet.destination} is not an address {where(stack.name)}",
                f"put it on {packet.in_link}, or ask for an address that is there",
            )

    def _forwarding(self, stack: Stack, packet: Packet) -> None:
        link, version = packet.in_link, packet.version
        if version == 4:
            on = stack.sysctl(f"net/ipv4/conf/{link}/forwarding") == "1"
            key = f"net.ipv4.conf.{link}.forwarding"
        else:
            keys = ("net/ipv6/conf/all/forwarding", f"net/ipv6/conf/{link}/force_forwarding")
            on = any(stack.sysctl(item) == "1" for item in keys)
            key = "net.ipv6.conf.all.forwarding"
        if not on:
            raise self._blocked(
                "forwarding",
                "forwarding_off",
                f"IPv{version} packets that come through {link} are not forwarded {where(stack.name)} ({key} is 0)",
                "declare netns_nat (or netns_forward), which enables forwarding on its links and closes what is not "
                f"declared; by hand: sysctl -w {key}=1",
            )
        self._note("forwarding", f"IPv{version} is forwarded from {link} {where(stack.name)}")

    def _reverse_path(self, stack: Stack, packet: Packet) -> None:
        objection = reverse_path.objection(stack, packet)
        if objection is not None:
            raise self._blocked(
                "rp_filter",
                "rp_filter",
                f"{where(stack.name)}: {objection}",
                f"add a route to {packet.source} through {packet.in_link}, or loosen it: "
                f"sysctl -w net.ipv4.conf.{packet.in_link}.rp_filter=2",
            )
        if packet.version == 4:
            self._note("rp_filter", f"{packet.source} may come through {packet.in_link} {where(stack.name)}")

    # -- the firewall --

    def _ruleset(self, stack: Stack) -> Ruleset:
        if stack.name not in self._rulesets:
            self._rulesets[stack.name] = Ruleset(stack.ruleset)
            for text in stack.blind_spots:
                self._note("filter", f"{where(stack.name)}: {text}", None)
        return self._rulesets[stack.name]

    def _filter(self, stack: Stack, hook: str, packet: Packet) -> Packet:
        rules = self._ruleset(stack)
        own = own_filter(rules, hook, packet, _fib(stack, packet))
        if own.dropped is not None:
            raise self._own_drop(stack, hook, packet, own)
        answer = foreign_verdict(rules.objects, at(packet, hook), OWN_TABLE)
        if answer.accepted is False:
            if answer.unread:
                self._note("filter", f"may be accepted by a rule that nft does not show: {answer.unread[0]}", None)
            raise self._blocked(
                "filter",
                "foreign_drop",
                f"{packet} is dropped {where(stack.name)} at {hook}: {answer}",
                f"accept it in that very chain (table {answer.family} {answer.table}, chain {answer.chain}): no accept "
                "elsewhere outweighs a drop",
            )
        if answer.accepted is None:
            self._note("filter", f"{where(stack.name)}, {hook}: cannot tell what this does: {answer}", None)
        elif rules.base_chains(hook, packet.version):
            self._note("filter", f"nothing drops it {where(stack.name)} at {hook}")
        return packet

    def _own_drop(self, stack: Stack, hook: str, packet: Packet, outcome: Outcome) -> Blocked:
        rule = outcome.dropped
        if hook == "prerouting":
            remedy = f"let {packet.in_link} send only from addresses that its pair or its routes declare"
        elif packet.dnat:
            remedy = "declare the flow with netns_forward (see its options sources and to_address)"
        else:
            remedy = (
                "declare the flow: netns_nat for what leaves, netns_forward for what comes in, or isolate: false for "
                "namespaces of a topology that may reach each other"
            )
        links = f"{packet.in_link} to {packet.out_link}" if packet.out_link else packet.in_link
        return self._blocked(
            "filter",
            "own_filter",
            f"{packet} was not declared and is dropped {where(stack.name)} at {hook}, from {links}: {rule}",
            remedy,
        )

    def _translate(self, stack: Stack, hook: str, packet: Packet) -> Packet:
        """NAT at a hook."""
        outcome = translation(self._ruleset(stack), hook, packet, _fib(stack, packet))
        if outcome.dropped is not None:
            raise self._blocked(
                "nat",
                "foreign_drop",
                f"{packet} is dropped {where(stack.name)} at {hook}: {outcome.dropped}",
                "change it",
            )
        if outcome.doubt is not None:
            self._note("nat", f"{where(stack.name)}, {hook}: cannot tell whether this matches: {outcome.doubt}", None)
        if outcome.translated is None:
            return packet
        nat = outcome.translated
        changed = translated(packet, nat, self._own_address(stack, hook, packet))
        if changed is None:
            self._note("nat", f"{where(stack.name)}, {hook}: cannot tell what this makes of it: {nat.rule}", None)
            return packet
        self._note("nat", f"{packet} becomes {changed} {where(stack.name)} by {nat.rule}")
        return changed

    @staticmethod
    def _own_address(stack: Stack, hook: str, packet: Packet) -> Optional[Address]:
        """What masquerade (and redirect) take: the address that the link would speak from."""
        name = packet.out_link if hook == "postrouting" else packet.in_link
        link = link_named(stack, name)
        if link is None:
            return None
        route = lookup(stack.rules, stack.routes, Flow(packet.destination, oif=name, oif_index=link.index))
        known = route.route if isinstance(route, Found) and hook == "postrouting" else None
        on_link = [item for item in stack.addresses if item.index == link.index]
        if known is not None:
            # masquerade wants an address of the link itself, whatever the route prefers
            return chosen_source(known._replace(source=None), on_link, packet.destination)
        return next((item.address.ip for item in on_link if item.address.version == packet.version), None)

    # -- to a socket, or out of a link --

    def _to_itself(self, stack: Stack, first: Packet, packet: Packet, entry: Optional[Entry]) -> End:
        """From the namespace to itself, through lo."""
        self._loopback_up(stack)
        packet = self._filter(stack, "postrouting", packet.on(out_link="lo"))
        packet = self._filter(stack, "prerouting", packet.on(in_link="lo"))
        self._filter(stack, "input", packet)
        self._hop(stack, "", "lo", packet, "")
        return self._finish(stack, first, packet, entry)

    def _delivered(
        self, stack: Stack, link: str, first: Packet, packet: Packet, entry: Optional[Entry], route: wire.FibRoute
    ) -> End:
        self._hop(stack, link, "", packet, route_text(route, link))
        return self._finish(stack, first, packet, entry)

    def _finish(self, stack: Stack, first: Packet, packet: Packet, entry: Optional[Entry]) -> Delivered:
        if packet.state == NEW:
            self.connections.entries.append(Entry(stack.name, first, packet))
        else:
            packet = as_asked(packet, entry)
        return Delivered(stack.name, packet)

    def _emit(
        self,
        stack: Stack,
        in_link: str,
        first: Packet,
        packet: Packet,
        route: wire.FibRoute,
        entry: Optional[Entry],
    ) -> End:
        name = self._name(stack, route)
        link = link_named(stack, name)
        if link is None:
            raise missing_route.explain(self.namespaces, stack, packet.destination)
        missing_route.check_link(self.namespaces, stack, link)
        packet = self._filter(stack, "postrouting", packet.on(in_link, name))
        if packet.state == NEW:
            packet = self._translate(stack, "postrouting", packet)
            self.connections.entries.append(Entry(stack.name, first, packet))
        else:
            packet = as_asked(packet, entry)
        self._hop(stack, in_link, name, packet, route_text(route, name))
        self._fits(stack.name, name, min(link.mtu, route.mtu or link.mtu), packet)
        lies = segment(self.namespaces, stack.name, link)
        target = route.via if route.via is not None else packet.destination
        found = answering(self.namespaces, lies.ends, target)
        if found is None:
            self._nobody(stack, link, route, packet, lies.ends, lies.down, lies.beyond)
            missing_route.check_nearer(stack, route, packet.destination)
            if in_link and not self._answering and leaves_for_good(stack, link, packet, self._require_nat):
                raise self._blocked(
                    "nat",
                    "no_nat",
                    f"{packet} leaves {where(stack.name)} through {name} with its private source: nobody out there "
                    "knows the way back",
                    f"declare netns_nat with source {packet.source} (or its network), or set require_nat: false if the "
                    "network beyond has a route back",
                )
            self._note("link", f"leaves {where(stack.name)} through {name}; what is beyond cannot be seen from here")
            return Left(stack.name, name, packet)
        netns, peer = found
        for end_netns, end in lies.mtus:
            if (end_netns, end.name) == (netns, peer.name) or end.master == peer.index:
                self._fits(end_netns, end.name, end.mtu, packet)
        self._note("link", f"{name} {where(stack.name)} leads to {peer.name} {where(netns)}")
        return self.arrive(netns, peer.name, packet)

    def _nobody(
        self,
        stack: Stack,
        link: wire.Link,
        route: wire.FibRoute,
        packet: Packet,
        ends: Sequence[tuple[str, wire.Link]],
        down: Sequence[tuple[str, wire.Link]],
        beyond: bool,
    ) -> None:
        """The next hop is none of those that can be seen: an error unless it may be farther away."""
        target = route.via if route.via is not None else packet.destination
        failed = any(item.failed and item.address == target and item.index == link.index for item in stack.neighbours)
        if beyond and not failed:
            return
        for end in (*ends, *down):
            stray = missing_route.strayed(end)
            if stray is not None:
                raise stray
        if down and not ends:
            netns, other = down[0]
            raise self._blocked(
                "link",
                "link_down",
                f"{other.name} {where(netns)} is down, the other end of {link.name} {where(stack.name)}",
                f"ip{_of(netns)} link set {other.name} up",
            )
        others = " and ".join(f"{peer.name} {where(netns)}" for netns, peer in ends[:3])
        seen = f"; what hears it is {others}" if others and not beyond else ""
        if route.via is not None:
            on_link = route.onlink or any(
                route.via in item.address.network for item in stack.addresses if item.index == link.index
            )
            raise self._blocked(
                "gateway",
                "gateway_unreachable" if on_link else "gateway_not_on_link",
                f"the gateway {route.via} of the route {route_text(route, link.name)} {where(stack.name)} "
                + ("did not answer" if beyond else "is nobody's address" if on_link else "is in no network of its link")
                + seen,
                "correct the gateway, or put its address on the other end",
            )
        if beyond:
            raise self._blocked(
                "address",
                "host_unreachable",
                f"{target} did not answer on {link.name} {where(stack.name)}",
                "see whether it is up, and whether the network of the address on that link is right",
            )
        raise self._blocked(
            "address",
            "address_not_local" if ends else "host_unreachable",
            f"nobody behind {link.name} {where(stack.name)} has the address {target}{seen}",
            f"put {target} there, or ask for an address that is there",
        )

    def _fits(self, netns: str, name: str, mtu: int, packet: Packet) -> None:
        if not self.verdict.path_mtu or mtu < self.verdict.path_mtu:
            self.verdict.path_mtu = mtu
        if self._size is None or self._answering:
            return
        if self._size > mtu:
            raise self._blocked(
                "mtu",
                "mtu",
                f"a packet of {self._size} bytes does not fit through {name} {where(netns)}, whose MTU is {mtu}",
                "give all links of the way the same MTU, or lower that of the first one",
            )
        self._note("mtu", f"{self._size} bytes fit through {name} {where(netns)} ({mtu})")

    def _hop(self, stack: Stack, link_in: str, link_out: str, packet: Packet, route: str) -> None:
        if not self._answering:
            hop = Hop(stack.name, link_in, link_out, str(packet.source), str(packet.destination), route)
            self.verdict.path.append(hop)


def _netns(stack: Stack) -> str:
    return _of(stack.name)


def _of(netns: str) -> str:
    return f" -n {netns}" if netns else ""


def _is_kernels_no(route: wire.FibRoute) -> bool:
    """IPv6 has an unreachable default of its own on some kernels: it means that there is no route."""
    return route.type == wire.RTN_UNREACHABLE and route.protocol == wire.RTPROT_KERNEL and not route.network.prefixlen


def _fib(stack: Stack, packet: Packet) -> Any:
    """What a fib expression finds for this packet."""

    def find(result: str, flags: list[str]) -> Any:
        address = packet.source if "saddr" in flags else packet.destination
        if result == "type":
            local = in_table(stack.routes, _LOCAL_TABLE, Flow(address))
            return _FIB_TYPES.get(local.type, "unicast") if local is not None else "unicast"
        if result in ("oif", "oifname") and "saddr" in flags:
            answer = lookup(stack.rules, stack.routes, Flow(address))
            link = link_at(stack, answer.route.index) if isinstance(answer, Found) else None
            return link.name if link and ("iif" not in flags or link.name == packet.in_link) else False
        return UNKNOWN

    return find
