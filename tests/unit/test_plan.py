# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning: what changes, in which order. Only values in, only values out."""

from __future__ import annotations

from ansible_collections.linuxnet.netns.plugins.module_utils.compile.wanted import Wanted
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.directory import Directory
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.kernel_object import PRESENT
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_address import LinkAddress
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_route import LinkRoute
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_setting import LinkSetting
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.namespace import Namespace
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.nft_table import NftTable
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.sysctl import Sysctl
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.text_file import TextFile
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.veth_pair import VethPair, veth_pair
from ansible_collections.linuxnet.netns.plugins.module_utils.plan import WITH_LINK, WITH_NAMESPACE, Change, make_plan
from hypothesis import given
from hypothesis import strategies as st

APP, PAIR = Namespace("app"), veth_pair(("", "app0"), ("app", "eth0"))
TABLE, FORWARDING = NftTable(""), Sysctl("", "net/ipv4/conf/app0/forwarding")
ADDRESS, INNER = LinkAddress("", "app0", "10.0.0.1/30"), LinkAddress("app", "eth0", "10.0.0.2/30")
UP, ROUTE = LinkSetting("", "app0", "up"), LinkRoute("app", "eth0", 254, "0.0.0.0/0", 0)
FOLDER, FILE = Directory("/etc/netns/app"), TextFile("/etc/netns/app/hosts")
ALL = {
    APP: PRESENT,
    PAIR: PRESENT,
    TABLE: "table",
    FORWARDING: "1",
    ADDRESS: PRESENT,
    INNER: PRESENT,
    UP: True,
    ROUTE: "unicast via 10.0.0.1",
    FOLDER: PRESENT,
    FILE: "text",
    Directory("/etc/netns"): PRESENT,
    LinkSetting("app", "lo", "up"): True,
    Sysctl("app", "net/core/somaxconn"): "9",
}


class Seen(dict):
    """A snapshot that holds just these objects."""

    names = property(lambda self: None)

    def pairs(self):
        return [item for item in self if isinstance(item, VethPair)]

    def physical_in(self, netns):
        return []

    def hanging_on(self, places):
        places = set(places)
        return [
            item
            for item in self
            if isinstance(item, (LinkAddress, LinkRoute, LinkSetting)) and places & set(item.links)
        ]


def observe(cls):
    """Objects of these kinds read themselves from a Seen by looking themselves up."""
    original = cls.observed
    return lambda self, seen: seen.get(self) if isinstance(seen, Seen) else original(self, seen)


def plan(objects, seen, released=(), whole=()):
    """make_plan() on objects that are looked up in *seen*."""
    from unittest import mock

    kinds = {type(item) for item in (*ALL, *objects, *seen)}
    patches = [mock.patch.object(cls, "observed", observe(cls)) for cls in kinds]
    for patch in patches:
        patch.start()
    try:
        return make_plan(Wanted(dict(objects), set(whole)), dict(released), Seen(seen))
    finally:
        for patch in patches:
            patch.stop()


def after(changes, seen):
    """What is there when a plan was carried out."""
    found = dict(seen)
    for change in changes:
        assert found.get(change.item) == change.before or change.item in found or change.before is None
        if change.after is None:
            found.pop(change.item, None)
        else:
            found[change.item] = change.after
    return found


parts = st.dictionaries(st.sampled_from(list(ALL)), st.just(None)).map(
    lambda found: {item: ALL[item] for item in found}
)


@given(parts, parts)
def test_a_plan_carried_out_leaves_nothing_to_plan(wanted, seen):
    released = {item: None for item in seen if item not in wanted and item.REMOVABLE}
    changes = plan(wanted, seen, released)
    again = plan(wanted, after(changes, seen), released)
    assert [change for change in again if not change.removal] == []


@given(parts, parts)
def test_undone_backwards_everything_is_as_before(wanted, seen):
    changes = plan(wanted, seen, {item: None for item in seen if item not in wanted})
    found = after(changes, seen)
    for change in reversed(changes):
        if change.before is None:
            found.pop(change.item, None)
        else:
            found[change.item] = change.before
    assert found == seen


@given(parts, parts)
def test_taking_down_precedes_building(wanted, seen):
    changes = plan(wanted, seen, {item: None for item in seen if item not in wanted})
    assert [change.removal for change in changes] == sorted((change.removal for change in changes), reverse=True)


@given(st.permutations(list(ALL)))
def test_the_order_does_not_depend_on_the_order_of_listing(items):
    assert plan({item: ALL[item] for item in items}, {}) == plan(ALL, {})


