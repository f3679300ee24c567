# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the system's own commands."""

from __future__ import annotations

import subprocess

from .errors import FleetError


def run(*command, stdin=None, check=True):
    """Run a command; return its output (str). FleetError with its messages if it fails and check is set."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise FleetError("the command %s is missing: scripts/setup fleet brings it" % words[0]) from error
    if check and done.returncode:
        raise FleetError("%s: exit %d\n%s%s" % (" ".join(words), done.returncode, done.stdout, done.stderr))
    return done.stdout
