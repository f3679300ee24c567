# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/benchmark_namespaces.md and .svg, made of the figures that tests/benchmark/topology_scale.py has taken."""

from __future__ import annotations

import math
import pathlib

#: Stages by their name in the figures: (what the page calls it, the line's colour).
STAGES = {
    "build": ("first run", "#0b7a4b"),
    "again": ("second run", "#2471a3"),
    "address": ("one change: an address", "#8e44ad"),
    "forward": ("one change: a forward", "#d35400"),
    "absent": ("teardown", "#c0392b"),
}
FLOOR = ("ip -batch, first run", "#b0b0b0")

#: The document, with the tables' names in braces.
TEXT = pathlib.Path(__file__).with_suffix(".md")


def _ms(entry, way, stage):
    """Milliseconds of wall time (float), or None where a way has no such stage."""
    return entry["wall"]["ms"][way].get(stage)


def _table(*rows):
    head, *body = rows
    marks = ["--:"] * len(head)
    return "\n".join("| %s |" % " | ".join(map(str, row)) for row in (head, marks, *body))


def _seconds(results):
    rows = [("namespaces", *(name for name, _colour in STAGES.values()), "ip -batch: first, second", "first ÷ ip")]
    for size, entry in results.items():
        own = ["%.2f" % (_ms(entry, "module", stage) / 1000) for stage in STAGES]
        floor = ", ".join("%.2f" % (_ms(entry, "ip", stage) / 1000) for stage in ("build", "again"))
        rows.append((size, *own, floor, "%.2f" % entry["wall"]["ratio"]["module build"]))
    return _table(*rows)


def _growth(results):
    rows = [("namespaces", *(name for name, _colour in STAGES.values()), "ip -batch, first run")]
    for size, entry in results.items():
        each = [_ms(entry, "module", stage) for stage in STAGES] + [_ms(entry, "ip", "build")]
        rows.append((size, *("%.1f" % (ms / int(size)) for ms in each)))
    return _table(*rows)


def _linear(results):
    """How the two largest sizes compare, in a sentence."""
    if len(results) < 2:
        return ""
    (small, few), (large, many) = list(results.items())[-2:]
    parts = [
        "%s %.1f" % (name, _ms(many, "module", stage) / _ms(few, "module", stage))
        for stage, (name, _colour) in STAGES.items()
    ]
    return "From %s to %s namespaces (%.1f times as many) time grows by: %s." % (
        small, large, int(large) / int(small), ", ".join(parts))  # fmt: skip


def report(given):
    """(text of benchmark_namespaces.md, text of benchmark_namespaces.svg) from the figures (dict)."""
    about, results = given["about"], given["results"]
    most, last = list(results.items())[-1]
    text = TEXT.read_text().format(
        seconds=_seconds(results),
        growth=_growth(results),
        linear=_linear(results),
        fixed=about["compiled"].split()[0],
        sent=about["zip"].split()[0],
        memory="%.0f" % (max(last["peak_kb"].values()) / 1024),
        most=most,
        **{name: about[name] for name in ("repetitions", "date", "python", "pyroute2", "nft", "ip", "kernel", "cores")},
    )
    return text, plot(results)


# -- the plot --

LEFT, TOP, WIDTH, HEIGHT = 60, 20, 560, 320


def plot(results):
    """An SVG: seconds over the number of namespaces, a line for each stage, both axes linear: so linear is straight."""
    lines = {
        name: ([(int(size), _ms(entry, "module", stage) / 1000) for size, entry in results.items()], colour)
        for stage, (name, colour) in STAGES.items()
    }
    lines[FLOOR[0]] = ([(int(size), _ms(entry, "ip", "build") / 1000) for size, entry in results.items()], FLOOR[1])
    most = max(size for points, _colour in lines.values() for size, _value in points)
    high = math.ceil(max(value for points, _colour in lines.values() for _size, value in points))
    parts = ['<rect width="%d" height="%d" fill="white"/>' % (LEFT + WIDTH + 200, TOP + HEIGHT + 50)]

    def at(size, value):
        return LEFT + WIDTH * size / most, TOP + HEIGHT - HEIGHT * value / high

    def write(x, y, text, more=""):
        parts.append('<text x="%.0f" y="%.0f"%s>%s</text>' % (x, y, more, text))

    for step in range(5):
        value = high * step / 4
        left, y = at(0, value)
        parts.append('<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>' % (left, y, LEFT + WIDTH, y))
        write(LEFT - 6, y + 4, "%g s" % value, ' text-anchor="end"')
    for size in results:
        x, y = at(int(size), 0)
        write(x, y + 16, size, ' text-anchor="middle"')
    write(LEFT + WIDTH / 2, TOP + HEIGHT + 38, "namespaces", ' text-anchor="middle"')
    for number, (name, (points, colour)) in enumerate(lines.items()):
        places = ["%.1f,%.1f" % at(*point) for point in points]
        parts.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (" ".join(places), colour))
        parts += [
            '<circle cx="%s" cy="%s" r="3" fill="%s"/>' % (*place.split(","), colour) for place in places
        ]  # fmt: skip
        y = TOP + 14 + 20 * number
        parts.append('<rect x="%d" y="%d" width="12" height="12" fill="%s"/>' % (LEFT + WIDTH + 20, y - 10, colour))
        write(LEFT + WIDTH + 38, y, name)
    return (
        "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->\n"
        "<!-- Written by tests/benchmark/topology_scale.py from its figures: an edit by hand is lost. -->\n"
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">\n'
        "%s\n</svg>\n" % (LEFT + WIDTH + 200, TOP + HEIGHT + 50, "\n".join(parts))
    )
