# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ruleset of one namespace, as text for nft. Pure: what goes in decides every byte that comes out.

How a packet meets it::

    prerouting, raw      raw_prerouting    from a namespace: only its own addresses, never to 127.0.0.0/8
    prerouting, dstnat   forwards          to a local address and a declared port: DNAT
    output, dstnat       forwards_...      the same for what the host itself sends (hairpin)
    forward, filter      from_inside       from a namespace: replies, declared flows; else drop
                         to_inside         to a namespace: replies, declared flows; else drop
                         opened            through a link on which we enabled forwarding: declared flows; else drop
    postrouting, srcnat  nat_postrouting   back to where it came from: hide behind the host's end;
                                           declared sources leave under the host's address

Packets that concern none of our links fall through: other people's traffic is not ours to police. Whatever grows
with the number of namespaces is an element of a set, not a rule, wherever a rule for each has nothing to count.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from ..accept_mark import MARK, MARKED_FROM
from ..desired import cidr
from ..desired.netns_forward import Forward
from ..desired.netns_nat import Nat
from ..errors import Clash

#: Just before the usual -100, 0 and 100, so that order against others is defined. Numbers, because nft 1.0.6
#: refuses names such as dstnat in an output chain.
DSTNAT, FILTER, SRCNAT, RAW = -110, -10, 90, -300

#: After everybody's filters.
_UNMARKED_FROM = 1000

#: In Ruleset.opened: every interface (the switch that we used is the global one).
EVERY = "*"


@dataclass(frozen=True)
class Inside:
    """A link of ours with a namespace behind it.

    ``sources``: what may come from there, None for anything; ``friends``: our links it may reach (``isolate: false``);
    ``localnet``: packets to 127.0.0.1 from the host are redirected through it.
    """

    link: str
    sources: Optional[tuple[cidr.Network, ...]] = None
    friends: tuple[str, ...] = ()
    localnet: bool = False


@dataclass(frozen=True)
class Ruleset:
    """Everything that one namespace's table depends on.

    ``nat``: (resource, links its sources live behind); ``forwards``: (resource, links its target lives behind);
    ``defaults``: links of default routes; ``opened``: by IP version, links not ours on which we enabled forwarding;
    ``marked``: an accept of ours in another table looks for a mark on what passes our links.
    """

    inside: tuple[Inside, ...] = ()
    nat: tuple[tuple[Nat, tuple[str, ...]], ...] = ()
    forwards: tuple[tuple[Forward, tuple[str, ...]], ...] = ()
    defaults: tuple[str, ...] = ()
    opened: dict[int, tuple[str, ...]] = field(default_factory=dict)
    marked: bool = False


def compile_ruleset(rules: Ruleset) -> Optional[str]:
    """The body of our table, or None if nothing is needed."""
    if not (rules.inside or rules.nat or rules.forwards):
        return None
    chains = [*_sources(rules), *_destination_nat(rules), *_filter(rules), *_marks(rules), *_source_nat(rules)]
    return "".join(
        f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n" for name, lines in chains if lines
    )


Chain = tuple[str, list[str]]
VERSIONS = (4, 6)


def _base(kind: str, hook: str, priority: int) -> str:
    return f"type {kind} hook {hook} priority {priority}; policy accept;"


def chain_name(prefix: str, link: str) -> str:
    """A chain for a link: nft's identifiers take fewer characters than the kernel's names. What begins with x is
    written in numbers, too, or a link could be named after another one's chain."""
    plain = not link.startswith("x") and all(char.isascii() and (char.isalnum() or char in "_.-") for char in link)
    return f"{prefix}_{link}" if plain else f"{prefix}_x{link.encode('utf-8', 'surrogateescape').hex()}"


def _set(items: Iterable) -> str:
    return "{ " + ", ".join(str(item) for item in items) + " }"


def _quoted(link: str) -> str:
    """A link's name as nft reads it. Names that were not given as options are whatever somebody made of them."""
    if any(char in link for char in '"\\*'):
        raise Clash(
            f"interface {link!r} cannot be named in a ruleset, because of a quote, a backslash or an asterisk; "
            "rename it, or name the interfaces that are meant with in_interface and out_interface"
        )
    return f'"{link}"'


