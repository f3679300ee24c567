# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A systemd service as it is wanted: in which namespace, as whom, and with what settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import InvalidOption
from .names import netns_name, service_name

_KEY = re.compile(r"[A-Z][A-Za-z0-9]*\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_USER = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*\$?|[0-9]+)\Z")
#: Before a command, these have systemd run it with full privileges, or in part of the sandbox only.
_PRIVILEGED = "+!"
#: What systemd takes as one word or a part of one: nothing in it ends the command.
_QUOTED = re.compile(r"""\\.|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""")
#: The first word of another command, after a lone semicolon.
_NEXT = re.compile(r"(?<!\S);\s+(\S+)")
_USER_BYTES = 256
#: -1, as a number of 16 bits and of 32, means that no account is meant.
_NO_USER = (2**16 - 1, 2**32 - 1)

#: Settings that other options, or the namespace itself, stand for.
_TAKEN = {
    "ExecStart": "command",
    "User": "user",
    "Group": "group",
    "Environment": "environment",
    "PrivateTmp": "private_tmp",
    "NetworkNamespacePath": "netns",
    "PrivateNetwork": "netns",
    "JoinsNamespaceOf": "netns",
}


@dataclass(frozen=True)
class Service:
    """``command`` is None for a unit that exists already. ``settings`` are extra lines of ``[Service]`` by key; a key
    without lines takes a default away."""

    name: str
    netns: str
    command: Optional[str] = None
    user: Optional[str] = None
    group: Optional[str] = None
    environment: tuple[tuple[str, str], ...] = ()
    private_tmp: bool = True
    settings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    enabled: bool = True
    state: str = "started"

    kind = "netns_service"

    @property
    def identity(self) -> tuple[str, ...]:
        return ("netns_service", self.name)

    @property
    def unit(self) -> str:
        return f"{self.name}.service"

    @classmethod
    def from_options(cls, options: dict[str, Any], where: str = "") -> Service:
        """Build from the options of spec/netns_service.py. *where* prefixes option names in errors."""
        service = cls(
            name=service_name(where + "name", options["name"]),
            netns=netns_name(where + "netns", options["netns"]),
            command=_command(where + "command", options.get("command")),
            user=_user(where + "user", options.get("user")),
            group=_user(where + "group", options.get("group")),
            environment=_environment(where + "environment", options.get("environment") or {}),
            private_tmp=options.get("private_tmp") is not False,
            settings=_settings(where + "hardening", options.get("hardening") or {}),
            enabled=options.get("enabled") is not False,
            state=options.get("state") or "started",
        )
        if any(char.isspace() or char in "%\\" for char in service.netns) or not _is_unicode(service.netns):
            # systemd would pass over the line with the name, or take the next one for a part of it
            raise InvalidOption(
                where + "netns",
                service.netns,
                "cannot be named in a unit",
                "use a name without blanks, '%' and backslashes, in UTF-8",
            )
        dynamic = dict(service.settings).get("DynamicUser", ("no",))[-1:] in (("yes",), ("true",), ("1",), ("on",))
        if service.command is not None and service.user is None and not dynamic:
            raise InvalidOption(
                where + "user",
                None,
                "is required with command",
                "name an unprivileged user (root only if you mean it), or set hardening.DynamicUser: true",
            )
        return service


def _command(option: str, value: Optional[str]) -> Optional[str]:
    if value is None:
        return None
    command = one_line(option, value.strip())
    program = command.split()[0] if command.split() else ""
    for word in (program, *_NEXT.findall(_QUOTED.sub('""', command))):
        if any(char in word[: len(word) - len(word.lstrip("-@:+!|"))] for char in _PRIVILEGED):
            raise InvalidOption(option, value, "asks for privileges by '+' or '!'", "leave out the prefix")
    if not program.lstrip("-@:\"'").startswith("/"):
        raise InvalidOption(
            option,
            value,
            "does not start with the full path of a program",
            "write it like /usr/bin/daemon --option; for a shell's syntax, use /bin/sh -c '...'",
        )
    return command


def _user(option: str, value: Optional[str]) -> Optional[str]:
    if value is None:
        return None
    if not _USER.match(value) or len(value) > _USER_BYTES or (value.isdigit() and not _is_user_id(int(value))):
        raise InvalidOption(option, value, "is not the name of an account", "use a name or a number")
    return value


def _is_user_id(number: int) -> bool:
    return number < 2**32 and number not in _NO_USER


def _environment(option: str, values: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    for name in values:
        if not _VARIABLE.match(str(name)):
            raise InvalidOption(
                f"{option}.{name}", values[name], "has a name that no variable can have", "use letters, digits and '_'"
            )
    return tuple(sorted((str(name), _value(f"{option}.{name}", value)) for name, value in values.items()))


def _value(option: str, value: Any) -> str:
    """A variable's. systemd leaves out variables that are not UTF-8, and takes more than a newline for the end of a
    line."""
    text = _text(option, value)
    if any((ord(char) < 32 and char not in "\n\t") or ord(char) == 127 for char in text) or not _is_unicode(text):
        raise InvalidOption(
            option,
            value,
            "has a control character, or is not UTF-8",
            "encode it, or have the service read it from a file (EnvironmentFile or LoadCredential under hardening)",
        )
    return text


def _settings(option: str, values: dict[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = {}
    for key, value in ((str(key), value) for key, value in values.items()):
        if not _KEY.match(key):
            raise InvalidOption(
                f"{option}.{key}",
                value,
                "is not a setting of a unit",
                "write it like MemoryMax: 1G, see systemd.exec(5)",
            )
        if key in _TAKEN:
            raise InvalidOption(f"{option}.{key}", value, "has an option of its own", f"use {_TAKEN[key]} instead")
        items = [] if value is None else value if isinstance(value, (list, tuple)) else [value]
        found[key] = tuple(one_line(f"{option}.{key}", _text(f"{option}.{key}", item)) for item in items)
    return tuple(sorted(found.items()))


def _text(option: str, value: Any) -> str:
    """A setting's value as systemd writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (str, int, float)):
        raise InvalidOption(option, value, "is neither text nor a number", "give a string, a number or a boolean")
    return str(value)


def one_line(option: str, value: str) -> str:
    """Return *value* if it fits on one line of a unit file and ends there; raise InvalidOption otherwise."""
    if any(ord(char) < 32 and char != "\t" for char in value) or value.endswith("\\"):
        raise InvalidOption(
            option, value, "has a line break, a control character or a backslash at its end", "write it on one line"
        )
    if not _is_unicode(value):  # systemd would pass over the line
        raise InvalidOption(option, value, "is not UTF-8", "write it on one line, in UTF-8")
    return value


def _is_unicode(value: str) -> bool:
    """False for text with bytes, or halves of characters, that UTF-8 does not have."""
    return not any("\ud800" <= char <= "\udfff" for char in value)
