# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside other firewalls as they really are, on a booted host: after one run all that is declared works, their reload
does not break it, and what is absent has left them as they were.
"""

from __future__ import annotations

import subprocess

import pytest
from daemons import PLAYBOOK, VARIABLES, assert_closed, assert_published, assert_reaches_out, install
from fleetlib import layout

ABSENT = {"isolated_daemon_name": "app", "isolated_daemon_state": "absent"}
WITHOUT_PERSIST = """
- hosts: all
  gather_facts: false
  tasks:
    - name: A namespace with a published port
      linuxnet.netns.netns_topology:
        namespaces: [{name: app}]
        veths:
          - name: v-app
            addresses: [10.200.0.1/30, "fd00:200::1/64"]
            peer:
              name: eth0
              netns: app
              addresses: [10.200.0.2/30, "fd00:200::2/64"]
              gateway: 10.200.0.1
              gateway6: fd00:200::1
        nat: [{name: out, source: [10.200.0.0/30, "fd00:200::/64"]}]
        forwards:
          - {name: in4, port: "10105", protocol: [tcp, udp], to_address: 10.200.0.2}
          - {name: in6, port: "10105", protocol: [tcp, udp], to_address: "fd00:200::2"}
        state: "{{ wanted | default('present') }}"
"""


def rules(host):
    """Everybody's rules, without ours."""
    listed = host.ssh("nft --stateless list ruleset")
    return listed.split("table inet linuxnet_netns")[0]


def assert_works(fleet, host, attacker):
    assert_published(fleet, host)
    assert_reaches_out(host)
    assert_closed(host, attacker)


@pytest.fixture
def firewalld(host):
    """A host with firewalld running, and a setting that is not in its files."""
    install(host)
    host.ssh("systemctl start firewalld && firewall-cmd --quiet --zone=public --add-port=7777/tcp")
    host.before, host.rules = host.snapshot(), rules(host)
    return host


def test_firewalld(fleet, firewalld, attacker):
    host = firewalld
    assert host.run_playbook(PLAYBOOK, VARIABLES).changed() == 1
    assert_works(fleet, host, attacker)
    assert host.run_playbook(PLAYBOOK, VARIABLES).changed() == 0
    assert host.ssh("firewall-cmd --query-port=7777/tcp").strip() == "yes", "its runtime settings are gone"

    host.ssh("firewall-cmd --quiet --reload")
    assert_works(fleet, host, attacker)
    assert host.run_playbook(PLAYBOOK, VARIABLES).changed() <= 1
    assert host.run_playbook(PLAYBOOK, VARIABLES).changed() == 0
    assert host.ssh("linuxnet-netns check") == ""
    host.ssh("systemctl restart firewalld")
    assert_works(fleet, host, attacker)

    host.run_playbook(PLAYBOOK, ABSENT)
    host.ssh("firewall-cmd --quiet --zone=public --add-port=7777/tcp")
    assert rules(host) == host.rules
    host.assert_same(host.before, "something was left behind")


def test_firewalld_is_left_as_it_was_without_a_reload(fleet, firewalld, attacker):
    host = firewalld
    host.run_playbook(PLAYBOOK, VARIABLES)
    assert_works(fleet, host, attacker)
    host.run_playbook(PLAYBOOK, ABSENT)
    assert rules(host) == host.rules
    host.assert_same(host.before, "something was left behind")


def test_firewalld_comes_after_a_topology_that_does_not_persist(fleet, host, attacker):
    """The next run finds that it drops, and mends it; after a reload of its own nothing is missing."""
    host.run_playbook(WITHOUT_PERSIST)
    host.serve(10105, namespace="app")
    host.ssh("systemctl start firewalld")
    assert not host.reaches("198.51.100.1", 7, namespace="app")
    assert host.run_playbook(WITHOUT_PERSIST).changed() == 1
    assert_works(fleet, host, attacker)
    host.ssh("firewall-cmd --quiet --reload")
    assert_works(fleet, host, attacker)
    host.stop("app")
    host.run_playbook(WITHOUT_PERSIST, {"wanted": "absent"})
    assert "linuxnet" not in host.ssh("nft list ruleset; ls /etc/firewalld/policies")


IPTABLES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
"""


def test_iptables(fleet, host, attacker):
    install(host)
    for command in ("iptables-restore", "ip6tables-restore"):
        host.ssh(command, stdin=IPTABLES)
    before, theirs = host.snapshot(), rules(host)
    host.run_playbook(PLAYBOOK, VARIABLES)
    assert_works(fleet, host, attacker)
    assert "-j linuxnet-netns" in host.ssh("iptables -S FORWARD")
    assert host.run_playbook(PLAYBOOK, VARIABLES).changed() == 0
    host.run_playbook(PLAYBOOK, ABSENT)
    assert rules(host) == theirs
    host.assert_same(before, "something was left behind")


def put_on(host, package):
    """Install a Debian package that is not in the image; it is fetched once."""
    folder = layout.cache() / "packages"
    folder.mkdir(exist_ok=True)
    if not list(folder.glob(f"{package}_*.deb")):
        subprocess.run(["apt-get", "download", "--quiet", package], cwd=folder, check=True, capture_output=True)
    (found,) = folder.glob(f"{package}_*.deb")
    host.ssh(f"base64 -d >/tmp/{package}.deb", stdin=subprocess.check_output(["base64", found], text=True))
    host.ssh(f"DEBIAN_FRONTEND=noninteractive dpkg --install /tmp/{package}.deb && rm /tmp/{package}.deb")


@pytest.mark.slow
def test_ufw(fleet, host, attacker):
    install(host)
    put_on(host, "ufw")
    host.ssh("ufw allow 22/tcp; ufw route deny from any to any port 9999; ufw --force enable")
    host.ssh("systemctl start ufw; ufw reload")
    before, theirs = host.snapshot(), rules(host)
    host.run_playbook(PLAYBOOK, VARIABLES)
    assert_works(fleet, host, attacker)
    assert host.run_playbook(PLAYBOOK, VARIABLES).changed() == 0
    for act in ("ufw allow 80/tcp", "ufw delete allow 80/tcp", "ufw reload", "systemctl restart ufw"):
        host.ssh(act)
        assert_works(fleet, host, attacker)
    assert host.ssh("linuxnet-netns check") == ""
    host.run_playbook(PLAYBOOK, ABSENT)
    assert rules(host) == theirs
    host.assert_same(before, "something was left behind")
