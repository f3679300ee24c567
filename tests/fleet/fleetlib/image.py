# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base root: a Debian that every host boots from, over a writable layer of its own.

Made by debootstrap once, and again when the recipe changes: the packages below, or image/configure. An image is a
directory CACHE/image-STAMP with `root`, the ssh key pair `ssh/key` for logging in, and `ssh/known_hosts`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

from . import layout
from .commands import run
from .errors import FleetError

SUITE = "bookworm"
CONFIGURE = layout.HERE / "image" / "configure"
PACKAGES = (
    "conntrack",
    "curl",
    "dbus",
    "firewalld",
    # For ansible-pull.
    "git",
    "iproute2",
    "iptables",
    "iputils-ping",
    # What polkitd (of firewalld) asks for by a virtual name, which debootstrap does not resolve.
    "libpam-systemd",
    # Only recommended, but firewalld does not start without /etc/protocols.
    "netbase",
    "nftables",
    "nginx-light",
    "openssh-server",
    "procps",
    "python3",
    "python3-pyroute2",
    "sudo",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
)


class Image:
    """A finished image."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.root = self.path / "root"
        self.key = self.path / "ssh" / "key"
        self.known_hosts = self.path / "ssh" / "known_hosts"


def stamp():
    """Checksum of the recipe."""
    recipe = json.dumps([SUITE, PACKAGES, layout.MGMT_NET4]).encode() + CONFIGURE.read_bytes()
    return hashlib.sha256(recipe).hexdigest()[:12]


def ensure(cache, tell=print):
    """Return the Image of today's recipe, and build it first if it is not there. FleetError if that fails."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / ("image-" + stamp())
    with open(cache / "image.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_dir():
            tell("building the image (a minute or two)")
            _remove_others(cache, path)
            _build(cache, path, lock)
    return Image(path)


def _build(cache, path, lock):
    started = cache / ("building-" + path.name)
    root, ssh = started / "root", started / "ssh"
    ssh.mkdir(parents=True)
    _debootstrap(root, cache / "debootstrap.log", lock)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "controller", "-f", ssh / "key")
    (root / "root" / ".ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(ssh / "key.pub", root / "root" / ".ssh" / "authorized_keys")
    shutil.copy(CONFIGURE, root / "configure")
    _isolated("chroot", root, "/bin/sh", "/configure")
    (root / "configure").unlink()
    host_key = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
    # One host key for all; OpenSSH compares addresses with patterns.
    pattern = layout.MGMT_NET4.rpartition(".")[0] + ".*"
    (ssh / "known_hosts").write_text(" ".join([pattern, *host_key]) + "\n")
    # All or nothing: a directory of the final name is a finished image.
    started.rename(path)


def _debootstrap(root, log, lock):
    mirror, options, environment = _sources()
    command = ["debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), *options, SUITE, str(root)]
    with open(log, "w") as output:
        done = subprocess.run(
            [*_ISOLATE, *command, *mirror],
            env={**os.environ, **environment, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            stdout=output,
            stderr=subprocess.STDOUT,
            # Whoever comes when we have been killed waits for the end of it before cleaning up.
            pass_fds=[lock.fileno()],
            check=False,
        )
    if done.returncode:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise FleetError("%s: exit %d\n%s\n(all of it: %s)" % (" ".join(command), done.returncode, tail, log))


# What is mounted and started while building ends with it, even if it is killed.
_ISOLATE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--")


def _isolated(*command):
    return run(*_ISOLATE, *command)


def _sources():
    """Where packages come from: ([mirror] or [], options, environment) for debootstrap.

    As apt on this machine is told, if it knows the suite: mirror, keyring, proxy. Otherwise debootstrap's defaults.
    """
    environment = {}
    for scheme in ("http", "https"):
        setting = run("apt-config", "dump", "--format", "%v", "Acquire::%s::Proxy" % scheme, check=False).strip()
        if setting and setting != "DIRECT":
            environment[scheme + "_proxy"] = setting
    wanted = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    for line in run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages", check=False).splitlines():
        uri, release, component, signed_by = line.split("|")
        if (release, component) == (SUITE, "main"):
            options = ["--keyring=" + signed_by] if signed_by.startswith("/") else []
            return [uri], options, environment
    return [], [], environment


def _remove_others(cache, wanted):
    """Remove what a killed build left behind, and images of other recipes that no fleet uses."""
    used = set()
    for record in layout.STATE.glob("*/fleet.json"):
        used.add(json.loads(record.read_text())["image"])
    for other in [*cache.glob("building-*"), *cache.glob("image-*")]:
        if other.is_dir() and other != wanted and str(other) not in used:
            print("removing %s" % other, file=sys.stderr)
            shutil.rmtree(other)
