# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the other tables of a ruleset do to a packet of ours. Pure: it reads ``nft --json list ruleset``.

At a hook the kernel asks the base chains of all tables, by priority. An accept ends the chain that says it, and the
next chain is asked all the same; a drop is final. So an accept of ours saves no packet that anybody else drops: what
can be done is to find out who does. Not seen here: rules of iptables-legacy, which nft does not list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from .accept_mark import ACCEPT_CHAIN
from .nft_match import Matcher, Packet, Sets
from .nft_text import rule_text

__all__ = ["ACCEPT_CHAIN", "BaseChain", "Listing", "Packet", "Verdict", "base_chains", "verdict"]

#: Targets of iptables that let a packet go on to the next rule.
_GOING_ON = (
    *("AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CONNSECMARK", "CT", "DSCP", "ECN", "HL", "HMARK", "IDLETIMER"),
    *("LED", "LOG", "MARK", "NFLOG", "NOTRACK", "RATEEST", "SECMARK", "SET", "TCPMSS", "TCPOPTSTRIP", "TEE", "TOS"),
    *("TRACE", "TTL", "ULOG"),
)
#: Statements that neither match nor decide.
_BESIDE = (
    *("counter", "log", "mangle", "notrack", "dup", "flow", "set", "map"),
    *("ct helper", "ct timeout", "ct expectation"),
)
#: Whether they match depends on what came before.
_MAYBE = ("limit", "quota", "ct count", "meter")
#: Targets of iptables that nftables has as well.
_TARGETS = {"REJECT": "reject", "DROP": "drop", "ACCEPT": "accept", "NFQUEUE": "queue"}
#: Matches of iptables on headers that few packets have.
_HEADERS = ("ah", "dst", "esp", "frag", "hbh", "ipv6header", "mh", "rt")
_ACCEPTING = ("accept", "snat", "dnat", "masquerade", "redirect")
_DROPPING = ("drop", "reject")
#: Chains that jump to each other deeper than the kernel allows are not read further.
_DEEPEST = 32


@dataclass(frozen=True)
class Verdict:
    """What becomes of a packet.

    ``accepted``: True if nobody else drops it, False if somebody does, None if a rule that cannot be read here may.
    The rest says who: the rule, or the chain's policy (then ``handle`` is 0); empty where it is accepted. ``unread``
    are rules that cannot be read and may have accepted it before it was dropped: without any, the drop is certain.
    ``path`` are the rules that led to the chain, as (chain, handle); ``priority`` is the base chain's.
    """

    accepted: Optional[bool]
    family: str = ""
    table: str = ""
    chain: str = ""
    rule: str = ""
    handle: int = 0
    unread: tuple[str, ...] = ()
    path: tuple[tuple[str, int], ...] = ()
    priority: int = 0

    @property
    def certain(self) -> bool:
        """True if no rule that cannot be read has a part in it."""
        return self.accepted is not None and not self.unread

    def __str__(self) -> str:
        if self.accepted:
            return "no other table drops it"
        said = f"table {self.family} {self.table}, chain {self.chain}: {self.rule}"
        return said + (f" (handle {self.handle})" if self.handle else "")


@dataclass(frozen=True)
class BaseChain:
    """A chain that is called by the kernel. ``priority`` and ``policy`` are nft's."""

    family: str
    table: str
    name: str
    hook: str
    priority: int
    policy: str

    @property
    def place(self) -> tuple[str, str]:
        return self.family, self.table


def base_chains(ruleset: Iterable[Mapping[str, Any]]) -> list[BaseChain]:
    """The base chains of a listing, in the order in which the kernel asks those of one hook."""
    found = [
        BaseChain(
            *_named(chain), str(chain["hook"]), _priority(chain.get("prio")), str(chain.get("policy") or "accept")
        )
        for chain in (item.get("chain") for item in ruleset)
        if isinstance(chain, Mapping) and chain.get("hook")
    ]
    return sorted(found, key=lambda chain: chain.priority)


