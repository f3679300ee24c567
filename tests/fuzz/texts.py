# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs and files of the host show."""

import json

from harness import fuzz, readers, test_hostile_answers, text_of

if __name__ == "__main__":
    shown = test_hostile_answers
    texts = (json.dumps(shown.LISTING), shown.SHOWN * 2, shown.SAID, shown.MOUNTS, shown.STATUS, shown.SOCKETS)
    fuzz(lambda data: readers.texts(text_of(data)), [text.encode() for text in texts])
