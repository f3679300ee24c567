# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""One run at a time on a host: a lock file in /run that does not outlive its use."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from types import TracebackType
from typing import Optional

from .errors import SystemRefused

PATH = "/run/linuxnet-netns.lock"
#: Seconds to wait for another run.
PATIENCE = 120.0


class Lock:
    """A context manager, which may be acquired beforehand. *read_only* (check mode) waits for a
    running change but creates nothing itself."""

    def __init__(self, read_only: bool = False) -> None:
        self._read_only = read_only
        self._handle: Optional[int] = None
        #: True if the file was there although nobody held it: a run was killed.
        self.left_behind = False

    def __enter__(self) -> Lock:
        if self._handle is None:
            self.acquire()
        return self

    def acquire(self) -> None:
        """Wait for the lock; raises SystemRefused when it cannot be had."""
        deadline = time.monotonic() + PATIENCE
        while True:
            flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if self._read_only else os.O_CREAT)
            try:
                self.left_behind = os.path.lexists(PATH)
                handle = os.open(PATH, flags, 0o600)
            except FileNotFoundError:
                return
            except OSError as error:
                raise SystemRefused(f"opening {PATH}: {error.strerror}", error.errno or 0) from None
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(PATH) and os.path.samestat(os.fstat(handle), os.stat(PATH)):
                    self._handle = handle
                    return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(handle)
                    raise SystemRefused(
                        f"another run is at work on this host and holds {PATH}; waited {PATIENCE:.0f} s"
                    ) from None
                time.sleep(0.05)
            os.close(handle)

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._handle is not None:
            if not self._read_only:
                with contextlib.suppress(OSError):  # one that stays is in nobody's way
                    os.unlink(PATH)
            os.close(self._handle)
            self._handle = None
