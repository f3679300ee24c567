# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away computers: a process that holds namespaces, commands that run inside, sockets that live inside.

Nothing here touches the machine's own network, /etc, /var/lib or /run. Everything a node holds (links, rules, mounts,
processes) goes away with its holder process, and the holder goes away with us: it reads a pipe of which we hold the
other end, so even a killed test run leaves nothing behind.
"""

from __future__ import annotations

import subprocess

from .traffic import Talk

# A plain network stack: what the far end of a cable is.
PEER_SETUP = """
set -e
read -r pid _ < /proc/self/stat
for family in default all; do echo 0 > /proc/sys/net/ipv6/conf/$family/accept_dad; done
ip link set lo up
echo "$pid"
exec env --ignore-signal=CHLD cat
"""

# A computer to be managed: its own /run, and /etc and /var/lib with a private upper layer, so that what is written
# there is seen by its own commands only. Its own process ids too: its "pid 1" is the holder, as on a real host.
HOST_SETUP = """
set -e
read -r pid _ < /proc/self/stat
# The machine's own namespaces would be listed in /proc/self/mountinfo for ever, under what is mounted next.
while grep -q ' /run/netns' /proc/self/mountinfo; do
    umount -l "$(grep -o ' /run/netns[^ ]*' /proc/self/mountinfo | tail -n 1 | cut -c 2-)"
done
mount -t tmpfs -o mode=755 layers /run
for dir in etc var/lib; do
    mkdir -p /run/$dir/upper /run/$dir/work
    mount -t overlay overlay -o lowerdir=/$dir,upperdir=/run/$dir/upper,workdir=/run/$dir/work /$dir
done
mount -t tmpfs -o mode=755 run /run
mkdir -m 1777 /run/lock
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for dir in /etc/netns /var/lib/linuxnet-netns; do
    if [ -e "$dir" ]; then rm -rf "$dir"; fi
done
# A real file on every machine: where it is a link into /run, it would dangle here.
rm -f /etc/resolv.conf
echo "nameserver 192.0.2.53" > /etc/resolv.conf
ip link set lo up
echo "$pid"
# Whoever loses its parent here is ours, and is not to stay as a zombie (dash forgets `trap '' CHLD`).
exec env --ignore-signal=CHLD cat
"""


class CommandFailed(AssertionError):
    """A command that the test needed did not succeed."""


class Stack(Talk):
    """A network stack one can run commands and open sockets in: a node itself, or a named namespace on a host."""

    def __init__(self, label):
        self.label = label
        self._closers = []

    def __repr__(self):
        return "<%s %s>" % (type(self).__name__, self.label)

    # To be told by subclasses.
    netns_path = None

    def _enter(self):
        raise NotImplementedError

    def run(self, *command, **options):
        """Run a command inside, return its output; a failure is the test's failure (unless check=False)."""
        check = options.pop("check", True)
        options.setdefault("timeout", 60)
        done = subprocess.run(
            self._enter() + [str(word) for word in command],
            stdin=subprocess.DEVNULL if "input" not in options else None,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        if check and done.returncode != 0:
            text = " ".join(map(str, command))
            raise CommandFailed(
                "%s on %s: exit %s\n%s%s" % (text, self.label, done.returncode, done.stdout, done.stderr)
            )
        return done.stdout if check else done

    def sh(self, script, *arguments, **options):
        """Run a shell script inside; its arguments are $1, $2 and so on."""
        return self.run("sh", "-ec", script, "sh", *arguments, **options)

    def ip(self, batch):
        """Run `ip` commands, one a line, without the leading word "ip"."""
        lines = [line.split("#")[0].strip() for line in batch.splitlines()]
        self.run("ip", "-batch", "-", input="\n".join(line for line in lines if line) + "\n")

    def sysctl(self, name, value=None):
        """Read (or write) a sysctl by its path below /proc/sys, for instance net/ipv4/ip_forward."""
        if value is None:
            return self.run("cat", "/proc/sys/" + name).strip()
        self.run("tee", "/proc/sys/" + name, input=str(value))
        return str(value)

    def start(self, *command):
        """Start a process inside that lives until the node is closed; return its Popen."""
        # nsenter goes between us and the process, and takes it along when it is ended.
        process = subprocess.Popen(
            self._enter() + ["setpriv", "--pdeathsig", "KILL", "--"] + [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._closers.append(lambda: _end(process))
        return process

    def on_close(self, closer):
        self._closers.append(closer)

    def release(self):
        """Close the sockets and end the processes that the test has inside."""
        while self._closers:
            self._closers.pop()()


class Node(Stack):
    """A stack of its own, held by a process."""

    setup = PEER_SETUP
    unshare = ("--net",)
    entered = ("--net",)

    def __init__(self, label):
        super().__init__(label)
        self._kept = []
        self._holder = subprocess.Popen(
            ["unshare", *self.unshare, "sh", "-c", self.setup],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        first = self._holder.stdout.readline().strip()
        if not first:
            self._holder.wait()
            raise CommandFailed("%s did not come up: %s" % (label, self._holder.stderr.read()))
        self.pid = int(first)
        self.netns_path = "/proc/%d/ns/net" % self.pid

    def _enter(self):
        return ["nsenter", "-t", str(self.pid), *self.entered, "--"]

    def cable(self, ifname, other, other_ifname, mac, other_mac):
        """Plug a cable from here to another node."""
        # Entered by network namespace only: the other node's process id is one of the machine's.
        subprocess.run(
            ["nsenter", "-t", str(self.pid), "--net", "--", "ip", "link", "add", ifname, "address", mac, "type", "veth"]
            + ["peer", "name", other_ifname, "address", other_mac, "netns", str(other.pid)],
            check=True,
            timeout=30,
        )
        self.run("ip", "link", "set", ifname, "up")
        other.run("ip", "link", "set", other_ifname, "up")

    def keep(self):
        """What has been started so far stays when the test's own sockets and processes are released."""
        self._kept += self._closers
        self._closers = []

    def close(self):
        self.release()
        self._closers = self._kept
        super().release()
        _end(self._holder)
        for pipe in (self._holder.stdin, self._holder.stdout, self._holder.stderr):
            pipe.close()


def _end(process):
    """End a process of ours (and, for the holder of a process id namespace, all that runs in there)."""
    if process.stdin is not None:
        try:
            process.stdin.close()
        except OSError:
            pass
    else:
        process.kill()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)
