# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What of a service depends on the host it is for: looked up, and refused before anything is touched."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable
from typing import Optional

from .compile.netns_service import Surroundings, unit_path
from .compile.unit_text import HARDENING
from .desired.netns_service import Service
from .desired.state import State
from .errors import Clash, InvalidOption
from .objects.kernel_object import KernelObject
from .objects.unit_file import UnitFile
from .plan import Change
from .preflight import check_netns_known
from .snapshot import Snapshot
from .system import System

_RESOLV_CONF, _NSSWITCH = "/etc/resolv.conf", "/etc/nsswitch.conf"
#: Kinds of units that have no say in whether they start at boot.
_NEVER_ENABLED = ("static", "generated", "transient")


def look_around(system: System) -> Surroundings:
    """What units depend on, of this host."""
    files = system.files
    folder = os.path.dirname(files.real_path(_RESOLV_CONF))
    return Surroundings(
        nsswitch=files.read(files.real_path(_NSSWITCH)),
        resolver_folder=folder if folder.startswith("/run/") else "",
        user_ids=user_id,
    )


def user_id(name: str) -> Optional[int]:
    """The number of an account; None if there is none of that name."""
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def check_services(state: State, snapshot: Snapshot, ours: set[KernelObject], single: bool) -> None:
    """Refuse unknown namespaces, accounts and units, and units that are somebody else's."""
    for number, service in enumerate(state.services):
        prefix = "" if single else f"services[{number}]."
        check_netns_known(f"{prefix}netns", service.netns, state, snapshot)
        _check_accounts(prefix, service)
        if service.command is None:
            _check_attachable(prefix, service, snapshot)
        else:
            _check_free(prefix, service, snapshot, ours)


def _check_accounts(prefix: str, service: Service) -> None:
    if dict(service.settings).get("DynamicUser"):
        return  # systemd makes it
    if service.user is not None and user_id(service.user) is None:
        raise InvalidOption(
            f"{prefix}user",
            service.user,
            "is not an account of this host",
            "make it first (ansible.builtin.user), or set hardening.DynamicUser: true",
        )
    if service.group is not None and not service.group.isdigit():
        try:
            grp.getgrnam(service.group)
        except KeyError:
            raise InvalidOption(
                f"{prefix}group",
                service.group,
                "is not a group of this host",
                "make it first (ansible.builtin.group)",
            ) from None


def _check_attachable(prefix: str, service: Service, snapshot: Snapshot) -> None:
    unit = snapshot.unit(service.unit)
    if not unit.exists:
        raise InvalidOption(
            f"{prefix}name",
            service.name,
            f"is no unit of this host ({service.unit} was not found)",
            "install it first, or give a command to write one",
        )
    if unit.load == "masked":
        raise InvalidOption(f"{prefix}name", service.name, "is masked", f"systemctl unmask {service.unit}")
    if service.enabled and unit.enabled in _NEVER_ENABLED:
        raise InvalidOption(
            f"{prefix}enabled",
            True,
            f"cannot be had for {service.unit}, which is {unit.enabled}",
            "set enabled: false; other units start it",
        )


def _check_free(prefix: str, service: Service, snapshot: Snapshot, ours: set[KernelObject]) -> None:
    unit, path = snapshot.unit(service.unit), unit_path(service)
    if UnitFile(path) in ours:
        return
    there = unit.path if unit.exists else path if snapshot.system.files.exists(path) else ""
    if there:
        raise Clash(
            f"{prefix}name: {service.unit} exists already ({there}) and was not made by linuxnet.netns; choose "
            "another name, or leave out command to attach this unit to the namespace"
        )


def check_units(state: State, steps: Iterable[Change], system: System, single: bool) -> None:
    """Have systemd read what is about to be written, before it replaces what works."""
    services = {unit_path(service): (number, service) for number, service in enumerate(state.services)}
    texts = {
        change.item.path: change.after
        for change in steps
        if isinstance(change.item, UnitFile) and change.item.path in services and change.after is not None
    }
    for complaint in system.systemd.verify(texts):
        number, service = services[complaint.path]
        settings = dict(service.settings)
        if complaint.unknown and complaint.key in HARDENING and complaint.key not in settings:
            continue  # an old systemd goes without
        option = f"hardening.{complaint.key}" if complaint.key in settings else "command"
        value = ", ".join(settings[complaint.key]) if complaint.key in settings else service.command
        raise InvalidOption(
            ("" if single else f"services[{number}].") + option,
            value,
            f"makes a unit that systemd refuses: {complaint.reason}",
            "see systemd.service(5) and systemd.exec(5)",
        )
