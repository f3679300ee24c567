# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Between Ansible and the engine: argument specs in, exit_json or fail_json out. Only this file knows Ansible."""

from __future__ import annotations

import copy
import dataclasses
import traceback
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

# The first of these decides where the others come from.
from . import host_copy, preflight  # pylint: disable=unused-import  # noqa: F401
from .desired.names import where
from .engine import Request, converge
from .errors import InvalidOption, NetnsError

STATE = dict(type="str", default="present", choices=["present", "absent"])
CONFIRM_TIMEOUT = dict(type="int")
#: Seconds: no connection is made in less, and after a day nobody waits any more.
_SHORTEST, _LONGEST = 5, 86400

#: Where a distribution's python3-pyroute2 lives, when Ansible runs by another interpreter.
_SYSTEM_PYTHONS = ["/usr/libexec/platform-python", "/usr/bin/python3", "/usr/local/bin/python3"]


def resource_module(options: dict[str, Any], identity: tuple[str, ...] = ("name", "netns")) -> AnsibleModule:
    """The AnsibleModule of one resource: its options plus ``state``; for ``absent`` the identity is enough."""
    spec = copy.deepcopy(options)
    state = dict(spec["state"], choices=[*spec["state"]["choices"], "absent"]) if "state" in spec else STATE
    required = [name for name, option in spec.items() if option.get("required") and name not in identity]
    for name in required:
        spec[name]["required"] = False
    module = AnsibleModule(
        dict(spec, state=state, confirm_timeout=CONFIRM_TIMEOUT),
        supports_check_mode=True,
        required_if=[("state", choice, required) for choice in state["choices"] if required and choice != "absent"],
    )
    find_pyroute2()
    return module


def find_pyroute2() -> None:
    """Start again under the system's own interpreter if that is the one that has pyroute2."""
    if not preflight.has_pyroute2() and not has_respawned():
        interpreter = probe_interpreters_for_module(_SYSTEM_PYTHONS, "pyroute2")
        if interpreter:
            respawn_module(interpreter)


def run(module: AnsibleModule, build: Callable[[dict[str, Any]], Request]) -> None:
    """Converge and report. *build* turns the module's parameters into a Request."""
    params = dict(module.params)
    timeout = params.pop("confirm_timeout")
    report(
        module,
        lambda: (
            _on_trial(build(params), timeout, module.check_mode)
            if timeout is not None
            else converge(build(params), module.check_mode).as_dict()
        ),
    )


def _on_trial(request: Request, timeout: int, check_mode: bool) -> dict[str, Any]:
    """Have a watchdog make the change, if there is one to make; the action plugin confirms it."""
    if not _SHORTEST <= timeout <= _LONGEST:
        raise InvalidOption("confirm_timeout", timeout, f"is not from {_SHORTEST} to {_LONGEST} seconds")
    request = dataclasses.replace(request, confirm_timeout=timeout)
    foreseen = converge(request, check_mode=True)
    if check_mode:
        return foreseen.as_dict()
    if not foreseen.changes:
        return converge(request, check_mode=False).as_dict()
    from .confirmation import arm  # pylint: disable=import-outside-toplevel  # few runs need it

    return {**foreseen.as_dict(), "confirm": {"id": arm(request), "timeout": timeout}}


def report(module: AnsibleModule, work: Callable[[], dict[str, Any]]) -> None:
    """Exit with the result of *work*, or fail with the sentence of a NetnsError."""
    try:
        result = work()
    except NetnsError as error:
        module.fail_json(msg=str(error), error=error.kind)
    except Exception as error:  # pylint: disable=broad-exception-caught
        module.fail_json(
            msg=f"unexpected {type(error).__name__}: {error}", error="unexpected", exception=traceback.format_exc()
        )
    if not module._diff:  # pylint: disable=protected-access  # hundreds of namespaces make a long text
        result.pop("diff", None)
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)


def single_resource(
    list_name: str, kind: str, params: dict[str, Any], identity: tuple[str, ...], accumulates: bool
) -> Request:
    """A Request for one resource by its own module. *identity* is that of the resource."""
    absent = params["state"] == "absent"
    if absent or params["state"] == "present":
        del params["state"]  # the rest are states of the resource itself
    return Request(
        owner=f"module {kind} {identity[-1]}" + (f" {where(identity[1])}" if len(identity) > 2 else ""),
        options={list_name: [params]},
        single=True,
        identity=identity,
        absent=absent,
        accumulates=accumulates,
    )