def _names(links: Iterable[str]) -> str:
    return _set(map(_quoted, sorted(links)))


def _pairs(pairs: Iterable[tuple[str, cidr.Address]]) -> str:
    ranked = sorted(pairs, key=lambda pair: (pair[0], pair[1].packed))
    return _set(f"{_quoted(link)} . {address}" for link, address in ranked)


def _family(version: int) -> str:
    return "ip" if version == 4 else "ip6"


def _nfproto(version: int) -> str:
    return f"meta nfproto ipv{version}"


def collapse(networks: Iterable[cidr.Network]) -> list[str]:
    """Networks as nft lists them in a set: without overlaps (which it refuses), those that touch as one range."""
    found: list[list[Any]] = []
    for net in ipaddress.collapse_addresses(list[Any](networks)):
        first, last = net.network_address, net.broadcast_address
        if found and int(found[-1][1]) + 1 == int(first):
            found[-1] = [found[-1][0], last, None]
        else:
            found.append([first, last, net])
    return [
        str(first) if first == last else f"{first}-{last}" if net is None else str(net) for first, last, net in found
    ]


# -- prerouting, raw: forged sources --


def _sources(rules: Ruleset) -> Iterator[Chain]:
    """Single addresses, which is what nearly all namespaces have, are elements of one set; whoever has networks
    behind it gets a chain."""
    guarded = [item for item in rules.inside if item.sources is not None]
    localnet = [item.link for item in rules.inside if item.localnet]
    lines = [f"iifname {_names(localnet)} ip daddr 127.0.0.0/8 drop"] if localnet else []
    for version in VERSIONS:
        hosts = [
            (item.link, net.network_address)
            for item in guarded
            for net in cidr.of_version(item.sources or (), version)
            if net.prefixlen == net.max_prefixlen
        ]
        if hosts:
            lines.append(f"iifname . {_family(version)} saddr {_pairs(hosts)} accept")
    wide = {item.link: [net for net in item.sources or () if net.prefixlen < net.max_prefixlen] for item in guarded}
    wide = {link: nets for link, nets in wide.items() if nets}
    for link, nets in sorted(wide.items()):
        yield (
            chain_name("source", link),
            [
                f"{_family(version)} saddr {_set(collapse(cidr.of_version(nets, version)))} accept"
                for version in VERSIONS
                if cidr.of_version(nets, version)
            ],
        )
    if wide:
        jumps = (f"{_quoted(link)} : jump {chain_name('source', link)}" for link in sorted(wide))
        lines.append("iifname vmap " + _set(jumps))
    if guarded:
        # Neighbours speak from link-local and unspecified addresses; but who routes is not for a namespace to say.
        lines += [
            f"iifname {_names(item.link for item in guarded)} icmpv6 type {{ nd-router-advert, nd-redirect }} drop"
        ]
        lines += [
            f"iifname {_names(item.link for item in guarded)} ip6 saddr {{ fe80::/10, :: }} accept",
            f"iifname {_names(item.link for item in guarded)} drop",
        ]
    if lines:
        yield "raw_prerouting", [_base("filter", "prerouting", RAW), *lines]


# -- destination NAT --


def _destination_nat(rules: Ruleset) -> Iterator[Chain]:
    ranked = sorted(rules.forwards, key=lambda item: (item[0].specificity, item[0].version, item[0].name))
    incoming = [line for forward, behind in ranked for line in _dnat(forward, behind)]
    local = [line for forward, _behind in ranked if forward.hairpin for line in _dnat(forward, None)]
    if incoming:
        yield "forwards", incoming
        # What comes over a wire for 127.0.0.1 is about to be dropped as a martian; DNAT would make it a valid packet.
        yield (
            "nat_prerouting",
            [
                _base("nat", "prerouting", DSTNAT),
                "ip daddr 127.0.0.0/8 return",
                "ip6 daddr ::1 return",
                "fib daddr type local jump forwards",
            ],
        )
    if local:
        # Of the loopback networks only 127.0.0.1: 127.0.0.53, for one, is the host's own resolver.
        yield "forwards_from_host", local
        yield (
            "nat_output",
            [
                _base("nat", "output", DSTNAT),
                "ip daddr 127.0.0.0/8 ip daddr != 127.0.0.1 return",
                "ip6 daddr ::1 return",
                "fib daddr type local jump forwards_from_host",
            ],
        )


