# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, for the person at the terminal."""

from __future__ import annotations


class FleetError(Exception):
    """The text says what failed, and where it helps, what to do about it."""
