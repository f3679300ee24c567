# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role ssh_server_tuning on a booted host: what sshd makes of it, and that nobody is cut off."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
from fleetlib import playbooks, remote

PLAYBOOK = "linuxnet.netns.ssh_server_tuning"
ABSENT = {"ssh_server_tuning_state": "absent"}
DROP_IN = "/etc/ssh/sshd_config.d/50-linuxnet-netns.conf"
#: The role's defaults, as sshd says them.
VALUES = {
    "usedns": "no",
    "gssapiauthentication": "no",
    "maxstartups": "100:30:200",
    "maxsessions": "100",
    "clientaliveinterval": "30",
    "clientalivecountmax": "10",
}
ROLE = pathlib.Path(playbooks.collections()) / "ansible_collections/linuxnet/netns/roles/ssh_server_tuning"
REFUSED = "Refuse what would not work"
#: What answers as OpenSSH before 8.2 where its configuration is looked at, and serves as ever.
OLD_SSHD = """#!/bin/sh
for file; do :; done
case " $* " in *" -t "* | *" -T "*)
    if grep -q ^Include "$file" 2>/dev/null; then
        echo "$file: line 1: Bad configuration option: Include" >&2
        exit 255
    fi
esac
exec /usr/sbin/sshd.distrib "$@"
"""


def effective(host):
    """Options of the server, as its configuration says now."""
    return dict(line.split(None, 1) for line in host.ssh("/usr/sbin/sshd -T").splitlines() if " " in line)


def server(host):
    """The server's process, and when its service last changed state: at a start, a stop, a reload."""
    words = host.ssh("systemctl show -p MainPID -p StateChangeTimestampMonotonic ssh.service").split()
    return dict(word.split("=") for word in words)


