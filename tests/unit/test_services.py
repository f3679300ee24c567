# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services through the engine, on a kernel and a systemd in memory."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.engine import Request
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import Clash, InvalidOption, StepFailed
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.running_service import configuration_of
from model_system import converge, topology, uplinked

SERVICE = {"name": "app", "netns": "app", "command": "/usr/bin/app", "user": "nobody"}
VETH = {
    "name": "app0",
    "addresses": ["10.0.0.1/30"],
    "peer": {"name": "eth0", "netns": "app", "addresses": ["10.0.0.2/30"], "gateway": "10.0.0.1"},
}
OPTIONS = {
    "namespaces": [{"name": "app", "dns": {"nameservers": ["192.0.2.53"]}}],
    "veths": [VETH],
    "services": [SERVICE],
}
UNIT = "/etc/systemd/system/app.service"
DROP_IN = "/etc/systemd/system/nginx.service.d/50-linuxnet-netns.conf"


def with_service(**options):
    return topology({**OPTIONS, "services": [{**SERVICE, **options}]})


def attach(state="started", netns="app"):
    options = {"name": "nginx", "netns": netns, **({} if state == "absent" else {"state": state})}
    return Request(
        "module netns_service nginx", {"services": [options]}, True, ("netns_service", "nginx"), state == "absent"
    )


def words(result):
    return [f"{change.action} {change.item}" for change in result.changes]


def restarted(kernel, request):
    """Whether converging restarts the service app; check mode has to foretell it."""
    before = kernel.units["app.service"].get("pid")
    foretold = words(converge(kernel, request, check_mode=True))
    assert words(converge(kernel, request)) == foretold
    assert words(converge(kernel, request)) == []
    after = kernel.units["app.service"].get("pid")
    assert (before != after) == any("service app.service" in word for word in foretold)
    return before != after


@pytest.fixture
def kernel():
    found = uplinked()
    converge(found, with_service())
    return found


def fails(kernel, request, kind, *text):
    before, writes = kernel.picture(), kernel.writes
    for check_mode in (True, False):
        with pytest.raises(kind) as caught:
            converge(kernel, request, check_mode)
        assert all(word in str(caught.value) for word in text), str(caught.value)
        assert (kernel.picture(), kernel.writes) == (before, writes)


def test_a_service_runs_in_its_namespace_and_starts_at_boot(kernel):
    state = kernel.units["app.service"]
    assert kernel.place_of(state["pid"]) == "in app" and state["enabled"]
    assert "BindReadOnlyPaths=/etc/netns/app/resolv.conf:/etc/resolv.conf" in kernel.files[UNIT]
    assert "BindReadOnlyPaths=-/etc/netns/app/hosts:/etc/hosts" in kernel.files[UNIT]
    assert kernel.files["/etc/netns/app/nsswitch.conf"].endswith("hosts: files dns\n")


@pytest.mark.parametrize(
    "options",
    [
        {"command": "/usr/bin/app --other"},
        {"user": "root"},
        {"environment": {"A": "1"}},
        {"private_tmp": False},
        {"hardening": {"Nice": 5}},
    ],
)
def test_changed_settings_restart_it(kernel, options):
    assert restarted(kernel, with_service(**options))


def test_unchanged_and_unrelated_settings_do_not(kernel):
    assert not restarted(kernel, with_service())
    assert not restarted(kernel, with_service(enabled=False))
    assert not kernel.units["app.service"]["enabled"]
    forward = {"name": "in", "port": "10105", "to_address": "10.0.0.2"}
    assert not restarted(kernel, topology({**OPTIONS, "forwards": [forward]}))


def test_changed_files_of_the_namespace_restart_it(kernel):
    namespaces = [{"name": "app", "dns": {"nameservers": ["192.0.2.54"]}}]
    assert restarted(kernel, topology({**OPTIONS, "namespaces": namespaces}))
    namespaces[0]["hosts"] = {"192.0.2.1": "db"}
    assert restarted(kernel, topology({**OPTIONS, "namespaces": namespaces}))


def test_files_of_the_namespace_that_go_restart_it(kernel):
    assert restarted(kernel, topology({**OPTIONS, "namespaces": [{"name": "app"}]}))
    assert "BindReadOnlyPaths=-/etc/netns/app/resolv.conf:/etc/resolv.conf" in kernel.files[UNIT]


def test_a_forward_to_a_low_port_brings_the_capability(kernel):
    forward = {"name": "in", "port": "10105", "to_address": "10.0.0.2", "to_port": "80"}
    assert restarted(kernel, topology({**OPTIONS, "forwards": [forward]}))
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in kernel.files[UNIT]