def _dnat(forward: Forward, behind: Optional[tuple[str, ...]]) -> Iterator[str]:
    """The rules of a forward; *behind* None means: for packets that the host itself sends."""
    family = _family(forward.version)
    match = [_nfproto(forward.version)]
    listen = forward.listen_address
    if behind is not None:
        listen = tuple(item for item in listen if not item.is_loopback)
        if forward.listen_address and not listen:
            return  # for the host itself alone
        if forward.in_interface:
            match.append(f"iifname {_names({*forward.in_interface, *(behind if forward.hairpin else ())})}")
        elif not forward.hairpin and behind:
            match.append(f"iifname != {_names(behind)}")
    if forward.sources:
        match.append(f"{family} saddr {_set(collapse(forward.sources))}")
    if listen:
        match.append(f"{family} daddr {_set(listen)}")
    for protocol in forward.protocol:
        yield (
            f"{' '.join(match)} {protocol} dport {forward.port} counter dnat {family} to "
            f'{_target(forward, protocol)} comment "forward {forward.name}"'
        )


def _target(forward: Forward, protocol: str) -> str:
    """Where to. A shifted range becomes a map of single ports: ``dnat to A:3000-3100`` would pick any of them."""
    address = str(forward.to_address)
    if forward.to_port == forward.port:
        return address
    bracketed = f"[{address}]" if forward.version == 6 else address
    if forward.port.count == 1:
        return f"{bracketed}:{forward.to_port.first}"
    shift = forward.to_port.first - forward.port.first
    pairs = (f"{port} : {port + shift}" for port in range(forward.port.first, forward.port.last + 1))
    return f"{address} : {protocol} dport map {{ {', '.join(pairs)} }}"


# -- filter --


def _filter(rules: Ruleset) -> Iterator[Chain]:
    links = {item.link for item in rules.inside}
    declared = [*_declared_forwards(rules), *_declared_nat(rules, links)]
    yield "declared", declared
    jump = ["jump declared"] if declared else []
    lines = [_base("filter", "forward", FILTER)]
    accepting = ["ct state established,related accept", *jump]
    if links:
        friendly = {item.link: item.friends for item in rules.inside if item.friends}
        groups = sorted(
            {(item.link, *friends) for item in rules.inside for friends in [friendly.get(item.link, ())] if friends}
        )
        among = [f"iifname {_names([link])} oifname {_names(friends)} accept" for link, *friends in groups]
        everyone = {link for link, *friends in groups}
        if everyone and all({link, *friends} == everyone for link, *friends in groups):
            among = [f"iifname {_names(everyone)} oifname {_names(everyone)} accept"]
        yield "from_inside", [*accepting, *among, "drop"]
        yield "to_inside", [*accepting, "drop"]
        lines += [f"iifname {_names(links)} goto from_inside", f"oifname {_names(links)} goto to_inside"]
    opened = []
    for version, names in sorted(rules.opened.items()):
        outside = set(names) - links
        if outside:
            match = "" if EVERY in outside else f"iifname {_names(outside)} "
            opened.append(f"{match}{_nfproto(version)} goto opened")
    if opened:
        yield "opened", [*_replies(rules), *jump, "drop"]
    if len(lines) > 1 or opened:
        yield "filter_forward", [*lines, *opened]


def _marks(rules: Ruleset) -> Iterator[Chain]:
    """What our filter let through gets a bit of its mark set for as long as it passes the forward hook: other bits, and
    whoever looks at marks later, are not concerned."""
    links = {item.link for item in rules.inside}
    if not rules.marked or not links:
        return
    yield (
        "mark_forward",
        [
            _base("filter", "forward", MARKED_FROM),
            *(f"{side} {_names(links)} meta mark set meta mark | {MARK:#010x}" for side in ("iifname", "oifname")),
        ],
    )
    unmarked = MARK ^ 0xFFFFFFFF
    yield (
        "unmark_forward",
        [
            _base("filter", "forward", _UNMARKED_FROM),
            f"meta mark & {MARK:#010x} == {MARK:#010x} meta mark set meta mark & {unmarked:#010x}",
        ],
    )


