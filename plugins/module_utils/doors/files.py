# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The file door: ordinary files, directories and sysctls (which are files under /proc/sys)."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import marshal
import os
import shutil
import stat
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Optional

from ..errors import SystemRefused
from .in_namespace import enter_new, in_namespace, in_thread

#: Every user inside a namespace has to be able to read its resolv.conf.
MODE = 0o644
#: Folders of ours: nobody has a reason to have them, or what is in them, elsewhere.
_OURS = ("/etc/netns", "/var/lib/linuxnet-netns")
_MOST_BYTES = 64 << 20


class Files:
    """Reads return None for what is not there; writes are atomic and never follow a symbolic link."""

    def read(self, path: str) -> Optional[str]:
        """The text of a regular file, or None."""
        _not_through_links(path)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None  # a symbolic link is not our file; it will be replaced
            raise _refused(f"reading {path}", error) from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)  # of a directory, fdopen() would make neither a stream nor an end
            raise SystemRefused(f"{path} is not a regular file; remove it, or move it out of the way")
        with os.fdopen(handle, "r", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read(_MOST_BYTES)

    def real_path(self, path: str) -> str:
        """Where a path leads when all symbolic links are followed."""
        return os.path.realpath(path)

    def modified(self, path: str) -> float:
        """When a file was last written, in seconds of the wall clock; 0 if it is not there."""
        try:
            return os.lstat(path).st_mtime
        except OSError:
            return 0.0

    def write(self, path: str, text: str, mode: int = MODE) -> None:
        """Replace or make *path*: written beside it, synced, renamed."""
        _not_through_links(path)
        temporary = _beside(path)
        try:
            self.remove(temporary)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                    stream.write(text)
                    stream.flush()
                    os.fchmod(stream.fileno(), mode)
                    os.fsync(stream.fileno())
                os.rename(temporary, path)
            except BaseException:
                with contextlib.suppress(OSError):  # what went wrong first is what matters
                    os.unlink(temporary)
                raise
            _sync_directory(os.path.dirname(path))
        except (OSError, UnicodeEncodeError) as error:
            raise _refused(f"writing {path}", error) from None

    def sweep(self, paths: Iterable[str]) -> None:
        """Remove what a run that was killed left beside these paths."""
        for beside in (place for path in paths for place in (_beside(path), _going(path))):
            if self.is_directory(beside):
                self._remove_folder(beside)
            else:
                self.remove(beside)

    def remove(self, path: str) -> None:
        _not_through_links(path)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _refused(f"removing {path}", error) from None

    def is_directory(self, path: str) -> bool:
        """True for a directory. Where one of ours belongs, a symbolic link is none; /usr/local/sbin may well be one."""
        try:
            return stat.S_ISDIR(os.stat(path, follow_symlinks=not _is_ours(path)).st_mode)
        except OSError:
            return False

    def writable_by_others(self, path: str) -> bool:
        """True if somebody but root (or whoever we are) can put another file in the place of *path*, or write it."""
        for place in (os.path.dirname(path), path):
            try:
                status = os.lstat(place)
            except OSError:
                continue
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return True
        return False

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def names(self, path: str) -> list[str]:
        """What is in a directory; nothing where there is none."""
        try:
            return sorted(os.listdir(path)) if self.is_directory(path) else []
        except OSError as error:
            raise _refused(f"reading directory {path}", error) from None

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        _not_through_links(path)
        try:
            os.mkdir(path, mode)
            os.chmod(path, mode)  # whatever the umask says
        except FileExistsError:
            if not self.is_directory(path):
                raise SystemRefused(f"{path} is in the way: it is not a directory") from None
        except OSError as error:
            raise _refused(f"making directory {path}", error) from None

    def remove_directory(self, path: str) -> None:
        """Remove a directory if it is empty; what somebody else put into it stays, and so does the directory."""
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                raise _refused(f"removing directory {path}", error) from None

    # -- a folder of files that is ours as a whole --

    def read_tree(self, path: str, suffix: str) -> dict[str, str]:
        """The texts of the files below *path* whose names end in *suffix*, by relative path; empty without a folder."""
        found = {}
        for folder, _folders, names in os.walk(path):
            for name in names:
                if name.endswith(suffix):
                    full = os.path.join(folder, name)
                    found[os.path.relpath(full, path)] = self.read(full) or ""
        return found

    def write_tree(self, path: str, texts: Mapping[str, str]) -> None:
        """Put a folder with *texts* (by relative path) in the place of whatever is at *path*.

        Python files are compiled, so that nobody who only runs them has to write anything.
        """
        try:
            new = _beside(path)
            self.sweep([path])
            os.mkdir(new, 0o755)
            try:
                for folder in {os.path.dirname(relative) for relative in texts}:
                    os.makedirs(os.path.join(new, folder, "__pycache__"), exist_ok=True)
                for relative, text in texts.items():
                    full = os.path.join(new, relative)
                    with open(full, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                        stream.write(text)
                        os.fchmod(stream.fileno(), MODE)
                        os.fsync(stream.fileno())
                    if full.endswith(".py"):
                        _compile(full, text, os.path.join(path, relative))
                for folder, _folders, _names in os.walk(new):
                    os.chmod(folder, 0o755)  # whatever the umask says, and that of the whole at last
                if self.exists(path):
                    os.rename(path, _going(path))
                os.rename(new, path)
                self.sweep([path])
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            _sync_directory(os.path.dirname(path))
        except OSError as error:
            raise _refused(f"writing {path}", error) from None

    def remove_tree(self, path: str) -> None:
        """Remove a folder with all that is in it: as a whole, as whoever looks sees it."""
        try:
            self.sweep([path])
            os.rename(path, _going(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refused(f"removing {path}", error) from None
        self._remove_folder(_going(path))

    @staticmethod
    def _remove_folder(path: str) -> None:
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise _refused(f"removing {path}", error) from None

    # -- sysctls: inside a namespace, /proc/sys/net shows that namespace to the thread that asks --

    def sysctl(self, path: str) -> Optional[str]:
        """The value under /proc/sys as seen by the calling thread, white space folded; None if there is no such key."""
        try:
            with open(f"/proc/sys/{path}", encoding="ascii", errors="replace") as stream:
                return " ".join(stream.read().split())
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EIO):
                return None  # write-only or not readable here
            raise _refused(f"reading sysctl {path}", error) from None

    def net_table(self, name: str) -> str:
        """What a file of /proc/net says in the namespace of the calling thread; "" where there is none."""
        try:
            with open(f"/proc/thread-self/net/{name}", encoding="ascii", errors="replace") as stream:
                return stream.read().strip()
        except OSError:
            return ""

    def sysctl_of_new_namespace(self, path: str) -> Optional[str]:
        """What a sysctl is in a namespace that nobody has touched."""

        def work() -> Optional[str]:
            enter_new()
            return self.sysctl(path)

        return in_thread(work)

    def set_sysctl(self, netns: str, path: str, value: str) -> Optional[str]:
        """Write a sysctl inside *netns*; returns what it was."""

        def work() -> Optional[str]:
            before = self.sysctl(path)
            try:
                with open(f"/proc/sys/{path}", "w", encoding="ascii") as stream:
                    stream.write(value)
            except (OSError, UnicodeEncodeError) as error:
                raise _refused(f"setting {path} to {value!r}", error) from None
            return before

        return in_namespace(netns, work)


def _is_ours(path: str) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in _OURS)


def _not_through_links(path: str) -> None:
    """Refuse a path below a folder of ours that leads elsewhere: what is there is not ours to read or to replace."""
    folder = os.path.dirname(path)
    while _is_ours(folder):
        if os.path.islink(folder):
            raise SystemRefused(f"{folder} is a symbolic link, which is not followed; put a directory in its place")
        folder = os.path.dirname(folder)


def _beside(path: str) -> str:
    """Where *path* is prepared. Only one run at a time does so, hence always the same name: the next one finds what a
    killed one left."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.linuxnet-netns")


def _going(path: str) -> str:
    """Where a folder is while it is removed."""
    return _beside(path) + ".gone"


def _compile(path: str, text: str, name: str) -> None:
    """Write byte code to where Python looks for that of *path*, in the form of PEP 552: valid while the source has this
    time and size. *name* is what tracebacks say. (py_compile does this in twice the time.)"""
    source = os.stat(path)
    header = struct.pack("<III", 0, int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF)
    code = compile(text, name, "exec", dont_inherit=True)
    folder, file = os.path.split(path)  # whatever this very run has been told about such files (PYTHONPYCACHEPREFIX)
    cache = os.path.join(folder, "__pycache__", f"{file[:-3]}.{sys.implementation.cache_tag}.pyc")
    with open(cache, "wb") as stream:
        stream.write(importlib.util.MAGIC_NUMBER + header + marshal.dumps(code))
        os.fchmod(stream.fileno(), MODE)


def _sync_directory(path: str) -> None:
    """A rename is on the disk only when its directory is."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(what: str, error: Exception) -> SystemRefused:
    number = getattr(error, "errno", 0) or 0
    return SystemRefused(f"{what}: {os.strerror(number) if number else error}", number)
