# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""From a question to its verdict: the walk there, who listens, and the walk back. Pure."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from typing import Any, Optional, cast

from ..desired.cidr import Address
from ..desired.names import HOST, where
from ..desired.tables import MAIN_TABLE
from ..doors.netlink_messages import RTN_UNICAST, Link
from ..info import translations
from . import missing_route
from .connections import answer_to
from .hooks import OWN_TABLE
from .journey import Delivered, End, Journey, Left
from .listening import SHOWN, listed, listening, loopback_only
from .name_service import resolver
from .packet import Packet
from .question import Question, wire_protocol
from .ruleset import Ruleset
from .stack import Namespaces, Stack, link_named
from .verdict import Blocked, Verdict

#: Somebody out there, of a documentation network, where the question names nobody.
_SOMEBODY = {4: ipaddress.ip_address("203.0.113.1"), 6: ipaddress.ip_address("2001:db8:203::1")}
_DNS_PORT = 53


def diagnose(namespaces: Namespaces, question: Question) -> Verdict:
    """Whether a connection gets through; the first thing that blocks it if not."""
    verdict = Verdict()
    try:
        _check_netns(namespaces, question.netns, verdict)
        if question.to_netns:
            _check_netns(namespaces, question.to_netns, verdict)
        if question.to_name:
            _name(namespaces, question, verdict)
        else:
            _connection(namespaces, question, verdict)
        if not verdict.msg:
            verdict.msg = _summary(question, verdict)
    except Blocked as blocked:
        verdict.fail(blocked)
    return verdict


def _summary(question: Question, verdict: Verdict) -> str:
    target = question.to_name or verdict.path[-1].destination
    port = "" if question.port is None else f" port {question.port}"
    said = f"nothing blocks {question.protocol} to {target}{port}"
    return said if verdict.certain else f"{said}, as far as can be told (see checks)"


def _check_netns(namespaces: Namespaces, netns: str, verdict: Verdict) -> None:
    if not netns:
        return
    if namespaces.leftover(netns):
        raise Blocked(
            "netns",
            "netns_leftover",
            f"/run/netns/{netns} is a leftover file, not a namespace: half made, or made in another mount namespace",
            f"run the netns module, which makes it anew; or: ip netns del {netns}, ip netns add {netns}",
        )
    if not namespaces.exists(netns):
        raise Blocked(
            "netns",
            "netns_missing",
            f"there is no namespace {netns}",
            "make it with the netns module; after a reboot, persist: true of netns_topology brings it back",
        )
    verdict.check("netns", f"namespace {netns} is there")


# -- a connection --


def _connection(namespaces: Namespaces, question: Question, verdict: Verdict) -> None:
    journey = Journey(namespaces, verdict, question.size, question.require_nat)
    end = _from_outside(namespaces, question, journey) if question.outside else _from_inside(question, journey)
    if isinstance(end, Left):
        if question.to_netns is not None:
            raise Blocked(
                "address",
                "wrong_netns",
                f"the connection leaves {where(end.netns)} through {end.link}, and does not end "
                f"{where(question.to_netns)}",
                "see path; look at the address and the routes",
            )
        _answer_from_beyond(question, journey, end)
        return
    _ends_where_it_should(namespaces, question, end)
    _somebody_listens(namespaces, question, end, verdict)
    _answer(question, journey, end)


def _from_inside(question: Question, journey: Journey) -> End:
    to_address = cast(Address, question.to_address)  # question.py sees to it
    packet = Packet(
        source=question.source or to_address,
        destination=to_address,
        protocol=wire_protocol(question.protocol, to_address.version),
        port=question.port,
    )
    if question.source is not None:
        own = {item.address.ip for item in journey.namespaces.stack(question.netns).addresses}
        if question.source not in own:
            raise Blocked(
                "address",
                "address_not_local",
                f"{question.source} is not an address {where(question.netns)}",
                "leave source out, or put the address there",
            )
    return journey.send(question.netns, packet, question.source is not None, question.out_interface)


def _from_outside(namespaces: Namespaces, question: Question, journey: Journey) -> End:
    stack = namespaces.stack(question.netns)
    chosen = question.to_address or question.source
    version = chosen.version if chosen is not None else 4
    source = question.source or _SOMEBODY[version]
    link = _arrival(namespaces, stack, question, source)
    missing_route.check_link(namespaces, stack, link)
    destination = question.to_address or _address_of(stack, link, version)
    if destination is None:
        raise Blocked(
            "address",
            "no_address",
            f"{link.name} {where(stack.name)} has no IPv{version} address",
            "put one on it, or name the address with to_address",
        )
    journey.expected_here = destination
    journey.verdict.check("link", f"{link.name} {where(stack.name)} is up")
    packet = Packet(source, destination, wire_protocol(question.protocol, version), port=question.port)
    return journey.arrive(question.netns, link.name, packet)


