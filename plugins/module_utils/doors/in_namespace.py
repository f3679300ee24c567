# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Acting inside a network namespace without ever moving the process.

A namespace belongs to a thread. Mitogen runs modules in a long-lived interpreter, so the main thread must stay
where it is: work is done in a short-lived thread that enters the namespace and ends there. What it opens
(netlink sockets) or starts (``nft``) stays in that namespace. No fork, which is unsafe beside other threads.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable
from typing import Callable, Optional, TypeVar

from ..errors import SystemRefused

RUN_NETNS = "/run/netns"
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
#: The calling thread's namespace. /proc/self/ns/net would be the main thread's.
THREAD_NS = "/proc/thread-self/ns/net"

libc = ctypes.CDLL(None, use_errno=True)

Result = TypeVar("Result")


def path_of(netns: str) -> str:
    """The file under /run/netns that stands for a namespace."""
    return f"{RUN_NETNS}/{netns}"


def check_call(result: int, what: str) -> None:
    """Raise SystemRefused with errno's text if a libc call returned non-zero."""
    if result != 0:
        number = ctypes.get_errno()
        raise SystemRefused(f"{what}: {os.strerror(number)}", number)


def in_thread(work: Callable[[], Result]) -> Result:
    """Run *work* in a thread of its own and return its result, or raise what it raised."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # pylint: disable=broad-exception-caught
            failure.append(error)

    thread = threading.Thread(target=body, name="linuxnet.netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def enter(netns: str) -> None:
    """Move the calling thread into *netns*. Only ever called from a thread that in_thread() made."""
    handle = os.open(path_of(netns), os.O_RDONLY | os.O_CLOEXEC)
    try:
        check_call(libc.setns(handle, CLONE_NEWNET), f"entering namespace {netns}")
    finally:
        os.close(handle)


def enter_new() -> None:
    """Move the calling thread into a fresh, anonymous namespace, which ends with the thread."""
    check_call(libc.unshare(CLONE_NEWNET), "making a network namespace")


def join_mounts_of_init() -> None:
    """Move this process, a program of its own, to where the host's init sees its mounts. A unit's sandbox would hide
    the names of namespaces that are made in it. Where that is not allowed, it stays where it is."""
    try:
        if os.path.samefile("/proc/self/ns/mnt", "/proc/1/ns/mnt"):
            return
        handle = os.open("/proc/1/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    libc.setns(handle, CLONE_NEWNS)
    os.close(handle)


def in_namespace(netns: str, work: Callable[[], Result]) -> Result:
    """Run *work* inside *netns*; the host's namespace ("") is where we are anyway."""
    if not netns:
        return work()

    def body() -> Result:
        enter(netns)
        return work()

    return in_thread(body)


def in_namespaces(names: Iterable[str], work: Callable[[str], Result]) -> dict[str, Result]:
    """Run ``work(name)`` inside each namespace, all in one thread that moves from one to the next."""
    found: dict[str, Result] = {}
    others = []
    for name in names:
        if name:
            others.append(name)
        else:
            found[name] = work(name)

    def body() -> Optional[Result]:
        for name in others:
            enter(name)
            found[name] = work(name)
        return None

    if others:
        in_thread(body)
    return found
