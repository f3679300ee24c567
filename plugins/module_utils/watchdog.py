# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The process on the host that makes a change on trial: it takes all back unless somebody confirms in time.

It lives apart from the connection that asked for the change, which may be what the change cuts. It alone decides:
either a confirmation has arrived before the deadline, or everything is undone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from typing import Any, Optional

from .confirmation import MODE, OUTCOME, REQUEST, SOCKET, receive, send
from .engine import converge
from .errors import NetnsError, NotConfirmed
from .request import Request

#: Seconds for the task to get its answer before the change that may cut its connection.
_HEAD_START = 1.0
#: Seconds for the task that started us to call.
_PATIENCE = 30.0


def main(folder: str, detach: bool) -> None:
    """Make the change that is described in *folder*; the outcome is left there for whoever asks."""
    if detach:
        _leave()
    with open(f"{folder}/{REQUEST}", encoding="utf-8") as stream:
        asked = json.load(stream)
    asked["request"]["identity"] = tuple(asked["request"]["identity"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{folder}/{SOCKET}")
        listener.listen()
        trial = _Trial(listener, asked["connection"], Request(**asked["request"]))
        if not trial.begin():
            return
        outcome = trial.run()
        _write(f"{folder}/{OUTCOME}", outcome)
        trial.answer(outcome)


class _Trial:
    """One change, from the call of the task that wants it to the outcome."""

    def __init__(self, listener: socket.socket, connection: Optional[list[Any]], request: Request) -> None:
        self._listener = listener
        self._connection = connection
        self._request = request
        self._confirming: Optional[socket.socket] = None

    def begin(self) -> bool:
        """Wait until the task has heard from us and is gone. False if it never called."""
        self._listener.settimeout(_PATIENCE)
        try:
            caller, _address = self._listener.accept()
        except OSError:
            return False
        with caller:
            send(caller, {"armed": True})
            receive(caller, _PATIENCE)
        time.sleep(_HEAD_START)
        return True

    def run(self) -> dict[str, Any]:
        """The change, with its outcome: that of a module."""
        signal.signal(signal.SIGTERM, _told_to_end)
        try:
            result = converge(self._request, check_mode=False, hold=self._hold).as_dict()
        except NetnsError as error:
            return {"failed": True, "msg": str(error), "error": error.kind}
        except Exception as error:  # pylint: disable=broad-exception-caught  # everything was undone, and it is reported
            return {"failed": True, "msg": f"unexpected {type(error).__name__}: {error}", "error": "unexpected"}
        return result

    def _hold(self) -> None:
        """Return when somebody confirms over another connection than the one by which the change was asked for."""
        seconds = self._request.confirm_timeout or 0
        deadline = time.monotonic() + seconds
        while True:
            self._listener.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                caller, _address = self._listener.accept()
            except socket.timeout:
                raise NotConfirmed(
                    f"nobody confirmed within {seconds} s over a new connection that the host can be reached"
                ) from None
            question = receive(caller, 5.0)
            if not question:
                caller.close()
            elif self._connection and question.get("connection") == self._connection:
                send(caller, {"again": "this is still the connection by which the change was asked for"})
                caller.close()
            else:
                self._confirming = caller
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                return

    def answer(self, outcome: dict[str, Any]) -> None:
        """Tell who confirmed what came of it. Who calls from now on finds that in the folder."""
        if self._confirming:
            with self._confirming:
                send(self._confirming, outcome)


def _told_to_end(_number: int, _frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise NotConfirmed("the host is going down, or its watchdog was told to end, before anybody confirmed")


def _leave() -> None:
    """Become a process of init's, in a session of its own."""
    if os.fork():
        os._exit(0)  # pylint: disable=protected-access
    os.setsid()
    os.chdir("/")


def _write(path: str, outcome: dict[str, Any]) -> None:
    handle = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
        json.dump(outcome, stream)
    os.rename(path + ".new", path)


if __name__ == "__main__":
    main(sys.argv[1], "--detach" in sys.argv[2:])
