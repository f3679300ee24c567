# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the engine on this host, and let one of its acts go wrong: `saboteur.py HOW NUMBER < request.json`.

An act is whatever changes something: a netlink request, a script for nft or iptables, a call of systemctl, a file
system call, a mount, a sysctl. HOW it goes wrong:

refuse  it is refused, and not done
lost    it is done, and then reported as refused: the program that did it was killed, the answer got lost
full    it and all that follow and need room on a disk find it full
kill    this process is killed (SIGKILL) in its place
none    nothing goes wrong; all acts are counted

The request is {"options": {...}, "absent": bool, "owner": name}, options as those of netns_topology. Prints one line
of JSON: acts (one text for each), spoiled, changed, warnings, and error with its kind.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

from ansible_collections.linuxnet.netns.plugins.module_utils import engine
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import files, netlink, netns_mounts
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import NetnsError, SystemRefused

SAID = "sabotage"
READING = ("show", "is-system-running")


class Saboteur:
    """Counts acts, and spoils one."""

    def __init__(self, how, number):
        self.how, self.number, self.acts = how, number, []
        #: False as long as nothing has gone wrong that would not have gone wrong anyway.
        self.spoiled = False

    def act(self, label, do, refuse, needs_room=False):
        """Do an act, or what has to become of it. refuse: called to have it refused with an errno."""
        self.acts.append(label)
        here = len(self.acts) == self.number
        full = self.how == "full" and needs_room and len(self.acts) >= self.number
        if here and self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if full or (here and self.how == "refuse"):
            self.spoiled = True
            return refuse(errno.ENOSPC if full else errno.EIO)
        result = do()
        if here and self.how == "lost":
            self.spoiled = True
            return refuse(errno.EIO)
        return result

    def tamper(self):
        """Get between the engine and the system."""
        self._netlink()
        self._programs()
        self._files()
        self._mounts()

    def _netlink(self):
        request = netlink.NetlinkSocket.request

        def refuse(number):
            raise SystemRefused(f"{os.strerror(number)} ({SAID})", number)

        def tampered(sock, kind, flags, body):
            self.act(f"netlink message {kind}", lambda: request(sock, kind, flags, body), refuse)

        netlink.NetlinkSocket.request = tampered

    def _programs(self):
        run = subprocess.run

        def tampered(command, **options):
            name = os.path.basename(command[0])
            verbs = [word for word in command[1:] if not word.startswith("-")]
            acts = (name == "nft" and "--file" in command) or "--noflush" in command
            acts = acts or (name == "systemctl" and verbs[0] not in READING)
            if not acts:
                return run(command, **options)

            def refuse(_number):
                return subprocess.CompletedProcess(command, -signal.SIGKILL, "", SAID)

            return self.act(" ".join([name, *verbs[:2]]), lambda: run(command, **options), refuse)

        subprocess.run = tampered

    def _files(self):
        def tamper(name, needs_room=False):
            function = getattr(os, name)

            def tampered(path, *more, **options):
                def refuse(number):
                    raise OSError(number, f"{os.strerror(number)} ({SAID})", path)

                if isinstance(path, str) and path.startswith("/tmp/"):
                    return function(path, *more, **options)
                label = path if isinstance(path, str) else os.readlink(f"/proc/self/fd/{path}")
                room = needs_room and not (name == "fsync" and os.path.isdir(label))
                return self.act(f"{name} {label}", lambda: function(path, *more, **options), refuse, room)

            setattr(os, name, tampered)

        for name in ("rename", "unlink", "rmdir"):
            tamper(name)
        for name in ("mkdir", "fsync"):
            tamper(name, needs_room=True)
        set_sysctl = files.Files.set_sysctl

        def tampered(door, netns, path, value):
            def refuse(number):
                raise SystemRefused(f"setting {path}: {os.strerror(number)} ({SAID})", number)

            return self.act(f"sysctl {path}={value}", lambda: set_sysctl(door, netns, path, value), refuse)

        files.Files.set_sysctl = tampered

    def _mounts(self):
        saboteur, libc = self, netns_mounts.libc

        class Tampered:
            def __getattr__(self, name):
                function = getattr(libc, name)
                if name not in ("mount", "umount2"):
                    return function

                def refuse(number):
                    netns_mounts.ctypes.set_errno(number)
                    return -1

                return lambda *words: saboteur.act(f"{name} {words[1 if name == 'mount' else 0]}",
                                                   lambda: function(*words), refuse)  # fmt: skip

        netns_mounts.libc = Tampered()


def main():
    saboteur = Saboteur(sys.argv[1], int(sys.argv[2]))
    given = json.load(sys.stdin)
    request = engine.Request(
        owner=f"topology {given.get('owner', 'default')}",
        options={} if given.get("absent") else given["options"],
        absent=bool(given.get("absent")),
    )
    answer = {}
    saboteur.tamper()
    try:
        result = engine.converge(request, False)
        answer = {"changed": bool(result.changes), "warnings": result.warnings}
    except NetnsError as error:
        answer = {"error": str(error), "kind": error.kind}
    print(json.dumps({**answer, "acts": saboteur.acts, "spoiled": saboteur.spoiled}))


if __name__ == "__main__":
    main()