def test_a_namespace_that_was_made_anew_gets_its_service_back(kernel):
    kernel.end_space(kernel.names.pop("app")[0])
    assert kernel.place_of(kernel.units["app.service"]["pid"]) == "in a namespace without a name"
    assert restarted(kernel, with_service())
    assert kernel.place_of(kernel.units["app.service"]["pid"]) == "in app"


def test_a_service_that_ended_is_started(kernel):
    del kernel.units["app.service"]["pid"]
    assert restarted(kernel, with_service())


def test_a_restart_that_is_asked_for_is_a_change_every_time(kernel):
    for _time in range(2):
        before = kernel.units["app.service"]["pid"]
        assert words(converge(kernel, with_service(state="restarted"))) == ["update service app.service"]
        assert kernel.units["app.service"]["pid"] != before


def test_stopped(kernel):
    assert restarted(kernel, with_service(state="stopped"))
    assert "pid" not in kernel.units["app.service"] and UNIT in kernel.files


def test_an_attached_unit_goes_back_to_where_it_was():
    kernel = uplinked()
    converge(kernel, topology({"namespaces": OPTIONS["namespaces"]}))
    kernel.start("nginx.service")
    before = kernel.picture()
    converge(kernel, attach())
    assert kernel.place_of(kernel.units["nginx.service"]["pid"]) == "in app"
    assert kernel.files[DROP_IN] and kernel.units["nginx.service"]["enabled"]
    assert words(converge(kernel, attach())) == []
    converge(kernel, attach("absent"))
    after = kernel.picture()
    assert after == before
    assert words(converge(kernel, attach("absent"))) == []


def test_an_attached_unit_that_did_not_run_is_stopped_again():
    kernel = uplinked()
    converge(kernel, topology({"namespaces": OPTIONS["namespaces"]}))
    before = kernel.picture()
    converge(kernel, attach())
    converge(kernel, attach("absent"))
    assert kernel.picture() == before


def test_a_topology_adopts_a_single_service_and_refuses_anothers():
    kernel = uplinked()
    converge(kernel, topology({"namespaces": OPTIONS["namespaces"]}))
    converge(kernel, attach())
    adopting = topology({**OPTIONS, "services": [{"name": "nginx", "netns": "app"}]})
    assert not any("service nginx" in word for word in words(converge(kernel, adopting)))
    other = topology({"services": [{"name": "nginx", "netns": "app"}]}, "other")
    fails(kernel, other, Clash, "netns_service nginx belongs to topology default")
    fails(kernel, attach("stopped"), Clash, "netns_service nginx belongs to topology default")


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"netns": "nowhere"}, InvalidOption, "services[0].netns: 'nowhere' is an unknown namespace"),
        ({"user": "no-such-user"}, InvalidOption, "services[0].user: 'no-such-user' is not an account"),
        ({"group": "no-such-group"}, InvalidOption, "services[0].group: 'no-such-group' is not a group"),
        ({"name": "nginx"}, Clash, "services[0].name: nginx.service exists already"),
        ({"command": None, "name": "ghost"}, InvalidOption, "services[0].name: 'ghost' is no unit of this host"),
    ],
)
def test_what_does_not_fit_this_host_is_refused_before_anything_is_touched(options, kind, text):
    fails(uplinked(), with_service(**options), kind, text)


def test_a_unit_of_somebody_elses_is_not_overwritten():
    kernel = uplinked()
    kernel.files[UNIT] = "[Service]\nExecStart=/bin/theirs\n"
    fails(kernel, with_service(), Clash, UNIT, "leave out command to attach")


def test_a_service_that_does_not_start_leaves_the_old_one_running(kernel):
    before = copy.deepcopy(kernel.picture())
    good = kernel.start
    fail = {"left": 1}

    def start(unit):
        if fail["left"]:
            fail["left"] -= 1
            raise StepFailed("it does not start")
        good(unit)

    kernel.start = start
    with pytest.raises(StepFailed):
        converge(kernel, with_service(command="/bin/broken"))
    assert kernel.picture() == before


def test_a_removed_service_takes_its_unit_along(kernel):
    converge(kernel, topology({**OPTIONS, "services": []}))
    assert UNIT not in kernel.files and "app.service" not in kernel.units
    assert "/etc/netns/app/nsswitch.conf" not in kernel.files


def test_texts_that_are_missing_are_not_empty_texts():
    assert len({configuration_of(texts) for texts in ([None], [""], ["a"], ["a", ""], ["", "a"], ["a", None])}) == 6
