# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl prints, and what systemd says against a unit."""

from __future__ import annotations

import subprocess
import time

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.systemd import (
    UNITS,
    Complaint,
    Systemd,
    Unit,
    parse_unit,
    unit_of,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import MissingDependency, SystemRefused


def test_a_running_unit():
    text = (
        "MainPID=88\nResult=success\nNRestarts=2\nExecMainStartTimestampMonotonic=5000000\nId=app.service\n"
        "TriggeredBy=app.socket x.path\nLoadState=loaded\nActiveState=active\nNeedDaemonReload=yes\n"
        "FragmentPath=/etc/systemd/system/app.service\nUnitFileState=enabled\n"
    )
    found = parse_unit(text)
    offset = time.time() - time.monotonic()
    assert found.started == pytest.approx(5.0 + offset, abs=1)
    assert found._replace(started=0.0) == Unit(
        "loaded",
        "active",
        88,
        "enabled",
        "/etc/systemd/system/app.service",
        True,
        2,
        "success",
        0.0,
        ("app.socket", "x.path"),
    )
    assert found.exists and found.running


def test_a_unit_that_is_not_there():
    found = parse_unit("Id=x.service\nLoadState=not-found\nActiveState=inactive\nMainPID=0\n")
    assert found == Unit() and not found.exists and not found.running
    assert parse_unit("") == Unit()


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        (f"{UNITS}/app.service", "app.service"),
        (f"{UNITS}/nginx.service.d/50-x.conf", "nginx.service"),
        (f"{UNITS}/getty@tty1.service.d/50-x.conf", "getty@tty1.service"),
    ],
)
def test_the_unit_of_a_file(path, unit):
    assert unit_of(path) == unit


class Scripted(Systemd):
    """Answers commands from a script; keeps what was asked."""

    def __init__(self, answers=()):
        super().__init__()
        self.asked, self.answers = [], dict(answers)

    def available(self):
        return True

    def _call(self, command, env=None):
        self.asked.append(" ".join(command))
        answer = self.answers.get(command[1], (0, "", ""))
        return subprocess.CompletedProcess(command, *(answer(command, env) if callable(answer) else answer))


def test_each_act_is_one_call_for_all_units_in_a_safe_order():
    found = Scripted()
    found._check_alive = lambda *arguments: None
    for name in ("a.service", "b.service"):
        found.files_changed()
        found.enable(name)
        found.start(name)
        found.stop(f"old-{name}")
        found.disable(f"old-{name}")
    found.settle()
    assert found.asked == [
        "systemctl --quiet stop -- old-a.service old-b.service",
        "systemctl --quiet --no-reload disable -- old-a.service old-b.service",
        "systemctl --quiet --no-reload enable -- a.service b.service",
        "systemctl --quiet daemon-reload",
        "systemctl start -- a.service b.service",
    ]
    found.settle()
    assert len(found.asked) == 5, "nothing is left to do"


def test_what_is_asked_for_last_holds():
    """A run that fails before its services were started takes back what it had asked for."""
    found = Scripted()
    found._check_alive = lambda *arguments: None
    for name in ("a.service", "b.service"):
        found.enable(name)
        found.start(name)
    found.disable("a.service")
    found.stop("a.service")
    found.settle()
    assert found.asked == [
        "systemctl --quiet stop -- a.service",
        "systemctl --quiet --no-reload disable -- a.service",
        "systemctl --quiet --no-reload enable -- b.service",
        "systemctl --quiet daemon-reload",
        "systemctl start -- b.service",
    ]


def test_a_refusal_is_not_repeated():
    found = Scripted({"--quiet": (1, "", "no")})
    found.stop("a.service")
    with pytest.raises(SystemRefused):
        found.going_down()
    found.going_down()
    assert len(found.asked) == 1


def test_systemd_reads_again_what_was_disabled():
    found = Scripted()
    found.disable("a.service")
    found.settle()
    assert found.asked[-1] == "systemctl --quiet daemon-reload"


def test_what_was_stopped_is_not_stopped_again_until_it_was_started():
    found = Scripted()
    found._check_alive = lambda *arguments: None
    found.stop("a.service")
    found.going_down()
    found.stop("a.service")
    found.going_down()
    assert len(found.asked) == 1
    found.start("a.service")
    found.settle()
    found.stop("a.service")
    found.going_down()
    assert found.asked[-1] == "systemctl --quiet stop -- a.service"


def test_a_service_that_does_not_stay_up_fails_with_its_journal():
    show = "LoadState=loaded\nActiveState=failed\nResult=exit-code\n"
    found = Scripted({"show": (0, show, ""), "--no-pager": (0, "cannot bind\ngiving up\n", ""), "start": (1, "", "no")})
    found.start("app.service")
    with pytest.raises(SystemRefused) as caught:
        found.settle()
    assert str(caught.value).splitlines() == [
        "app.service did not start: it failed (exit-code)",
        "The last lines of its journal:",
        "  cannot bind",
        "  giving up",
    ]


@pytest.mark.parametrize(("counts", "alive"), [((3, 3), True), ((0, 0), True), ((0, 1), False), ((3, 4), False)])
def test_a_service_that_is_started_again_meanwhile_does_not_stay_up(counts, alive):
    """Whatever it went through before: the count of restarts is of all its life."""
    shown = iter(counts)

    def show(command, env):
        return 0, f"LoadState=loaded\nActiveState=active\nMainPID=7\nNRestarts={next(shown)}\n", ""

    found = Scripted({"show": show})
    found.restart("app.service")
    if alive:
        found.settle()
    else:
        with pytest.raises(SystemRefused, match="app.service did not start"):
            found.settle()


def test_complaints_name_the_setting():
    def say(command, env):
        folder = env["SYSTEMD_UNIT_PATH"].rstrip(":")
        return (
            0,
            "",
            (
                f"{folder}/app.service:3: Unknown key name 'Foo' in section 'Service', ignoring.\n"
                f"{folder}/app.service:4: Failed to parse boolean value, ignoring: maybe\n"
                "/lib/systemd/system/other.service:9: Unknown key name 'Bar' in section 'Service', ignoring.\n"
            ),
        )

    found = Scripted({"verify": say})
    found._program = lambda name: name
    path = f"{UNITS}/app.service"
    assert found.verify({path: "[Service]\nA=1\nFoo=2\nPrivateTmp=maybe\n"}) == [
        Complaint(path, "Foo", "Unknown key name 'Foo' in section 'Service', ignoring.", True),
        Complaint(path, "PrivateTmp", "Failed to parse boolean value, ignoring: maybe", False),
    ]


def test_a_refused_unit_is_a_complaint_even_if_no_line_is_named():
    found = Scripted({"verify": (1, "", "app.service: Command /x is not executable: No such file\n")})
    found._program = lambda name: name
    (complaint,) = found.verify({f"{UNITS}/app.service": "[Service]\nExecStart=/x\n"})
    assert complaint.key == "ExecStart" and "not executable" in complaint.reason


def test_without_systemd_there_are_no_units_and_who_needs_them_is_told():
    found = Systemd()
    found.available = lambda: False
    assert found.units(["a.service"]) == {"a.service": Unit()}
    with pytest.raises(MissingDependency, match="persist needs systemd"):
        found.require("persist")
