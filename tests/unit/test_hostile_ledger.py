# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger that somebody, or a failing disk, has been at: refused in a sentence, or as good as ours."""

from __future__ import annotations

import copy
import json

import pytest
import readers
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import LedgerUnreadable, NetnsError
from ansible_collections.linuxnet.netns.plugins.module_utils.ledger import PATH, Ledger
from hostile import FULL, anything, damaged_bytes, json_paths, numbers, replaced, strings
from hypothesis import given, settings
from hypothesis import strategies as st
from model_kernel import ModelKernel
from model_system import ModelSystem, converge, topology, uplinked

more = settings(max_examples=settings.default.max_examples * 3)


def applied():
    kernel = uplinked()
    converge(kernel, topology(FULL))
    return kernel


KERNEL = applied()
TEXT = KERNEL.files[PATH]
DATA = json.loads(TEXT)
PATHS = list(json_paths(DATA))


def load(text):
    return Ledger.load(readers.Shelf(text))


@more
@given(st.data())
def test_damaged_bytes_are_refused_or_read(data):
    readers.ledger(data.draw(damaged_bytes(TEXT.encode())).decode("utf-8", "surrogateescape"))


@given(st.text(st.characters(exclude_categories=()), max_size=100))
def test_any_text_is_refused(text):
    assert readers.ledger(text) is None


@st.composite
def edited(draw):
    """The ledger with something else, or nothing, in one place of it."""
    path = draw(st.sampled_from(PATHS))
    new = draw(anything | strings | numbers)
    if not path:
        return json.dumps(new)
    if draw(st.integers(0, 3)) == 0:
        found = copy.deepcopy(DATA)
        holder = found
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
        return json.dumps(found)
    return json.dumps(replaced(DATA, path, new))


@more
@given(edited())
def test_other_values_are_refused_or_read(text):
    readers.ledger(text)


@settings(max_examples=settings.default.max_examples * 2)
@given(edited(), st.booleans(), st.booleans())
def test_what_is_read_can_be_worked_with(text, check_mode, absent):
    """Whatever the ledger claims, a run ends well or in a sentence."""
    if readers.ledger(text) is None:
        return
    kernel = copy.deepcopy(KERNEL)
    kernel.files[PATH] = text
    try:
        converge(kernel, topology(FULL, absent=absent), check_mode)
    except NetnsError as error:
        assert str(error)


@pytest.mark.parametrize("text", ["[" * 200000, '{"version": 1, "owners": ' + '{"a": ' * 100000, "{" * 10])
def test_a_ledger_without_a_bottom_is_damaged(text):
    for read in (load, lambda text: Ledger.recorded(readers.Shelf(text), "a")):
        with pytest.raises(LedgerUnreadable):
            read(text)


def with_object(fields, value=None):
    return json.dumps({"version": 1, "boot": "boot", "owners": {}, "made": [[fields, value]]})


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        (["namespace", 7], None),
        (["namespace", None], None),
        (["namespace", "a\0b"], None),
        (["namespace", "\ud800"], None),
        (["namespace"], None),
        (["namespace", "a", "b"], None),
        (["route", "", "eth0", "254", "10.0.0.0/8", 0], None),
        (["route", "", "eth0", True, "10.0.0.0/8", 0], None),
        (["sysctl", "", "net/ipv4/x"], 1),
        (["link", "", "eth0", "mtu"], "1500"),
        (["link", "", "eth0", "colour"], "red"),
        (["route", "", "eth0", 254, "10.0.0.0/8", 0], "elsewhere"),
        (["route", "", "eth0", 254, "10.0.0.0/8", 0], ""),
        (["route", "", "eth0", 254, "10.0.0.0/8", 0], "unicast via nowhere"),
        (["rule", "", 4, 7], "lookup x"),
        (["rule", "", 4, 7], "from"),
        (["file", "/etc/netns/app/hosts"], {"a": 1}),
        (["program", "/usr/local/lib/x"], {"a": 1}),
    ],
)
def test_objects_are_what_they_can_be(fields, value):
    with pytest.raises(LedgerUnreadable):
        load(with_object(fields, value))


def test_what_bytes_the_kernel_has_for_a_name_is_one():
    assert load(with_object(["namespace", "a\udcff"])).made


@pytest.mark.parametrize("listings", [[], [["a", "b"]], "x", 7])
def test_listings_are_by_name(listings):
    text = json.dumps({"version": 1, "boot": "boot", "owners": {}, "made": [], "listings": listings})
    with pytest.raises(LedgerUnreadable):
        load(text)


class Linked(ModelSystem):
    """A system whose ledger is a symbolic link, or open to others."""

    def __init__(self, text, writable):
        super().__init__(ModelKernel())
        self.files.read = lambda path: text
        self.files.exists = self.files.is_directory = lambda path: True
        self.files.writable_by_others = lambda path: writable


def test_a_ledger_of_somebody_elses_is_refused():
    text = with_object(["file", "/etc/netns/app/hosts"])
    assert Ledger.load(Linked(text, False)).made
    with pytest.raises(LedgerUnreadable) as caught:
        Ledger.load(Linked(text, True))
    assert "could have been written by somebody else" in str(caught.value) and "chown" in str(caught.value)
    with pytest.raises(LedgerUnreadable) as caught:
        Ledger.load(Linked(None, False))
    assert "is a symbolic link" in str(caught.value)
