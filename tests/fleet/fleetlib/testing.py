# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as tests see it: hosts to give orders to, and an internet to ask from."""

from __future__ import annotations

import concurrent.futures
import subprocess

from . import answer, kernel, layout, lifecycle, playbooks, remote, snapshot

#: Seconds within which a check that nobody answers is satisfied: TCP asks a second time after one. Such a check always
#: stands beside one that somebody does answer.
SILENCE = 1.3


class CommandFailed(AssertionError):
    """A command that the test needed did not succeed; the text holds its output."""


class Answer(str):
    """What a server said, "LABEL saw ADDRESS port PORT", with its words as attributes."""

    @property
    def label(self):
        return self.split()[0]

    @property
    def address(self):
        """The source address that the server saw."""
        return self.split()[2]

    @property
    def port(self):
        """The source port that the server saw (int)."""
        return int(self.split()[4])


def _command(words, stdin=None, timeout=120):
    done = subprocess.run(words, input=stdin or "", capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise CommandFailed("%s: exit %d\n%s%s" % (" ".join(words), done.returncode, done.stdout, done.stderr))
    return done.stdout


class Stack:
    """A network namespace outside of the hosts: the simulated internet, or the controller."""

    def __init__(self, path):
        self.path = path

    def tcp(self, address, port, source=None, patience=answer.PATIENCE):
        """The Answer of the server at address and port, or None. source: the address to ask from."""
        return self._ask("tcp", address, port, source, patience)

    def udp(self, address, port, source=None, patience=answer.PATIENCE):
        """As tcp()."""
        return self._ask("udp", address, port, source, patience)

    def _ask(self, *question):
        text = kernel.in_network(self.path, lambda: answer.ask(*question))
        return None if text is None else Answer(text)

    def reaches(self, address, port, proto="tcp"):
        """Whether anybody answers: for checks that nobody does."""
        return self._ask(proto, address, port, None, SILENCE) is not None

    def answered(self, questions):
        """Those of the questions, [(proto, address, port), ...], that anybody answers; asked all at the same time."""
        with concurrent.futures.ThreadPoolExecutor(len(questions)) as pool:
            answers = pool.map(lambda question: self.reaches(question[1], question[2], question[0]), questions)
            return [question for question, answer in zip(questions, answers) if answer]

    def run(self, *words, stdin=None):
        """Run a command inside; return its output (str). CommandFailed with its messages."""
        return _command([*remote.inside(self.path), *map(str, words)], stdin)


class Host:
    """A host of the fleet."""

    #: Where the servers of tests are kept on the host: gone with a reboot.
    ANSWER = "/run/answer.py"

    def __init__(self, fleet, number):
        self.fleet = fleet
        self.layout = fleet.layout.host(number)
        self.number = number
        self.name = self.layout.name
        self.mgmt4, self.wan4, self.wan6 = self.layout.mgmt4, self.layout.wan4, self.layout.wan6

    def __repr__(self):
        return "<Host %s>" % self.name

    def ssh(self, command, user="root", stdin=None):
        """Run a command line of the host's shell; return its output (str). CommandFailed with its messages."""
        return _command(remote.command(self.layout, self.fleet.image, user, [command]), stdin)

    def succeeds(self, command, user="root"):
        """Whether a command line succeeds."""
        try:
            self.ssh(command, user)
        except CommandFailed:
            return False
        return True

    def write(self, path, text, mode="0644"):
        """Write a file on the host, and its directory where that is missing."""
        self.ssh("mkdir -p $(dirname '%s') && cat > '%s' && chmod %s '%s'" % (path, path, mode, path), stdin=text)

    def run_playbook(self, playbook, extra_vars=None, check=False, user="root", **options):
        """Run a playbook for this host alone; see playbooks.play."""
        return self.fleet.run_playbook(playbook, extra_vars, check, user, hosts=[self.number], **options)

    def reboot(self, hard=False):
        """Reboot and wait until it answers. hard: as if somebody had pulled the plug."""
        lifecycle.reboot(self.layout, hard=hard)

    def reset(self):
        """Boot with an empty disk: as good as new."""
        lifecycle.reboot(self.layout, reset=True)

    def boots(self):
        """How many times it has booted."""
        return lifecycle.boots(self.layout)

    def wait_for_boot(self, before):
        """Until it has booted more than `before` times, and answers."""
        lifecycle.wait_for_boot(self.layout, before)

    def booted(self):
        """Wait for the end of the boot; return systemd's word for it: running, or degraded."""
        return self.ssh("systemctl is-system-running --wait || :").strip()

    def serve(self, *ports, namespace=None, label=None):
        """Start a daemon that answers at these ports, TCP and UDP, in a named namespace or on the host itself.

        Returns its label, which is its unit's name as well (the namespace's name if not given). It runs until
        stop(label) or a reboot, and listens when this returns.
        """
        label = label or namespace or self.name
        with open(answer.__file__) as source:
            self.write(self.ANSWER, source.read())
        where = "-p NetworkNamespacePath=/run/netns/%s" % namespace if namespace else ""
        words = " ".join(str(port) for port in ports)
        self.ssh(
            "systemd-run --quiet --collect --unit=%s %s python3 %s serve %s %s"
            % (label, where, self.ANSWER, label, words)
        )
        inside = "ip netns exec %s" % namespace if namespace else ""
        self.ssh(
            "for port in %s; do for try in $(seq 100); do "
            "%s python3 %s ask udp 127.0.0.1 $port >/dev/null && break; [ $try -lt 100 ] || exit 1; sleep 0.05; "
            "done; done" % (words, inside, self.ANSWER)
        )
        return label

    def stop(self, *labels):
        """Stop daemons that serve() has started."""
        self.ssh("systemctl stop %s; rm -f %s" % (" ".join(labels), self.ANSWER))

    def tcp(self, address, port, namespace=None, patience=answer.PATIENCE):
        """Ask from the host, or from a namespace on it: the Answer of the server at address and port, or None."""
        return self._ask("tcp", address, port, namespace, patience)

    def udp(self, address, port, namespace=None, patience=answer.PATIENCE):
        """As tcp()."""
        return self._ask("udp", address, port, namespace, patience)

    def reaches(self, address, port, proto="tcp", namespace=None):
        """Whether anybody answers: for checks that nobody does."""
        return self._ask(proto, address, port, namespace, SILENCE) is not None

    def _ask(self, proto, address, port, namespace, patience):
        enter = "ip netns exec %s" % namespace if namespace else ""
        with open(answer.__file__) as source:
            asked = "%s python3 - ask --patience %s %s %s %s || :" % (enter, patience, proto, address, port)
            text = self.ssh(asked, stdin=source.read()).strip()
        return None if text == "no answer" else Answer(text)

    def snapshot(self):
        """All that matters on the host; see fleetlib.snapshot."""
        return snapshot.read(lambda script: self.ssh("sh", stdin=script))

    def assert_same(self, before, why="the host differs"):
        """All is as it was in that snapshot; AssertionError with the difference otherwise."""
        lines = snapshot.difference(before, self.snapshot())
        assert not lines, "%s:\n%s" % (why, "\n".join(lines))


class Fleet:
    """A fleet that is up. fleet[1] is the host h1."""

    def __init__(self, name):
        self.layout = lifecycle.find(name)
        self.image, self.size = lifecycle.record(self.layout)
        self.internet = Stack(self.layout.internet)
        self.controller = Stack(self.layout.controller)
        self._hosts = {}

    def __getitem__(self, number):
        if not 1 <= number <= self.size:
            raise IndexError("hosts are numbered from 1 to %d" % self.size)
        return self._hosts.setdefault(number, Host(self, number))

    def __iter__(self):
        return (self[number] for number in range(1, self.size + 1))

    def __len__(self):
        return self.size

    def run_playbook(self, playbook, extra_vars=None, check=False, user="root", hosts=None, **options):
        """Run a playbook on the controller, for the hosts of these numbers (all); see playbooks.play."""
        numbers = hosts or range(1, self.size + 1)
        return playbooks.play(self.layout, self.image, numbers, playbook, extra_vars, check, user, **options)


def machine():
    """What the tests may never change: the network of the machine they run on, by topic (dict of str)."""
    commands = {
        "links": "ip -o link show | sed 's/ state .*//; s/^[0-9]*: //'",
        "addresses": "ip -o address show | sed 's/ valid_lft .*//'",
        "routes": "ip route show table all",
        "routes6": "ip -6 route show table all | grep -v -e fe80 -e ff00 | sed 's/ expires.*//'",
        "rules": "ip rule; ip -6 rule",
        "nft": "nft -s list ruleset",
        "forwarding": "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
        "files": "ls -d /etc/netns /etc/netns/* /var/lib/linuxnet-netns 2>/dev/null || :",
    }
    return {
        topic: subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout
        for topic, command in commands.items()
    }


#: For tests, so that they need not import from two places.
GATEWAY4, GATEWAY6 = layout.GATEWAY4, layout.GATEWAY6
CLIENT4, CLIENT6 = layout.CLIENT4, layout.CLIENT6