def _arrival(namespaces: Namespaces, stack: Stack, question: Question, source: Address) -> Link:
    """Through which link somebody from outside comes."""
    if question.in_interface:
        found = link_named(stack, question.in_interface)
        if found is None:
            raise missing_route.no_link(namespaces, stack, question.in_interface)
        return found
    ways = [
        route
        for route in stack.routes
        if route.type == RTN_UNICAST and route.table == MAIN_TABLE and source.version == route.network.version
        if source in route.network and not route.dead
    ]
    best = min(ways, key=lambda route: (-route.network.prefixlen, route.metric), default=None)
    found = next((link for link in stack.links if best is not None and link.index == best.index), None)
    if found is None:
        raise missing_route.explain(namespaces, stack, source)
    return found


def _address_of(stack: Stack, link: Link, version: int) -> Optional[Address]:
    own = [item.address.ip for item in stack.addresses if item.index == link.index and item.address.version == version]
    return next((item for item in own if not item.is_link_local), None)


def _ends_where_it_should(namespaces: Namespaces, question: Question, end: Delivered) -> None:
    if question.to_netns is None or question.to_netns == end.netns:
        return
    if question.outside and end.netns == question.netns:
        raise _no_forward(namespaces, question, end)
    raise Blocked(
        "address",
        "wrong_netns",
        f"the connection ends {where(end.netns)}, not {where(question.to_netns)}",
        "see path; look at the address, the routes, and to_address of forwards",
    )


def _somebody_listens(namespaces: Namespaces, question: Question, end: Delivered, verdict: Verdict) -> None:
    stack, packet = namespaces.stack(end.netns), end.packet
    if question.protocol == "icmp":
        family = "ipv4/icmp_echo_ignore_all" if packet.version == 4 else "ipv6/icmp/echo_ignore_all"
        if stack.sysctl(f"net/{family}") == "1":
            raise Blocked(
                "listening",
                "icmp_ignored",
                f"echo requests are not answered {where(end.netns)} (net/{family} is 1)",
                f"set net/{family} to 0",
            )
        verdict.check("listening", f"echo requests are answered {where(end.netns)}")
        return
    if question.protocol not in SHOWN or packet.port is None:
        verdict.check(
            "listening", f"cannot tell whether anybody listens for {packet.protocol} {where(end.netns)}", None
        )
        return
    found = listening(stack.sockets, packet.protocol, packet.destination, packet.port)
    what = f"{packet.protocol} port {packet.port}"
    if found.here:
        verdict.check("listening", f"somebody listens at {what} {where(end.netns)} ({listed(found.here)})")
        return
    if question.outside and end.netns == question.netns and not found.other:
        raise _no_forward(namespaces, question, end)
    if loopback_only(found.other):
        raise Blocked(
            "listening",
            "listening_loopback_only",
            f"whoever listens at {what} {where(end.netns)} does so at {listed(found.other)} only, not at "
            f"{packet.destination}",
            f"have it listen at {packet.destination}, or at any address",
        )
    if found.other:
        raise Blocked(
            "listening",
            "listening_elsewhere",
            f"whoever listens at {what} {where(end.netns)} does so at {listed(found.other)}, not at "
            f"{packet.destination}",
            f"have it listen at {packet.destination}, or at any address",
        )
    for other in (HOST, *namespaces.names()):
        if other != end.netns and listening(namespaces.stack(other).sockets, *_door(packet)).here and end.netns:
            hint = f"; somebody listens at that port {where(other)}" if other == HOST else ""
            break
    else:
        hint = ""
    raise Blocked(
        "listening",
        "not_listening",
        f"nobody listens at {what} {where(end.netns)}{hint}",
        f"start the daemon {where(end.netns)}" + (" (netns_service)" if end.netns else ""),
    )


def _door(packet: Packet) -> tuple[str, Address, int]:
    return packet.protocol, packet.destination, packet.port or 0


def _no_forward(namespaces: Namespaces, question: Question, end: Delivered) -> Blocked:
    """Nothing took the port to a namespace. A forward of ours that takes it from others is named."""
    packet = end.packet
    stack = namespaces.stack(end.netns)
    for forward in _forwards(stack):
        if packet.protocol not in forward["protocol"] or not _holds(forward["port"], packet.port):
            continue
        if not _of_version(forward["to_address"], packet.version):
            continue
        sources, addresses = forward["sources"], forward["listen_address"]
        if sources and not any(_within(packet.source, text) for text in sources):
            return Blocked(
                "forward",
                "forward_sources",
                f"the forward {forward['name']} {where(stack.name)} takes port {packet.port} from "
                f"{', '.join(sources)} only, not from {packet.source}",
                "add the source's network to sources of that netns_forward",
            )
        limited = f"at {', '.join(addresses)} only" if addresses else "not through this interface"
        return Blocked(
            "forward",
            "no_forward",
            f"the forward {forward['name']} {where(stack.name)} takes port {packet.port} {limited}",
            "see listen_address and in_interface of that netns_forward",
        )
    return Blocked(
        "forward",
        "no_forward",
        f"{packet.protocol} port {packet.port} of {packet.destination} is forwarded to no namespace, and ends "
        f"{where(stack.name)}" + ("" if question.to_netns is not None else ", where nobody listens"),
        "declare a netns_forward with this port and the namespace's address as to_address",
    )


