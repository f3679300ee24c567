# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A route whose next hop the kernel does not find, because a rule stops its question."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import SystemRefused
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_route import LinkRoute

ROUTE = LinkRoute("app", "eth0", 254, "0.0.0.0/0", 0)


class Netlink:
    """Refuses routes as long as it is told to, with the reason it is told."""

    def __init__(self, *refusals, rules=True):
        self.refusals, self.rules, self.acts = list(refusals), rules, []

    def add_route(self, netns, route):
        self.acts.append("route")
        if self.refusals:
            raise SystemRefused("reason %d" % len(self.acts), self.refusals.pop(0))

    def add_rule(self, netns, rule):
        self.acts.append("+rule %d to %s oif %s" % (rule.priority, rule.destination, rule.oif))
        if not self.rules:
            raise SystemRefused("no rules", errno.EOPNOTSUPP)

    def delete_rule(self, netns, rule):
        self.acts.append("-rule")


def add(netlink, value="unicast via 10.0.0.1"):
    ROUTE.apply(SimpleNamespace(netlink=netlink, index=lambda netns, link: 2), None, value)
    return netlink.acts


WAY = "+rule 0 to 10.0.0.1/32 oif eth0"


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EINVAL, errno.ENETUNREACH, errno.EHOSTUNREACH])
def test_the_question_for_the_next_hop_is_let_by_and_nothing_stays(reason):
    assert add(Netlink(reason)) == ["route", WAY, "route", "-rule"]


def test_most_routes_need_no_such_thing():
    assert add(Netlink()) == ["route"]


@pytest.mark.parametrize(
    ("netlink", "value", "acts"),
    [
        (Netlink(errno.EEXIST), "unicast via 10.0.0.1", ["route"]),
        (Netlink(errno.EINVAL), "unicast", ["route"]),
        (Netlink(errno.EINVAL, errno.EINVAL), "unicast via 10.0.0.1", ["route", WAY, "route", "-rule"]),
        (Netlink(errno.EINVAL, rules=False), "unicast via 10.0.0.1", ["route", WAY]),
    ],
    ids=["something else is wrong", "no next hop", "the next hop is not there", "no policy routing"],
)
def test_what_is_wrong_with_a_route_itself_is_said_in_the_first_words(netlink, value, acts):
    with pytest.raises(SystemRefused, match="reason 1"):
        add(netlink, value)
    assert netlink.acts == acts
