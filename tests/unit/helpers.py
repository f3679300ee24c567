# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several test files ask for."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption


def refused(option, value, reason, remedy, call, *arguments, **options):
    """*call* must refuse: the message names the option and its value, says why, and what to do instead."""
    with pytest.raises(InvalidOption) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert text.startswith(f"{option}: {value!r} "), text
    assert reason in text, text
    _said, semicolon, advice = text[len(f"{option}: {value!r}") :].partition("; ")
    assert semicolon and remedy in advice, text
    assert caught.value.option == option
    return text