def _forwards(stack: Stack) -> list[dict[str, Any]]:
    rules = [{"rule": rule} for rule in Ruleset(stack.ruleset).rules_of(OWN_TABLE)]
    return translations(json.dumps({"nftables": rules}))["forwards"]


def _of_version(text: Any, version: int) -> bool:
    return isinstance(text, str) and (":" in text) == (version == 6)


def _holds(span: Optional[str], port: Optional[int]) -> bool:
    first, _dash, last = (span or "").partition("-")
    return port is not None and first.isdigit() and int(first) <= port <= int(last or first)


def _within(address: Address, text: str) -> bool:
    """nft's words for addresses: A, A/LENGTH or A-B."""
    first, dash, last = text.partition("-")
    if dash:
        ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
        return ends[0].version == address.version and int(ends[0]) <= int(address) <= int(ends[1])
    return address in ipaddress.ip_network(text, strict=False)


# -- the answer --


def _answer(question: Question, journey: Journey, end: Delivered) -> None:
    """Back to where the connection began."""
    if not question.outside and end.netns == question.netns and len(journey.connections.entries) == 1:
        return  # it never left
    back = journey.send(end.netns, answer_to(end.packet), True)
    if question.outside:
        if isinstance(back, Delivered):
            raise _lost(back, "outside")
    elif isinstance(back, Left) or back.netns != question.netns:
        raise _lost(back, where(question.netns))


def _answer_from_beyond(question: Question, journey: Journey, end: Left) -> None:
    """What comes back from outside, through the link by which the connection left."""
    if question.outside:
        if (end.netns, end.link) == (question.netns, journey.verdict.path[0].link_in) and not end.packet.snat:
            raise Blocked(
                "route",
                "no_route",
                f"{end.packet} is sent back out through {end.link} {where(end.netns)}: no route leads to "
                f"{end.packet.destination}, and the default route takes it",
                "see whether the link to its network is there and has its addresses",
            )
        return  # through and out again: by which way its answer comes cannot be told
    back = journey.answer_arrives(end.netns, end.link, answer_to(replace(end.packet, in_link="", out_link="")))
    if isinstance(back, Left) or back.netns != question.netns:
        raise _lost(back, where(question.netns))


def _lost(back: End, wanted: str) -> Blocked:
    place = f"leaves {where(back.netns)} through {back.link}" if isinstance(back, Left) else f"ends {where(back.netns)}"
    return Blocked(
        "answer",
        "answer_lost",
        f"the answer {place}, and does not get back {wanted}",
        "declare netns_nat, so that answers come back to whoever translated; or correct the routes",
    )


# -- a name --


def _name(namespaces: Namespaces, question: Question, verdict: Verdict) -> None:
    """Whether the name of a host can be looked up: from the hosts file, or from a name server that is within reach."""
    found = resolver(namespaces, question.netns, question.to_name)
    if found.known:
        address = found.known[0]
        verdict.check("dns", f"{found.hosts_path} says that {question.to_name} is {address}")
        _connection(namespaces, replace(question, to_address=address), verdict)
        return
    place = f"/etc/netns/{question.netns}/resolv.conf" if question.netns else "/etc/resolv.conf"
    remedy = f"set dns.nameservers of the netns module, which writes {place}" if question.netns else f"write {place}"
    if found.path is None:
        raise Blocked("dns", "dns_no_resolv_conf", f"there is no resolv.conf for {_whom(question)}", remedy)
    if not found.servers:
        raise Blocked("dns", "dns_no_nameserver", f"{found.path} names no name server", remedy)
    verdict.check("dns", f"{found.path} names {', '.join(map(str, found.servers))}")
    failures: list[tuple[Address, Blocked]] = []
    for server in found.servers:
        inner = Verdict()
        asked = replace(
            question,
            to_address=server,
            to_name="",
            protocol="udp",
            port=_DNS_PORT,
            to_netns=None,
            source=None,
            size=None,
        )
        try:
            _connection(namespaces, asked, inner)
        except Blocked as found_out:
            failures.append((server, found_out))
            verdict.check("dns", f"name server {server}: {found_out.detail}", False)
            continue
        verdict.steps += inner.steps
        verdict.certain = verdict.certain and inner.certain
        verdict.path = inner.path
        verdict.check("dns", f"name server {server} is within reach; whether it knows {question.to_name} was not asked")
        verdict.msg = f"name server {server} is within reach of {_whom(question)}"
        return
    server, blocked = failures[0]
    if all(item.is_loopback for item, _blocked in failures) and question.netns:
        raise Blocked(
            "dns",
            "dns_loopback_nameserver",
            f"the name server {server} of {found.path} is at a loopback address, and nobody listens there "
            f"{where(question.netns)}: that of the host cannot be reached from a namespace",
            remedy,
        )
    raise Blocked(
        "dns",
        "dns_unreachable",
        f"no name server of {found.path} can be reached: {server}: {blocked.detail} ({blocked.cause})",
        blocked.remedy,
    )


def _whom(question: Question) -> str:
    return question.netns or "the host"
