# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module of this collection, and where it put its change on trial, confirm that over a new connection."""

from __future__ import annotations

import time
from typing import Any, Optional

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display

display = Display()

#: Seconds between attempts, and how long a host may take to undo a change and to be reached again.
_PAUSE, _WAY_BACK = 1.0, 90.0


class ActionModule(NormalAction):
    """What every module gets, and for O(confirm_timeout) the second half of it."""

    def run(self, tmp: Any = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """The module's result; for a change on trial, the result of the confirmed change, or why it was undone."""
        if self._task.args.get("confirm_timeout") is None or self._task.check_mode:
            return super().run(tmp, task_vars)
        if self._task.async_val:
            raise AnsibleActionFail(
                "confirm_timeout: cannot be used with async, where nobody waits to confirm; leave one of them out"
            )
        result = ActionBase.run(self, tmp, task_vars)
        try:
            result.update(self._execute_module(task_vars=task_vars))
            trial = result.pop("confirm", None)
            if trial and not result.get("failed"):
                result.update(self._confirm(trial["id"], trial["timeout"], task_vars, result))
        finally:
            self._clean_up()
        return result

    def _confirm(
        self, name: str, timeout: int, task_vars: Optional[dict[str, Any]], result: dict[str, Any]
    ) -> dict[str, Any]:
        started = time.monotonic()
        trouble = "no attempt was made"
        while time.monotonic() < started + timeout + _WAY_BACK:
            time.sleep(_PAUSE)
            try:
                answer = self._over_new_connection("linuxnet.netns.netns_confirm", {"id": name}, task_vars)
            except AnsibleConnectionFailure as error:
                trouble = " ".join(str(error).split())
                display.vv(f"no connection to confirm by: {trouble}", host=self._task_host(task_vars))
                continue
            if "again" not in answer:
                return self._settled(answer, trouble, time.monotonic() - started)
            trouble = answer["again"]
        return {
            "failed": True,
            "unreachable": True,
            "changed": False,
            "msg": f"the change could not be confirmed, and the host, which takes it back {timeout} s after it was "
            f"made, was not to be reached again {_WAY_BACK:.0f} s later: {trouble}",
        }

    def _settled(self, answer: dict[str, Any], trouble: str, seconds: float) -> dict[str, Any]:
        """The answer as the task's result."""
        answer.pop("invocation", None)
        if answer.get("error") == "not_confirmed":
            answer["msg"] += f" (what was in the way: {trouble}; the host could be reached again after {seconds:.0f} s)"
        if answer.get("failed"):
            answer["changed"] = False
        return answer

    def _over_new_connection(
        self, module: str, arguments: dict[str, Any], task_vars: Optional[dict[str, Any]]
    ) -> dict[str, Any]:
        """Run a module over a connection that did not exist before. Raises AnsibleConnectionFailure."""
        try:
            self._connection.reset()
        except (AttributeError, AnsibleConnectionFailure) as error:
            display.vv(f"the connection was not reset: {error}", host=self._task_host(task_vars))
        self._connection._shell.tmpdir = None  # it went with the module before
        return self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)

    def _clean_up(self) -> None:
        try:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        except AnsibleConnectionFailure as error:
            display.vv(f"the module's temporary folder stays: {error}")

    @staticmethod
    def _task_host(task_vars: Optional[dict[str, Any]]) -> Optional[str]:
        return (task_vars or {}).get("inventory_hostname")
