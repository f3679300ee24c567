# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the walk asks of a host: its namespaces, and in each what routing, rules and sockets hold.

Protocols only: check/live.py answers from the running system, tests from values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Protocol

from ..doors.netlink_messages import Address, FibRoute, Link, NeighbourState, Rule


class Socket(NamedTuple):
    """A TCP socket that listens, or a UDP socket that is bound. ``address`` is 0.0.0.0 or :: for any."""

    protocol: str
    address: str
    port: int


class Stack(Protocol):
    """One network namespace."""

    @property
    def name(self) -> str:
        """As in desired/: "" is the host's."""

    @property
    def links(self) -> Sequence[Link]:
        """All links."""

    @property
    def addresses(self) -> Sequence[Address]:
        """All addresses."""

    @property
    def routes(self) -> Sequence[FibRoute]:
        """Routes of all tables, the local one included."""

    @property
    def rules(self) -> Sequence[Rule]:
        """Policy rules in the kernel's order."""

    @property
    def neighbours(self) -> Sequence[NeighbourState]:
        """What is known of neighbours."""

    @property
    def sockets(self) -> Sequence[Socket]:
        """Who waits for others."""

    @property
    def ruleset(self) -> Sequence[dict[str, Any]]:
        """The objects that nft lists."""

    @property
    def blind_spots(self) -> Sequence[str]:
        """What filters packets here and cannot be read, as sentences."""

    def sysctl(self, path: str) -> Optional[str]:
        """A sysctl below /proc/sys, None where there is no such key."""


class Namespaces(Protocol):
    """A host with its named namespaces."""

    def names(self) -> Sequence[str]:
        """The named ones."""

    def exists(self, netns: str) -> bool:
        """Whether there is a namespace of that name."""

    def leftover(self, netns: str) -> bool:
        """Whether something has that name and is no namespace."""

    def stack(self, netns: str) -> Stack:
        """One of them; "" is the host's own."""

    def other_end(self, netns: str, link: Link) -> Optional[tuple[str, Link]]:
        """The other end of a veth pair, None if it is in no namespace that has a name."""

    def text(self, path: str) -> Optional[str]:
        """A file's text, symbolic links followed; None if there is none."""


def link_named(stack: Stack, name: str) -> Optional[Link]:
    """The link of that name."""
    return next((link for link in stack.links if link.name == name), None)


def link_at(stack: Stack, index: int) -> Optional[Link]:
    """The link with that index."""
    return next((link for link in stack.links if link.index == index), None)
