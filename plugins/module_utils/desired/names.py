# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Names of interfaces and namespaces: what the kernel, the file system and nft take as a name."""

from __future__ import annotations

import re
import string

from ..errors import InvalidOption

#: The host's own namespace, wherever a namespace's name is expected.
HOST = ""

IFNAMSIZ = 16
#: The kernel forbids "/", ":" and white space and reads "%" as a template; in nft "*" is a wildcard, and
#: quotes or backslashes cannot be escaped in a name.
_LINK_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation) - frozenset("/:%*\"'\\")
#: conf/all and conf/default are not interfaces, and a link of that name could not be configured.
_LINK_RESERVED = (".", "..", "all", "default", "lo")

#: What systemd takes as a unit's name; templates (``x@``) have no service of their own.
_SERVICE = re.compile(r"[A-Za-z0-9:_.\\-][A-Za-z0-9:_.\\@-]*\Z")
_SERVICE_BYTES = 200


def link_name(option: str, value: str) -> str:
    """Return *value* if it can name a network interface that we make or match; raise InvalidOption otherwise."""
    size = _size(option, value)
    if not value:
        raise InvalidOption(option, value, "is empty", "give the interface a name of 1 to 15 bytes")
    if size >= IFNAMSIZ:
        raise InvalidOption(
            option,
            value,
            f"is not a valid interface name: {size} bytes, the kernel takes at most 15",
            f"shorten it, for example to {value.encode('utf-8', 'ignore')[:15].decode('utf-8', 'ignore')!r}",
        )
    bad = sorted(set(value) - _LINK_CHARACTERS)
    if bad:
        raise InvalidOption(
            option,
            value,
            f"is not a valid interface name: it contains {', '.join(map(repr, bad))}",
            "use letters, digits and any of . _ - @ + #",
        )
    if value in _LINK_RESERVED:
        raise InvalidOption(
            option, value, "is a reserved name and cannot be used for an interface", "choose another name"
        )
    return value


def netns_name(option: str, value: str) -> str:
    """Return *value* if it can name a namespace, that is a file directly under /run/netns; else raise InvalidOption."""
    remedy = "use a plain file name such as 'app'"
    if not value:
        raise InvalidOption(option, value, "is not a valid namespace name: it is empty", remedy)
    if value in (".", "..") or "/" in value:
        raise InvalidOption(option, value, "is not a valid namespace name: it must be a file name without '/'", remedy)
    if _size(option, value) > 255:
        raise InvalidOption(option, value, "is not a valid namespace name: it is longer than 255 bytes", "shorten it")
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise InvalidOption(option, value, "is not a valid namespace name: it contains control characters", remedy)
    if value.startswith(("-", "linuxnet-netns.")):
        raise InvalidOption(
            option,
            value,
            f"is not a valid namespace name: it starts with {value[0]!r}"
            if value[0] == "-"
            else "is not a valid namespace name: the prefix is ours",
            remedy,
        )
    return value


def optional_netns(option: str, value: str | None) -> str:
    """Like netns_name(), where an option that was left out means the host's namespace."""
    return HOST if value is None else netns_name(option, value)


def identity(option: str, value: str) -> str:
    """Return the *name* of a NAT or a forward: free text, but fit for a comment in the ruleset (at most 64 bytes)."""
    if not 0 < _size(option, value) <= 64:
        raise InvalidOption(option, value, "must have 1 to 64 bytes", "shorten the name")
    if any(ord(char) < 32 or ord(char) > 126 or char in '"\\' for char in value):
        raise InvalidOption(
            option, value, "contains a quote, a backslash, a control or a non-ASCII character", "use printable ASCII"
        )
    return value


def _size(option: str, value: str) -> int:
    """Bytes, as the kernel counts."""
    try:
        return len(value.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise InvalidOption(option, value, "cannot be written as UTF-8", "use plain characters") from None


def service_name(option: str, value: str) -> str:
    """Return *value* if it can name a service unit (without ``.service``); raise InvalidOption otherwise."""
    name = value[: -len(".service")] if value.endswith(".service") else value
    if not _SERVICE.match(name) or name.endswith("@") or len(name) > _SERVICE_BYTES or name in (".", ".."):
        raise InvalidOption(
            option,
            value,
            "is not the name of a service unit",
            "use letters, digits and any of : - _ . @, without .service",
        )
    return name


def check_identity(item: tuple[str, ...]) -> None:
    """Check what identifies a resource, as (kind, [namespace,] name), where nothing else of it is given."""
    kind, name = item[0], item[-1]
    if len(item) > 2 and item[1]:
        netns_name("netns", item[1])
    checks = {"netns": netns_name, "veth": link_name, "netns_service": service_name}
    checks.get(kind, identity)("name", name)


def where(netns: str) -> str:
    """How messages name a namespace: ``on the host`` or ``in app``."""
    return f"in {netns}" if netns else "on the host"