def test_the_building_order():
    order = [change.item for change in plan(ALL, {})]
    for earlier, later in (
        (FOLDER, FILE),
        (APP, PAIR),
        (PAIR, ADDRESS),
        (ADDRESS, UP),
        (UP, ROUTE),
        (INNER, ROUTE),
        (TABLE, FORWARDING),
        (PAIR, FORWARDING),
        (TABLE, PAIR),
        (ROUTE, FORWARDING),
        (Directory("/etc/netns"), FOLDER),
    ):
        if (earlier, later) == (UP, ROUTE):
            continue  # of different ends
        assert order.index(earlier) < order.index(later), (str(earlier), str(later))


def test_the_filter_stays_until_forwarding_is_off():
    changes = plan({}, {TABLE: "table", FORWARDING: "1"}, {TABLE: None, FORWARDING: "0"})
    assert [change.item for change in changes] == [FORWARDING, TABLE]
    assert [change.after for change in changes] == ["0", None]


def test_an_object_that_is_right_is_no_change():
    assert plan(ALL, ALL) == []


def test_only_what_differs_changes():
    assert plan(ALL, {**ALL, UP: False}) == [Change(UP, False, True)]
    assert [change.action for change in plan(ALL, {**ALL, UP: False})] == ["update"]


def test_what_hangs_on_a_link_goes_with_it():
    changes = {
        change.item: change
        for change in plan({}, {PAIR: PRESENT, ADDRESS: PRESENT, INNER: PRESENT, UP: True}, {PAIR: None})
    }
    assert changes[PAIR].implied == "" and changes[PAIR].removal
    assert all(changes[item].implied == WITH_LINK for item in (ADDRESS, INNER, UP))
    assert changes[PAIR].as_dict() == {
        "action": "delete",
        "kind": "veth",
        "object": str(PAIR),
        "before": "present",
        "after": None,
    }


def test_a_setting_of_a_link_goes_with_it_and_is_made_again_for_a_new_one():
    setting = Sysctl("", "net/ipv4/conf/app0/rp_filter")
    change = next(
        item for item in plan({}, {PAIR: PRESENT, setting: "2"}, {PAIR: None, setting: "0"}) if item.item == setting
    )
    assert (change.after, change.implied) == (None, WITH_LINK)
    other = veth_pair(("", "app0"), ("db", "eth0"))
    changes = plan({other: PRESENT, setting: "2"}, {PAIR: PRESENT, setting: "2"})
    assert [(item.before, item.after) for item in changes if item.item == setting] == [("2", None), (None, "2")]


def test_what_lives_in_a_namespace_goes_with_it():
    changes = {
        change.item: change
        for change in plan(
            {}, {APP: PRESENT, PAIR: PRESENT, INNER: PRESENT, FORWARDING: "1"}, {APP: None, FORWARDING: "0"}
        )
    }
    assert changes[APP].implied == "" and changes[PAIR].implied == changes[INNER].implied == WITH_NAMESPACE
    assert changes[FORWARDING].implied == "", "switched off before its link goes, not along with it"
    assert list(changes).index(FORWARDING) < list(changes).index(APP)


def test_a_namespace_that_stays_wanted_is_not_released():
    assert plan({APP: PRESENT}, {APP: PRESENT}, {APP: None}) == []


def test_a_pair_in_the_way_of_another_is_replaced():
    other = veth_pair(("", "app0"), ("db", "eth0"))
    changes = plan({other: PRESENT, ADDRESS: PRESENT}, {PAIR: PRESENT, ADDRESS: PRESENT})
    assert [(change.item, change.after) for change in changes if not change.implied] == [
        (PAIR, None),
        (other, PRESENT),
        (ADDRESS, PRESENT),
    ]


def test_surplus_goes_only_where_the_list_is_whole():
    extra = LinkAddress("", "app0", "10.9.9.9/24")
    there = {PAIR: PRESENT, ADDRESS: PRESENT, extra: PRESENT, LinkRoute("", "app0", 254, "10.8.0.0/16", 0): "unicast"}
    assert plan({PAIR: PRESENT, ADDRESS: PRESENT}, there) == []
    assert plan({PAIR: PRESENT, ADDRESS: PRESENT}, there, whole=[("address", "", "app0")]) == [
        Change(extra, PRESENT, None, removal=True)
    ]
    changes = plan({PAIR: PRESENT}, there, whole=[("address", "", "app0"), ("route", "", "app0")])
    assert {change.item.kind for change in changes} == {"address", "route"} and len(changes) == 3
    assert plan({PAIR: PRESENT}, there, whole=[("address", "app", "eth0")]) == []


def test_going_back_to_what_was():
    changes = plan({}, {FORWARDING: "1", FILE: "text", UP: True}, {FORWARDING: "0", FILE: None, UP: None})
    assert {change.item: change.after for change in changes} == {
        FORWARDING: "0",
        FILE: None,
    }  # there is no such act as removing "up"
    assert plan({}, {FORWARDING: "0"}, {FORWARDING: "0"}) == []
    assert plan({}, {}, {FORWARDING: "0", FILE: None}) == []