def _declared_forwards(rules: Ruleset) -> Iterator[str]:
    for forward, _behind in rules.forwards:
        for protocol in forward.protocol:
            yield (
                f"ct status dnat {_family(forward.version)} daddr {forward.to_address} {protocol} "
                f"dport {forward.to_port} "
                f'accept comment "forward {forward.name}"'
            )


def _declared_nat(rules: Ruleset, inside: set[str]) -> Iterator[str]:
    """Out through the interfaces that were named; where none was, anywhere but into other namespaces, unless that is
    where the default route leads."""
    anywhere = [(nat, own) for nat, own in rules.nat if nat.forward and not nat.out_interface]
    for nat, _own in rules.nat:
        if nat.forward and nat.out_interface:
            for version in nat.versions:
                yield (
                    f"{_family(version)} saddr {_set(collapse(cidr.of_version(nat.source, version)))} "
                    f"oifname {_names(nat.out_interface)} ct state new accept"
                )
    if not anywhere:
        return
    own_links = {link for _nat, own in anywhere for link in own}
    closed = (inside | own_links) - (set(rules.defaults) - own_links)
    if closed:
        yield f"oifname {_names(closed)} return"
    for version in VERSIONS:
        sources = collapse(net for nat, _own in anywhere for net in cidr.of_version(nat.source, version))
        if sources:
            yield f"{_family(version)} saddr {_set(sources)} ct state new accept"


def _replies(rules: Ruleset) -> Iterator[str]:
    """Replies of declared flows, told by how they began: on a link that was closed, no other flow gets through."""
    for version in VERSIONS:
        sources = collapse(
            net for nat, _own in rules.nat if nat.forward for net in cidr.of_version(nat.source, version)
        )
        if sources:
            yield f"ct state established,related ct original {_family(version)} saddr {_set(sources)} accept"
    if rules.forwards:
        yield "ct state established,related ct status dnat accept"


# -- source NAT --


def _source_nat(rules: Ruleset) -> Iterator[Chain]:
    lines = [*_hairpin(rules), *(line for nat, own in rules.nat for line in _nat(nat, own))]
    if lines:
        yield "nat_postrouting", [_base("nat", "postrouting", SRCNAT), *lines]


def _hairpin(rules: Ruleset) -> Iterator[str]:
    """A namespace that reaches itself through the host must get the answers from the host, and nobody can answer
    to 127.0.0.1."""
    behind = {item.link: item.sources or () for item in rules.inside}
    hosts: dict[int, set[tuple[str, cidr.Address]]] = {4: set(), 6: set()}
    wide: dict[int, dict[str, list[cidr.Network]]] = {4: {}, 6: {}}
    for forward, links in rules.forwards:
        for link in links if forward.hairpin else ():
            hosts[forward.version].add((link, forward.to_address))
            for net in cidr.of_version(behind.get(link, ()), forward.version):
                if net.prefixlen == net.max_prefixlen:
                    hosts[forward.version].add((link, net.network_address))
                else:
                    wide[forward.version].setdefault(link, []).append(net)
    for version in VERSIONS:
        if hosts[version]:
            yield f"ct status dnat oifname . {_family(version)} saddr {_pairs(hosts[version])} masquerade"
        for link, nets in sorted(wide[version].items()):
            yield f"ct status dnat oifname {_quoted(link)} {_family(version)} saddr {_set(collapse(nets))} masquerade"
    if hosts[4]:
        yield f"ct status dnat oifname {_names({link for link, _address in hosts[4]})} ip saddr 127.0.0.0/8 masquerade"


def _nat(nat: Nat, own: tuple[str, ...]) -> Iterator[str]:
    out = f"oifname {_names(nat.out_interface)} " if nat.out_interface else f"oifname != {_names({*own, 'lo'})} "
    for version in nat.versions:
        family = _family(version)
        sources = _set(collapse(cidr.of_version(nat.source, version)))
        exclude = collapse(cidr.of_version(nat.exclude, version))
        spared = f"{family} daddr != {_set(exclude)} " if exclude else ""
        verdict = "masquerade"
        if nat.to_address:
            first, last = nat.to_address
            verdict = f"snat {family} to {first}" + (f"-{last}" if last != first else "")
        yield f'{family} saddr {sources} {out}{spared}counter {verdict} comment "nat {nat.name}"'
