# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A rule of ``nft --json list ruleset`` in words that its owner recognises. Pure; for messages, not for nft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What a rule counts or keeps in step says nothing about what it matches.
_SILENT = ("counter",)


def rule_text(rule: Mapping[str, Any]) -> str:
    """A rule's expressions, and its comment."""
    words = [_statement(item) for item in rule.get("expr") or () if isinstance(item, Mapping)]
    if rule.get("comment"):
        words.append(f'comment "{rule["comment"]}"')
    return " ".join(word for word in words if word)


def _statement(item: Mapping[str, Any]) -> str:
    kind = next(iter(item), "")
    what = item.get(kind)
    if kind in _SILENT:
        return ""
    if kind == "match" and isinstance(what, Mapping):
        op = what.get("op")
        middle = " " if op in ("==", "in", "", None) else f" {op} "
        return f"{_expression(what.get('left'))}{middle}{_expression(what.get('right'))}"
    if kind in ("jump", "goto") and isinstance(what, Mapping):
        return f"{kind} {what.get('target')}"
    if kind == "xt":
        return f"[{what.get('name')}]" if isinstance(what, Mapping) and what.get("name") else "[xt]"
    if kind == "vmap" and isinstance(what, Mapping):
        return f"{_expression(what.get('key'))} vmap {_expression(what.get('data'))}"
    if kind == "reject" and isinstance(what, Mapping):
        return " ".join(["reject with", str(what.get("type", "")), str(what.get("expr", ""))]).strip()
    if kind == "log" and isinstance(what, Mapping) and what.get("prefix"):
        return f'log prefix "{what["prefix"]}"'
    return str(kind)


def _expression(item: Any) -> str:
    if isinstance(item, list):
        return "{ " + ", ".join(_expression(one) for one in item) + " }"
    if not isinstance(item, Mapping):
        return str(item)
    kind = next(iter(item), "")
    what = item.get(kind)
    if kind == "concat" and isinstance(what, list):
        return " . ".join(_expression(one) for one in what)
    if kind == "set" and isinstance(what, list):
        pairs = [" : ".join(map(_expression, one)) if isinstance(one, list) else _expression(one) for one in what]
        return "{ " + ", ".join(pairs) + " }"
    if kind in ("&", "|", "^", "<<", ">>") and isinstance(what, list):
        return f" {kind} ".join(_expression(one) for one in what)
    if kind == "range" and isinstance(what, list):
        return "-".join(_expression(one) for one in what)
    if not isinstance(what, Mapping):
        return str(kind)
    if kind == "prefix":
        return f"{what.get('addr')}/{what.get('len')}"
    if kind == "elem":
        return _expression(what.get("val"))
    if kind == "meta":
        return str(what.get("key"))
    if kind == "payload":
        return f"{what.get('protocol')} {what.get('field')}" if "protocol" in what else "payload"
    if kind == "ct":
        return " ".join(str(part) for part in ("ct", what.get("dir"), what.get("family"), what.get("key")) if part)
    if kind == "fib":
        flags = what.get("flags")
        return f"fib {' . '.join(flags) if isinstance(flags, list) else flags} {what.get('result')}"
    return _statement(item)
