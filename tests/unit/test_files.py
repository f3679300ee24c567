# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file door, as far as it needs no root: a folder of ours as a whole, rights, and links in its way."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import mock

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import files
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.files import Files
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import SystemRefused

TEXTS = {"pkg/__init__.py": "", "pkg/sub/__init__.py": "", "pkg/sub/mod.py": "def fail():\n    raise KeyError('ü')\n"}


def test_a_tree_is_read_as_it_was_written_and_replaced_as_a_whole(tmp_path):
    top = str(tmp_path / "program")
    Files().write_tree(top, {"pkg/old.py": "1\n"})
    Files().write_tree(top, TEXTS)
    assert Files().read_tree(top, ".py") == TEXTS
    assert [path.name for path in tmp_path.iterdir()] == ["program"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.py*")} == {0o644}


def test_its_modules_are_compiled(tmp_path):
    """Python takes the byte code that is there, and says in a traceback where the source is."""
    top = str(tmp_path / "program")
    Files().write_tree(top, TEXTS)
    script = f"import sys; sys.path.insert(0, {top!r}); import pkg.sub.mod; pkg.sub.mod.fail()"
    done = subprocess.run([sys.executable, "-IBvc", script], capture_output=True, text=True, check=False)
    assert done.stderr.count(f" matches {top}/") == len(TEXTS)
    assert f'File "{top}/pkg/sub/mod.py", line 2' in done.stderr


def test_a_tree_that_cannot_be_written_leaves_the_old_one(tmp_path):
    top = str(tmp_path / "program")
    Files().write_tree(top, TEXTS)
    with pytest.raises(SyntaxError):
        Files().write_tree(top, {"pkg/mod.py": "x = (\n"})
    assert Files().read_tree(top, ".py") == TEXTS
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_rights_do_not_depend_on_the_umask(tmp_path, umask):
    """The program runs as root at every boot: nobody else may write a file of it, nor beside one."""
    Files().write_tree(str(tmp_path / "program"), TEXTS)
    Files().make_directory(str(tmp_path / "folder"), 0o700)
    Files().write(str(tmp_path / "folder" / "secret"), "x", 0o600)
    Files().write(str(tmp_path / "file"), "x")
    found = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o7777 for path in tmp_path.rglob("*")}
    assert (found.pop("folder"), found.pop("folder/secret"), found.pop("file")) == (0o700, 0o600, 0o644)
    folders = {name for name in found if (tmp_path / name).is_dir()}
    assert {"program", "program/pkg", "program/pkg/sub", "program/pkg/sub/__pycache__"} <= folders
    assert {found.pop(name) for name in folders} == {0o755}
    assert set(found.values()) == {0o644}


def own(monkeypatch, folder):
    monkeypatch.setattr(files, "_OURS", (str(folder),))


def test_a_folder_of_ours_is_not_reached_through_a_link(tmp_path, monkeypatch):
    """What is behind it is neither read nor written nor removed, and the message says what to do."""
    top, other = tmp_path / "netns", tmp_path / "other"
    own(monkeypatch, top)
    top.mkdir()
    other.mkdir()
    (other / "hosts").write_text("theirs")
    (top / "app").symlink_to(other)
    for act in (
        lambda: Files().read(f"{top}/app/hosts"),
        lambda: Files().write(f"{top}/app/hosts", "ours"),
        lambda: Files().remove(f"{top}/app/hosts"),
        lambda: Files().make_directory(f"{top}/app/sub"),
    ):
        with pytest.raises(SystemRefused) as caught:
            act()
        assert f"{top}/app is a symbolic link" in str(caught.value)
    assert [path.name for path in other.iterdir()] == ["hosts"] and (other / "hosts").read_text() == "theirs"
    assert not Files().is_directory(f"{top}/app") and Files().is_directory(str(top))
    (tmp_path / "else").symlink_to(top)
    own(monkeypatch, tmp_path / "else")
    with pytest.raises(SystemRefused):
        Files().read(f"{tmp_path}/else/app/hosts")


def test_elsewhere_a_directory_may_be_a_link(tmp_path):
    """Distributions have /usr/local/sbin lead to /usr/local/bin."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "sbin").symlink_to("bin")
    assert Files().is_directory(f"{tmp_path}/sbin")
    Files().write(f"{tmp_path}/sbin/command", "x")
    assert Files().read(f"{tmp_path}/sbin/command") == "x"


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path):
    victim, path = tmp_path / "victim", str(tmp_path / "file")
    victim.write_text("theirs")
    for link in (os.symlink, os.link):
        link(victim, path)
        Files().write(path, "ours")
        assert victim.read_text() == "theirs" and Files().read(path) == "ours"
        Files().remove(path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_at_once(tmp_path, make):
    """Reading a pipe would wait for somebody to write to it."""
    make(tmp_path / "x")
    handles = os.listdir("/proc/self/fd")
    with pytest.raises(SystemRefused) as caught:
        Files().read(str(tmp_path / "x"))
    assert "is not a regular file" in str(caught.value)
    assert os.listdir("/proc/self/fd") == handles


def test_text_that_has_no_bytes_is_refused(tmp_path):
    with pytest.raises(SystemRefused):
        Files().write(str(tmp_path / "x"), "\ud800")
    assert not list(tmp_path.iterdir())


def test_who_else_could_have_written_it(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir(0o700)
    path = folder / "file"
    path.write_text("x")
    path.chmod(0o600)
    assert not Files().writable_by_others(str(path))
    for place, mode in ((path, 0o620), (path, 0o602), (folder, 0o770), (folder, 0o1777)):
        usual = place.stat().st_mode
        place.chmod(mode)
        assert Files().writable_by_others(str(path))
        place.chmod(usual)
    with mock.patch.object(os, "geteuid", lambda: os.getuid() + 1):
        assert Files().writable_by_others(str(path))


def test_what_is_no_regular_file_is_refused_and_not_kept_open(tmp_path):
    """In the long-lived process of Mitogen, an open file would stay for good."""
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SystemRefused, match="is not a regular file"):
            Files().read(str(path))
    assert os.listdir("/proc/self/fd") == before
