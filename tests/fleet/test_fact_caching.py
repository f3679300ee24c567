# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caches of facts, and what an outdated one does to us: nothing. Modules look at the host themselves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import community
import daemons
import pytest
from fleetlib import kernel, playbooks, remote
from fleetlib.cgroups import Cgroup

#: Not part of `make test`.
pytestmark = pytest.mark.slow

REDIS_PORT = 6379
#: What a host would say that is none of ours.
WRONG = {
    "ansible_distribution": "Plan9",
    "ansible_os_family": "Plan9",
    "ansible_kernel": "1.0",
    "ansible_service_mgr": "upstart",
    "ansible_python": {"version": {"major": 2, "minor": 4}, "executable": "/nowhere/python"},
    "ansible_python_version": "2.4.0",
    "ansible_interfaces": ["lo", "wrong0"],
    "ansible_wrong0": {"device": "wrong0", "active": True, "type": "ether", "ipv4": {"address": "10.200.0.2"}},
    "ansible_eth0": {"device": "eth0", "active": False, "ipv4": {"address": "192.0.2.99", "netmask": "255.255.255.0"}},
    "ansible_default_ipv4": {"interface": "wrong0", "address": "192.0.2.99", "gateway": "192.0.2.1"},
    "ansible_default_ipv6": {"interface": "wrong0", "address": "2001:db8:bad::1", "gateway": "2001:db8:bad::2"},
    "ansible_all_ipv4_addresses": ["192.0.2.99", "10.200.0.1", "10.200.0.2"],
    "ansible_all_ipv6_addresses": ["2001:db8:bad::1"],
    "ansible_dns": {"nameservers": ["192.0.2.66"]},
}


def play(*tasks, roles=()):
    """A playbook (str) that gathers facts where none are cached."""
    about = {"name": "Facts", "hosts": "all", "roles": list(roles), "post_tasks": list(tasks)}
    return json.dumps([about], indent=1)


POISON = {"name": "Poison", "ansible.builtin.set_fact": {**WRONG, "cacheable": True}}
BELIEVED = "distribution", "interfaces", "default_ipv4", "service_mgr", "eth0"
TELL = {
    "name": "Tell",
    "ansible.builtin.debug": {"msg": {name: "{{ ansible_facts['%s'] }}" % name for name in BELIEVED}},
}


@contextlib.contextmanager
def redis(fleet):
    """A redis-server in the controller's network, for as long as this lasts; its address (host, port).

    Debian's redis-server is the program redis-check-rdb under another name. The package redis-tools has it too, and
    does not start a service on the machine.
    """
    program = shutil.which("redis-check-rdb", path=os.environ.get("PATH", "") + ":/usr/bin")
    assert program, "no redis-check-rdb: scripts/setup fleet brings it"
    options = ["--port", str(REDIS_PORT), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/"]
    words = ["bash", "-c", 'exec -a redis-server "$@"', "bash", program, *options]
    command = Cgroup(fleet.layout.name, "redis").around([*remote.inside(fleet.layout.controller), *words])
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def greet():
        with socket.create_connection(("127.0.0.1", REDIS_PORT), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7)

    try:
        end = time.monotonic() + 15
        while True:
            try:
                assert kernel.in_network(fleet.layout.controller, greet) == b"+PONG\r\n"
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.05)
        yield "127.0.0.1", REDIS_PORT
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=15)


def cached_in_redis(fleet):
    """How many keys are in the server (int)."""

    def ask():
        with socket.create_connection(("127.0.0.1", REDIS_PORT), timeout=1) as connection:
            connection.sendall(b"DBSIZE\r\n")
            return int(connection.recv(32).strip().lstrip(b":"))

    return kernel.in_network(fleet.layout.controller, ask)


def settings(plugin, connection):
    return {
        "ANSIBLE_GATHERING": "smart",
        "ANSIBLE_CACHE_PLUGIN": plugin,
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": connection,
        "ANSIBLE_CACHE_PLUGIN_TIMEOUT": "3600",
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join([playbooks.collections(), community.collections()]),
    }


def gathered(outcome):
    """How many times facts were gathered."""
    return sum("setup" in result.action or "gather_facts" in result.action for result in outcome.results)


def assert_lied_to(outcome):
    """The run had the wrong facts at hand."""
    told = outcome.task("Tell").result["msg"]
    assert told == {name: WRONG["ansible_" + name] for name in BELIEVED}


def changes(outcome):
    return outcome.task("Run the daemon").result["changes"]


@pytest.fixture
def ready(host):
    daemons.install(host)
    return host


def life(fleet, host, variables, honest):
    """Make, again, check and remove with the wrong facts in the cache; the changes are those of the honest run."""
    before = host.snapshot()
    role = play(TELL, roles=["linuxnet.netns.isolated_daemon"])
    done = host.run_playbook(role, daemons.VARIABLES, variables=variables)
    assert gathered(done) == 0
    assert_lied_to(done)
    assert changes(done) == honest
    daemons.assert_isolated(host)
    daemons.assert_published(fleet, host)
    daemons.assert_reaches_out(host)
    assert host.run_playbook(role, daemons.VARIABLES, variables=variables).changed() == 0
    # And without a word of it.
    assert host.run_playbook(daemons.PLAYBOOK, daemons.VARIABLES).changed() == 0
    absent = {"isolated_daemon_name": "app", "isolated_daemon_state": "absent"}
    gone = host.run_playbook(role, absent, variables=variables)
    assert_lied_to(gone)
    host.assert_same(before, "something was left behind")


def honest_changes(host):
    """What a run without any facts says that it changes."""
    return changes(host.run_playbook(daemons.PLAYBOOK, daemons.VARIABLES, check=True))


def test_an_outdated_cache_in_files(fleet, ready, tmp_path):
    honest = honest_changes(ready)
    variables = settings("jsonfile", str(tmp_path))
    assert gathered(ready.run_playbook(play(POISON), variables=variables)) == 1
    (cached,) = [path for path in tmp_path.iterdir() if path.is_file()]
    assert "Plan9" in cached.read_text()
    life(fleet, ready, variables, honest)


def test_an_outdated_cache_in_redis(fleet, ready):
    honest = honest_changes(ready)
    with redis(fleet) as (address, port):
        variables = settings("community.general.redis", "%s:%d:0" % (address, port))
        assert gathered(ready.run_playbook(play(POISON), variables=variables)) == 1
        assert cached_in_redis(fleet) > 0
        life(fleet, ready, variables, honest)


def test_facts_that_are_wrong_in_memory(fleet, ready):
    """The default cache ends with the run, so facts are wrong from the same run's beginning."""
    honest = honest_changes(ready)
    text = json.loads(play(TELL, roles=["linuxnet.netns.isolated_daemon"]))
    text[0]["pre_tasks"] = [POISON]
    done = ready.run_playbook(json.dumps(text, indent=1), daemons.VARIABLES, variables=settings("memory", ""))
    assert gathered(done) == 1
    assert_lied_to(done)
    assert changes(done) == honest
    daemons.assert_isolated(ready)
    daemons.assert_published(fleet, ready)
