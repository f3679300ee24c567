# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/benchmark.md and docs/benchmark.svg, made of the figures that tests/benchmark/fleet.py has taken."""

from __future__ import annotations

import math
import pathlib
import statistics

WAYS = {"ours": "ours", "script": "a script, one task", "usual": "the usual role", "ping": "ping", "ssh": "plain ssh"}
TITLES = {"defaults": "defaults", "tuned": "tuned", "mitogen": "Mitogen"}
#: (what, hosts, settings, (way, stage), (way, stage) to divide by, the limit, whether it is a lower one)
TARGETS = (
    ("second run, against a ping play", "tuned", ("ours", "second"), ("ping", "second"), 1.5, False),
    ("first run, against a ping play", "tuned", ("ours", "first"), ("ping", "second"), 2.5, False),
    ("the usual role's second run, against ours", "tuned", ("usual", "second"), ("ours", "second"), 8, True),
    ("the usual role's first run, against ours", "tuned", ("usual", "first"), ("ours", "first"), 8, True),
    ("second run, against the script's", "tuned", ("ours", "second"), ("script", "second"), 1, False),
    ("first run, against the script's", "tuned", ("ours", "first"), ("script", "first"), 1, False),
    ("the usual role's second run, against ours", "mitogen", ("usual", "second"), ("ours", "second"), 4, True),
    ("the usual role's first run, against ours", "mitogen", ("usual", "first"), ("ours", "first"), 4, True),
)
TARGETS_AT = 10

#: The document, with the tables' names in braces.
TEXT = pathlib.Path(__file__).with_suffix(".md")


class Figures:
    """Runs, looked up by what they were."""

    def __init__(self, runs):
        self.runs = runs

    def of(self, hosts, settings, way, stage, what="wall"):
        """{round: value} of a case."""
        return {
            run["round"]: run[what]
            for run in self.runs
            if (run["hosts"], run["settings"], run["way"], run["stage"]) == (hosts, settings, way, stage)
        }

    def median(self, *case, what="wall"):
        """The median of a case, or None."""
        values = self.of(*case, what=what).values()
        return statistics.median(values) if values else None

    def ratio(self, hosts, settings, upper, lower, what=("wall",)):
        """The median of ratios within rounds of two (way, stage), or None; what: the figures to add up."""

        def total(case):
            parts = [self.of(hosts, settings, *case, what=name) for name in what]
            return {number: sum(part[number] for part in parts) for number in parts[0]}

        above, below = total(upper), total(lower)
        ratios = [above[number] / below[number] for number in above if number in below]
        return statistics.median(ratios) if ratios else None

    def sizes(self):
        return sorted({run["hosts"] for run in self.runs})


def _seconds(value):
    if value is None:
        return ""
    return "%.0f" % value if value >= 99.95 else "%.1f" % value


def _table(*rows):
    head, *body = rows
    marks = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join("| %s |" % " | ".join(map(str, row)) for row in (head, marks, *body))


def _targets(figures):
    """(table, names of targets that were missed)."""
    rows, missed = [("", "settings", "ratio", "target", "", "ratio of processor time")], []
    for name, settings, upper, lower, limit, at_least in TARGETS:
        ratio = figures.ratio(TARGETS_AT, settings, upper, lower)
        if ratio is None:
            continue
        work = figures.ratio(TARGETS_AT, settings, upper, lower, ("controller", "managed"))
        met = ratio >= limit if at_least else ratio <= limit
        sign = "≥" if at_least else "≤"
        verdict = "met" if met else "**missed**"
        rows.append((name, TITLES[settings], "%.2f" % ratio, "%s %s" % (sign, limit), verdict, "%.2f" % work))
        if not met:
            missed.append("%s (%s): %.2f, not %s %s" % (name, TITLES[settings], ratio, sign, limit))
    return _table(*rows), missed


def _verdict(targets, missed):
    if missed:
        return "Missed: %s. The section on where the rest goes has the cause." % "; ".join(missed)
    return "All are met." if "met" in targets else "Not measured: they are for %d hosts." % TARGETS_AT


