# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A policy for firewalld, so that it accepts what is declared when it makes its table anew. Pure.

``firewall-cmd --reload`` goes over D-Bus to a running firewalld: nothing of ours would hear of it. What is published,
and all answers, it accepts by itself; what is left are connections that namespaces begin. A policy knows no marks, only
sources.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from ..desired import cidr
from ..desired.state import State
from ..foreign_firewall import Listing
from ..objects.firewalld_policy import CHAIN
from .firewall import VERSIONS, Inside

#: After the policies and zones of others: what they deny stays denied.
_TEXT = """\
<?xml version="1.0" encoding="utf-8"?>
<!-- Written by linuxnet.netns; changes made here are overwritten. -->
<policy priority="100" target="CONTINUE">
  <short>linuxnet.netns</short>
  <description>Lets namespaces reach out; the table inet linuxnet_netns decides how far.</description>
  <ingress-zone name="ANY"/>
  <egress-zone name="ANY"/>
{rules}</policy>
"""
_RULE = '  <rule family="ipv{version}"><source address="{source}"/><accept/></rule>\n'


def firewalld_policy(netns: str, states: Iterable[State], inside: Iterable[Inside]) -> str:
    """The text of the policy's file, "" if there is nothing to accept."""
    nets = [net for state in states for nat in state.nat if nat.netns == netns and nat.forward for net in nat.source]
    nets += [net for item in inside if item.friends for net in item.sources or ()]
    rules = [
        _RULE.format(version=version, source=source)
        for version in VERSIONS
        for source in ipaddress.collapse_addresses(list[Any](cidr.of_version(nets, version)))
    ]
    return _TEXT.format(rules="".join(rules)) if rules else ""


def without_policy(listing: Listing) -> Listing:
    """*listing* as if firewalld did not know the policy."""
    rules = {key: [] if key[2] == CHAIN else value for key, value in listing.rules.items()}
    return Listing(listing.bases, rules, listing.sets, listing.owned)