class Session:
    """A login that stays open."""

    def __init__(self, host):
        words = remote.command(host.layout, host.fleet.image, "root", ["cat"])
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.echoes("here")

    def echoes(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline() == word + "\n"

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


@pytest.mark.parametrize("user", ["root", "admin"])
def test_the_whole_life(host, user):
    before, old, service = host.snapshot(), effective(host), server(host)
    assert not VALUES.items() <= old.items(), "they would prove nothing"
    session = Session(host)

    foretold = host.run_playbook(PLAYBOOK, user=user, check=True)
    assert foretold.changed() == 2 and "+MaxSessions 100" in foretold.output
    host.assert_same(before, "check mode changed the host")
    assert server(host) == service

    assert host.run_playbook(PLAYBOOK, user=user).changed() == 2
    assert VALUES.items() <= effective(host).items()
    assert {**effective(host), **{name: old[name] for name in VALUES}} == old, "another option changed"
    assert host.ssh("stat -c '%U %G %a' " + DROP_IN).split() == ["root", "root", "644"]
    reloaded = server(host)
    assert reloaded["MainPID"] == service["MainPID"], "restarted, not reloaded"
    assert reloaded != service, "not reloaded"
    assert session.echoes("still here")

    assert host.run_playbook(PLAYBOOK, user=user).changed() == 0
    assert host.run_playbook(PLAYBOOK, user=user, check=True).changed() == 0
    assert server(host) == reloaded, "a run without changes reloaded the server"

    foretold = host.run_playbook(PLAYBOOK, ABSENT, user=user, check=True)
    assert foretold.changed() == 2 and effective(host) != old
    assert host.run_playbook(PLAYBOOK, ABSENT, user=user).changed() == 2
    host.assert_same(before, "something was left behind")
    assert effective(host) == old
    assert server(host) != reloaded, "not reloaded"
    assert host.run_playbook(PLAYBOOK, ABSENT, user=user).changed() == 0
    assert session.echoes("and still here")
    session.end()


def test_the_server_itself_has_them(host):
    """Not only its configuration: an 11th session over one connection is refused by default."""
    socket = host.fleet.layout.ssh_sockets / "sessions"
    login = remote.command(host.layout, host.fleet.image, "root", ["sleep 4"])
    login[-2:-2] = ["-o", "ControlMaster=auto", "-o", "ControlPath=%s" % socket, "-o", "ControlPersist=20"]

    def refused():
        """Of twelve sessions over one connection, how many found no room there."""
        subprocess.run([*login[:-1], "true"], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        try:
            # Without a connection of their own to fall back on.
            words = [*login[:-2], "-o", "ProxyCommand=false", *login[-2:]]
            running = [
                subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for _ in range(12)
            ]
            return sum(process.wait(30) != 0 for process in running)
        finally:
            words = ["ssh", "-F", "none", "-O", "exit", "-S", str(socket), "any"]
            subprocess.run(words, check=False, capture_output=True)

    assert refused() == 2
    host.run_playbook(PLAYBOOK)
    assert refused() == 0


def assert_refused(host, words, variables=None, user="root"):
    before, service = host.snapshot(), server(host)
    for check in (True, False):
        done = host.run_playbook(PLAYBOOK, variables, user=user, check=check, fails=True)
        message = done.task(REFUSED).result["msg"]
        assert "Nothing was changed" in message
        for word in words:
            assert word in message, message
        host.assert_same(before, "a refused run changed the host")
        assert server(host) == service


@pytest.mark.parametrize("there", [False, True])
def test_a_bad_value_is_refused(host, there):
    if there:
        host.run_playbook(PLAYBOOK)
    assert_refused(host, ["sshd does not take", "MaxStartups"], {"ssh_server_tuning_max_startups": "10:300:5"})


def test_a_bad_type_is_refused_by_the_argument_spec(host):
    done = host.run_playbook(PLAYBOOK, {"ssh_server_tuning_max_sessions": "many"}, fails=True)
    assert "ssh_server_tuning_max_sessions" in done.output
    assert not host.succeeds("test -e " + DROP_IN)


def test_a_value_that_would_have_no_effect_is_refused(host):
    host.write("/etc/ssh/sshd_config.d/10-site.conf", "MaxSessions 7\n")
    assert_refused(host, ["'maxsessions 100' would have no effect, it stays 'maxsessions 7'"])
    host.run_playbook(PLAYBOOK, {"ssh_server_tuning_max_sessions": 7})
    assert effective(host)["maxsessions"] == "7"


def test_without_an_include_it_is_refused(host):
    host.ssh("sed -i '/^Include/d' /etc/ssh/sshd_config")
    assert_refused(host, ["/etc/ssh/sshd_config does not include /etc/ssh/sshd_config.d/*.conf"])
    host.ssh("rmdir /etc/ssh/sshd_config.d")
    assert_refused(host, ["/etc/ssh/sshd_config.d is not there"])
    assert host.run_playbook(PLAYBOOK, ABSENT).changed() == 0


def test_an_old_sshd_is_refused(host):
    host.ssh("sed -i '/^Include/d' /etc/ssh/sshd_config && mv /usr/sbin/sshd /usr/sbin/sshd.distrib")
    host.write("/usr/sbin/sshd", OLD_SSHD, mode="0755")
    assert_refused(host, ["older than 8.2: it knows no Include"])


def test_a_configuration_that_is_broken_already_is_not_reloaded(host):
    """A reload would end the server."""
    host.run_playbook(PLAYBOOK)
    host.write("/etc/ssh/sshd_config.d/90-broken.conf", "UseDNS perhaps\n")
    assert_refused(host, ["90-broken.conf", "unsupported option"], ABSENT)
    host.ssh("rm /etc/ssh/sshd_config.d/90-broken.conf")


def test_match_blocks_are_no_hindrance(host):
    host.ssh("printf 'Match User nobody\\n    X11Forwarding no\\n' >>/etc/ssh/sshd_config")
    assert host.run_playbook(PLAYBOOK).changed() == 2
    assert VALUES.items() <= effective(host).items()


def test_a_reload_that_was_missed_is_made_up_for(host):
    """As after a connection that broke between the two."""
    host.run_playbook(PLAYBOOK)
    host.ssh("sleep 1.1; touch " + DROP_IN)
    assert host.run_playbook(PLAYBOOK).changed() == 1
    assert host.run_playbook(PLAYBOOK).changed() == 0


def test_the_unit_is_found_by_its_state(host):
    """Where it is called sshd, as on Enterprise Linux."""
    host.ssh(
        "cp /lib/systemd/system/ssh.service /etc/systemd/system/el.service && "
        "sed -i '/^Alias/d; /^Runtime/d' /etc/systemd/system/el.service && systemctl disable --quiet ssh && "
        "mv /etc/systemd/system/el.service /etc/systemd/system/sshd.service && systemctl daemon-reload && "
        "systemd-run --quiet --collect --wait sh -c 'systemctl stop ssh; mkdir -p /run/sshd; systemctl start sshd'"
    )
    assert host.ssh("systemctl is-active sshd ssh || :").split() == ["active", "inactive"]
    done = host.run_playbook(PLAYBOOK)
    assert done.task("Have sshd read it").result["name"] == "sshd" and done.changed() == 2


def test_where_sshd_is_not_a_service_there_is_nothing_to_reload(host):
    """As with a socket that starts one for each connection; its directory may be missing, too."""
    script = "mount -t tmpfs tmpfs /run && exec sh -s present 'MaxSessions 20'"
    assert host.ssh('unshare --mount sh -c "%s"' % script, stdin=(ROLE / "files/plan.sh").read_text()) == ""