def _by_way(figures, cell):
    sizes = figures.sizes()
    rows = [("", *("%d host%s" % (size, "s" * (size > 1)) for size in sizes))]
    for settings, title in TITLES.items():
        for way, name in WAYS.items():
            cells = [cell(size, settings, way) for size in sizes]
            if any(cells):
                # plain ssh has no settings of Ansible's
                rows.append(("plain ssh" if way == "ssh" else "%s, %s" % (title, name), *cells))
    return _table(*rows)


def _pair(figures, size, settings, way):
    first, second = (figures.median(size, settings, way, stage) for stage in ("first", "second"))
    return " / ".join(_seconds(value) for value in (first, second) if value is not None)


def _processor(figures, size, settings, way):
    found = [figures.median(size, settings, way, "second", what=what) for what in ("controller", "managed")]
    return ", ".join(_seconds(value) for value in found if value is not None)


def _knobs(figures):
    rows = [("", "first, s", "second, s", "first ÷ ping", "second ÷ ping", "controller's processor, s")]
    for settings in dict.fromkeys(run["settings"] for run in figures.runs):
        way = "ours" if settings in TITLES else "ours, by the role"
        case = (TARGETS_AT, settings, way)
        if figures.median(*case, "second") is None:
            continue
        stages = ("first", "second")
        ratios = [figures.ratio(TARGETS_AT, settings, (way, stage), ("ping", "second")) for stage in stages]
        rows.append(
            (
                TITLES.get(settings, settings),
                *(_seconds(figures.median(*case, stage)) for stage in stages),
                *("" if ratio is None else "%.2f" % ratio for ratio in ratios),
                _seconds(figures.median(*case, "second", what="controller")),
            )
        )
    return _table(*rows)


def _profile(found):
    modules = [name for name in found if name != "interpreter"]
    rows = [("", *("`%s`" % name.rpartition(".")[2] for name in modules))]
    rows.append(("sent, kB", *("%.0f" % (found[name]["payload"]["program"] / 1000) for name in modules)))
    rows.append(("of this an archive, kB", *("%.0f" % (found[name]["payload"]["archive"] / 1000) for name in modules)))
    rows.append(("files in it", *(found[name]["payload"]["files"] for name in modules)))
    rows.append(("the interpreter's start, ms", *("%.0f" % found["interpreter"]["ms"] for _name in modules)))
    for owner in dict.fromkeys(owner for name in modules for owner in found[name]["imports"]):
        rows.append(("imports, %s, ms" % owner, *("%.0f" % found[name]["imports"].get(owner, 0) for name in modules)))
    rows.append(("all of it, ms", *("%.0f" % found[name]["ms"] for name in modules)))
    return _table(*rows)


def _causes(figures, found):
    """What the figures say about where ours loses to a ping play."""
    ping, ours = (found[name] for name in found if name != "interpreter")
    wall = figures.median(TARGETS_AT, "tuned", "ours", "second")
    floor = figures.median(TARGETS_AT, "tuned", "ping", "second")
    text = (
        "On a host ours takes %.0f ms more than `ping`. The collection's own files are %.0f ms of its imports: Ansible "
        "sends them as source, to be unpacked and compiled by every run. What is not imports is the work: reading the "
        "host, and comparing." % (ours["ms"] - ping["ms"], ours["imports"].get("the collection", 0))
    )
    if wall is None or floor is None:
        return text
    managed, controller = (
        [figures.median(TARGETS_AT, "tuned", way, "second", what=what) for way in ("ours", "ping")]
        for what in ("managed", "controller")
    )
    return text + (
        "\n\nTuned, on %d hosts, the second run takes %.1f s more than a ping play: %.1f s more of processor time on"
        " the hosts, and %.1f s more on the controller, which sends more and works out the topology from the role's"
        " variables. All of it runs on the same cores here."
        % (TARGETS_AT, wall - floor, managed[0] - managed[1], controller[0] - controller[1])
    )


def _others(figures, cores):
    """What other work there was on the machine, in percent of it (int)."""
    wall = sum(run["wall"] for run in figures.runs)
    return round(100 * sum(run["others"] for run in figures.runs) / wall / float(cores))


def _rounds(figures):
    found = {}
    for run in figures.runs:
        found[run["hosts"]] = max(found.get(run["hosts"], 0), run["round"] + 1)
    return ", ".join("%d of %d host%s" % (found[size], size, "s" * (size > 1)) for size in sorted(found))


