# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet itself: what other tests take for granted."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from fleetlib import inotify, kernel, layout, lifecycle, snapshot
from fleetlib.cgroups import Cgroup
from fleetlib.errors import FleetError
from fleetlib.playbooks import PlaybookFailed
from fleetlib.testing import CLIENT4, CLIENT6, GATEWAY4, GATEWAY6, CommandFailed, Fleet, machine

COMMAND = str(layout.HERE / "fleet")
PING = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Who am I
      ansible.builtin.command: id -un
    - name: Sometimes
      ansible.builtin.command: "{{ outcome | default('true') }}"
"""
REBOOT = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Reboot
      ansible.builtin.reboot:
        reboot_timeout: 90
"""


def fleet_command(name, *words, check=True):
    """Run the command for another fleet than that of the tests."""
    return subprocess.run([COMMAND, "--name", name, *words], capture_output=True, text=True, check=check)


@pytest.fixture
def other():
    """The name of another fleet, which is not there, nor is it afterwards."""
    name = "other-%d" % os.getpid()
    yield name
    lifecycle.down(lifecycle.find(name))


def remains(name):
    """What of a fleet there is on this machine."""
    fleet = layout.Layout(name)
    mounts = [path for path, _kind in kernel.mounts() if "/%s/" % name in path]
    cgroups = [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob("*/%s/%s" % (layout.PROJECT, name))]
    cgroups += [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob("%s/%s" % (layout.PROJECT, name))]
    paths = [str(path) for path in (fleet.state, fleet.disks) if path.exists()]
    processes = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # A dead one that nobody has asked for yet runs no more.
            if (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            if "/%s/%s" % (layout.PROJECT, name) in (process / "cgroup").read_text():
                processes.append(process.name)
        except OSError:
            continue
    return mounts + cgroups + paths + processes


def claims():
    """Fleets with the numbers of hosts for which the limit of inotify instances is raised, as it has to be."""
    record = json.loads(inotify.RECORD.read_text())
    assert int(inotify.LIMIT.read_text()) == record["original"] + inotify.PER_HOST * sum(record["hosts"].values())
    return record["hosts"]


def test_hosts_are_debians_booted_with_systemd(fleet):
    assert len(fleet) > 1
    identities = set()
    for host in fleet:
        assert host.booted() == "running"
        assert host.ssh("cat /proc/1/comm").strip() == "systemd"
        assert host.ssh("hostname").strip() == "h%d" % host.number
        identities.add(host.ssh("cat /etc/machine-id").strip())
    assert len(identities) == len(fleet)


def test_root_and_admin_log_in(fleet):
    assert fleet[1].ssh("id -un").strip() == "root"
    assert fleet[1].ssh("id -un", user="admin").strip() == "admin"
    assert fleet[1].ssh("sudo -n id -un", user="admin").strip() == "root"


def test_a_failing_command_tells_why(fleet):
    with pytest.raises(CommandFailed, match="no such thing"):
        fleet[1].ssh("echo no such thing >&2; false")


def test_every_host_reaches_the_networks_it_should(fleet):
    for host in fleet:
        assert host.tcp(GATEWAY4, 7).address == host.wan4
        assert host.udp(GATEWAY6, 7).address == host.wan6
        assert host.tcp(CLIENT6, 7).address == host.wan6
        assert host.ssh("curl --silent --max-time 5 http://%s/" % CLIENT4).startswith("internet saw %s" % host.wan4)
        assert host.tcp("172.30.0.1", 7).label == "controller"
        assert "dev eth0" in host.ssh("ip route show default")
        assert "dev eth0" in host.ssh("ip -6 route show default")


def test_the_internet_reaches_every_host(fleet):
    for host in fleet:
        label = host.serve(8080)
        try:
            for address, client in ((host.wan4, CLIENT4), (host.wan6, CLIENT6)):
                for ask in (fleet.internet.tcp, fleet.internet.udp):
                    answer = ask(address, 8080, source=client)
                    assert (answer.label, answer.address) == (host.name, client)
            assert not fleet.internet.reaches(host.wan4, 8081)
            # It has no route to the management network, until a test adds one.
            assert not fleet.internet.reaches(host.mgmt4, 8080)
        finally:
            host.stop(label)


@pytest.mark.parametrize("hard", [False, True], ids=["reboot", "power cut"])
def test_a_reboot_loses_the_network_and_keeps_the_disk(host, hard):
    before = host.snapshot()
    identity = host.ssh("cat /etc/machine-id /proc/sys/kernel/random/boot_id").split()
    host.ssh(
        "ip netns add app && ip link add v-app type veth peer name eth0 netns app && ip link set v-app up && "
        "ip address add 10.0.0.1/30 dev v-app && ip rule add from 10.0.0.2 lookup 100 && nft add table inet mine && "
        "sysctl -q net.ipv4.ip_forward=1 && echo kept > /etc/kept && sync"
    )
    assert snapshot.difference(before, host.snapshot())

    host.reboot(hard=hard)

    assert host.booted() == "running"
    assert host.ssh("cat /etc/kept").strip() == "kept"
    after = host.ssh("cat /etc/machine-id /proc/sys/kernel/random/boot_id").split()
    assert after[0] == identity[0]
    assert after[1] != identity[1]
    host.ssh("rm /etc/kept")
    host.assert_same(before)
    assert host.tcp(GATEWAY4, 7).address == host.wan4
    assert host.tcp(GATEWAY6, 7).address == host.wan6


def test_systemctl_reboot(host):
    boots = host.boots()
    before = host.snapshot()
    # It may take the connection away before it says goodbye.
    host.ssh("systemd-run --quiet systemctl reboot")
    host.wait_for_boot(boots)
    assert host.booted() == "running"
    host.assert_same(before)


@pytest.mark.parametrize("user", ["root", "admin"])
def test_reboot_by_ansible(host, user):
    boots = host.boots()
    outcome = host.run_playbook(REBOOT, user=user)
    assert outcome.task("Reboot").result["rebooted"]
    assert host.boots() == boots + 1


def test_reset_gives_an_empty_disk(host):
    before = host.snapshot()
    host.ssh("touch /etc/new && systemctl enable --now nginx && rm /etc/hosts")
    assert snapshot.difference(before, host.snapshot())
    host.reset()
    host.booted()
    host.assert_same(before)


def test_what_is_installed_but_disabled_can_be_started(host):
    assert host.ssh("nft list ruleset") == ""
    host.ssh("systemctl start nftables nginx systemd-resolved")
    assert "table inet filter" in host.ssh("nft list ruleset")
    assert host.ssh("curl --silent --head http://127.0.0.1/").startswith("HTTP/1.1 200")
    host.ssh("systemctl start firewalld")
    # It says that it has started a moment before it has.
    host.ssh("for try in $(seq 100); do firewall-cmd --state && exit; sleep 0.1; done; exit 1")
    assert "table inet firewalld" in host.ssh("nft list tables")
    assert host.ssh("systemctl --failed --no-legend") == ""


def test_a_snapshot_shows_what_was_changed(host):
    before = host.snapshot()
    host.assert_same(before, "nothing happened")
    changes = {
        "link": "ip link add br9 type bridge",
        "address": "ip address add 192.0.2.9/32 dev lo",
        "route": "ip route add blackhole 192.0.2.0/24 table 77",
        "rule": "ip -6 rule add from fd00::1 lookup 77",
        "nft": "nft add table ip nine",
        "sysctls": "sysctl -q net.ipv4.conf.eth0.rp_filter=1",
        "namespaces": "ip netns add nine",
        "files": "chmod 600 /etc/hosts",
        "unit-files": "systemctl --quiet enable nginx",
        "units": "systemctl start nginx",
    }
    was = before
    for topic, command in changes.items():
        host.ssh(command)
        now = host.snapshot()
        lines, was = snapshot.difference(was, now), now
        assert any(topic in line.partition(": ")[0] for line in lines), (topic, lines)
    with pytest.raises(AssertionError, match="br9"):
        host.assert_same(before)


def test_playbooks_report_per_host_and_task(fleet):
    outcome = fleet.run_playbook(PING, user="admin")
    assert sorted(outcome.stats) == [host.name for host in fleet]
    assert (outcome.changed("h1"), outcome.changed(), outcome.failed()) == (2, 2 * len(fleet), 0)
    assert outcome.task("Who am I", "h2").result["stdout"] == "root"

    failed = fleet.run_playbook(PING, {"outcome": "false"}, hosts=[3], fails=True)
    assert sorted(failed.stats) == ["h3"]
    assert failed.failed("h3") == 1
    assert failed.task("Sometimes").status == "failed"
    with pytest.raises(PlaybookFailed, match="non-zero return code"):
        fleet[3].run_playbook(PING, {"outcome": "false"})


def test_the_inventory_is_for_root_or_admin(fleet):
    for user, become in (("root", False), ("admin", True)):
        listed = fleet_command(fleet.layout.name, "inventory", "--user", user).stdout
        path = fleet.layout.state / "listed.yml"
        path.write_text(listed)
        told = fleet_command(
            fleet.layout.name,
            "run",
            "--",
            "ansible",
            "-i",
            str(path),
            "all",
            "-m",
            "ansible.builtin.command",
            "-a",
            "id",
        ).stdout
        assert "ansible_become: %s" % str(become).lower() in listed
        assert told.count("uid=0(root)") == len(fleet)


def test_a_second_fleet_lives_beside_and_goes_without_a_trace(fleet, other):
    fleet_command(other, "up", "1")
    second = Fleet(other)
    assert claims()[other] == 1
    assert second[1].ssh("cat /etc/machine-id") != fleet[1].ssh("cat /etc/machine-id")
    # The same addresses, and yet another host.
    second[1].ssh("touch /etc/second")
    assert not fleet[1].succeeds("test -e /etc/second")

    assert len(remains(other)) > 5
    fleet_command(other, "down")
    assert remains(other) == []
    assert other not in claims()
    assert fleet[1].ssh("hostname").strip() == "h1"
    fleet_command(other, "down")


def test_down_cleans_up_after_a_crash(fleet, other):
    fleet_command(other, "up", "2")
    # Some are killed, and some are left alone, as it happens.
    victims = Cgroup(other, "supervisors", "h1").pids() + Cgroup(other, "servers").pids()
    victims.append(Cgroup(other, "hosts", "h2", "supervisor").pids()[0])
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    assert fleet_command(other, "reboot", "1", check=False).returncode == 1
    fleet_command(other, "down")
    assert remains(other) == []
    assert other not in claims()


def test_up_is_resumed_after_it_was_killed(fleet, other):
    started = subprocess.Popen([COMMAND, "--name", other, "up", "2"], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not Cgroup(other, "supervisors").pids():
        assert time.monotonic() < end, "no supervisor was started"
        time.sleep(0.01)
    started.kill()
    started.wait()
    fleet_command(other, "up", "2")
    assert [host.ssh("hostname").strip() for host in Fleet(other)] == ["h1", "h2"]


def test_a_host_that_is_powered_off_comes_back_with_up(fleet, other):
    fleet_command(other, "up", "1")
    host = Fleet(other)[1]
    host.ssh("systemd-run --quiet systemctl poweroff")
    end = time.monotonic() + 30
    while Cgroup(other, "supervisors", "h1").pids():
        assert time.monotonic() < end, "the host is still up"
        time.sleep(0.05)
    with pytest.raises(FleetError, match="not running"):
        host.reboot()
    fleet_command(other, "up", "1")
    assert host.booted() == "running"


def test_the_machines_own_network_is_untouched(fleet):
    mine = machine()
    assert "172.30.0." not in mine["addresses"] + mine["routes"]
    assert "mgmt" not in mine["links"]
    named = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    assert not [name for name in named if fleet.layout.name in name]


def test_cgroups_that_come_and_go_are_listed(other):
    """A session that ends while its host's processes are looked for is no error."""
    top = Cgroup(other)
    procs = pathlib.Path(top.around([])[4])
    churn = "import os\nwhile True: [change(str(name)) for change in (os.mkdir, os.rmdir) for name in range(50)]"
    busy = subprocess.Popen([sys.executable, "-c", churn], cwd=procs.parent)
    try:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert top.pids() == []
    finally:
        busy.terminate()
        busy.wait()
    top.remove()
    assert not procs.parent.exists()
