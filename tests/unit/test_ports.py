# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports and port ranges."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.ports import Ports, ports
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st

numbers = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1", 1, 1),
        ("65535", 65535, 65535),
        ("10105", 10105, 10105),
        ("8000-8010", 8000, 8010),
        (" 8000 : 8010 ", 8000, 8010),
        ("080", 80, 80),
        ("80-80", 80, 80),
    ],
)
def test_ports(text, first, last):
    assert ports("port", text) == Ports(first, last)


@pytest.mark.parametrize(
    ("text", "reason", "remedy"),
    [
        ("0", "0 is not between 1 and 65535", "another port"),
        ("65536", "65536 is not between 1 and 65535", "another port"),
        ("0-10", "0 is not between 1 and 65535", "another port"),
        ("65000-70000", "70000 is not between 1 and 65535", "another port"),
        ("8010-8000", "is a reversed range", "write it as '8000-8010'"),
        ("", "is not a port or a port range", "'10105' or '8000-8010'"),
        ("http", "is not a port or a port range", "'10105' or '8000-8010'"),
        ("80,81", "is not a port or a port range", "'10105' or '8000-8010'"),
        ("80-", "is not a port or a port range", "'10105' or '8000-8010'"),
        ("-80", "is not a port or a port range", "'10105' or '8000-8010'"),
        ("80-81-82", "is not a port or a port range", "'10105' or '8000-8010'"),
        ("80\n; drop", "is not a port or a port range", "'10105' or '8000-8010'"),
        ("\N{ARABIC-INDIC DIGIT EIGHT}0", "is not a port or a port range", "'10105' or '8000-8010'"),
    ],
)
def test_ports_that_are_refused(text, reason, remedy):
    refused("forwards[2].port", text, reason, remedy, ports, "forwards[2].port", text)


@given(numbers, numbers)
def test_reading_ports_twice_changes_nothing(one, other):
    found = Ports(min(one, other), max(one, other))
    assert ports("port", str(found)) == found
    assert found.count == len(range(found.first, found.last + 1))


@given(numbers, numbers, numbers, numbers)
def test_ranges_overlap_when_they_share_a_port(one, two, three, four):
    left, right = (Ports(min(pair), max(pair)) for pair in ((one, two), (three, four)))
    shared = set(range(left.first, left.last + 1)) & {right.first, right.last} or set(
        range(right.first, right.last + 1)
    ) & {left.first}
    assert left.overlaps(right) == right.overlaps(left) == bool(shared)


@given(st.text(max_size=12))
def test_whatever_is_accepted_is_a_range_of_ports(text):
    try:
        found = ports("port", text)
    except ValueError:
        raise
    except Exception as error:
        assert type(error).__name__ == "InvalidOption"
        return
    assert 1 <= found.first <= found.last <= 65535
