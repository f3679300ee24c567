# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Where a namespace would ask for a host's name: its hosts file and its resolv.conf, as text. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple, Optional

from ..desired.cidr import Address
from .stack import Namespaces

#: As many as the C library asks.
_MOST_SERVERS = 3


class Resolver(NamedTuple):
    """``path`` of the resolv.conf that counts, None if there is none; ``known``: addresses from ``hosts_path``."""

    path: Optional[str]
    servers: list[Address]
    hosts_path: str
    known: list[Address]


def resolver(namespaces: Namespaces, netns: str, name: str) -> Resolver:
    """What /etc/netns/NAME has counts for a namespace, and where it has nothing, what /etc has."""
    hosts_path, hosts = _file(namespaces, netns, "hosts")
    path, text = _file(namespaces, netns, "resolv.conf")
    return Resolver(
        path if text is not None else None,
        list(_servers(text or ""))[:_MOST_SERVERS],
        hosts_path,
        list(_known(hosts or "", name)),
    )


def _file(namespaces: Namespaces, netns: str, name: str) -> tuple[str, Optional[str]]:
    for path in ([f"/etc/netns/{netns}/{name}"] if netns else []) + [f"/etc/{name}"]:
        text = namespaces.text(path)
        if text is not None:
            return path, text
    return f"/etc/{name}", None


def _servers(text: str) -> Iterator[Address]:
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                yield ipaddress.ip_address(words[1].partition("%")[0])
            except ValueError:
                continue  # the C library passes over it as well


def _known(text: str, name: str) -> Iterator[Address]:
    wanted = name.lower().rstrip(".")
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if wanted in (word.lower() for word in words[1:]):
            try:
                yield ipaddress.ip_address(words[0].partition("%")[0])
            except ValueError:
                continue
