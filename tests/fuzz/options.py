# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a topology with odd values in a few places."""

from harness import fuzz, readers
from hostile import damaged_options
from hypothesis import given

read = given(damaged_options())(readers.options).hypothesis.fuzz_one_input

if __name__ == "__main__":
    fuzz(read, [bytes(range(first, first + 64)) for first in (0, 64)])