def report(given):
    """(text of benchmark.md, text of benchmark.svg, list of the targets that were missed) from the figures (dict)."""
    figures = Figures(given["runs"])
    about, profile = given["about"], given["profile"]
    targets, missed = _targets(figures)
    tasks = [run["tasks"] for run in figures.runs if run["way"] == "usual" and run["stage"] == "second"]
    # Facts are a task more under the defaults.
    text = TEXT.read_text().format(
        usual_tasks=min(tasks) if tasks else "many",
        hosts=TARGETS_AT,
        targets=targets,
        verdict=_verdict(targets, missed),
        seconds=_by_way(figures, lambda *case: _pair(figures, *case)),
        processor=_by_way(figures, lambda *case: _processor(figures, *case)),
        knobs=_knobs(figures),
        profile=_profile(profile),
        causes=_causes(figures, profile),
        rounds=_rounds(figures),
        others=_others(figures, about["cores"]),
        processor_model=about["processor"],
        mitogen=about.get("mitogen", "(none)"),
        **{name: about[name] for name in ("date", "ansible", "python", "kernel", "cores")},
    )
    return text, plot(figures), missed


# -- the plot --

COLOURS = {"ping": "#b0b0b0", "ours": "#0b7a4b", "script": "#e0a100", "usual": "#c0392b"}
LEFT, TOP, PANEL, GAP, HEIGHT, BAR = 50, 50, 270, 30, 260, 18


def plot(figures):
    """An SVG: a panel for each size, in it the second runs of all ways by settings, on a logarithmic scale."""
    sizes = figures.sizes()
    heights = {}
    for size in sizes:
        for settings in TITLES:
            for way in COLOURS:
                value = figures.median(size, settings, way, "second")
                if value:
                    heights[size, settings, way] = value
    if not heights:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    low = 10 ** math.floor(math.log10(min(heights.values())))
    high = 10 ** math.ceil(math.log10(max(heights.values())))
    width = max(LEFT + len(sizes) * (PANEL + GAP), 720)  # the legend
    scale = HEIGHT / math.log10(high / low)

    def level(value):
        return TOP + HEIGHT - math.log10(value / low) * scale

    parts = []

    def draw(text, *values):
        parts.append(text % values)

    def write(x, y, text, more=""):
        draw('<text x="%.0f" y="%.0f"%s>%s</text>', x, y, more, text)

    draw('<rect width="%d" height="%d" fill="white"/>', width, TOP + HEIGHT + 70)
    x = LEFT
    for way in COLOURS:
        draw('<rect x="%d" y="10" width="12" height="12" fill="%s"/>', x, COLOURS[way])
        write(x + 17, 20, WAYS[way])
        x += 40 + 7 * len(WAYS[way])
    write(x, 20, "(seconds of the second run, logarithmic)", ' fill="#666"')
    for column, size in enumerate(sizes):
        start = LEFT + column * (PANEL + GAP)
        for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
            y = level(10**power)
            draw('<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>', start, y, start + PANEL, y)
            if not column:
                write(LEFT - 6, y + 4, "%g" % 10**power, ' text-anchor="end"')
        for group, (settings, title) in enumerate(TITLES.items()):
            left = start + 10 + group * (PANEL / len(TITLES))
            for number, way in enumerate(COLOURS):
                value = heights.get((size, settings, way))
                if value:
                    x, y = left + number * (BAR + 1), level(value)
                    draw(
                        '<rect x="%.1f" y="%.1f" width="%d" height="%.1f" fill="%s"/>',
                        *(x, y, BAR, TOP + HEIGHT - y, COLOURS[way]),
                    )
                    write(x + BAR / 2, y - 3, _seconds(value), ' text-anchor="middle" font-size="8"')
            write(left + 2 * BAR, TOP + HEIGHT + 16, title, ' text-anchor="middle"')
        write(start + PANEL / 2, TOP + HEIGHT + 38, "%d host%s" % (size, "s" * (size > 1)),
              ' text-anchor="middle" font-weight="bold"')  # fmt: skip
    return (
        "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->\n"
        "<!-- Written by tests/benchmark/fleet.py from its figures: an edit by hand is lost. -->\n"
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">\n'
        "%s\n</svg>\n" % (width, TOP + HEIGHT + 55, "\n".join(parts))
    )
