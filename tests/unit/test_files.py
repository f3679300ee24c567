# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file door, as far as it needs no root: a folder of ours as a whole."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
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


def test_what_is_no_regular_file_is_refused_and_not_kept_open(tmp_path):
    """In the long-lived process of Mitogen, an open file would stay for good."""
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SystemRefused, match="is not a regular file"):
            Files().read(str(path))
    assert os.listdir("/proc/self/fd") == before
