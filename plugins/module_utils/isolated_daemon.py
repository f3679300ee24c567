# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""From the isolated_daemon role's variables to the lists of netns_topology. Pure, and free of Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import InvalidOption
from .router import dictionary, router_topology

#: Without the role's prefix. Those of the namespace count only where the role builds it, which addresses ask for.
_NAMESPACE = ("addresses", "gateways", "dns", "hosts", "nat", "interface", "peer_interface", "sysctls")
_SERVICE = ("command", "user", "group", "environment", "private_tmp", "hardening", "enabled")
_PREFIX = "isolated_daemon_"


def isolated_daemon_topology(variables: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The lists of a topology with one service, and its namespace if there are addresses.

    *variables* are the role's, without their prefix; None and empty values stand for those that were not given. Raises
    InvalidOption, which names the variable.
    """
    given = {key: value for key, value in variables.items() if value is not None and value not in ("", [], {})}
    name = str(given.get("name", ""))
    if not name:
        raise InvalidOption(f"{_PREFIX}name", None, "is missing", "give the daemon a name")
    for key in ("environment", "hardening"):
        dictionary(_PREFIX + key, given.get(key, {}))
    if ("command" in given) == ("unit" in given):
        raise InvalidOption(
            f"{_PREFIX}command",
            given.get("command"),
            "is one way to say what runs, isolated_daemon_unit the other",
            "give one of the two: a command to write a unit for, or the name of a unit that exists",
        )
    if "command" in given and "user" not in given and "DynamicUser" not in given.get("hardening", {}):
        raise InvalidOption(
            f"{_PREFIX}user",
            None,
            "is required with isolated_daemon_command",
            "name an unprivileged account of the host (root only if you mean it)",
        )
    netns = str(given.get("netns", name))
    service = {key: given[key] for key in _SERVICE if key in given}
    service.update(name=str(given.get("unit", name)), netns=netns)
    topology = _network(netns, given)
    topology["services"] = [service]
    return topology


def _network(netns: str, given: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    ports = given.get("ports", [])
    ports = ports if isinstance(ports, (list, tuple)) else [ports]
    forwards = [port if isinstance(port, Mapping) else {"port": str(port)} for port in ports]
    if "addresses" in given:
        item = {key: given[key] for key in _NAMESPACE if key in given}
        return _renamed(
            lambda: router_topology([{"name": netns, "forwards": forwards, **item}], given.get("uplink", ()))
        )
    for key in ("gateways", "dns", "hosts", "sysctls"):
        if key in given:
            raise InvalidOption(
                f"{_PREFIX}{key}",
                given[key],
                f"belongs to namespace {netns!r}, which is not made here",
                "give isolated_daemon_addresses and isolated_daemon_gateways to have it made, or set this where it is",
            )
    for number, forward in enumerate(forwards):
        if "to_address" not in forward:
            raise InvalidOption(
                f"{_PREFIX}ports[{number}].to_address",
                None,
                f"has no default, since namespace {netns!r} is not made here",
                "give its address, or give isolated_daemon_addresses",
            )
    # A namespace without a network of ours: what the router makes of its forwards is all that is wanted.
    found = _renamed(lambda: router_topology([{"name": netns, "forwards": forwards}], given.get("uplink", ())))
    return {"namespaces": [], "veths": [], "nat": [], "forwards": found["forwards"]}


def _renamed(compose: Any) -> dict[str, list[dict[str, Any]]]:
    """What *compose* returns; its errors name this role's variables."""
    try:
        return compose()
    except InvalidOption as error:
        option = error.option.replace("router_namespaces[0].forwards[", f"{_PREFIX}ports[")
        option = option.replace("router_namespaces[0].", _PREFIX).replace("router_uplink", f"{_PREFIX}uplink")
        raise error.renamed(option) from None
