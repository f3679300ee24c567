# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolated_daemon role's composer: from its variables to the lists of a topology."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import State
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from ansible_collections.linuxnet.netns.plugins.module_utils.isolated_daemon import isolated_daemon_topology

DAEMON = {"name": "app", "command": "/usr/bin/app", "user": "daemon"}
NETWORK = {"addresses": ["10.0.0.2/30", "fd00::2/64"], "gateways": ["10.0.0.1/30", "fd00::1/64"]}


def compose(**options):
    return isolated_daemon_topology({**DAEMON, **options})


def fails(**options):
    with pytest.raises(InvalidOption) as caught:
        compose(**options)
    return str(caught.value)


def test_a_daemon_with_a_namespace_of_its_own():
    found = compose(**NETWORK, ports=[10105, {"port": "53", "protocol": ["udp"]}], dns={"nameservers": ["192.0.2.53"]})
    assert found["namespaces"] == [{"name": "app", "dns": {"nameservers": ["192.0.2.53"]}}]
    assert [veth["peer"]["gateway"] for veth in found["veths"]] == ["10.0.0.1"]
    assert found["nat"][0]["source"] == ["10.0.0.2/32", "fd00::2/128"]
    assert [(item["port"], item["to_address"]) for item in found["forwards"]] == [
        ("10105", "10.0.0.2"),
        ("10105", "fd00::2"),
        ("53", "10.0.0.2"),
        ("53", "fd00::2"),
    ]
    assert found["services"] == [{"name": "app", "netns": "app", "command": "/usr/bin/app", "user": "daemon"}]
    assert State.from_options(found).services[0].unit == "app.service"


def test_what_the_role_leaves_empty_was_not_given():
    empty = {
        "unit": "",
        "group": "",
        "netns": "",
        "addresses": [],
        "ports": [],
        "dns": {},
        "hardening": {},
        "uplink": [],
    }
    assert compose(**empty) == compose()


def test_false_is_given():
    found = compose(**NETWORK, nat=False, private_tmp=False, enabled=False)
    assert found["nat"] == []
    assert found["services"][0]["private_tmp"] is False and found["services"][0]["enabled"] is False


def test_an_existing_unit_in_an_existing_namespace():
    found = isolated_daemon_topology(
        {"name": "web", "unit": "nginx", "netns": "dmz", "ports": [{"port": 80, "to_address": "10.0.0.2"}]}
    )
    assert (found["namespaces"], found["veths"], found["nat"]) == ([], [], [])
    assert found["services"] == [{"name": "nginx", "netns": "dmz"}]
    assert found["forwards"][0]["to_address"] == "10.0.0.2"


def test_uplinks_count_for_both_ways():
    found = compose(**NETWORK, ports=[80], uplink=["eth0"])
    assert found["nat"][0]["out_interface"] == ["eth0"]
    assert {tuple(item["in_interface"]) for item in found["forwards"]} == {("eth0",)}


def test_errors_name_the_roles_variables():
    assert fails(name="").startswith("isolated_daemon_name: None is missing")
    assert fails(unit="nginx").startswith("isolated_daemon_command: '/usr/bin/app' is one way")
    assert fails(command="").startswith("isolated_daemon_command: None is one way")
    assert fails(user="").startswith("isolated_daemon_user: None is required with isolated_daemon_command")
    assert fails(dns={"search": ["x"]}).startswith("isolated_daemon_dns: {'search': ['x']} belongs to namespace 'app'")
    assert fails(**NETWORK, dns="192.0.2.53").startswith("isolated_daemon_dns: '192.0.2.53' is not a dictionary; write")
    assert fails(**NETWORK, hosts=["a"]).startswith("isolated_daemon_hosts: ['a'] is not a dictionary")
    assert fails(environment=["A=1"]).startswith("isolated_daemon_environment: ['A=1'] is not a dictionary")
    assert fails(hardening="none").startswith("isolated_daemon_hardening: 'none' is not a dictionary")
    assert fails(ports=[80]).startswith("isolated_daemon_ports[0].to_address: None has no default")
    assert fails(addresses=["10.0.0.2"]).startswith("isolated_daemon_addresses[0]: ")
    assert fails(**{**NETWORK, "gateways": ["192.0.2.1/24"]}).startswith("isolated_daemon_gateways[0]: ")
    assert fails(**NETWORK, ports=[{"to_port": 1}]).startswith("isolated_daemon_ports[0].port: ")
    assert fails(**NETWORK, ports=[{"port": 80, "sources": ["x"]}]).startswith("isolated_daemon_ports[0].sources[0]: ")


def test_a_dynamic_user_needs_no_name():
    assert "user" not in compose(user="", hardening={"DynamicUser": True})["services"][0]
