# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document of the benchmark: what it says of figures, and that it is the one that its figures give."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests/benchmark" / (name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fleet_report, topology_report = load("fleet_report"), load("topology_report")

ABOUT = dict.fromkeys(("date", "ansible", "python", "kernel", "cores", "processor"), "1")
MODULE = {"payload": {"program": 1000, "archive": 500, "files": 3}, "ms": 100, "imports": {"the collection": 9.0}}
PROFILE = {"interpreter": {"ms": 20}, "ansible.builtin.ping": MODULE, "linuxnet.netns.netns_topology": MODULE}


def figures(*runs):
    """Figures of runs (round, way, stage, seconds) with tuned settings on 10 hosts."""
    shared = {"hosts": 10, "settings": "tuned", "tasks": 22, "changed": 0}
    shared.update({"controller": 1.0, "managed": 2.0, "others": 0.0})
    found = [{**shared, "round": turn, "way": way, "stage": stage, "wall": wall} for turn, way, stage, wall in runs]
    return {"about": ABOUT, "profile": PROFILE, "runs": found}


def test_ratios_are_taken_within_a_round():
    """A slow round is slow for all."""
    quiet = (0, "ping", "second", 2), (0, "ours", "second", 3)
    busy = (1, "ping", "second", 20), (1, "ours", "second", 28)
    given = figures(*quiet, *busy)
    text, _plot, missed = fleet_report.report(given)
    assert "| second run, against a ping play | tuned | 1.45 | ≤ 1.5 | met | 1.00 |" in text
    assert missed == []


def test_a_target_that_is_missed_is_said():
    given = figures((0, "ping", "second", 2), (0, "ours", "second", 3.1), (0, "usual", "second", 25))
    text, _plot, missed = fleet_report.report(given)
    assert "| second run, against a ping play | tuned | 1.55 | ≤ 1.5 | **missed** | 1.00 |" in text
    assert "| the usual role's second run, against ours | tuned | 8.06 | ≥ 8 | met | 1.00 |" in text
    assert missed == ["second run, against a ping play (tuned): 1.55, not ≤ 1.5"]
    assert missed[0] in text


def test_without_figures_for_a_target_nothing_is_met():
    text, _plot, missed = fleet_report.report(figures((0, "ping", "second", 2)))
    assert "All are met" not in text and missed == []


def test_the_plot_has_a_bar_for_each_way():
    _text, plot, _missed = fleet_report.report(figures((0, "ping", "second", 2), (0, "ours", "second", 20)))
    heights = {
        bar.get("fill"): float(bar.get("height"))
        for bar in xml.etree.ElementTree.fromstring(plot).iter("{http://www.w3.org/2000/svg}rect")
    }
    assert heights[fleet_report.COLOURS["ours"]] > heights[fleet_report.COLOURS["ping"]]


def test_the_document_is_what_its_figures_give():
    text, plot, _missed = fleet_report.report(json.loads((ROOT / "tests/benchmark/fleet.json").read_text()))
    assert (ROOT / "docs/benchmark.md").read_text() == text, "run tests/benchmark/fleet.py --report"
    assert (ROOT / "docs/benchmark.svg").read_text() == plot, "run tests/benchmark/fleet.py --report"


def test_the_document_about_namespaces_is_what_its_figures_give():
    text, plot = topology_report.report(json.loads((ROOT / "tests/benchmark/topology.json").read_text()))
    again = "run tests/benchmark/topology_scale.py --report"
    assert (ROOT / "docs/benchmark_namespaces.md").read_text() == text, again
    assert (ROOT / "docs/benchmark_namespaces.svg").read_text() == plot, again


def test_growth_is_told_of_the_two_largest_sizes():
    stages = topology_report.STAGES

    def entry(ms):
        wall = {"ms": {"module": dict.fromkeys(stages, ms), "ip": {"build": ms, "again": ms}}}
        return {"wall": {**wall, "ratio": {"module build": 1.0}}, "peak_kb": {"build": 2048}}

    about = dict.fromkeys(("repetitions", "date", "python", "pyroute2", "nft", "ip", "kernel", "cores"), "1")
    about.update(compiled="200 (150)", zip="400 (300)")
    given = {"about": about, "results": {"1": entry(100), "100": entry(1000), "500": entry(6000)}}
    text, plot = topology_report.report(given)
    assert "From 100 to 500 namespaces (5.0 times as many) time grows by: first run 6.0," in text
    assert "| 500 | 12.0 |" in text
    lines = list(xml.etree.ElementTree.fromstring(plot).iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == len(stages) + 1
