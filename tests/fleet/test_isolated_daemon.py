# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolated daemons on booted hosts: the process, what it sees, and what others see of it."""

from __future__ import annotations

import pytest
from daemons import (
    COMMAND,
    PLAYBOOK,
    PORT,
    VARIABLES,
    assert_closed,
    assert_isolated,
    assert_published,
    assert_reaches_out,
    install,
    pid,
    see,
)

TASK = "Run the daemon"
ABSENT = {"isolated_daemon_name": "app", "isolated_daemon_state": "absent"}
#: Stops at once if its files are not there; then serves.
FRAIL = f"/bin/sh -c 'echo looking for /srv/needed; test -e /srv/needed && exec {COMMAND}'"
#: A unit of the distribution's name, in the namespace that is there.
SSH_IN_APP = {
    **{"isolated_daemon_" + key: [] for key in ("addresses", "gateways", "ports")},
    **{"isolated_daemon_" + key: {} for key in ("dns", "hosts")},
    "isolated_daemon_name": "ssh",
    "isolated_daemon_netns": "app",
}


@pytest.fixture
def ready(host):
    install(host)
    return host


@pytest.mark.parametrize("user", ["root", "admin"])
def test_the_whole_life_of_a_daemon(fleet, ready, attacker, user):
    host = ready
    before = host.snapshot()
    foretold = host.run_playbook(PLAYBOOK, VARIABLES, check=True, user=user)
    assert foretold.changed() == 1
    host.assert_same(before, "check mode changed the host")

    done = host.run_playbook(PLAYBOOK, VARIABLES, user=user)
    assert done.task(TASK).result["changes"] == foretold.task(TASK).result["changes"]
    assert_isolated(host)
    assert_published(fleet, host)
    assert_reaches_out(host)
    assert_closed(host, attacker)
    assert host.ssh("linuxnet-netns check") == ""

    after, process = host.snapshot(), pid(host)
    assert host.run_playbook(PLAYBOOK, VARIABLES, user=user).changed() == 0
    assert host.run_playbook(PLAYBOOK, VARIABLES, user=user, check=True).changed() == 0
    assert pid(host) == process, "a run without changes restarted the daemon"
    host.assert_same(after, "a second run changed the host")

    assert host.run_playbook(PLAYBOOK, ABSENT, user=user).changed() == 1
    host.assert_same(before, "something was left behind")
    assert host.run_playbook(PLAYBOOK, ABSENT, user=user).changed() == 0


def test_hardening(ready):
    ready.run_playbook(PLAYBOOK, VARIABLES)
    for path in ("/etc", "/usr", "/boot"):
        assert not ready.succeeds(
            "nsenter --target $(systemctl show -p MainPID --value app) --mount touch %s/x" % path
        ), path
    assert see(ready, "app", "ls -A /home /root").split() == ["/home:", "/root:"]
    assert "kmsg" not in see(ready, "app", "ls /dev")
    for folder in ("/run/systemd/resolve", "/run/dbus"):
        # not there at all, or empty
        assert see(ready, "app", "sh -c 'ls %s 2>/dev/null || :'" % folder) == ""
    score = ready.ssh("systemd-analyze security --no-pager app.service | tail -n 1")
    assert float(score.split(":")[1].split()[0]) < 2.5, score


def test_only_what_matters_restarts_it(ready):
    ready.run_playbook(PLAYBOOK, VARIABLES)
    process = pid(ready)
    for change in (
        {"isolated_daemon_enabled": False},
        {"isolated_daemon_ports": [PORT, 8080]},
    ):
        assert ready.run_playbook(PLAYBOOK, {**VARIABLES, **change}).changed() == 1
        assert pid(ready) == process, change
    for change in (
        {"isolated_daemon_environment": {"LANG": "C.UTF-8"}},
        {"isolated_daemon_dns": {"nameservers": ["192.0.2.54"]}},
        {"isolated_daemon_private_tmp": False},
    ):
        assert ready.run_playbook(PLAYBOOK, {**VARIABLES, **change}).changed() == 1
        assert pid(ready) != process, change
        process = pid(ready)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"isolated_daemon_command": "/opt/missing --now"}, ["services[0].command", "/opt/missing is not executable"]),
        (
            {"isolated_daemon_user": "nobody-there"},
            ["services[0].user: 'nobody-there' is not an account", "make it first"],
        ),
        (
            {"isolated_daemon_hardening": {"MemoryMaximum": "1G"}},
            ["services[0].hardening.MemoryMaximum: '1G'", "Unknown key"],
        ),
        (
            {"isolated_daemon_hardening": {"ProtectHome": "perhaps"}},
            ["services[0].hardening.ProtectHome: 'perhaps'", "Failed to parse"],
        ),
        (SSH_IN_APP, ["services[0].name: ssh.service exists already", "leave out command to attach"]),
    ],
)
def test_a_broken_unit_is_refused_before_anything_is_touched(ready, variables, words):
    ready.run_playbook(PLAYBOOK, VARIABLES)
    before, process = ready.snapshot(), pid(ready)
    done = ready.run_playbook(PLAYBOOK, {**VARIABLES, **variables}, fails=True)
    message = done.task(TASK).result["msg"]
    assert all(word in message for word in words), message
    ready.assert_same(before, "a refused run changed the host")
    assert pid(ready) == process


