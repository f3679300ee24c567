# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a plan out, and undoing it."""

from __future__ import annotations

from unittest import mock

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.apply import Journal
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import StepFailed, SystemRefused
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.kernel_object import PRESENT, KernelObject
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.veth_pair import veth_pair
from ansible_collections.linuxnet.netns.plugins.module_utils.plan import WITH_LINK, WITH_NAMESPACE, Change
from hypothesis import given
from hypothesis import strategies as st


class Thing(KernelObject):
    """An object that is an entry of a dict; ``system`` is the dict with a list of acts and orders to fail."""

    def __init__(self, name):
        object.__setattr__(self, "name", name)

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __str__(self):
        return self.name

    def observed(self, snapshot):
        return snapshot.system.get(self.name)

    def apply(self, system, before, after):
        system.acts.append((self.name, before, after))
        if len(system.acts) in system.failing:
            raise system.failing[len(system.acts)]
        found = system.get(self.name)
        system[self.name] = after
        if after is None:
            del system[self.name]
        return found if before is None and found is not None else None


class Stubborn(Thing):
    """Takes everything, and stays as it is."""

    def apply(self, system, before, after):
        system.acts.append((self.name, before, after))


class Machine(dict):
    def __init__(self, there=(), failing=()):
        super().__init__(there)
        self.acts, self.failing = [], dict(failing)
        self.netlink, self.systemd = mock.Mock(), mock.Mock()


THINGS = [Thing(name) for name in "abcdef"]
REFUSED = SystemRefused("no room", 28)


def change(number, before, after, **options):
    return Change(THINGS[number], before, after, **options)


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)), min_size=1, max_size=6), st.data()
)
def test_failing_at_any_step_leaves_everything_as_it_was(values, data):
    there = {THINGS[number].name: before for number, (before, _after) in enumerate(values) if before is not None}
    changes = [
        change(number, before, after)
        for number, (before, after) in enumerate(values)
        if before is not None or after is not None
    ]
    if not changes:
        return
    step = data.draw(st.integers(1, len(changes)))
    error = data.draw(st.sampled_from((REFUSED, FileNotFoundError(2, "gone"))))
    system = Machine(there, {step: error})
    with pytest.raises(StepFailed) as caught:
        Journal(system).carry_out(changes)
    assert system == there
    failed = changes[step - 1]
    assert str(caught.value) == (
        f"step {step} of {len(changes)} ({failed.action} {failed.item}) failed: {error}. "
        "Everything was undone; the host is as before"
    )
    assert [name for name, _before, _after in system.acts[step:]] == [
        item.item.name for item in reversed(changes[: step - 1])
    ]


def test_what_could_not_be_undone_is_said():
    system = Machine({}, {2: REFUSED, 3: SystemRefused("busy", 16)})
    with pytest.raises(StepFailed) as caught:
        Journal(system).carry_out([change(0, None, 1), change(1, None, 1)])
    assert "failed: no room. Undoing the steps before it failed in part: a: busy" in str(caught.value)


def test_a_step_that_fails_after_it_did_its_work_is_undone_too():
    class Lost(Thing):
        """Does what it is told, and what it said about it was lost."""

        def apply(self, system, before, after):
            super().apply(system, before, after)
            if after == 2:
                raise SystemRefused("killed")

    system = Machine({"b": 1})
    with pytest.raises(StepFailed):
        Journal(system).carry_out([change(0, None, 1), Change(Lost("b"), 1, 2)])
    assert system == {"b": 1}


def test_an_interruption_is_undone_and_passed_on():
    system = Machine({}, {2: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        Journal(system).carry_out([change(0, None, 1), change(1, None, 1)])
    assert system == {}


def test_undoing_goes_back_to_the_exact_value_that_was_found():
    """A switch of a link that is yet to come: what it was is known only once it is there."""
    system = Machine({"a": 0}, {2: REFUSED})
    journal = Journal(system)
    with pytest.raises(StepFailed):
        journal.carry_out([change(0, None, 1), change(1, None, 1)])
    assert system == {"a": 0} and journal.originals == {THINGS[0]: 0}


def test_what_goes_by_itself_is_not_done():
    system = Machine({"a": 1, "b": 1})
    Journal(system).carry_out([change(0, 1, None), change(1, 1, None, implied=WITH_NAMESPACE)])
    assert system.acts == [("a", 1, None)]


def test_what_went_with_a_link_comes_back_after_it(monkeypatch):
    pair = veth_pair(("", "app0"), ("app", "eth0"))
    monkeypatch.setattr(
        type(pair), "apply", lambda self, system, before, after: system.acts.append(("pair", before, after))
    )
    monkeypatch.setattr(Thing, "links", (("app", "eth0"),))
    system = Machine({"a": 1}, {2: REFUSED})
    changes = [Change(THINGS[0], 1, None, WITH_LINK), Change(pair, PRESENT, None), change(1, None, 1)]
    with pytest.raises(StepFailed):
        Journal(system).carry_out(changes)
    assert system.acts == [("pair", PRESENT, None), ("b", None, 1), ("pair", None, PRESENT), ("a", None, 1)]


def test_settling_tries_again_and_then_gives_up():
    system = Machine()
    plans = [[change(0, None, 1)], [change(1, None, 1)], []]
    Journal(system).settle(lambda: plans.pop(0), [])
    assert system == {"a": 1, "b": 1}

    system = Machine()
    journal = Journal(system)
    journal.carry_out([change(2, None, 1)])
    with pytest.raises(StepFailed) as caught:
        journal.settle(lambda: [Change(Stubborn("a"), None, 1)], [])
    assert "still not as wanted: a is absent" in str(caught.value) and "Everything was undone" in str(caught.value)
    assert system == {}


def test_settling_does_not_wait_for_what_ends_with_a_namespace():
    system = Machine({"a": 1})
    gone = change(0, 1, None, implied=WITH_NAMESPACE)
    Journal(system).settle(lambda: [gone], [gone])
    assert system.acts == []


def test_a_unit_that_does_not_stop_keeps_nothing_else_from_being_undone():
    machine = Machine()
    journal = Journal(machine)
    journal.carry_out([change(0, None, 1), change(1, None, 1)])
    machine.systemd.going_down.side_effect = [REFUSED, None]
    assert journal.undo() == ["no room"]
    assert machine == {}


def test_what_is_deferred_goes_down_before_what_it_stands_on_and_comes_up_last():
    class Deferred(Thing):
        DEFERRED = True

    machine = Machine(there={"a": 1, "service": 1})
    machine.systemd.going_down.side_effect = lambda: machine.acts.append("down")
    machine.systemd.settle.side_effect = lambda: machine.acts.append("settle")
    service = Change(Deferred("service"), 1, None)
    journal = Journal(machine)
    journal.carry_out([service, change(0, 1, None)])
    assert machine.acts == [("service", 1, None), "down", ("a", 1, None), "settle"]
    machine.acts.clear()
    assert journal.undo() == []
    assert machine.acts == ["down", ("a", None, 1), ("service", None, 1), "settle"]
