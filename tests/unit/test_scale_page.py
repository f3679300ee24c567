# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/scale.md: its table is what its formula makes of its inputs."""

from __future__ import annotations

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "scale.md"


def inputs(text):
    return {name: float(value) for name, value in re.findall(r"^\| `(\w)` \|[^|]*\| ([0-9.]+) \|", text, re.MULTILINE)}


def duration(seconds):
    return "%d s" % round(seconds) if seconds < 100 else "%.1f min" % (seconds / 60)


def row(known, hosts, slices, cores, forks):
    """A line of the table."""
    parts = hosts * known["m"] / slices, hosts * known["c"] / cores, hosts * known["h"] / forks
    cells = [f"{hosts:,}", slices, cores, forks, *map(duration, parts), duration(max(parts))]
    return "| %s | %.0f |" % (" | ".join(map(str, cells)), max(1, forks * known["b"] / 1000))


def test_the_table_is_computed():
    text = PAGE.read_text()
    known = inputs(text)
    assert set(known) == set("cmhb")
    rows = re.findall(r"^\| ([0-9,]+) \| (\d+) \| (\d+) \| (\d+) \|.*", text, re.MULTILINE)
    assert len(rows) >= 5
    for words in rows:
        wanted = row(known, *(int(word.replace(",", "")) for word in words))
        assert wanted in text.splitlines(), "that should be: " + wanted


def test_the_conclusions_follow():
    text = PAGE.read_text()
    known = inputs(text)
    (cores,) = re.findall(r"One `ansible-playbook` uses about (\d+) cores", text)
    assert int(cores) == round(known["c"] / known["m"])
    assert set(re.findall(r"(\d+) for each core", text)) == {str(round(known["h"] / known["c"]))}
