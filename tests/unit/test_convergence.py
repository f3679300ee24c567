# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The invariants of the whole engine, on random topologies and random drift, with a kernel in memory."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import NetnsError, NotConfirmed, StepFailed
from hypothesis import given, note, settings
from hypothesis import strategies as st
from model_system import converge, topology, uplinked
from topologies import OTHERS, mischief, topologies

kernels = st.booleans().map(uplinked)
# Each example runs the engine several times.
few = settings(max_examples=max(settings.default.max_examples // 4, 10))


def lines(result):
    return [
        f"{change.action} {change.item} {change.before!r} -> {change.after!r} {change.implied}"
        for change in result.changes
    ]


@few
@given(kernels, topologies())
def test_a_second_run_changes_and_writes_nothing(kernel, options):
    converge(kernel, topology(options))
    before, writes = kernel.picture(), kernel.writes
    again = converge(kernel, topology(options))
    assert lines(again) == []
    assert kernel.writes == writes
    assert kernel.picture() == before


@few
@given(kernels, topologies())
def test_check_mode_touches_nothing_and_predicts_exactly(kernel, options):
    before = kernel.picture()
    predicted = converge(kernel, topology(options), check_mode=True)
    assert (kernel.picture(), kernel.writes) == (before, 0)
    assert converge(kernel, topology(options)).as_dict() == predicted.as_dict()


@few
@given(kernels, topologies())
def test_absent_leaves_the_host_as_it_was(kernel, options):
    before = kernel.picture()
    converge(kernel, topology(options))
    predicted = converge(kernel, topology(options, absent=True), check_mode=True)
    result = converge(kernel, topology(options, absent=True))
    assert predicted.as_dict() == result.as_dict()
    assert kernel.picture() == before
    assert lines(converge(kernel, topology(options, absent=True))) == []


@few
@given(kernels, topologies(), topologies())
def test_what_is_no_longer_listed_goes(kernel, first, second):
    """However one gets to a topology, the host looks the same."""
    direct = copy.deepcopy(kernel)
    converge(kernel, topology(first))
    predicted = converge(kernel, topology(second), check_mode=True)
    result = converge(kernel, topology(second))
    assert predicted.as_dict() == result.as_dict()
    assert lines(converge(kernel, topology(second))) == []
    converge(direct, topology(second))
    assert stated(kernel.picture(ledger=False)) == stated(direct.picture(ledger=False))


@few
@given(kernels, topologies(), topologies())
def test_absent_after_a_change_leaves_the_host_as_it_was(kernel, first, second):
    before = kernel.picture()
    converge(kernel, topology(first))
    converge(kernel, topology(second))
    converge(kernel, topology(second, absent=True))
    assert kernel.picture() == before


@few
@given(kernels, topologies(), st.data())
def test_drift_is_found_predicted_and_repaired(kernel, options, data):
    converge(kernel, topology(options))
    good = kernel.picture(ledger=False)
    note(str(mischief(data, kernel)))
    drifted = kernel.picture()
    predicted = converge(kernel, topology(options), check_mode=True)
    assert kernel.picture() == drifted
    repaired = converge(kernel, topology(options))
    note("\n".join(lines(repaired)))
    assert repaired.as_dict() == predicted.as_dict()
    assert lines(converge(kernel, topology(options))) == []
    assert stated(kernel.picture(ledger=False)) == stated(good)


def stated(picture):
    """A picture without what topologies leave as it is: MTUs, MAC addresses, bridges, lists that are not given."""
    for space in picture["spaces"].values():
        space["links"] = {
            name: (kind, up, peer, [item for item in addresses if "99" not in item])
            for name, (kind, up, _mtu, _mac, _alias, _master, peer, addresses, _neighbours) in space["links"].items()
        }
        space["routes"] = [route for route in space["routes"] if "10.98.0.0" not in route]
        space["rules"] = [rule for rule in space["rules"] if "protocol=196" in rule]
    return {key: value for key, value in picture.items() if key != "files"}


@few
@given(kernels, topologies(), topologies(), st.data())
def test_a_step_that_fails_leaves_everything_as_it_was(kernel, first, second, data):
    """Whichever of the writes is refused: links, routes, files, the ruleset, the ledger."""
    if data.draw(st.booleans(), label="from nothing"):
        first = None
    else:
        converge(kernel, topology(first))
        if data.draw(st.booleans(), label="drifted"):
            acts = mischief(data, kernel)
            note(str(acts))
            if "rename" in acts:
                return  # such a pair comes back with the name it had, but marked and switched like a new one
    before = worthwhile(kernel.picture())
    trial = copy.deepcopy(kernel)
    request = topology(second, absent=first is not None and data.draw(st.booleans(), label="absent"))
    plan = converge(trial, request)
    writes = trial.writes - kernel.writes
    if not plan.changes:
        return
    kernel.fail_at = kernel.writes + data.draw(st.integers(1, writes), label="failing write")
    with pytest.raises(NetnsError) as caught:
        converge(kernel, request)
    note(str(caught.value))
    if "failed in part: route " in str(caught.value) and "Network is unreachable" in str(caught.value):
        return  # its next hop had lost its network by hand: the kernel takes no such route, and the error says so
    if any("without a name" in place for _enabled, place in before["units"].values()):
        return  # what ran in a namespace that was deleted by hand cannot run there again
    assert worthwhile(kernel.picture()) == before
    assert "the model was told to refuse this" in str(caught.value)
    if isinstance(caught.value, StepFailed):
        assert "Everything was undone; the host is as before" in str(caught.value)
        named = [change for change in plan.changes if f"({change.action} {change.item}) failed" in str(caught.value)]
        assert named or any(word in str(caught.value) for word in ("verification", "systemctl", "ledger"))
    # and nothing of the attempt stays in the way
    converge(kernel, request)
    assert kernel.picture(ledger=False) == trial.picture(ledger=False)


def worthwhile(picture):
    """A picture without half-made names of namespaces and stacked mounts, which nobody wants back."""
    picture["names"] = [name for name, (leftover, _mounts) in sorted(picture["names"].items()) if not leftover]
    return picture


@few
@given(kernels, topologies(), topologies(OTHERS))
def test_two_topologies_do_not_disturb_each_other(kernel, first, second):
    before = kernel.picture()
    converge(kernel, topology(first, "one"))
    alone = kernel.picture(ledger=False)
    converge(kernel, topology(second, "two"))
    assert lines(converge(kernel, topology(first, "one"))) == []
    assert lines(converge(kernel, topology(second, "two"))) == []
    converge(kernel, topology(second, "two", absent=True))
    assert kernel.picture(ledger=False) == alone
    converge(kernel, topology(first, "one", absent=True))
    assert kernel.picture() == before


@few
@given(kernels, topologies(), topologies(), st.booleans())
def test_nothing_that_outlives_a_reboot_is_written_before_the_confirmation(kernel, first, second, absent):
    """And what is confirmed then is what would have been done without asking."""
    converge(kernel, topology(first))
    direct, files = copy.deepcopy(kernel), lasting(kernel)
    asked = []
    predicted = converge(direct, topology(second, absent=absent))
    done = converge(kernel, topology(second, absent=absent), hold=lambda: asked.append(lasting(kernel)))
    assert asked == ([files] if done.changes else [])
    assert done.as_dict() == predicted.as_dict()
    assert kernel.picture() == direct.picture()


@few
@given(kernels, topologies(), topologies(), st.booleans())
def test_what_nobody_confirms_is_undone(kernel, first, second, absent):
    def hold():
        raise NotConfirmed("nobody came")

    converge(kernel, topology(first))
    before = worthwhile(kernel.picture())
    if not converge(copy.deepcopy(kernel), topology(second, absent=absent)).changes:
        return
    with pytest.raises(NotConfirmed, match="nobody came. Everything was undone; the host is as before"):
        converge(kernel, topology(second, absent=absent), hold=hold)
    assert worthwhile(kernel.picture()) == before


def lasting(kernel):
    """What a reboot leaves: files, and which units start by themselves."""
    picture = kernel.picture()
    return picture["files"], {name for name, (enabled, _place) in picture["units"].items() if enabled}
