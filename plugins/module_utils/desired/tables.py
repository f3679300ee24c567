# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Routing tables by name and number."""

from __future__ import annotations

from typing import Optional

from ..errors import InvalidOption

#: rt_tables names that every kernel and iproute2 agree upon.
TABLES = {"default": 253, "main": 254, "local": 255}
MAIN_TABLE = TABLES["main"]
#: Of much longer ones Python makes no number.
_MOST_DIGITS = 99


def table(option: str, value: Optional[str]) -> int:
    """The number of a table; None is the main one. Raises InvalidOption."""
    name = str(value if value is not None else "main").strip()
    number = TABLES.get(name, -1)
    if number < 0 and name.isascii() and name.isdigit() and len(name) <= _MOST_DIGITS:
        number = int(name)
    if not 1 <= number < 2**32:
        raise InvalidOption(
            option, value, "is not a routing table", "use main, default or a number from 1 to 4294967295"
        )
    return number
