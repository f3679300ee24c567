# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Our accept in a table of others: a chain with one rule, and jumps to it. Where it belongs, whether it is there, and
the scripts that put it there. Pure.

The rule accepts what our table has let through and marked, so it is one rule for any number of namespaces, and opens
nothing that our table closes. A jump stands right before what drops all that nobody accepted: what the owner of the
table drops by rules of their own stays dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .accept_mark import ACCEPT_CHAIN, MARK
from .foreign_firewall import Listing, Verdict

Rule = Mapping[str, Any]

_BESIDE = ("counter", "log")
_LOGGING = ("LOG", "NFLOG", "ULOG")


@dataclass(frozen=True)
class ForeignTable:
    """One table of a listing with our part in it told apart.

    ``chains``: their rules by chain; ``jumps``: by chain, how many of their rules stand before each jump of ours, and
    its handle; ``accept``: the rules of our chain, None if it is not there.
    """

    family: str
    name: str
    chains: Mapping[str, list[Rule]]
    jumps: Mapping[str, list[tuple[int, int]]]
    accept: Optional[list[Rule]]

    @classmethod
    def of(cls, listing: Listing, family: str, name: str) -> ForeignTable:
        chains: dict[str, list[Rule]] = {}
        jumps: dict[str, list[tuple[int, int]]] = {}
        accept = None
        for (its_family, table, chain), rules in listing.rules.items():
            if (its_family, table) != (family, name):
                continue
            if chain == ACCEPT_CHAIN:
                accept = rules
                continue
            chains[chain] = [rule for rule in rules if not _jumps_to_ours(rule)]
            before = 0
            for rule in rules:
                if _jumps_to_ours(rule):
                    jumps.setdefault(chain, []).append((before, rule["handle"]))
                else:
                    before += 1
        return cls(family, name, chains, jumps, accept)

    @property
    def of_iptables(self) -> bool:
        """Whether iptables-nft made it, which does not understand all that nft could add to it."""
        return self.family in ("ip", "ip6") and self.name == "filter" and "FORWARD" in self.chains

    def place(self, chain: str) -> int:
        """How many of the chain's rules come before what drops everything; all of them if none does."""
        rules = self.chains.get(chain, [])
        return next((number for number, rule in enumerate(rules) if self._drops_all(rule)), len(rules))

    def state(self) -> Optional[str]:
        """What there is of our accept, None if nothing: ``in`` and the chains, if all is in its place."""
        if self.accept is None and not self.jumps:
            return None
        right = self.accept is not None and len(self.accept) == 1 and _accepts_marked(self.accept[0])
        for chain, places in self.jumps.items():
            right = right and [before for before, _handle in places] == [self.place(chain)]
        return wanted_state(self.jumps) if right and self.jumps else "incomplete or out of place"

    def chain_for(self, found: Verdict) -> Optional[str]:
        """The chain in which an accept would help against a drop; None where a rule drops on purpose."""
        steps = [*found.path, (found.chain, found.handle)]
        while steps:
            chain, handle = steps.pop()
            rules = self.chains.get(chain, [])
            if not handle:
                return chain  # the policy
            number = next((index for index, rule in enumerate(rules) if rule["handle"] == handle), None)
            if number is None or not self._drops_all(rules[number]):
                return None
            if not steps or any(not _only_logs(rule) for rule in rules[:number]):
                return chain
        return None

    def _drops_all(self, rule: Rule, depth: int = 0) -> bool:
        """Whether whatever reaches this rule is dropped by it, or by the first rule where it leads to."""
        act = _unconditional(rule)
        if act is None or depth > 16:
            return False
        kind, target = act
        if kind in ("jump", "goto"):
            first = next((item for item in self.chains.get(target, []) if not _only_logs(item)), None)
            return first is not None and self._drops_all(first, depth + 1)
        return kind in ("drop", "reject")


def wanted_state(chains: Iterable[str]) -> str:
    """The value of an accept that is as it should be."""
    return "in " + ", ".join(sorted(chains))


def chains_of(state: str) -> list[str]:
    """The inverse of wanted_state(); none for any other state."""
    return state[3:].split(", ") if state.startswith("in ") and state != "in " else []


