# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from . import image as images
from . import layout, lifecycle, remote, servers
from .errors import FleetError
from .inventory import environment, inventory
from .supervisor import Supervisor

NAME_VARIABLE = "LINUXNET_NETNS_FLEET_NAME"


def _parser():
    parser = argparse.ArgumentParser(
        prog="fleet",
        description="Debian hosts booted with systemd, reached over SSH, in network namespaces of their own.",
    )
    default = os.environ.get(NAME_VARIABLE) or "fleet"
    parser.add_argument("--name", default=default, help="which fleet ($%s, or %%(default)s)" % NAME_VARIABLE)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, text, **options):
        return commands.add_parser(name, help=text, description=text, **options)

    command("image", "build the base image, if it is not there, and print its directory")
    command("up", "have hosts h1..hN running").add_argument("hosts", type=int, metavar="N")
    command("down", "leave nothing of the fleet, also after a crash")
    reboot = command("reboot", "reboot a host and wait until it answers: its network is new, its disk stays")
    reboot.add_argument("host", type=int, metavar="I")
    reboot.add_argument("--hard", action="store_true", help="cut its power instead of shutting it down")
    reset = command("reset", "cut a host's power and boot it with an empty disk")
    reset.add_argument("host", type=int, metavar="I")
    command("status", "list the hosts, with their addresses")
    listed = command("inventory", "print an Ansible inventory")
    listed.add_argument("--user", default="root", choices=("root", "admin"), help="admin becomes root by sudo")
    on_host = command("ssh", "log in to a host, or run a command there")
    on_host.add_argument("--user", default="root", choices=("root", "admin"))
    on_host.add_argument("host", type=int, metavar="I")
    on_host.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    for name, where in (("run", "on the controller"), ("internet", "in the simulated internet")):
        command(name, "run a command " + where).add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    # What `up` starts.
    commands.add_parser("supervise").add_argument("host", type=int)
    commands.add_parser("serve").add_argument("server", choices=servers.NAMES)
    return parser


def _execute(words, variables=None):
    os.execvpe(words[0], words, {**os.environ, **(variables or {})})


def _words(chosen):
    words = chosen.words[1:] if chosen.words[:1] == ["--"] else chosen.words
    if not words:
        raise FleetError("which command?")
    return words


def _dispatch(chosen):
    fleet = lifecycle.find(chosen.name)
    if chosen.command == "image":
        print(images.ensure(layout.cache(), _tell).path)
    elif chosen.command == "up":
        lifecycle.up(fleet, chosen.hosts, _tell)
    elif chosen.command == "down":
        lifecycle.down(fleet)
    else:
        _use(chosen, fleet, *lifecycle.record(fleet))


def _use(chosen, fleet, image, hosts):
    """The commands for a fleet that is up."""
    if "host" in chosen and chosen.host not in range(1, hosts + 1):
        raise FleetError("the fleet %r has hosts 1 to %d" % (fleet.name, hosts))
    if chosen.command == "reboot":
        lifecycle.reboot(fleet.host(chosen.host), hard=chosen.hard)
    elif chosen.command == "reset":
        lifecycle.reboot(fleet.host(chosen.host), reset=True)
    elif chosen.command == "status":
        for number in range(1, hosts + 1):
            host = fleet.host(number)
            state = "up" if remote.answers(host) else "does not answer"
            print(host.name, host.mgmt4, host.wan4, host.wan6, state)
    elif chosen.command == "inventory":
        print(inventory(fleet, image, range(1, hosts + 1), chosen.user), end="")
    elif chosen.command == "ssh":
        words = chosen.words[1:] if chosen.words[:1] == ["--"] else chosen.words
        _execute(remote.command(fleet.host(chosen.host), image, chosen.user, words, interactive=True))
    elif chosen.command == "run":
        _execute([*remote.inside(fleet.controller), *_words(chosen)], environment(fleet))
    elif chosen.command == "internet":
        _execute([*remote.inside(fleet.internet), *_words(chosen)])
    elif chosen.command == "supervise":
        Supervisor(fleet.host(chosen.host), image).run()
    elif chosen.command == "serve":
        servers.serve(fleet, chosen.server)


def _tell(text):
    print("fleet: %s" % text, file=sys.stderr, flush=True)


def main(words=None):
    chosen = _parser().parse_args(words)
    try:
        if os.geteuid() != 0:
            raise FleetError("this needs root: hosts are booted")
        _dispatch(chosen)
    except FleetError as error:
        _tell(error)
        return 1
    except (OSError, subprocess.SubprocessError) as error:
        _tell("%s: %s" % (type(error).__name__, error))
        return 1
    except KeyboardInterrupt:
        _tell("interrupted; `fleet --name %s down` cleans up" % chosen.name)
        return 130
    return 0
