# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What brings a topology back by itself: the program, its command, and when systemd runs it."""

from __future__ import annotations

from collections.abc import Mapping

from ..desired.netns import HEADER
from ..doors.systemd import UNITS
from ..objects.directory import Directory
from ..objects.enablement import ENABLED, Enablement
from ..objects.kernel_object import PRESENT
from ..objects.program import Program
from ..objects.text_file import TextFile
from ..objects.unit_file import UnitFile
from .netns_service import DROP_IN
from .unit_text import BOOT_UNIT
from .wanted import Wanted

FOLDER = "/usr/local/lib/linuxnet-netns"
PACKAGE = "linuxnet_netns"
COMMAND = "/usr/local/sbin/linuxnet-netns"

#: Starting, stopping and reloading these may flush the ruleset of everybody, or make rules that drop what is forwarded.
FLUSHING = (
    *("nftables.service", "firewalld.service", "ufw.service", "docker.service"),
    *("netfilter-persistent.service", "iptables.service", "ip6tables.service"),
)

_COMMAND = """\
#!{interpreter} -IB
# Written by linuxnet.netns; changes made here are overwritten.
import sys

sys.path.insert(0, "{folder}")

from {package}.host_command import main

sys.exit(main(sys.argv[1:]))
"""

# After the network's own configuration, so that uplinks and default routes are there as far as they ever will be.
# Whether a boot waits until it is online is not for us to decide: there is no Wants= for that.
_BOOT = """\
[Unit]
Description=Network namespaces declared with linuxnet.netns
Documentation=file:{command}
After=local-fs.target network.target network-online.target systemd-sysctl.service {flushing}
ConditionPathExists=/var/lib/linuxnet-netns/ledger.json

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command} restore

[Install]
WantedBy=multi-user.target
"""

# After the unit's own commands and before its job is done: whoever waits for that finds the ruleset complete.
_FLUSHED = """\
[Service]
{ready_to_start}ExecStartPost=-{command} restore --flushed
{ready_to_reload}ExecReload=-{command} restore --flushed
ExecStopPost=-{command} restore --flushed
"""

#: What answers only when the unit's rules are there, by unit: firewalld has its name on the bus before that.
_READY = {"firewalld.service": "-/usr/bin/firewall-cmd --quiet --state"}


def compile_persistence(program: Mapping[str, str], interpreter: str, wanted: Wanted) -> None:
    """*program* maps paths to texts; *interpreter* is the Python that has pyroute2."""
    for path in ("/usr/local/lib", "/usr/local/sbin"):
        wanted.add(Directory(path), PRESENT)
    wanted.add(Program(FOLDER), dict(program))
    wanted.add(TextFile(COMMAND), _COMMAND.format(interpreter=interpreter, folder=FOLDER, package=PACKAGE))
    wanted.add(UnitFile(f"{UNITS}/{BOOT_UNIT}"), HEADER + _BOOT.format(command=COMMAND, flushing=" ".join(FLUSHING)))
    wanted.add(Enablement(BOOT_UNIT), ENABLED)
    for unit in FLUSHING:
        folder = f"{UNITS}/{unit}.d"
        wanted.add(Directory(folder), PRESENT)
        wanted.add(UnitFile(f"{folder}/{DROP_IN}"), HEADER + _flushed(unit))


def _flushed(unit: str) -> str:
    ready = {
        when: f"{setting}={_READY[unit]}\n" if unit in _READY else ""
        for when, setting in (("ready_to_start", "ExecStartPost"), ("ready_to_reload", "ExecReload"))
    }
    return _FLUSHED.format(command=COMMAND, **ready)