def _named(item: Mapping[str, Any], name: str = "name") -> tuple[str, str, str]:
    return str(item.get("family")), str(item.get("table")), str(item.get(name))


def _priority(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _readable(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """A rule whose statements are mappings, those of iptables' extensions with what is known of them."""
    statements = [item for item in _items(rule.get("expr")) if isinstance(item, Mapping) and item]
    shown = [
        {"xt": item["xt"] if isinstance(item["xt"], Mapping) else {}} if "xt" in item else item for item in statements
    ]
    handle = rule.get("handle")
    return {**rule, "expr": shown, "handle": handle if isinstance(handle, int) else 0}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def verdict(ruleset: Iterable[Mapping[str, Any]], packet: Packet, own_table: tuple[str, str]) -> Verdict:
    """What the tables of *ruleset* (the list under ``"nftables"``) do to *packet*; *own_table*, as (family, name), is
    passed over. A jump to ACCEPT_CHAIN is taken for the accept that it is for packets that our table let through."""
    return Listing.of(ruleset).verdict(packet, own_table)


@dataclass(frozen=True)
class Listing:
    """A ruleset, taken apart: base chains in the kernel's order, rules by (family, table, chain), sets by their names.

    ``owned`` are tables that only the process that made them can change.
    """

    bases: list[BaseChain]
    rules: Mapping[tuple[str, str, str], list[Mapping[str, Any]]]
    sets: Sets
    owned: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, ruleset: Iterable[Mapping[str, Any]]) -> Listing:
        """*ruleset* is the list under ``"nftables"``."""
        items = [item for item in ruleset if isinstance(item, Mapping)]
        rules: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
        sets: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        owned = set()
        for item in items:
            kind, what = next(iter(item.items()), ("", None))
            if not isinstance(what, Mapping):
                continue
            if kind == "chain":
                rules.setdefault(_named(what), [])
            elif kind == "rule":
                rules.setdefault(_named(what, "chain"), []).append(_readable(what))
            elif kind == "table" and "owner" in str(what.get("flags")):
                owned.add((str(what.get("family")), str(what.get("name"))))
            elif kind in ("set", "map"):
                sets[_named(what)] = what
        return cls(base_chains(items), rules, sets, frozenset(owned))

    def knows(self, family: str, table: str) -> bool:
        """Whether a table has a base chain here."""
        return any(base.place == (family, table) for base in self.bases)

    def verdict(self, packet: Packet, own_table: tuple[str, str]) -> Verdict:
        """As verdict()."""
        families = ("inet", "ip" if packet.version == 4 else "ip6")
        doubt: Optional[Verdict] = None
        for chain in self.bases:
            if chain.hook != packet.hook or chain.family not in families or chain.place == own_table:
                continue
            walk = _Walk(self, chain, packet)
            answer = walk.answer()
            if answer.accepted is False:
                return answer
            if answer.accepted is None and doubt is None:
                doubt = answer
        return doubt or Verdict(True)


@dataclass
class _Walk:
    """One base chain and all that it calls."""

    listing: Listing
    base: BaseChain
    packet: Packet
    #: A rule that may drop it, and rules that may let it through.
    doubt: Optional[Verdict] = None
    unread: list[str] = field(default_factory=list)
    path: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._matcher = Matcher(self.packet, self.base.family, self.base.table, self.listing.sets)

    def answer(self) -> Verdict:
        found = self._chain(self.base.name, True, 0)
        if isinstance(found, Verdict):
            return found
        if found is None and self.base.policy == "drop":
            return self._drop(self.base.name, "policy drop", 0)
        return self.doubt or Verdict(True)

    def _drop(self, chain: str, rule: str, handle: int) -> Verdict:
        return Verdict(
            *(False, self.base.family, self.base.table, chain, rule, handle),
            *(tuple(self.unread), tuple(self.path), self.base.priority),
        )

    def _chain(self, name: str, certain: bool, depth: int) -> Any:
        """A Verdict that it is dropped, True where the base chain is done with it, None to go on after the call."""
        if depth > _DEEPEST:
            return None
        for rule in self.listing.rules.get((self.base.family, self.base.table, name), ()):
            ends = self._rule(rule, name, certain, depth)
            if ends is not None:
                return ends if ends != "return" else None
        return None

    def _rule(self, rule: Mapping[str, Any], chain: str, certain: bool, depth: int) -> Any:
        """As _chain(), or "return". Where *certain* is False, nothing in here ends anything."""
        sure, nameless = certain, False
        statements = rule["expr"]
        for statement in statements:
            kind = next(iter(statement), "")
            what = statement.get(kind)
            if kind == "match" and isinstance(what, Mapping):
                matches = self._matcher.match(what)
            elif kind == "xt" and what.get("type", "match") == "match":
                matches = self._extension(what, statements[-1])
                nameless = nameless or not what
            elif kind in _MAYBE or (kind == "set" and isinstance(what, Mapping) and what.get("stmt")):
                matches = None
            else:
                ends = self._act(kind, what, rule, chain, sure, depth)
                if ends is not None:
                    return ends if ends != "next" else None
                continue
            if matches is False:
                return None
            sure = sure and matches is True
        if nameless:
            self._doubt(rule, chain)  # an old nft shows neither matches nor targets of iptables
        return None

    def _extension(self, what: Mapping[str, Any], last: Mapping[str, Any]) -> Optional[bool]:
        """A match of iptables: what it says is not shown. Of a connection's state, people accept replies and drop what
        is invalid; and a plain packet has no extension headers."""
        name = what.get("name")
        if name in _HEADERS:
            return False
        if name in ("conntrack", "state"):
            if "drop" in last:
                return False
            if "accept" in last and self.packet.ct_state == "established":
                return True
        return True if name == "comment" else None

    def _act(self, kind: str, what: Any, rule: Mapping[str, Any], chain: str, sure: bool, depth: int) -> Any:
        """A statement that is no match: None to go on with the rule's next one, "next" with the next rule."""
        if kind == "xt":
            name = str(what.get("name"))
            kind = "log" if name in _GOING_ON else _TARGETS.get(name, name)
        if kind in _BESIDE:
            return None
        if kind == "vmap" and isinstance(what, Mapping):
            return self._vmap(what, rule, chain, sure, depth)
        if kind in ("jump", "goto") and isinstance(what, Mapping):
            if what.get("target") == ACCEPT_CHAIN and sure:
                return True
            self.path.append((chain, int(rule.get("handle") or 0)))
            found = self._chain(str(what.get("target")), sure, depth + 1)
            self.path.pop()
            if found is not None:
                return found
            return "return" if kind == "goto" and sure else "next"
        if kind in (*_ACCEPTING, "return"):
            if sure:
                return "return" if kind == "return" else True
            self.unread.append(f"{chain}: {rule_text(rule)}")
            return "next"
        if kind in _DROPPING and sure:
            return self._drop(chain, rule_text(rule), int(rule.get("handle") or 0))
        if kind == "continue":
            return "next"
        # Who handles a queue, or is an unknown target, may drop it.
        self._doubt(rule, chain)
        return True if kind == "queue" and sure else "next"

    def _vmap(self, vmap: Mapping[str, Any], rule: Mapping[str, Any], chain: str, sure: bool, depth: int) -> Any:
        found = self._matcher.mapped(vmap)
        if found is None:
            self._doubt(rule, chain)
            return "next"
        for outcome, certain in found:
            kind = next(iter(outcome), "") if isinstance(outcome, Mapping) else str(outcome)
            what = outcome.get(kind) if isinstance(outcome, Mapping) else None
            ends = self._act(kind, what, rule, chain, sure and certain, depth)
            if ends not in (None, "next"):
                return ends
        return "next"

    def _doubt(self, rule: Mapping[str, Any], chain: str) -> None:
        if self.doubt is None:
            text, handle = rule_text(rule), int(rule.get("handle") or 0)
            self.doubt = Verdict(None, self.base.family, self.base.table, chain, text, handle)
