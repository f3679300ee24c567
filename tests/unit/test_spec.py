# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specs: what Ansible fills in means the same as what is left out."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns import Netns
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_forward import Forward
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_nat import Nat
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_service import Service
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import LISTS, State
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.tables import TABLES
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.veth import Veth
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_route import TYPES
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.policy_rule import ACTIONS
from ansible_collections.linuxnet.netns.plugins.module_utils.spec import (
    netns,
    netns_forward,
    netns_nat,
    netns_service,
    netns_topology,
    veth,
)


def filled(spec, given):
    """What a module gets as parameters: every option is there."""
    found = {}
    for name, option in spec.items():
        value = given.get(name, option.get("default"))
        if isinstance(value, dict) and "options" in option:
            value = filled(option["options"], value)
        elif isinstance(value, list) and "options" in option:
            value = [filled(option["options"], item) for item in value]
        found[name] = value
    return found


CASES = [
    (netns.OPTIONS, Netns, {"name": "app"}),
    (netns.OPTIONS, Netns, {"name": "app", "dns": {"nameservers": ["192.0.2.53"]}}),
    (veth.OPTIONS, Veth, {"name": "app0", "peer": {"name": "eth0", "netns": "app"}}),
    (
        veth.OPTIONS,
        Veth,
        {
            "name": "app0",
            "addresses": ["10.0.0.1/30"],
            "gateway": "10.0.0.2",
            "routes": [{"to": "10.8.0.0/16", "via": "10.0.0.2"}],
            "rules": [{"priority": 100, "from": "10.0.0.1"}, {"priority": 101, "action": "prohibit"}],
        },
    ),
    (netns_nat.OPTIONS, Nat, {"name": "out", "source": ["10.0.0.0/24"]}),
    (netns_forward.OPTIONS, Forward, {"name": "in", "port": "80", "to_address": "10.0.0.2"}),
    (netns_service.OPTIONS, Service, {"name": "app", "netns": "app"}),
    (netns_service.OPTIONS, Service, {"name": "app", "netns": "app", "command": "/bin/app", "user": "app"}),
]


@pytest.mark.parametrize(("spec", "kind", "given"), CASES)
def test_defaults_mean_what_leaving_out_means(spec, kind, given):
    assert kind.from_options(filled(spec, given)) == kind.from_options(given)


@pytest.mark.parametrize(
    ("spec", "given"),
    [
        (netns.OPTIONS, {"name"}),
        (veth.END, {"name"}),
        (veth.ROUTE, {"to"}),
        (veth.RULE, {"priority"}),
        (netns_nat.OPTIONS, {"name", "source"}),
        (netns_forward.OPTIONS, {"name", "port", "to_address"}),
        (netns_service.OPTIONS, {"name", "netns"}),
        (netns_topology.OPTIONS, set()),
    ],
)
def test_what_is_required(spec, given):
    assert {name for name, option in spec.items() if option.get("required")} == given
    assert not any("default" in option for option in spec.values() if option.get("required"))


def test_a_topology_takes_the_options_of_the_modules_word_for_word():
    lists = {name: option["options"] for name, option in netns_topology.OPTIONS.items() if "options" in option}
    assert lists == {
        "namespaces": netns.OPTIONS,
        "veths": veth.OPTIONS,
        "nat": netns_nat.OPTIONS,
        "forwards": netns_forward.OPTIONS,
        "services": netns_service.OPTIONS,
    }
    assert set(lists) == set(LISTS)
    assert State.from_options(filled(netns_topology.OPTIONS, {})) == State()


def test_a_peer_takes_what_an_end_takes():
    assert veth.OPTIONS["peer"]["options"] is veth.END
    assert set(veth.OPTIONS) == {*veth.END, "peer"}


def test_the_safe_choice_is_the_default():
    assert netns_topology.OPTIONS["isolate"]["default"] is True
    assert netns.OPTIONS["processes"]["default"] == "fail"
    assert netns_forward.OPTIONS["protocol"]["default"] == ["tcp"]
    assert not netns_forward.OPTIONS["sources"]["default"] and not veth.ROUTE["onlink"]["default"]


def test_every_choice_is_understood():
    assert set(veth.ROUTE["type"]["choices"]) == set(TYPES)
    assert set(veth.RULE["action"]["choices"]) == set(ACTIONS)
    assert veth.ROUTE["table"]["default"] in TABLES
