# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A policy routing rule, known by its family and its priority, of which we make one at most in a namespace."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from ..desired.names import where
from ..desired.policy_rule import Rule
from ..desired.tables import TABLES
from ..doors import netlink_messages as wire
from ..doors.netlink import ROUTE_PROTOCOL
from ..errors import SystemRefused
from .kernel_object import KernelObject

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..system import System

ACTIONS = {
    "lookup": wire.FR_ACT_TO_TBL,
    "blackhole": wire.RTN_BLACKHOLE,
    "unreachable": wire.RTN_UNREACHABLE,
    "prohibit": wire.RTN_PROHIBIT,
}
_ACTION_NAMES = {number: name for name, number in ACTIONS.items()}
_TABLE_NAMES = {number: name for name, number in TABLES.items()}
#: Between the values of several rules of ours with one priority: somebody else used our protocol number.
#: Two words, since an interface can be called by any one.
_AND = " and also "


@dataclass(frozen=True)
class PolicyRule(KernelObject):
    """The value reads as in `ip rule`: ``from 10.0.0.2/32 lookup 101``.

    Rules name interfaces, but do not end with them. ``stated`` is the wanted value: a rule of somebody else's that
    says the same is as good, and is not ours to remove.
    """

    netns: str
    version: int
    priority: int
    stated: str = field(default="", compare=False)

    kind = "rule"
    #: After the routes of the table that it points to.
    ORDER = 55
    GROUPED = True
    needs = ("links", "rules")

    def __str__(self) -> str:
        return f"rule {self.priority}{' (IPv6)' if self.version == 6 else ''} {where(self.netns)}"

    @property
    def netns_names(self) -> tuple[str, ...]:
        return (self.netns,)

    def observed(self, snapshot: Snapshot) -> Optional[str]:
        there = snapshot.rules_at(self.netns, self.version, self.priority)
        ours = [value for value, made_here in there if made_here]
        if ours:
            return _AND.join(ours)
        return self.stated if any(value == self.stated for value, _ours in there) else None

    def check(self, value: Any) -> None:
        super().check(value)
        for item in _values(value):
            wire_rule(self.version, self.priority, item)

    def original(self, before: Optional[str]) -> None:
        """Rules with our protocol number are ours alone."""

    def apply(self, system: System, before: Optional[str], after: Optional[str]) -> None:
        """First the new one, then away with the old one: no packet goes without a rule."""
        old, new = _values(before), _values(after)
        for value in new:
            if value not in old:
                self._act(system.netlink.add_rule, value, errno.EEXIST)
        for value in old:
            if value not in new:
                self._act(system.netlink.delete_rule, value, errno.ENOENT)

    def _act(self, act: Any, value: str, done_already: int) -> None:
        try:
            act(self.netns, wire_rule(self.version, self.priority, value))
        except SystemRefused as error:
            if error.errno != done_already:
                raise


def policy_rule(netns: str, rule: Rule) -> tuple[PolicyRule, str]:
    """What is wanted, as object and value."""
    value = rule_value(
        wire.Rule(
            version=rule.version,
            priority=rule.priority,
            action=ACTIONS[rule.action],
            table=rule.table,
            inverted=rule.inverted,
            source=rule.source,
            destination=rule.destination,
            iif=rule.iif,
            oif=rule.oif,
            mark=rule.mark,
        )
    )
    return PolicyRule(netns, rule.version, rule.priority, value), value


def rule_value(rule: wire.Rule) -> str:
    """A rule's value in the words of `ip rule`, with all that tells it from others of its priority."""
    words = ["not"] if rule.inverted else []
    for word, item in _selectors(rule):
        words += [word, str(item)]
    if rule.action == wire.FR_ACT_TO_TBL:
        words += ["lookup", _TABLE_NAMES.get(rule.table, str(rule.table))]
    elif rule.action == wire.FR_ACT_GOTO:
        words += ["goto", str(rule.goto)]
    else:
        words.append(_ACTION_NAMES.get(rule.action, f"action {rule.action}"))
    return " ".join(words)


def _selectors(rule: wire.Rule) -> Iterator[tuple[str, Any]]:
    """Those that a rule has. The words after `fwmark` are of rules that others make."""
    yield from ((word, item) for word, item in (("from", rule.source), ("to", rule.destination)) if item is not None)
    yield from ((word, item) for word, item in (("iif", rule.iif), ("oif", rule.oif)) if item)
    if rule.mark is not None:
        yield "fwmark", "{:#x}/{:#x}".format(*rule.mark)
    yield from ((word, item) for word, item in (("tos", rule.tos), ("ipproto", rule.ip_protocol)) if item)
    for word, span in (("sport", rule.source_ports), ("dport", rule.destination_ports), ("uidrange", rule.uids)):
        if span is not None:
            yield word, "{}-{}".format(*span)
    if rule.l3mdev:
        yield "l3mdev", 1
    if rule.suppress_prefix is not None:
        yield "suppress_prefixlength", rule.suppress_prefix


def wire_rule(version: int, priority: int, value: str) -> wire.Rule:
    """The inverse of rule_value(), for rules that we make."""
    words = iter(value.split())
    fields: dict[str, Any] = {}
    for word in words:
        if word == "not":
            fields["inverted"] = True
        elif word in ("from", "to"):
            fields["source" if word == "from" else "destination"] = ipaddress.ip_network(next(words, ""))
        elif word in ("iif", "oif"):
            fields[word] = next(words, "")
        elif word == "fwmark":
            mark, _slash, mask = next(words, "").partition("/")
            fields["mark"] = int(mark, 16), int(mask, 16)
        elif word == "lookup":
            name = next(words, "")
            fields.update(action=ACTIONS[word], table=TABLES.get(name) or int(name))
        elif word in ACTIONS:
            fields["action"] = ACTIONS[word]
    return wire.Rule(version=version, priority=priority, **{"action": 0, **fields})


def is_ours(rule: wire.Rule) -> bool:
    """True for a rule with our protocol number and nothing that we could not have asked for."""
    if rule.protocol != ROUTE_PROTOCOL:
        return False
    return rule._replace(protocol=0) == wire_rule(rule.version, rule.priority, rule_value(rule))


def _values(text: Optional[str]) -> list[str]:
    return text.split(_AND) if text else []