def test_a_daemon_that_does_not_stay_up_leaves_the_old_one_running(fleet, ready):
    ready.run_playbook(PLAYBOOK, VARIABLES)
    before = ready.snapshot()
    done = ready.run_playbook(PLAYBOOK, {**VARIABLES, "isolated_daemon_command": FRAIL}, fails=True)
    message = done.task(TASK).result["msg"]
    assert "app.service did not start" in message and "looking for /srv/needed" in message
    assert "Everything was undone; the host is as before" in message
    ready.assert_same(before, "a failed run changed the host")
    assert_isolated(ready)
    assert_published(fleet, ready)

    ready.ssh("mkdir -p /srv && touch /srv/needed")
    assert ready.run_playbook(PLAYBOOK, {**VARIABLES, "isolated_daemon_command": FRAIL}).changed() == 1
    assert_published(fleet, ready)


def test_a_first_daemon_that_does_not_stay_up_leaves_nothing(ready):
    before = ready.snapshot()
    ready.run_playbook(PLAYBOOK, {**VARIABLES, "isolated_daemon_command": FRAIL}, fails=True)
    ready.assert_same(before, "a failed run changed the host")


def test_without_its_namespace_it_does_not_start(fleet, ready):
    ready.run_playbook(PLAYBOOK, VARIABLES)
    ready.ssh("systemctl stop app; ip netns delete app")
    assert not ready.succeeds("systemctl start app")
    assert ready.ssh("systemctl show -p ExecMainStatus --value app").strip() == "225"
    assert pid(ready) == 0
    assert ready.run_playbook(PLAYBOOK, VARIABLES).changed() == 1
    assert_isolated(ready)
    assert_published(fleet, ready)


def test_a_namespace_that_is_made_anew_gets_its_daemon_back(fleet, ready):
    ready.run_playbook(PLAYBOOK, VARIABLES)
    ready.ssh("ip netns delete app; ip netns add app")
    assert "service app.service" in ready.ssh("linuxnet-netns check || :")
    assert ready.run_playbook(PLAYBOOK, VARIABLES).changed() == 1
    assert_isolated(ready)
    assert_published(fleet, ready)


def test_the_resolver_of_the_host_does_not_shine_through(fleet, ready):
    """/etc/resolv.conf is a link to systemd-resolved's file, which that replaces when it likes."""
    ready.ssh(
        "systemctl enable --now systemd-resolved && ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf"
    )
    ready.run_playbook(PLAYBOOK, VARIABLES)
    assert_isolated(ready)
    assert "io.systemd.Resolve" not in see(ready, "app", "ls /run/systemd/resolve")
    ready.ssh("systemctl restart systemd-resolved")
    assert_isolated(ready)
    assert ready.run_playbook(PLAYBOOK, VARIABLES).changed() == 0
    assert_published(fleet, ready)


def test_a_resolv_conf_that_was_replaced_is_noticed(ready):
    """A mount on a file goes when the file is replaced: then the service is restarted."""
    ready.run_playbook(PLAYBOOK, VARIABLES)
    ready.ssh("cp /etc/resolv.conf /etc/resolv.new && mv /etc/resolv.new /etc/resolv.conf")
    assert "but its /etc/resolv.conf is not" in ready.ssh("linuxnet-netns check || :")
    assert ready.run_playbook(PLAYBOOK, VARIABLES).changed() == 1
    assert_isolated(ready)


def test_a_unit_that_exists_is_attached_and_let_go(fleet, ready):
    host = ready
    host.ssh("systemctl enable --now nginx")
    before = host.snapshot()
    variables = {
        "isolated_daemon_name": "web",
        "isolated_daemon_unit": "nginx",
        "isolated_daemon_addresses": ["10.200.1.2/30"],
        "isolated_daemon_gateways": ["10.200.1.1/30"],
        "isolated_daemon_ports": [{"port": 8080, "to_port": 80}],
        "isolated_daemon_dns": VARIABLES["isolated_daemon_dns"],
    }
    assert host.run_playbook(PLAYBOOK, variables).changed() == 1
    assert host.ssh("ip netns identify %d" % pid(host, "nginx")).strip() == "web"
    assert "inside.example" in see(host, "nginx", "cat /etc/resolv.conf")
    assert "nginx" in fleet.internet.run("curl", "-sS", "--max-time", 5, f"http://{host.wan4}:8080/")
    assert not fleet.internet.reaches(host.wan4, 80)
    assert host.run_playbook(PLAYBOOK, variables).changed() == 0
    host.run_playbook(PLAYBOOK, {"isolated_daemon_name": "web", "isolated_daemon_state": "absent"})
    host.assert_same(before, "nginx is not as it was")
    assert "nginx" in fleet.internet.run("curl", "-sS", "--max-time", 5, f"http://{host.wan4}/")


