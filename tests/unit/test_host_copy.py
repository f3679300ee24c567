# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own copy of the engine is used if it is the very same, and otherwise left alone."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import zipfile
from unittest import mock

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils import host_copy, host_program

PACKAGE = "ansible_collections.linuxnet.netns.plugins.module_utils"
ROOT = pathlib.Path(host_copy.__file__).parent
SCRIPT = f"""
import importlib, os, sys
sys.path.insert(0, sys.argv[1])
package = importlib.import_module("{PACKAGE}")
from {PACKAGE} import host_copy
real = os.stat
def stat(path, *arguments, **options):  # the tests need no root, the copy does
    found = list(real(path, *arguments, **options))
    found[4] = int(sys.argv[3])
    return os.stat_result(found)
os.stat = stat
used = host_copy.prefer(package, sys.argv[2])
os.stat = real
from {PACKAGE} import engine
from {PACKAGE}.doors import nft
print(used, engine.__file__.startswith(sys.argv[2]), nft.__file__.startswith(sys.argv[2]))
"""


@pytest.fixture
def sent(tmp_path):
    """The archive in which Ansible sends a module, with all that it imports."""
    place = tmp_path / "payload.zip"
    folder = PACKAGE.replace(".", "/")
    with zipfile.ZipFile(place, "w") as archive:
        for path in ROOT.rglob("*.py"):
            archive.write(path, f"{folder}/{path.relative_to(ROOT)}")
        parts = folder.split("/")
        packages = {"/".join(parts[:number]) for number in range(1, len(parts) + 1)}
        packages |= {f"{folder}/{path.name}" for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "_"}
        for package in packages:
            archive.writestr(f"{package}/__init__.py", "")
    return place


@pytest.fixture
def copy(tmp_path):
    """What a persistent topology installs."""
    for name, text in host_program.source().items():
        path = tmp_path / "host" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "host" / "linuxnet_netns"


def used(sent, copy, owner=0):
    """Whether the copy is used, for all of the engine."""
    command = [sys.executable, "-S", "-c", SCRIPT, str(sent), str(copy), str(owner)]
    environment = {"PATH": os.environ.get("PATH", "")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    answers = set(done.stdout.split())
    assert len(answers) == 1, done.stdout
    return answers == {"True"}


def test_the_same_is_used(sent, copy):
    assert used(sent, copy)


def test_another_version_is_not(sent, copy):
    with open(copy / "plan.py", "a") as stream:
        stream.write("# edited\n")
    assert not used(sent, copy)


def test_nor_one_with_a_file_too_many(sent, copy):
    (copy / "more.py").write_text("")
    assert not used(sent, copy)


def test_nor_nothing(sent, copy, tmp_path):
    assert not used(sent, tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert not used(sent, tmp_path / "empty")


def test_nor_what_others_may_write(sent, copy):
    copy.chmod(0o775)
    assert not used(sent, copy)
    copy.chmod(0o757)
    assert not used(sent, copy)
    copy.chmod(0o755)
    for place in (copy / "doors", copy / "plan.py"):
        usual = place.stat().st_mode
        place.chmod(0o777)
        assert not used(sent, copy)
        place.chmod(usual)
    assert used(sent, copy)
    assert not used(sent, copy, owner=1000)


def test_an_importer_without_files_is_as_good_as_no_copy(copy):
    package = mock.Mock(spec=["__path__", "__loader__"])
    package.__path__ = []
    assert not host_copy.prefer(package, str(copy))
