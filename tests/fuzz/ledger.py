# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: as text, and as JSON with something else in one place."""

from harness import fuzz, readers, test_hostile_ledger, text_of
from hypothesis import given

edit = given(test_hostile_ledger.edited())(readers.ledger).hypothesis.fuzz_one_input


def read(data):
    """The first byte says which."""
    if data[:1] == b"\1":
        edit(data[1:])
    else:
        readers.ledger(text_of(data[1:]))


if __name__ == "__main__":
    fuzz(read, [b"\0" + test_hostile_ledger.TEXT.encode(), *(b"\1" + bytes(range(n, n + 64)) for n in (0, 64, 128))])
