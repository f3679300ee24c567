# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Ports and port ranges."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InvalidOption

#: No longer than Python takes for a number: zeros in front are no mistake.
_RANGE = re.compile(r"\s*(\d{1,99})\s*(?:[-:]\s*(\d{1,99})\s*)?\Z", re.ASCII)


@dataclass(frozen=True)
class Ports:
    """One port (``first == last``) or an inclusive range."""

    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def overlaps(self, other: Ports) -> bool:
        return self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def ports(option: str, value: str) -> Ports:
    """``"10105"`` or ``"8000-8010"`` as Ports."""
    match = _RANGE.match(value)
    if not match:
        raise InvalidOption(option, value, "is not a port or a port range", "write it like '10105' or '8000-8010'")
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    for number in (first, last):
        if not 1 <= number <= 65535:
            raise InvalidOption(
                option, value, f"is out of range: {number} is not between 1 and 65535", "choose another port"
            )
    if last < first:
        raise InvalidOption(option, value, "is a reversed range", f"write it as '{last}-{first}'")
    return Ports(first, last)
