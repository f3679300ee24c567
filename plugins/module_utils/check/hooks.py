# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What our own table decides about a packet at one hook, and how any table translates it. Pure.

A rule that cannot be told to match or not is kept as a doubt: it counts only if it could have changed the outcome. What
tables of others drop is foreign_firewall's to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from ..doors.nft import FAMILY, TABLE
from ..nft_text import rule_text
from .packet import NEW, Packet
from .ruleset import Chain, Ruleset
from .tracked_match import Fib, TrackedMatcher, at

OWN_TABLE = (FAMILY, TABLE)
_ENDING = ("accept", "drop", "reject", "return")
#: Statements that neither match nor decide.
_BESIDE = (
    "counter",
    "log",
    "mangle",
    "notrack",
    "dup",
    "flow",
    "set",
    "map",
    "ct helper",
    "ct timeout",
    "ct expectation",
)
TRANSLATING = ("dnat", "snat", "masquerade", "redirect")
#: The same as targets of iptables.
_TARGETS = ("DNAT", "SNAT", "MASQUERADE", "REDIRECT")
_WITH_BODY = ("match", "vmap", "jump", "goto")
_DEEPEST = 32


class Rule(NamedTuple):
    """A rule, or with handle 0 a chain's policy, as messages name it."""

    family: str
    table: str
    chain: str
    text: str
    handle: int

    @property
    def own(self) -> bool:
        return (self.family, self.table) == OWN_TABLE

    def __str__(self) -> str:
        behind = f" (handle {self.handle})" if self.handle else ""
        return f"table {self.family} {self.table}, chain {self.chain}: {self.text}{behind}"


class Translation(NamedTuple):
    """A NAT statement (its kind and JSON), the rule that says it, and what resolves the maps in it."""

    kind: str
    body: Any
    rule: Rule
    matcher: TrackedMatcher


@dataclass
class Outcome:
    """``dropped`` and ``translated`` by which rule; ``doubt``: the rule because of which that is not sure."""

    dropped: Optional[Rule] = None
    translated: Optional[Translation] = None
    doubt: Optional[Rule] = None


def own_filter(rules: Ruleset, hook: str, packet: Packet, fib: Fib) -> Outcome:
    """What our table lets through."""
    chains = [item for item in rules.base_chains(hook, packet.version) if (item.family, item.table) == OWN_TABLE]
    for chain in chains:
        if chain.kind != "nat":
            outcome = _base(rules, chain, hook, packet, fib)
            if outcome.dropped is not None:
                return outcome
    return Outcome()


def translation(rules: Ruleset, hook: str, packet: Packet, fib: Fib) -> Outcome:
    """The first NAT rule of any table that is for this packet: NAT sees only the first packet of a connection."""
    doubt = None
    if packet.state == NEW:
        for chain in rules.base_chains(hook, packet.version):
            if chain.kind == "nat":
                outcome = _base(rules, chain, hook, packet, fib)
                if outcome.translated is not None or outcome.dropped is not None:
                    return outcome
                doubt = doubt or outcome.doubt
    return Outcome(doubt=doubt)


def _base(rules: Ruleset, chain: Chain, hook: str, packet: Packet, fib: Fib) -> Outcome:
    matcher = TrackedMatcher(at(packet, hook), chain.family, chain.table, rules.sets, packet, fib)
    walk = _Walk(rules, matcher)
    ended = walk.chain(chain, 0)
    if ended in ("drop", "reject"):
        return Outcome(dropped=walk.decided, doubt=walk.doubt)
    if ended in (None, "return") and chain.policy == "drop":
        return Outcome(dropped=Rule(chain.family, chain.table, chain.name, "policy drop", 0), doubt=walk.doubt)
    return Outcome(translated=walk.translated, doubt=None if walk.translated else walk.doubt)


class _Walk:
    def __init__(self, rules: Ruleset, matcher: TrackedMatcher) -> None:
        self.rules = rules
        self.matcher = matcher
        self.decided: Optional[Rule] = None
        self.translated: Optional[Translation] = None
        self.doubt: Optional[Rule] = None

    def chain(self, chain: Chain, depth: int) -> Optional[str]:
        """The word that ended the base chain, or "return", or None at the end of this one."""
        for rule in chain.rules if depth <= _DEEPEST else ():
            ended = self._rule(chain, rule, depth)
            if ended is not None:
                return ended
        return None

    def _rule(self, chain: Chain, rule: Mapping[str, Any], depth: int) -> Optional[str]:
        shown = Rule(chain.family, chain.table, chain.name, rule_text(rule), int(rule.get("handle") or 0))
        sure = True
        for statement in rule.get("expr") or ():
            ((kind, what),) = (
                statement.items() if isinstance(statement, dict) and len(statement) == 1 else (("", None),)
            )
            if kind in _BESIDE:
                continue
            if kind in _WITH_BODY and not isinstance(what, Mapping):
                sure = False
            elif kind == "match" and isinstance(what, Mapping):
                answer = self.matcher.match(what)
                if answer is False:
                    return None
                sure = sure and answer is True
            elif kind == "xt" and isinstance(what, dict) and what.get("name") == "comment":
                continue
            elif kind == "vmap":
                ended = self._mapped(chain, what, shown, sure, depth)
                if ended is not None:
                    return ended
            elif kind in (*_ENDING, *TRANSLATING, "jump", "goto") and sure:
                return self._act(chain, kind, what, shown, depth)
            elif kind == "xt" and isinstance(what, dict) and sure and what.get("name") in _TARGETS:
                return self._act(chain, str(what["name"]).lower(), None, shown, depth)
            elif kind in ("continue", "jump", "goto", *_ENDING, *TRANSLATING):
                self.doubt = self.doubt or shown
                return None
            else:
                sure = False  # limits, extensions of iptables, and whatever later releases bring
        return None

    def _mapped(self, chain: Chain, what: Any, shown: Rule, sure: bool, depth: int) -> Optional[str]:
        found = self.matcher.mapped(what)
        if found is None or not sure or any(not certain for _outcome, certain in found):
            self.doubt = self.doubt or shown
            return None
        if not found:
            return None
        outcome = found[0][0]
        kind = next(iter(outcome), "") if isinstance(outcome, dict) else str(outcome)
        body = outcome.get(kind) if isinstance(outcome, dict) else None
        if kind in ("jump", "goto") and not isinstance(body, dict):
            return None
        return self._act(chain, kind, body, shown, depth)

    def _act(self, chain: Chain, kind: str, what: Any, shown: Rule, depth: int) -> Optional[str]:
        if kind in ("jump", "goto"):
            target = self.rules.chain(chain, str(what.get("target")))
            ended = self.chain(target, depth + 1) if target is not None else None
            if ended in (None, "return"):
                return "return" if kind == "goto" else None
            return ended
        if kind not in (*_ENDING, *TRANSLATING):
            return None
        if kind in TRANSLATING:
            self.translated = Translation(kind, what, shown, self.matcher)
            return "accept"
        if kind != "return":
            self.decided = shown
        return kind
