# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few system calls that Python 3.11 does not have: namespaces and mounts."""

from __future__ import annotations

import ctypes
import os
import threading

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _check(outcome, what):
    if outcome != 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))


def private_mounts():
    """Give the calling process a mount table of its own: what it mounts, nobody else sees, and it ends with it."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount --make-rprivate /")


def mount(kind, source, target, options=""):
    _check(
        _libc.mount(source.encode(), os.fsencode(target), kind.encode(), 0, options.encode()),
        "mount -t %s %s" % (kind, target),
    )


def unmount(target):
    """Detach what is mounted at target. Raises OSError (EINVAL) if nothing is."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), "umount %s" % target)


def mounts():
    """The mount points of this process: (path, type of file system), in the order they were made."""
    found = []
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            fields, _, rest = line.partition(" - ")
            path = fields.split()[4].encode().decode("unicode_escape")
            found.append((path, rest.split()[0]))
    return found


def enter_network(path):
    """Move the calling thread into the network namespace at path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(fd, CLONE_NEWNET), "setns %s" % path)
    finally:
        os.close(fd)


def in_network(path, function):
    """Call function() in a short-lived thread inside the network namespace at path; return what it returns.

    A socket made there stays in that namespace, whoever uses it later. The calling thread never moves.
    """
    outcome = {}

    def work():
        try:
            enter_network(path)
            outcome["value"] = function()
        except BaseException as error:  # handed to the caller's thread
            outcome["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]
