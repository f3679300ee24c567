# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A network namespace as it is wanted: its loopback, its sysctls and the files that `ip netns exec` brings in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional

from ..errors import InvalidOption
from . import cidr
from .names import netns_name

_SYSCTL_PART = re.compile(r"[A-Za-z0-9_.@+#~=-]+\Z")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?\Z")
_RESOLVER_OPTION = re.compile(r"[a-z0-9-]+(:\d+)?\Z")

#: A day, in seconds. Nobody means to wait longer, and a clock takes no number of any size.
_LONGEST = 86400

HEADER = "# Written by linuxnet.netns; changes made here are overwritten.\n"


@dataclass(frozen=True)
class Netns:
    """One namespace. ``sysctls`` maps ``net/ipv4/...`` to text; ``resolv_conf`` and ``hosts`` are files or None."""

    name: str
    loopback: bool = True
    sysctls: tuple[tuple[str, str], ...] = ()
    resolv_conf: Optional[str] = None
    hosts: Optional[str] = None
    processes: str = "fail"
    timeout: int = 10

    kind = "netns"

    @property
    def identity(self) -> tuple[str, ...]:
        return ("netns", self.name)

    @classmethod
    def from_options(cls, options: dict[str, Any], where: str = "") -> Netns:
        """Build from the options of spec/netns.py. *where* prefixes option names in errors (``namespaces[3].``)."""
        return cls(
            name=netns_name(where + "name", options["name"]),
            loopback=options.get("loopback", True),
            sysctls=_sysctls(where + "sysctls", options.get("sysctls") or {}),
            resolv_conf=_resolv_conf(where + "dns", options.get("dns")),
            hosts=_hosts(where + "hosts", options.get("hosts")),
            processes=options.get("processes", "fail"),
            timeout=timeout(where + "timeout", options.get("timeout")),
        )


def timeout(option: str, value: Optional[int]) -> int:
    """Seconds to wait for processes to end."""
    if value is None:
        return 10
    if value < 0:
        raise InvalidOption(option, value, "is negative", "give seconds, 0 or more")
    if value > _LONGEST:
        raise InvalidOption(option, value, "is more than a day", f"give seconds, {_LONGEST} or less")
    return value


def sysctl_path(option: str, key: str) -> str:
    """``net.ipv4.ip_forward`` or ``net/ipv4/conf/eth0.10/rp_filter`` as a path below /proc/sys.

    As in sysctl(8), the first separator decides: after a slash, dots belong to names (of interfaces, mostly).
    """
    written = key
    slash, dot = key.find("/"), key.find(".")
    if dot != -1 and (slash == -1 or dot < slash):
        key = key.translate(str.maketrans("./", "/."))
    parts = key.split("/")
    if any(part in ("", ".", "..") or not _SYSCTL_PART.match(part) for part in parts):
        raise InvalidOption(
            option, written, "is not a sysctl", "write it like net.ipv4.ip_forward or net/ipv4/conf/eth0.10/rp_filter"
        )
    if parts[0] != "net" or len(parts) < 3:
        raise InvalidOption(
            option, written, "is not a sysctl of a network namespace", "only keys under net. belong to a namespace"
        )
    return "/".join(parts)


def _sysctls(option: str, sysctls: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for key, value in sysctls.items():
        path = sysctl_path(option, str(key))
        if isinstance(value, bool):
            value = int(value)
        text = " ".join(str(value).split())
        if not isinstance(value, (int, str)) or not text or not text.isascii() or "\0" in text:
            raise InvalidOption(f"{option}.{key}", value, "is not a sysctl's value", "give a number or a string")
        if found.setdefault(path, text) != text:
            raise InvalidOption(
                f"{option}.{key}", value, "contradicts another spelling of the same key", "keep one of them"
            )
    return tuple(sorted(found.items()))


def _resolv_conf(option: str, dns: Optional[dict[str, Any]]) -> Optional[str]:
    if dns is None:
        return None
    lines = []
    for number, server in enumerate(dns.get("nameservers") or ()):
        lines.append(f"nameserver {_name_server(f'{option}.nameservers[{number}]', server)}")
    search = list(dns.get("search") or ())
    for number, domain in enumerate(search):
        if domain != "." and not _HOST_NAME.match(domain):
            raise InvalidOption(
                f"{option}.search[{number}]", domain, "is not a domain name", "write it like example.net"
            )
    if search:
        lines.append("search " + " ".join(search))
    resolver_options = list(dns.get("options") or ())
    for number, item in enumerate(resolver_options):
        if not _RESOLVER_OPTION.match(item):
            raise InvalidOption(
                f"{option}.options[{number}]",
                item,
                "is not a resolver option",
                "write it like ndots:2 or edns0, see resolv.conf(5)",
            )
    if resolver_options:
        lines.append("options " + " ".join(resolver_options))
    return HEADER + "".join(line + "\n" for line in lines)


def _name_server(option: str, value: str) -> str:
    plain, percent, zone = value.partition("%")
    found = cidr.address(option, plain)
    if percent and not _SYSCTL_PART.match(zone):
        raise InvalidOption(option, value, "has a zone that is not an interface", "write it like fe80::1%eth0")
    return f"{found}{percent}{zone}"


def _hosts(option: str, hosts: Optional[dict[str, Any]]) -> Optional[str]:
    if hosts is None:
        return None
    lines = {"127.0.0.1": ["localhost"], "::1": ["localhost", "ip6-localhost", "ip6-loopback"]}
    for address, names in hosts.items():
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, (list, tuple)) or not names:
            raise InvalidOption(
                f"{option}.{address}",
                names,
                "is not a list of host names",
                "write it like 10.0.0.5: [db, db.example.net]",
            )
        for name in names:
            if not isinstance(name, str) or not _HOST_NAME.match(name):
                raise InvalidOption(
                    f"{option}.{address}", name, "is not a host name", "use letters, digits, '-' and '.'"
                )
        lines[str(cidr.address(option, str(address)))] = list(names)
    return HEADER + "".join(f"{address}\t{' '.join(names)}\n" for address, names in lines.items())
