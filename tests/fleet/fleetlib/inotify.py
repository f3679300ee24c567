# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's limit of inotify instances: each booted host holds several, and the usual 128 are for 18 hosts.

The one setting of the machine that a fleet changes; it is put back when the last fleet that needed more goes down.
"""

from __future__ import annotations

import fcntl
import json
import os
import pathlib

from . import layout

LIMIT = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")
PER_HOST = 16
RECORD = layout.STATE / "inotify.json"


def claim(fleet, hosts):
    """Raise the limit as this many hosts need it, beside what other fleets need; hosts=0 gives it back."""
    layout.STATE.mkdir(exist_ok=True)
    directory = os.open(layout.STATE, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        _claim(fleet, hosts)
    finally:
        os.close(directory)


def _claim(fleet, hosts):
    now = int(LIMIT.read_text())
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"original": now, "set": now, "hosts": {}}
    record["hosts"].pop(fleet.name, None)
    if hosts:
        record["hosts"][fleet.name] = hosts
    if now != record["set"]:  # somebody else's decision in the meantime
        record["original"] = now
    wanted = record["original"] + PER_HOST * sum(record["hosts"].values())
    if wanted != now:
        LIMIT.write_text(str(wanted))
    if record["hosts"]:
        RECORD.write_text(json.dumps(dict(record, set=wanted)))
    else:
        RECORD.unlink(missing_ok=True)
