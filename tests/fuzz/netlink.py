# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of the kernel's."""

from harness import fuzz, readers, test_hostile_answers
from test_netlink_messages import message

if __name__ == "__main__":
    bodies = test_hostile_answers.BODIES
    fuzz(readers.netlink, [*bodies, *(message(16, body, flags) for body in bodies for flags in (0, 0x300))])
