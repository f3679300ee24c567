# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time."""

from __future__ import annotations

import fcntl
import os
import threading
import time

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils import lock
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import SystemRefused


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    found = tmp_path / "lock"
    monkeypatch.setattr(lock, "PATH", str(found))
    return found


def held(read_only=False):
    found = lock.Lock(read_only)
    found.acquire()
    return found


def test_the_file_does_not_outlive_its_use(path):
    with held():
        assert path.exists()
    assert not path.exists()


def test_an_error_inside_is_passed_on(path):
    with pytest.raises(ZeroDivisionError), held():
        raise ZeroDivisionError
    assert not path.exists()


def test_check_mode_creates_nothing(path):
    with held(read_only=True):
        assert not path.exists()


def test_check_mode_waits_and_leaves_the_file(path):
    path.touch()
    with held(read_only=True):
        pass
    assert path.exists()


def test_another_run_is_waited_for_and_then_named(path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for read_only in (False, True):
            with pytest.raises(SystemRefused) as caught, held(read_only):
                pass
            assert str(path) in str(caught.value) and "another run" in str(caught.value)


def test_a_lock_that_was_removed_meanwhile_is_not_taken_for_the_lock(path, monkeypatch):
    """Whoever waited on the old file must not believe to be alone with it: the next run has a new one already."""
    waited = []

    def flock(handle, operation):
        if not waited:
            waited.append(handle)
            path.unlink()
            path.touch()

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with held() as mine:
        assert os.path.samestat(os.fstat(mine._handle), os.stat(path))


def test_only_one_is_inside_at_a_time(path):
    order = []

    def work(name):
        with held():
            order.append(name)
            time.sleep(0.05)
            order.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[0::2] == order[1::2] and sorted(order[0::2]) == ["a", "b", "c"]
    assert not path.exists()


def test_a_symbolic_link_in_its_place_is_refused(path, tmp_path):
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(SystemRefused), held():
        pass
    assert not (tmp_path / "elsewhere").exists()