SINGLE = """
- hosts: all
  gather_facts: false
  tasks:
    - name: The namespace
      linuxnet.netns.netns:
        name: app
    - name: The service
      linuxnet.netns.netns_service: "{{ service }}"
"""


def test_the_module_alone(ready):
    """States of netns_service, in a namespace that the module netns made."""
    host = ready
    service = {"name": "app", "netns": "app", "command": COMMAND, "user": "daemon"}

    def run(**options):
        return host.run_playbook(SINGLE, {"service": {**service, **options}}).task("The service").result

    assert run()["changed"] and not run()["changed"]
    assert host.ssh("ip netns exec app ss -Hltn sport = %d" % PORT).strip()
    process = pid(host)
    assert run(state="restarted")["changed"] and pid(host) != process
    assert run(state="stopped")["changed"] and not run(state="stopped")["changed"]
    assert pid(host) == 0 and host.succeeds("systemctl is-enabled app")
    assert run(enabled=False)["changed"]
    assert pid(host) and not host.succeeds("systemctl is-enabled app")
    host.ssh("systemctl stop app")
    assert run(enabled=False)["changed"] and pid(host)
    gone = host.run_playbook(SINGLE, {"service": {"name": "app", "state": "absent"}})
    assert gone.task("The service").changed
    assert not host.succeeds("test -e /etc/systemd/system/app.service") and not host.succeeds("systemctl cat app")


def test_the_daemon_may_not_hold_the_namespace_back(ready):
    """Its own processes are no reason to refuse, those of others are."""
    ready.run_playbook(PLAYBOOK, VARIABLES)
    ready.ssh("systemd-run --quiet --unit=visitor -p NetworkNamespacePath=/run/netns/app sleep 600")
    done = ready.run_playbook(PLAYBOOK, ABSENT, fails=True)
    message = done.task(TASK).result["msg"]
    assert "namespace 'app' is in use by 1 process" in message and "sleep" in message
    assert_isolated(ready)
    ready.ssh("systemctl stop visitor")
    assert ready.run_playbook(PLAYBOOK, ABSENT).changed() == 1


VISITED = """
- hosts: all
  gather_facts: false
  tasks:
    - name: The namespace
      linuxnet.netns.netns: "{{ options }}"
"""


def test_units_in_a_namespace_are_stopped_and_those_around_it_are_not(ready):
    """processes: kill. A unit that would be started again is stopped its own way; one that only has a process inside,
    as sshd or a session has, loses that process alone."""
    host = ready

    def run(fails=False, **options):
        return host.run_playbook(VISITED, {"options": {"name": "app", **options}}, fails=fails).task("The namespace")

    run()
    host.ssh("systemd-run --quiet --unit=visitor -p Restart=always -p NetworkNamespacePath=/run/netns/app "
             "-p 'ExecStop=touch /run/asked-to-stop' sleep 600")  # fmt: skip
    host.ssh("systemd-run --quiet --unit=around sh -c 'ip netns exec app sleep 601 & exec sleep 602'")
    refused = run(fails=True, state="absent").result["msg"]
    assert "(sleep, unit visitor.service)" in refused and "processes: kill" in refused
    foretold = run(state="absent", processes="kill")
    assert foretold.changed
    assert "unit visitor.service" in str(foretold.result["changes"])
    assert host.ssh("systemctl is-active visitor || :").strip() == "inactive"
    assert host.succeeds("test -e /run/asked-to-stop")
    assert host.ssh("systemctl is-active around").strip() == "active"
    assert not host.succeeds("pgrep -f 'sleep 601'") and host.succeeds("pgrep -f 'sleep 602'")
    assert not host.succeeds("test -e /run/netns/app")
    host.ssh("systemctl stop around")


def test_from_inside_nothing_but_its_own_addresses(fleet, ready):
    """A forged source does not get out."""
    ready.run_playbook(PLAYBOOK, VARIABLES)
    fleet.internet.run("ip", "route", "replace", "10.99.99.0/24", "via", ready.wan4)
    try:
        ready.ssh("ip -n app address add 10.99.99.1/32 dev lo")
        script = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('10.99.99.1', 0)); "
            "s.settimeout(1); s.sendto(b'x', ('198.51.100.1', 7)); print(s.recv(99))"
        )
        assert not ready.succeeds('ip netns exec app python3 -c "%s"' % script)
        assert ready.udp("198.51.100.1", 7, namespace="app").address == ready.wan4
    finally:
        fleet.internet.run("ip", "route", "del", "10.99.99.0/24")
