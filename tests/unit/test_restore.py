# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What brings a topology back: the engine itself after a boot, less what no longer fits."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import json
import sys
from pathlib import Path
from unittest import mock

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils import host_command, host_program, restore
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import (
    Clash,
    InvalidOption,
    LedgerUnreadable,
    StepFailed,
    SystemRefused,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.ledger import PATH
from model_kernel import ModelKernel
from model_system import ModelSystem, converge, inside, topology, uplinked

ROOT = Path(host_program.__file__).parent
COMMAND, PROGRAM = "/usr/local/sbin/linuxnet-netns", "/usr/local/lib/linuxnet-netns"
OPTIONS = {
    "namespaces": [{"name": "app"}, {"name": "db"}],
    "veths": [
        {
            "name": f"{name}0",
            "addresses": [f"10.0.{number}.1/30"],
            "peer": {
                "name": "eth0",
                "netns": name,
                "addresses": [f"10.0.{number}.2/30"],
                "gateway": f"10.0.{number}.1",
            },
        }
        for number, name in enumerate(("app", "db"))
    ],
    "nat": [{"name": "app", "source": ["10.0.0.2"]}],
    "forwards": [{"name": "in", "port": "10105", "to_address": "10.0.0.2"}],
    "services": [{"name": "app", "netns": "app", "command": "/usr/bin/app", "user": "nobody"}],
    "persist": True,
}


# -- what is left out --


def never(error):
    def attempt(options):
        raise error

    return attempt


def test_all_of_it_if_it_fits():
    tried = []
    assert restore.what_fits(OPTIONS, tried.append) == (OPTIONS, [])
    assert tried == [OPTIONS]


def test_an_error_that_names_an_item_takes_it_out():
    def attempt(options):
        for number, item in enumerate(options["nat"]):
            if item["name"] == "bad":
                raise InvalidOption(f"nat[{number}].out_interface", "eth9", "is gone")

    options = {**OPTIONS, "nat": [{"name": "good"}, {"name": "bad"}, {"name": "good too"}, {"name": "bad"}]}
    kept, lost = restore.what_fits(options, attempt)
    assert [item["name"] for item in kept["nat"]] == ["good", "good too"]
    assert lost == ["nat bad: nat[1].out_interface: 'eth9' is gone", "nat bad: nat[2].out_interface: 'eth9' is gone"]


def test_any_other_error_has_them_tried_one_by_one():
    def attempt(options):
        if any(veth["name"] == "db0" for veth in options["veths"]):
            raise StepFailed("step 3 of 9 failed: no")

    kept, lost = restore.what_fits(OPTIONS, attempt)
    assert [veth["name"] for veth in kept["veths"]] == ["app0"]
    assert kept["forwards"] == OPTIONS["forwards"] and kept["persist"] is True
    assert lost == ["veths db0: step 3 of 9 failed: no"]


def test_nothing_may_fit():
    kept, lost = restore.what_fits(OPTIONS, never(Clash("somebody else's")))
    assert not any(kept[name] for name in ("namespaces", "veths", "nat", "forwards", "services"))
    assert len(lost) == 7


def test_an_unreadable_ledger_is_not_worked_around():
    with pytest.raises(LedgerUnreadable):
        restore.what_fits(OPTIONS, never(LedgerUnreadable("format 9")))


# -- a boot --


def booted(kernel, uplink=True):
    """The same disk in a fresh kernel. Services have not started yet."""
    fresh = uplinked() if uplink else ModelKernel()
    fresh.files, fresh.written = kernel.files, kernel.written
    fresh.units = {
        name: {key: value for key, value in state.items() if key in ("vendor", "enabled")}
        for name, state in kernel.units.items()
    }
    fresh.boot, fresh.writes = "boot-2", kernel.writes
    return fresh


def run(kernel, *arguments):
    """The command on a host; returns its exit code."""
    system = lambda: ModelSystem(kernel)  # noqa: E731
    with (
        inside(kernel),
        mock.patch.object(restore, "System", system),
        mock.patch.object(host_command, "System", system),
        mock.patch("ansible_collections.linuxnet.netns.plugins.module_utils.engine.System", system),
        mock.patch.object(host_command, "PATIENCE", 0.0),
        mock.patch.object(host_command, "join_mounts_of_init"),
    ):
        return host_command.main(list(arguments))


@pytest.fixture
def persistent():
    kernel = uplinked()
    converge(kernel, topology(OPTIONS))
    return kernel


def test_a_boot_brings_all_of_it_back(persistent, capsys):
    before = persistent.picture(ledger=False)
    kernel = booted(persistent)
    assert run(kernel, "restore") == 0
    assert kernel.picture(ledger=False) == before
    assert "topology default: start app.service" in capsys.readouterr().out
    assert run(kernel, "check") == 0
    again = converge(kernel, topology(OPTIONS))
    assert not again.changes


def test_absent_after_a_boot_leaves_nothing(persistent):
    clean = uplinked().picture()
    kernel = booted(persistent)
    run(kernel, "restore")
    converge(kernel, topology({}, absent=True))
    assert kernel.picture() == clean


def test_without_its_uplink_it_comes_back_in_part_and_says_so(persistent, capsys):
    kernel = booted(persistent, uplink=False)
    assert run(kernel, "restore") == 1
    assert "topology default: not restored: eth0: it is gone" in capsys.readouterr().err
    assert "app0" in kernel.host.devices and kernel.units["app.service"]["pid"]
    # and nothing of what was asked for is forgotten
    assert json.loads(kernel.files[PATH])["owners"]["topology default"]["options"] == OPTIONS


def test_a_taken_name_costs_only_what_needs_it(persistent, capsys):
    kernel = booted(persistent)
    kernel.add_veth((kernel.host, "db0", ""), (kernel.host, "theirs1", ""))
    assert run(kernel, "restore") == 1
    assert "not restored: veths db0: veths[1].name: 'db0' on the host is taken" in capsys.readouterr().err
    assert {"app", "db"} <= set(kernel.names) and "app0" in kernel.host.devices
    del kernel.host.devices["db0"], kernel.host.devices["theirs1"]
    assert run(kernel, "restore") == 0
    assert "db0" in kernel.host.devices


def test_check_says_what_differs(persistent, capsys):
    assert run(persistent, "check") == 0 and not capsys.readouterr().out
    persistent.host.table = None
    assert run(persistent, "check") == 1
    assert "topology default: create nftables table inet linuxnet_netns on the host" in capsys.readouterr().out


def test_check_cannot_tell_with_a_newer_ledger(persistent, capsys):
    persistent.files[PATH] = persistent.files[PATH].replace('"version": 1', '"version": 9')
    assert run(persistent, "check") == 2
    assert "has format 9" in capsys.readouterr().err
    assert run(persistent, "restore") == 1


def test_a_flush_is_mended_only_in_a_boot_that_came_up(persistent):
    persistent.host.table = None
    assert run(persistent, "restore", "--flushed") == 0
    assert persistent.host.table
    kernel = booted(persistent)
    assert run(kernel, "restore", "--flushed") == 0
    assert "app" not in kernel.names, "too early: the network is not there yet"


def test_show_and_unknown_names(persistent, capsys):
    assert run(persistent, "show") == 0
    shown = json.loads(capsys.readouterr().out)
    assert "namespace app" in shown["default"]["objects"]
    assert run(persistent, "check", "other") == 2
    assert run(persistent, "restore", "other") == 1
    assert "there is no persistent topology 'other'" in capsys.readouterr().err


def test_what_is_not_persistent_is_not_restored():
    kernel = uplinked()
    converge(kernel, topology({**OPTIONS, "persist": False}))
    assert COMMAND not in kernel.files
    kernel = booted(kernel)
    assert run(kernel, "restore") == 0
    assert "app" not in kernel.names


def test_two_persistent_topologies_share_the_program():
    kernel = uplinked()
    before = kernel.picture()
    others = {"namespaces": [{"name": "mail"}], "persist": True}
    converge(kernel, topology(OPTIONS))
    converge(kernel, topology(others, "other"))
    converge(kernel, topology({}, absent=True))
    assert COMMAND in kernel.files and PROGRAM in kernel.files
    converge(kernel, topology({}, "other", absent=True))
    assert kernel.picture() == before


def test_a_damaged_program_is_mended(persistent):
    name = f"{PROGRAM}/linuxnet_netns/engine.py"
    persistent.files[name] += "# edited\n"
    (change,) = converge(persistent, topology(OPTIONS)).changes
    assert str(change.item) == f"program {PROGRAM}"
    assert change.as_dict()["before"] != change.as_dict()["after"] and len(change.as_dict()["after"]) < 40
    assert not persistent.files[name].endswith("# edited\n")


# -- the program --


def imports(name):
    """Modules of the engine that a module of the engine imports."""
    package = name.split(".")[:-1]
    for node in ast.walk(ast.parse((ROOT / (name.replace(".", "/") + ".py")).read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)] + (node.module.split(".") if node.module else [])
            if (ROOT / ("/".join(base) + ".py")).exists():
                yield ".".join(base)
            else:
                yield from (".".join([*base, item.name]) for item in node.names)


def test_the_program_is_all_that_the_command_needs_and_no_more():
    found, waiting = set(), ["host_command"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports(name)
    assert list(host_program.MODULES) == sorted(found)
    assert not any(
        "ansible" in line
        for name in found
        for line in (ROOT / (name.replace(".", "/") + ".py")).read_text().splitlines()
        if line.startswith(("import ", "from "))
    )


def test_the_source_is_what_the_files_say():
    source = host_program.source()
    assert source["linuxnet_netns/doors/nft.py"] == (ROOT / "doors/nft.py").read_text()
    packages = {name.split(".")[0] for name in host_program.MODULES if "." in name}
    assert len(source) == len(host_program.MODULES) + len(packages)


def test_a_loader_that_has_sources_only_of_what_was_made():
    """Mitogen's importer fetches a module when it makes it, and before that has no source."""
    executed = []

    class Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def __init__(self, serves):
            self.serves = serves
            self.fetched = set()

        def find_spec(self, name, path=None, target=None):
            return importlib.machinery.ModuleSpec(name, self)

        def create_module(self, spec):
            self.fetched.add(spec.name)

        def exec_module(self, module):
            executed.append(module)

        def get_source(self, name):
            return "# source of " + name if self.serves and name in self.fetched else None

    def source(importer):
        with mock.patch("importlib.util.find_spec", importer.find_spec):
            return host_program.source()

    found = source(Importer(serves=True))
    assert found["linuxnet_netns/doors/nft.py"] == "# source of %s.doors.nft" % host_program.__package__
    assert executed == []
    with pytest.raises(SystemRefused, match="the source of .*module_utils.accept_chain cannot be read"):
        source(Importer(serves=False))


def test_the_interpreter_is_called_by_a_name_that_outlives_upgrades():
    with mock.patch("sys.executable", "/usr/bin/python3.42"), mock.patch("os.path.realpath", lambda path: "/same"):
        with mock.patch("sys.prefix", sys.base_prefix):
            assert host_program.interpreter() == "/usr/bin/python3"
        with mock.patch("sys.prefix", "/opt/ansible"):  # a virtual environment, whose python is a link
            assert host_program.interpreter() == "/usr/bin/python3.42"
    with mock.patch("sys.executable", "/opt/ansible/bin/python"), mock.patch("os.path.realpath", lambda path: path):
        assert host_program.interpreter() == "/opt/ansible/bin/python"
