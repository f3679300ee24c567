# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The file door's second half: the names under /run/netns, which are bind mounts of the kernel's namespace files."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple, Optional

from ..errors import SystemRefused
from .in_namespace import RUN_NETNS, THREAD_NS, check_call, enter_new, in_thread, libc, path_of

_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SHARED = 4096, 16384, 1 << 18, 1 << 20
_MNT_DETACH = 2
_PROBE = f"{RUN_NETNS}/linuxnet-netns.probe"


class NameState(NamedTuple):
    """What a name under /run/netns stands for.

    ``identity`` is ``device:inode`` of a real namespace, or None; ``leftover`` a file that is not a namespace
    (half-made, or made in another mount namespace); ``mounts`` how often it is mounted over (1 is right).
    """

    identity: Optional[str]
    leftover: bool
    mounts: int


class NetnsMounts:
    """Makes, finds and removes named namespaces."""

    def __init__(self) -> None:
        self._nsfs = os.stat("/proc/self/ns/net").st_dev
        self._stacks: Optional[dict[str, int]] = None
        self._held: dict[str, int] = {}

    def own_identity(self) -> str:
        """``device:inode`` of the namespace this process is in."""
        found = os.stat("/proc/self/ns/net")
        return f"{found.st_dev}:{found.st_ino}"

    def names(self) -> list[str]:
        """All names that really are namespaces, sorted; stray files are nobody's business."""
        try:
            entries = os.listdir(RUN_NETNS)
        except OSError:
            return []
        return sorted(name for name in entries if self.state(name).identity)

    def state(self, name: str) -> NameState:
        """Decided by the device of the mounted file, never by a listing."""
        path = path_of(name)
        try:
            found = os.stat(path, follow_symlinks=False)
        except OSError:
            return NameState(None, False, 0)
        if found.st_dev == self._nsfs and _is_netns(path):
            return NameState(f"{found.st_dev}:{found.st_ino}", False, self._mounts().get(path, 1))
        return NameState(None, not stat.S_ISDIR(found.st_mode), 0)

    def _mounts(self) -> dict[str, int]:
        """How deep each path under /run/netns is mounted; read once for all of them."""
        if self._stacks is None:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
                self._stacks = _stacks(stream)
        return self._stacks

    def create(self, name: str) -> None:
        """Make a namespace and give it its name; a leftover file of that name is replaced."""
        self.prepare()
        path = path_of(name)
        if self.state(name).leftover:
            self._remove_name(path)  # which may be mounted over, though with no namespace
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
        except OSError as error:
            raise SystemRefused(f"making {path}: {error.strerror}", error.errno or 0) from None

        def work() -> None:
            enter_new()
            _bind(THREAD_NS, path)

        try:
            in_thread(work)
        except SystemRefused:
            self._remove_name(path)
            raise
        finally:
            self._stacks = None

    def delete(self, name: str) -> None:
        """Take the name away, however often it is mounted, but hold on to the namespace itself until let_go():
        so far give_back() can undo it, with everything that is inside."""
        path = path_of(name)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            handle = -1  # a leftover that cannot be opened
        if handle >= 0 and os.fstat(handle).st_dev == self._nsfs:
            self._held[name] = handle
        elif handle >= 0:
            os.close(handle)
        self._remove_name(path)

    def give_back(self, name: str) -> None:
        """Give the namespace that delete() took the name from its name back; make a new one if there was none."""
        if name not in self._held:
            self.create(name)
            return
        path = path_of(name)
        if self.state(name).leftover:
            self._unlink(path)  # delete() got half-way
        handle = self._held.pop(name)
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
            _bind(f"/proc/self/fd/{handle}", path)
        finally:
            os.close(handle)
            self._stacks = None

    def let_go(self) -> None:
        """Let the kernel end the namespaces that were deleted, unless somebody else still uses them."""
        while self._held:
            os.close(self._held.popitem()[1])

    def _remove_name(self, path: str) -> None:
        while libc.umount2(os.fsencode(path), _MNT_DETACH) == 0:
            pass
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOENT):
            raise SystemRefused(f"unmounting {path}: {os.strerror(number)}", number)
        self._unlink(path)
        self._stacks = None

    def unstack(self, name: str) -> None:
        """Reduce a name that was mounted over several times to its topmost mount."""
        while self.state(name).mounts > 1:
            check_call(libc.umount2(os.fsencode(path_of(name)), _MNT_DETACH), f"unmounting {path_of(name)}")
            self._stacks = None

    def prepare(self) -> None:
        """Make /run/netns a place whose mounts every process of the host sees, as `ip netns add` does."""
        try:
            if not os.path.isdir(RUN_NETNS):
                os.makedirs(RUN_NETNS, 0o755, exist_ok=True)
                os.chmod(RUN_NETNS, 0o755)  # whatever the umask says
        except OSError as error:
            raise SystemRefused(f"making {RUN_NETNS}: {error.strerror}", error.errno or 0) from None
        target = os.fsencode(RUN_NETNS)
        if libc.mount(b"none", target, b"none", _MS_SHARED | _MS_REC, None) == 0:
            return
        if ctypes.get_errno() != errno.EINVAL:
            check_call(-1, f"making {RUN_NETNS} a shared mount")
        check_call(libc.mount(target, target, b"none", _MS_BIND | _MS_REC, None), f"binding {RUN_NETNS} onto itself")
        # out of /run's peer group first, or every name would be mounted twice
        check_call(
            libc.mount(b"none", target, b"none", _MS_PRIVATE | _MS_REC, None), f"making {RUN_NETNS} a private mount"
        )
        check_call(
            libc.mount(b"none", target, b"none", _MS_SHARED | _MS_REC, None), f"making {RUN_NETNS} a shared mount"
        )

    def why_unfit(self, really: bool) -> str:
        """Why /run/netns cannot hold namespaces, or "" if it can. *really* tries a mount; else only looks."""
        place = RUN_NETNS if os.path.lexists(RUN_NETNS) else os.path.dirname(RUN_NETNS)
        if not os.path.isdir(place):
            return f"{place} is not a directory"
        if not os.access(place, os.W_OK | os.X_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
            return f"{place} is not writable (a read-only or foreign mount?)"
        if not really:
            return ""
        try:
            self.prepare()
            os.close(os.open(_PROBE, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            try:
                _bind("/proc/self/ns/net", _PROBE)
            finally:
                self.sweep()
        except (OSError, SystemRefused) as error:
            with contextlib.suppress(OSError, SystemRefused):
                self.sweep()
            return str(error)
        return ""

    def sweep(self) -> None:
        """Remove what the trial mount of a run that was killed left."""
        if os.path.lexists(_PROBE):
            self._remove_name(_PROBE)

    @staticmethod
    def _unlink(path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise SystemRefused(f"removing {path}: {error.strerror}", error.errno or 0) from None


def _stacks(mountinfo: Iterable[str]) -> dict[str, int]:
    """A stacked mount has the mount below it as its parent. Two lines for one path with other parents are something
    else: the same mount, propagated to /run/netns bound onto itself."""
    parents: dict[str, dict[str, str]] = {}
    for line in mountinfo:
        fields = line.split(" ", 5)
        if len(fields) > 4 and fields[4].startswith(RUN_NETNS + "/"):
            parents.setdefault(_unescape(fields[4]), {})[fields[0]] = fields[1]
    return {path: max(_depth(mount, chain) for mount in chain) for path, chain in parents.items()}


def _depth(mount: str, parents: dict[str, str]) -> int:
    depth = 0
    while mount in parents and depth < len(parents):  # a mount may be said to be its own parent
        mount = parents[mount]
        depth += 1
    return depth


def _bind(source: str, target: str) -> None:
    check_call(
        libc.mount(os.fsencode(source), os.fsencode(target), b"none", _MS_BIND, None), f"mounting {source} on {target}"
    )


def _is_netns(path: str) -> bool:
    """A name can hold any kind of namespace; ours must be one of the network (ioctl NS_GET_NSTYPE)."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return libc.ioctl(handle, ctypes.c_ulong(0xB703)) == 0x40000000
    finally:
        os.close(handle)


def _unescape(path: str) -> str:
    """mountinfo writes blanks, tabs, newlines and backslashes in octal."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path
