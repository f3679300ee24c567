# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections of others: taken out of the Python package `ansible`, which holds a hundred of them.

The package itself is not installed: its collections would be in the way of the one under test.
"""

from __future__ import annotations

import fcntl
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

from fleetlib import layout
from fleetlib.errors import FleetError

WANTED = ("ansible/posix", "community/general")


def collections():
    """The path (str) of a directory of collections that has WANTED. FleetError if the package cannot be had.

    Downloaded once, with pip's own settings (50 MB), and kept beside the images.
    """
    layout.cache().mkdir(parents=True, exist_ok=True)
    path = layout.cache() / "community"
    with open(layout.cache() / "community.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_dir():
            _fetch(path)
    return str(path)


def _fetch(path):
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="fetching-community-", dir=path.parent))
    try:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--dest", str(scratch), "ansible"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FleetError("%s: exit %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
        (wheel,) = scratch.glob("ansible-*.whl")
        prefixes = tuple("ansible_collections/%s/" % name for name in WANTED)
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.startswith(prefixes)]
            archive.extractall(scratch / "found", members)
        for name in WANTED:
            if not (scratch / "found" / "ansible_collections" / name / "plugins").is_dir():
                raise FleetError("%s has no collection %s" % (wheel.name, name.replace("/", ".")))
        # All or nothing: a directory of the final name is complete.
        (scratch / "found").rename(path)
    finally:
        shutil.rmtree(scratch)
