# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: written, read back, damaged, from another boot."""

from __future__ import annotations

import json

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import State
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import LedgerUnreadable
from ansible_collections.linuxnet.netns.plugins.module_utils.ledger import PATH, Ledger, LedgerFile, Owner
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.directory import Directory
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_address import LinkAddress
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_route import LinkRoute
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_setting import LinkSetting
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.namespace import Namespace
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.nft_table import NftTable
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.policy_rule import PolicyRule
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.sysctl import Sysctl
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.text_file import TextFile
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.veth_pair import veth_pair
from hypothesis import given
from hypothesis import strategies as st
from model_kernel import ModelKernel
from model_system import ModelSystem

OPTIONS = {"namespaces": [{"name": "app"}], "forwards": [{"name": "in", "port": "80", "to_address": "10.0.0.2"}]}
text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)
objects = st.one_of(
    st.builds(Directory, text),
    st.builds(TextFile, text),
    st.builds(Namespace, text),
    st.builds(NftTable, text),
    st.builds(LinkAddress, text, text, text),
    st.builds(LinkRoute, text, text, st.integers(0, 2**32 - 1), text, st.integers(0, 2**32 - 1)),
    st.builds(PolicyRule, text, st.sampled_from((4, 6)), st.integers(1, 32765)),
    st.builds(Sysctl, text, text),
    st.builds(LinkSetting, text, text, st.sampled_from(("mac", "mtu", "up", "bridge"))),
    st.builds(veth_pair, st.tuples(text, text), st.tuples(text, text)),
)
_settings = {"mac": text, "mtu": st.integers(68, 65535), "up": st.booleans(), "bridge": text}


@st.composite
def made(draw):
    """Objects, each with a value that it can have had before us."""
    found = {}
    for item in draw(st.lists(objects, max_size=8)):
        values = _settings[item.setting] if item.kind == "link" else text
        if item.kind == "route":
            values = st.sampled_from(("unicast", "unicast via 10.0.0.1 src 10.0.0.2 onlink", "blackhole"))
        if item.kind == "rule":
            values = st.nothing()
        found[item] = draw(st.none() | values)
    return found


def owner(options=None, single=False, found=()):
    options = OPTIONS if options is None else options
    return Owner(options, single, set(found), State.from_options(options, single))


class Machine(ModelSystem):
    """A system with this ledger in its place."""

    def __init__(self, content=None):
        super().__init__(ModelKernel())
        if content is not None:
            LedgerFile().apply(self, None, content)


def written(**entries):
    ledger = Ledger(Machine().boot_id(), **entries)
    return ledger, Ledger.load(Machine(ledger.text()))


@given(
    st.dictionaries(
        text, st.builds(owner, st.just(OPTIONS), st.booleans(), st.sets(objects, max_size=5)), min_size=1, max_size=3
    ),
    made(),
)
def test_what_is_written_is_read_back(owners, originals):
    before, after = written(owners=owners, made=originals)
    assert (after.boot, after.owners, after.made) == (before.boot, owners, originals)
    assert after.text() == before.text()


def test_nothing_to_remember_is_no_file():
    kernel = ModelKernel()
    system = ModelSystem(kernel)
    files = dict(kernel.files)
    assert Ledger("boot").text() is None
    assert Ledger.load(system) == Ledger(system.boot_id())
    LedgerFile().apply(system, None, Ledger("boot", {"topology a": owner({})}).text())
    assert PATH in kernel.files
    LedgerFile().apply(system, "", Ledger("boot").text())
    assert kernel.files == files


def test_a_namespace_is_the_same_whatever_was_said_about_its_processes():
    assert Namespace("app", "kill", 3) == Namespace("app") and Namespace("app", "kill").fields() == ["namespace", "app"]


def with_owner(**entries):
    owner = {"options": {}, "single": False, "objects": [], **entries}
    return json.dumps({"version": 1, "boot": "b", "owners": {"a": owner}, "made": []})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"text"',
        "{}",
        '{"version": 1}',
        '{"version": 1, "boot": "b", "owners": [], "made": []}',
        '{"version": 1, "boot": "b", "owners": {"a": {}}, "made": []}',
        with_owner(objects=[["spaceship", "x"]]),
        with_owner(objects=[["address", "x"]]),
        with_owner(objects=[[]]),
        with_owner(options={"namespaces": [{"name": "a/b"}]}),
        with_owner(options={"namespaces": [{}]}),
        with_owner(options={"namespaces": 7}),
        '{"version": 1, "boot": "b", "owners": {}, "made": [["address"]]}',
        '{"version": 1, "boot": "b", "owners": {}, "made": 7}',
        '{"version": 1, "owners": {}, "made": []}',
        '{"version": 1, "boot": "b", "owners": {}, "made": [[["directory", ["a"]], null]]}',
    ],
)
def test_a_damaged_ledger_is_refused_with_a_way_out(content):
    with pytest.raises(LedgerUnreadable) as caught:
        Ledger.load(Machine(content))
    assert f"{PATH} is damaged" in str(caught.value)
    assert f"restore {PATH} from a backup, or remove it" in str(caught.value)


@given(st.data())
def test_a_ledger_that_was_cut_off_is_refused(data):
    whole = Ledger("boot", {"a": owner(OPTIONS, False, {Namespace("app")})}, {Namespace("app"): None}).text()
    with pytest.raises(LedgerUnreadable):
        Ledger.load(Machine(whole[: data.draw(st.integers(0, len(whole) - 2))]))


@pytest.mark.parametrize("version", [0, 2, 99, "1", None])
def test_the_ledger_of_another_version_is_refused(version):
    content = json.dumps({"version": version, "boot": "b", "owners": {}, "made": []})
    with pytest.raises(LedgerUnreadable) as caught:
        Ledger.load(Machine(content))
    assert f"has format {version}" in str(caught.value) and "upgrade the collection" in str(caught.value)


def test_after_a_reboot_only_files_are_known_as_made():
    kept, lost = TextFile("/etc/netns/app/hosts"), Namespace("app")
    content = Ledger(
        "another boot",
        {"topology a": owner(OPTIONS, False, {kept, lost})},
        {kept: None, lost: None, Sysctl("", "net/x/y"): "0"},
    ).text()
    found = Ledger.load(Machine(content))
    assert found.made == {kept: None}
    assert found.owners["topology a"].objects == {kept}
    assert found.owners["topology a"].state.namespaces
    assert found.boot == Machine().boot_id()


def test_a_resource_can_be_struck_and_the_last_takes_its_owner_along():
    ledger = Ledger("boot", {"a": owner(), "b": owner({})})
    ledger.drop_resource("a", ("netns", "app"))
    assert [item.kind for item in ledger.owners["a"].state.resources] == ["netns_forward"]
    ledger.drop_resource("a", ("netns", "unknown"))
    ledger.drop_resource("a", ("netns_forward", "", "in"))
    assert list(ledger.owners) == ["b"]
    assert OPTIONS["namespaces"], "the options of the caller stay as they are"
    assert ledger.others("b") == {}
