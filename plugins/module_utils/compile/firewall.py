# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The ruleset of one namespace, as text for nft. Pure: what goes in decides every byte that comes out.

How a packet meets it::

    prerouting, raw      source_LINK    from a namespace: only its own addresses, never to 127.0.0.0/8
    prerouting, dstnat   forwards       to a local address and a declared port: DNAT
    output, dstnat       forwards       the same for what the host itself sends (hairpin)
    forward, filter      from_LINK      from a namespace: replies, declared NAT, declared forwards; else drop
                         to_LINK        to a namespace: replies, declared forwards; else drop
                         opened         through a link on which we enabled forwarding: declared flows; else drop
    postrouting, srcnat  hairpin_LINK   back to where it came from: hide behind the host's end
                         nat            declared sources leave under the host's address

Packets that concern none of our links fall through: other people's traffic is not ours to police.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Iterator, Optional, Sequence

from ..desired import cidr
from ..desired.netns_forward import Forward
from ..desired.netns_nat import Nat

#: Just before the usual -100, 0 and 100, so that order against others is defined. Numbers, because nft 1.0.6
#: refuses names such as dstnat in an output chain.
DSTNAT, FILTER, SRCNAT, RAW = -110, -10, 90, -300

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
    ``defaults``: links of default routes; ``opened``: by IP version, links not ours on which we enabled forwarding.
    """

    inside: tuple[Inside, ...] = ()
    nat: tuple[tuple[Nat, tuple[str, ...]], ...] = ()
    forwards: tuple[tuple[Forward, tuple[str, ...]], ...] = ()
    defaults: tuple[str, ...] = ()
    opened: dict[int, tuple[str, ...]] = field(default_factory=dict)


def compile_ruleset(rules: Ruleset) -> Optional[str]:
    """The body of our table, or None if nothing is needed."""
    if not (rules.inside or rules.nat or rules.forwards):
        return None
    chains = [*_sources(rules), *_destination_nat(rules), *_filter(rules), *_source_nat(rules)]
    return "".join(f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n" for name, lines in chains if lines)


Chain = tuple[str, list[str]]


def _base(kind: str, hook: str, priority: int) -> str:
    return f"type {kind} hook {hook} priority {priority}; policy accept;"


def chain_name(prefix: str, link: str) -> str:
    """A chain for a link: nft's identifiers take fewer characters than the kernel's names."""
    plain = all(char.isascii() and (char.isalnum() or char in "_.-") for char in link)
    return f"{prefix}_{link}" if plain else f"{prefix}_x{link.encode().hex()}"


def _dispatch(match: str, verdict: str, prefix: str, links: Iterable[str]) -> str:
    """One lookup instead of a rule for each link."""
    return f"{match} vmap {{ " + ", ".join(f'"{link}" : {verdict} {chain_name(prefix, link)}' for link in sorted(links)) + " }"


def _names(links: Iterable[str]) -> str:
    return "{ " + ", ".join(f'"{link}"' for link in sorted(links)) + " }"


def _set(items: Iterable) -> str:
    return "{ " + ", ".join(str(item) for item in items) + " }"


def _family(version: int) -> str:
    return "ip" if version == 4 else "ip6"


def _nfproto(version: int) -> str:
    return f"meta nfproto ipv{version}"


# -- prerouting, raw: forged sources --


def _sources(rules: Ruleset) -> Iterator[Chain]:
    guarded = [item for item in rules.inside if item.sources is not None or item.localnet]
    for item in guarded:
        lines = []
        if item.localnet:
            lines.append("ip daddr 127.0.0.0/8 drop")
        if item.sources is not None:
            for version, always in ((4, ()), (6, ("fe80::/10", "::"))):
                allowed = [*collapse(cidr.of_version(item.sources, version)), *always]
                if allowed:
                    lines.append(f"{_family(version)} saddr {_set(allowed)} accept")
            lines.append("drop")
        yield chain_name("source", item.link), lines
    if guarded:
        yield "raw_prerouting", [
            _base("filter", "prerouting", RAW), _dispatch("iifname", "goto", "source", [item.link for item in guarded])]


def collapse(networks: Sequence[cidr.Network]) -> list:
    """Networks without overlaps (nft refuses them in a set); a single address is written without prefix length."""
    import ipaddress  # pylint: disable=import-outside-toplevel

    return [item.network_address if item.prefixlen == item.max_prefixlen else item for item in ipaddress.collapse_addresses(networks)]


# -- destination NAT --


def _destination_nat(rules: Ruleset) -> Iterator[Chain]:
    ranked = sorted(rules.forwards, key=lambda item: (item[0].specificity, item[0].version, item[0].name))
    incoming = [line for forward, behind in ranked for line in _dnat(forward, behind)]
    local = [line for forward, _behind in ranked if forward.hairpin for line in _dnat(forward, None)]
    if incoming:
        yield "forwards", incoming
        yield "nat_prerouting", [_base("nat", "prerouting", DSTNAT), "fib daddr type local jump forwards"]
    if local:
        # Of the loopback networks only 127.0.0.1: 127.0.0.53, for one, is the host's own resolver.
        yield "forwards_from_host", local
        yield "nat_output", [
            _base("nat", "output", DSTNAT),
            "ip daddr 127.0.0.0/8 ip daddr != 127.0.0.1 return",
            "ip6 daddr ::1 return",
            "fib daddr type local jump forwards_from_host",
        ]


def _dnat(forward: Forward, behind: Optional[tuple[str, ...]]) -> Iterator[str]:
    """The rules of a forward; *behind* None means: for packets that the host itself sends."""
    family = _family(forward.version)
    match = [_nfproto(forward.version)]
    if behind is not None:
        if forward.in_interface:
            match.append(f"iifname {_names({*forward.in_interface, *(behind if forward.hairpin else ())})}")
        elif not forward.hairpin and behind:
            match.append(f"iifname != {_names(behind)}")
    if forward.sources:
        match.append(f"{family} saddr {_set(collapse(forward.sources))}")
    if forward.listen_address:
        match.append(f"{family} daddr {_set(forward.listen_address)}")
    for protocol in forward.protocol:
        yield (f'{" ".join(match)} {protocol} dport {forward.port} counter dnat {family} to '
               f'{_target(forward, protocol)} comment "forward {forward.name}"')


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
    links = [item.link for item in rules.inside]
    yield "declared", [*_declared_nat(rules, links), *_declared_forwards(rules)]
    for item in rules.inside:
        friends = [f"oifname {_names(item.friends)} accept"] if item.friends else []
        yield chain_name("from", item.link), ["ct state established,related accept", "jump declared", *friends, "drop"]
        yield chain_name("to", item.link), ["ct state established,related accept", "jump declared", "drop"]
    lines = [_base("filter", "forward", FILTER)]
    if links:
        lines += [_dispatch("iifname", "goto", "from", links), _dispatch("oifname", "goto", "to", links)]
    opened = []
    for version, names in sorted(rules.opened.items()):
        names = tuple(name for name in names if name not in links)
        if names:
            match = "" if EVERY in names else f"iifname {_names(names)} "
            opened.append(f"{match}{_nfproto(version)} goto opened")
    if opened:
        yield "opened", ["jump replies", "jump declared", "drop"]
        yield "replies", list(_replies(rules)) or ["return"]
    yield "filter_forward", [*lines, *opened]


def _declared_nat(rules: Ruleset, inside: list[str]) -> Iterator[str]:
    for nat, own in rules.nat:
        if not nat.forward:
            continue
        out = _names(nat.out_interface) if nat.out_interface else ""
        if not out:
            closed = sorted({*own, *inside} - (set(rules.defaults) - set(own)))
            out = f"!= {_names(closed)}" if closed else ""
        for version in nat.versions:
            yield (f"{_family(version)} saddr {_set(collapse(cidr.of_version(nat.source, version)))} "
                   f'{"oifname " + out + " " if out else ""}ct state new accept comment "nat {nat.name}"')


def _declared_forwards(rules: Ruleset) -> Iterator[str]:
    for forward, _behind in rules.forwards:
        for protocol in forward.protocol:
            yield (f"ct status dnat {_family(forward.version)} daddr {forward.to_address} {protocol} dport {forward.to_port} "
                   f'accept comment "forward {forward.name}"')


def _replies(rules: Ruleset) -> Iterator[str]:
    """Replies of declared flows, told by how they began: on a link that was closed, no other flow gets through."""
    for nat, _own in rules.nat:
        if nat.forward:
            for version in nat.versions:
                yield (f"ct state established,related ct original {_family(version)} saddr "
                       f"{_set(collapse(cidr.of_version(nat.source, version)))} accept")
    if rules.forwards:
        yield "ct state established,related ct status dnat accept"


# -- source NAT --


def _source_nat(rules: Ruleset) -> Iterator[Chain]:
    hairpin = {}
    for forward, behind in rules.forwards:
        if forward.hairpin:
            for link in behind:
                hairpin.setdefault(link, []).append(forward)
    for link, forwards in sorted(hairpin.items()):
        yield chain_name("hairpin", link), list(_hairpin(rules, link, forwards))
    lines = [line for nat, own in rules.nat for line in _nat(nat, own)]
    if hairpin:
        lines.insert(0, "ct status dnat " + _dispatch("oifname", "jump", "hairpin", hairpin))
    if lines:
        yield "nat_postrouting", [_base("nat", "postrouting", SRCNAT), *lines]


def _hairpin(rules: Ruleset, link: str, forwards: list[Forward]) -> Iterator[str]:
    """A namespace that reaches itself through the host must get the answers from the host, and nobody can answer
    to 127.0.0.1."""
    sources = next((item.sources for item in rules.inside if item.link == link), None) or ()
    for version in sorted({forward.version for forward in forwards}):
        own = [*cidr.of_version(sources, version)]
        for forward in forwards:
            if forward.version == version:
                own.append(cidr.network("to_address", str(forward.to_address)))
        if version == 4:
            own.append(cidr.network("hairpin", "127.0.0.0/8"))
        yield f"{_family(version)} saddr {_set(collapse(own))} counter masquerade"


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
