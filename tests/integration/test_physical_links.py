# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network card in a namespace that is removed. An ifb interface stands in for the card: it would end with the
namespace, so that it is still there shows that it was taken out before."""

from __future__ import annotations

import json
import os

import pytest
from harness.modules import python, python_path

PROGRAM = """
import json, sys
from ansible_collections.linuxnet.netns.plugins.module_utils import engine, snapshot
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import NetnsError
snapshot.is_physical = lambda link: link.type == "ifb"
options, absent, check = json.load(sys.stdin)
try:
    result = engine.converge(engine.Request("topology default", {} if absent else options, absent=absent), check)
    print(json.dumps(result.as_dict()))
except NetnsError as error:
    print(json.dumps({"error": str(error)}))
"""


def converge(host, options, absent=False, check=False):
    text = host.run("env", "PYTHONPATH=" + os.pathsep.join(python_path()), python(), "-c", PROGRAM,
                    input=json.dumps([options, absent, check]))  # fmt: skip
    return json.loads(text)


@pytest.fixture
def card(host):
    """A namespace `app` with a card, which was eth7 on the host."""
    converge(host, {"namespaces": [{"name": "app"}]})
    host.ip("link add eth7 type ifb\nlink set eth7 netns app")
    host.ns("app").ip("link set eth7 up\naddress add 192.0.2.7/24 dev eth7")
    return host


def test_it_is_back_under_its_name(card):
    before = card.snapshot()
    foretold = converge(card, {}, absent=True, check=True)
    card.assert_same(before, "check mode touched the host")
    done = converge(card, {}, absent=True)
    assert foretold == done
    moved = next(change for change in done["changes"] if change["kind"] == "physical link")
    assert (moved["object"], moved["before"], moved["after"]) == ("physical link eth7", "in app", "on the host")
    assert done["changes"].index(moved) < [change["kind"] for change in done["changes"]].index("namespace")
    assert card.namespaces() == [] and "eth7" in card.links()
    assert not converge(card, {}, absent=True)["changed"]


def test_where_its_name_is_taken_nothing_is_touched(card):
    card.ip("link add eth7 type ifb")
    before = card.snapshot()
    refused = converge(card, {}, absent=True)["error"]
    assert "network card eth7" in refused and "ip -n app link set eth7 name NEW" in refused
    card.assert_same(before)
    card.ns("app").ip("link set eth7 down\nlink set eth7 name eth8")
    converge(card, {}, absent=True)
    assert {"eth7", "eth8"} <= set(card.links())


def test_a_namespace_that_lets_go_of_nothing_keeps_its_card(card):
    assert not converge(card, {"namespaces": [{"name": "app"}]})["changed"]
    assert "eth7" not in card.links()
