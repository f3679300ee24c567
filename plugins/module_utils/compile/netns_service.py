# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A service compiled into objects: its unit, the files it is to see, its start at boot, and that it runs."""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional

from ..desired.netns import HEADER
from ..desired.netns_service import Service
from ..desired.state import State
from ..doors.systemd import UNITS
from ..objects.directory import Directory
from ..objects.enablement import DISABLED, ENABLED, Enablement
from ..objects.kernel_object import PRESENT
from ..objects.running_service import STOPPED, RunningService, configuration_of
from ..objects.text_file import TextFile
from ..objects.unit_file import UnitFile
from .netns import ETC_NETNS
from .unit_text import unit_text
from .wanted import Wanted

DROP_IN = "50-linuxnet-netns.conf"
_LOW_PORTS = 1024


class Surroundings(NamedTuple):
    """What a unit depends on of the host: the text of nsswitch.conf, the folder in which others replace resolv.conf
    ("" if it is a file in /etc), and user ids by name."""

    nsswitch: Optional[str]
    resolver_folder: str
    user_ids: Callable[[str], Optional[int]]


def unit_path(service: Service) -> str:
    """Where the unit, or the drop-in to somebody else's, is written."""
    return f"{UNITS}/{service.unit}" if service.command is not None else f"{UNITS}/{service.unit}.d/{DROP_IN}"


def compile_service(
    service: Service,
    state: State,
    around: Surroundings,
    text_of: Callable[[str], Optional[str]],
    wanted: Wanted,
) -> None:
    """*text_of* tells of a file what it will hold when the run is done, None if it will not be there."""
    folder = f"{ETC_NETNS}/{service.netns}"
    for path in (ETC_NETNS, folder):
        wanted.add(Directory(path), PRESENT)
    wanted.add(TextFile(f"{folder}/nsswitch.conf"), nsswitch(around.nsswitch))
    sources = tuple(f"{folder}/{name}" for name in ("resolv.conf", "hosts", "nsswitch.conf"))
    files = tuple((source, f"/etc/{source.rsplit('/', 1)[1]}") for source in sources)
    text = unit_text(
        service,
        [(source, target, text_of(source) is not None) for source, target in files],
        around.resolver_folder,
        _binds_low_ports(service, state),
    )
    path = unit_path(service)
    if service.command is None:
        wanted.add(Directory(path.rsplit("/", 1)[0]), PRESENT)
    wanted.add(UnitFile(path), text)
    wanted.add(Enablement(service.unit), ENABLED if service.enabled else DISABLED)
    running = RunningService(
        service.unit,
        service.netns,
        configuration_of([text, *map(text_of, sources)]),
        None if service.user is None else around.user_ids(service.user),
        files,
        (path, *sources),
        service.state == "restarted",
    )
    wanted.add(running, STOPPED if service.state == "stopped" else running.wanted)


def _binds_low_ports(service: Service, state: State) -> bool:
    """True if a forward leads to a port below 1024 in the service's namespace."""
    addresses = {
        item.ip
        for veth in state.veths
        for end in veth.ends
        if end.netns == service.netns
        for item in end.addresses or ()
    }
    return any(forward.to_port.first < _LOW_PORTS and forward.to_address in addresses for forward in state.forwards)


def nsswitch(host: Optional[str]) -> str:
    """The host's nsswitch.conf, but names are looked up in the namespace's own files and DNS alone: the other sources
    are daemons of the host, which answer from the host's network."""
    lines = [line for line in (host or "").splitlines() if not line.startswith(("hosts:", HEADER.strip()))]
    return HEADER + "".join(line + "\n" for line in [*lines, "hosts: files dns"])