def with_accept(listing: Listing, family: str, table: str, chains: Iterable[str]) -> Listing:
    """*listing* with our accept in *chains* of a table, and nowhere else in it."""
    foreign = ForeignTable.of(listing, family, table)
    rules = {key: value for key, value in listing.rules.items() if key != (family, table, ACCEPT_CHAIN)}
    wanted = set(chains)
    for chain, theirs in foreign.chains.items():
        rules[family, table, chain] = theirs
        if chain in wanted:
            place = foreign.place(chain)
            rules[family, table, chain] = [*theirs[:place], {"expr": [_JUMP], "handle": 0}, *theirs[place:]]
    return Listing(listing.bases, rules, listing.sets, listing.owned)


def nft_script(table: ForeignTable, chains: Iterable[str]) -> str:
    """For ``nft --file -``: our accept in *chains*, and nowhere else in the table; none to remove it."""
    name = f"{table.family} {table.name}"
    lines = [
        f"delete rule {name} {chain} handle {handle}"
        for chain, places in sorted(table.jumps.items())
        for _before, handle in places
    ]
    wanted = [chain for chain in sorted(set(chains)) if chain in table.chains]
    if table.accept is not None:
        lines += [f"flush chain {name} {ACCEPT_CHAIN}"]
        lines += [] if wanted else [f"delete chain {name} {ACCEPT_CHAIN}"]
    if wanted:
        lines += [f"add chain {name} {ACCEPT_CHAIN}"]
        lines += [f"add rule {name} {ACCEPT_CHAIN} meta mark & {MARK:#010x} == {MARK:#010x} counter accept"]
    for chain in wanted:
        rules, place = table.chains[chain], table.place(chain)
        where = f"insert rule {name} {chain} handle {rules[place]['handle']}" if place < len(rules) else ""
        lines.append(f"{where or f'add rule {name} {chain}'} jump {ACCEPT_CHAIN}")
    return "".join(f"{line}\n" for line in lines)


def iptables_script(table: ForeignTable, chains: Iterable[str]) -> str:
    """The same for ``iptables-restore --noflush``."""
    wanted = [chain for chain in sorted(set(chains)) if chain in table.chains]
    lines = [f"*{table.name}"]
    if wanted:
        # Naming a chain makes or empties it.
        lines += [f":{ACCEPT_CHAIN} - [0:0]"]
        lines += [f"-A {ACCEPT_CHAIN} -m mark --mark {MARK:#x}/{MARK:#x} -j ACCEPT"]
    lines += [f"-D {chain} -j {ACCEPT_CHAIN}" for chain, places in sorted(table.jumps.items()) for _place in places]
    lines += [f"-I {chain} {table.place(chain) + 1} -j {ACCEPT_CHAIN}" for chain in wanted]
    if not wanted and table.accept is not None:
        lines += [f"-F {ACCEPT_CHAIN}", f"-X {ACCEPT_CHAIN}"]
    return "".join(f"{line}\n" for line in [*lines, "COMMIT"])


_JUMP = {"jump": {"target": ACCEPT_CHAIN}}


def _jumps_to_ours(rule: Rule) -> bool:
    return _JUMP in (rule["expr"])


def _accepts_marked(rule: Rule) -> bool:
    """Old releases of iptables-nft match the mark with an extension, which nft does not show."""
    statements = [item for item in rule["expr"] if next(iter(item), "") not in _BESIDE]
    if len(statements) != 2 or "accept" not in statements[1]:
        return False
    return str(MARK) in str(statements[0].get("match")) or statements[0].get("xt", {}).get("name") == "mark"


def _only_logs(rule: Rule) -> bool:
    return all(
        next(iter(item), "") in _BESIDE or item.get("xt", {}).get("name") in _LOGGING or "limit" in item
        for item in rule["expr"]
    )


def _unconditional(rule: Rule) -> Optional[tuple[str, str]]:
    """What a rule without any match does: (statement, target of a jump); None if it has one."""
    for item in rule["expr"]:
        kind = next(iter(item), "")
        what = item.get(kind)
        if kind in _BESIDE:
            continue
        if kind == "xt":
            if what.get("name") == "comment" or what.get("name") in _LOGGING:
                continue
            return {"REJECT": ("reject", ""), "DROP": ("drop", "")}.get(str(what.get("name")))
        if kind in ("jump", "goto") and isinstance(what, Mapping):
            return kind, str(what.get("target"))
        return (kind, "") if kind in ("drop", "reject", "accept", "return") else None
    return None
