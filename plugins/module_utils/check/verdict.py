# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a walk comes to: the checks in order, the hops, and the first thing that blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

#: Causes, stable for machines, and what each of them means. The module's documentation lists them.
CAUSES = {
    "netns_missing": "there is no namespace of that name",
    "netns_leftover": "a file has the namespace's name, and is no namespace",
    "link_missing": "a link that was named is nowhere",
    "link_elsewhere": "a link that belongs here is in another namespace",
    "link_down": "a link on the way, or the other end of its pair, is down",
    "link_no_carrier": "a link on the way is up and has no carrier",
    "no_address": "a namespace has no address of that family to speak from",
    "address_not_local": "the address is not one of the namespace that was to have it",
    "address_tentative": "duplicate address detection has not ended, or found a duplicate",
    "no_route": "a namespace has no route",
    "route_blackhole": "a route or rule says blackhole, unreachable or prohibit",
    "gateway_not_on_link": "the next hop is in no network of its link",
    "gateway_unreachable": "nobody has the next hop's address, or it did not answer",
    "host_unreachable": "nobody on the link has the destination's address, or it did not answer",
    "forwarding_off": "a namespace on the way does not forward what comes through that link",
    "rp_filter": "the reverse path filter, or its like, refuses the source",
    "route_localnet": "packets from a link for 127.0.0.0/8 are dropped unless route_localnet is on",
    "no_nat": "a private source leaves untranslated, so no answer finds the way back",
    "no_forward": "nothing takes the port to a namespace",
    "forward_sources": "a forward takes the port, but not from that source",
    "wrong_netns": "the connection ends in another namespace than it should",
    "own_filter": "this collection's own filter drops it: it was not declared",
    "foreign_drop": "a table of somebody else drops it",
    "mtu": "a packet of that size does not fit through a link",
    "not_listening": "nobody listens at that port",
    "listening_loopback_only": "whoever listens at that port does so on a loopback address",
    "listening_elsewhere": "whoever listens at that port does so on another address, or in another namespace",
    "icmp_ignored": "the namespace does not answer echo requests",
    "dns_no_resolv_conf": "there is no resolv.conf",
    "dns_no_nameserver": "resolv.conf names no server",
    "dns_loopback_nameserver": "the only name server is at a loopback address where nobody listens in the namespace",
    "dns_unreachable": "no name server can be reached",
    "answer_lost": "the answer ends elsewhere",
    "loop": "the packet goes round in circles",
}


class Step(NamedTuple):
    """One check. ``ok`` is None where it cannot be told."""

    name: str
    ok: Optional[bool]
    detail: str


class Hop(NamedTuple):
    """A namespace that the packet passes: "" as link is none, or not a link of its own."""

    netns: str
    link_in: str
    link_out: str
    source: str
    destination: str
    route: str


class Blocked(Exception):
    """Ends a walk: ``name`` is that of the check that failed, ``cause`` one of CAUSES."""

    def __init__(self, name: str, cause: str, detail: str, remedy: str) -> None:
        self.name = name
        self.cause = cause
        self.detail = detail
        self.remedy = remedy
        super().__init__(detail)


@dataclass
class Verdict:
    """``cause`` is empty where nothing blocks; ``certain`` is False if something on the way could not be read."""

    steps: list[Step] = field(default_factory=list)
    path: list[Hop] = field(default_factory=list)
    cause: str = ""
    msg: str = ""
    remedy: str = ""
    certain: bool = True
    path_mtu: int = 0

    def check(self, name: str, detail: str, ok: Optional[bool] = True) -> None:
        """Note a check."""
        self.steps.append(Step(name, ok, detail))
        self.certain = self.certain and ok is not None

    def fail(self, blocked: Blocked) -> None:
        """Note the one that ends the walk."""
        self.steps.append(Step(blocked.name, False, blocked.detail))
        self.cause, self.msg, self.remedy = blocked.cause, blocked.detail, blocked.remedy

    def as_dict(self) -> dict[str, Any]:
        return {
            "changed": False,
            "ok": not self.cause,
            "certain": self.certain,
            "cause": self.cause or None,
            "msg": self.msg,
            "remedy": self.remedy or None,
            "checks": [step._asdict() for step in self.steps],
            "path": [
                {
                    "netns": hop.netns,
                    "in": hop.link_in or None,
                    "out": hop.link_out or None,
                    "source": hop.source,
                    "destination": hop.destination,
                    "route": hop.route or None,
                }
                for hop in self.path
            ],
            "path_mtu": self.path_mtu or None,
        }
