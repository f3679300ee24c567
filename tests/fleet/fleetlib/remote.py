# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reaching a host: over SSH, from the controller's namespace, with keys of its own and none of the user's settings."""

from __future__ import annotations

import socket
import subprocess
import time

from . import kernel
from .errors import FleetError


def inside(network):
    """The words before a command that put it into the network namespace at that path."""
    return ["nsenter", "--net=%s" % network, "--"]


def options(image):
    """Options of ssh for the hosts of this image, without user and address."""
    return [
        *("-F", "none"),
        *("-i", str(image.key)),
        *("-o", "IdentitiesOnly=yes"),
        *("-o", "UserKnownHostsFile=%s" % image.known_hosts),
        *("-o", "GlobalKnownHostsFile=/dev/null"),
        *("-o", "StrictHostKeyChecking=yes"),
        *("-o", "LogLevel=ERROR"),
        *("-o", "ConnectTimeout=10"),
        *("-o", "ServerAliveInterval=15"),
    ]


def command(host, image, user="root", words=(), interactive=False):
    """The whole command line that runs `words` on the host (a list of str)."""
    # OpenSSH's own choice takes twice the time, for a secret that need not outlive the century.
    chosen = [*options(image), "-o", "KexAlgorithms=curve25519-sha256"] + (
        [] if interactive else ["-o", "BatchMode=yes"]
    )
    return [*inside(host.fleet.controller), "ssh", *chosen, "%s@%s" % (user, host.mgmt4), *words]


def answers(host):
    """Whether the host's SSH server greets whoever comes."""

    def greet():
        with socket.create_connection((host.mgmt4, 22), timeout=1) as sock:
            return sock.recv(4)

    try:
        return kernel.in_network(host.fleet.controller, greet) == b"SSH-"
    except OSError:
        return False


def wait(host, seconds, given_up=lambda: None):
    """Until the host answers. given_up: called now and then, raises an error when there is no hope."""
    end = time.monotonic() + seconds
    while not answers(host):
        given_up()
        if time.monotonic() > end:
            raise FleetError("%s does not answer after %d seconds\n%s" % (host.name, seconds, console_tail(host)))
        time.sleep(0.05)


def console_tail(host, lines=20):
    """The last that the host said while booting."""
    try:
        text = host.console.read_text(errors="replace")
    except FileNotFoundError:
        return "(it has not said a word)"
    return "\n".join(text.splitlines()[-lines:])


def end_kept_connections(fleet):
    """Close the connections that Ansible keeps open for later tasks: their far ends are gone, or will be."""
    for path in fleet.ssh_sockets.glob("*"):
        subprocess.run(
            ["ssh", "-F", "none", "-O", "exit", "-S", str(path), "any"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        path.unlink(missing_ok=True)
