# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change on trial (confirm_timeout), on a host without systemd: who confirms it, and what if nobody does.

What Ansible does is done by hand here: one module asks, another one confirms. The connections exist by name only.
"""

from __future__ import annotations

import json
import time

import pytest
from harness import MGMT4, Behind, topology
from harness.world import MGMT_HOST4


def by(port):
    """The environment of a module that came by SSH from this port of the controller's."""
    return {"SSH_CONNECTION": f"{MGMT4} {port} {MGMT_HOST4} 22"}


@pytest.fixture
def host(world):
    return world.host


@pytest.fixture
def cut(host):
    """Options that would end the connection."""
    app = Behind(host, "app", 1)
    veth = app.veth_with(routes=[{"to": MGMT4, "via": app.address4}])
    namespaces = [dict(app.netns, dns={"nameservers": ["192.0.2.54"]})]
    return {**topology(app), "namespaces": namespaces, "veths": [veth]}


def is_cut(host):
    return "veth-app" in host.sh(f"ip route get {MGMT4} || :")


def ask(host, options, port, timeout=20):
    """Put a change on trial, and wait until it is made; returns the trial's name."""
    answer = host.module("netns_topology", env=by(port), confirm_timeout=timeout, **options)
    assert answer.changed and answer["confirm"]["timeout"] == timeout
    deadline = time.monotonic() + 20
    while not is_cut(host) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_cut(host)
    return answer["confirm"]["id"]


def confirm(host, name, port, fails=False):
    return host.module("netns_confirm", env=by(port), id=name, fails=fails)


def traces(host):
    return host.sh("ls -d /run/linuxnet-netns* /var/lib/linuxnet-netns /etc/netns/app 2>/dev/null || :")


def test_it_is_refused_without_a_trial(host, cut):
    before = host.snapshot()
    for check in (True, False):
        refused = host.module("netns_topology", env=by(40000), check=check, fails=True, **cut)
        assert refused["error"] == "lockout"
        assert MGMT4 in refused.msg and "confirm_timeout" in refused.msg
    host.assert_same(before)
    # From the console, the operator knows what that does.
    assert host.module("netns_topology", **cut).changed
    host.module("netns_topology", state="absent")
    host.assert_same(before)


def test_the_connection_by_which_it_came_does_not_confirm(host, cut):
    before = host.snapshot()
    name = ask(host, cut, 40000)
    assert "/etc/netns/app" not in traces(host) and "/var/lib/linuxnet-netns" not in traces(host)
    assert "still the connection" in confirm(host, name, 40000)["again"]
    assert "/etc/netns/app" not in traces(host)
    done = confirm(host, name, 40001)
    assert done.changed and is_cut(host)
    assert "/etc/netns/app" in traces(host) and "/var/lib/linuxnet-netns" in traces(host)
    assert "/run/linuxnet-netns" not in traces(host)
    assert not host.module("netns_topology", env=by(40001), **cut).changed
    again = confirm(host, name, 40002, fails=True)
    assert again["error"] == "not_confirmed"
    host.module("netns_topology", state="absent")
    host.assert_same(before)


def test_nobody_confirms(host, cut):
    before = host.snapshot()
    name = ask(host, cut, 40000, timeout=5)
    deadline = time.monotonic() + 15
    while is_cut(host) and time.monotonic() < deadline:
        time.sleep(0.1)
    told = confirm(host, name, 40001, fails=True)
    assert told["error"] == "not_confirmed" and "Everything was undone" in told.msg
    host.assert_same(before)
    assert traces(host) == ""


def test_a_watchdog_that_is_told_to_end_takes_the_change_back(host, cut):
    before = host.snapshot()
    name = ask(host, cut, 40000)
    host.sh(f"kill $(pgrep -f '[/]run/linuxnet-netns/{name}')")
    told = confirm(host, name, 40001, fails=True)
    assert "told to end" in told.msg and "Everything was undone" in told.msg
    host.assert_same(before)


def test_a_change_that_fails_on_trial_says_so_to_who_confirms(host, cut):
    before = host.snapshot()
    cut["namespaces"][0]["sysctls"] = {"net.ipv4.conf.all.rp_filter": "banana"}
    answer = host.module("netns_topology", env=by(40000), confirm_timeout=20, **cut)
    told = confirm(host, answer["confirm"]["id"], 40001, fails=True)
    assert told["error"] == "step_failed" and "banana" in told.msg
    host.assert_same(before)


def test_what_needs_no_change_needs_no_trial(host, cut):
    host.module("netns_topology", **cut)
    quiet = host.module("netns_topology", env=by(40000), confirm_timeout=20, **cut)
    assert not quiet.changed and "confirm" not in quiet
    foretold = host.module("netns_topology", env=by(40000), confirm_timeout=20, check=True, state="absent")
    assert foretold.changed and "confirm" not in foretold
    host.module("netns_topology", state="absent")


@pytest.mark.parametrize("seconds", [0, 4, 86401])
def test_a_time_that_nobody_can_keep(host, cut, seconds):
    refused = host.module("netns_topology", fails=True, confirm_timeout=seconds, **cut)
    assert refused["error"] == "invalid_option" and "confirm_timeout" in refused.msg


def test_the_trials_name_is_no_path(host):
    for name in ("..", "../../etc", "nothing", ""):
        told = host.module("netns_confirm", id=name, fails=True)
        assert told["error"] == "not_confirmed", json.dumps(told)
