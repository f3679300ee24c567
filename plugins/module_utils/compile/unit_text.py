# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The text of a unit, or of the drop-in that attaches somebody else's unit to a namespace. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..desired.netns import HEADER
from ..desired.netns_service import Service

#: Restores namespaces at boot; it exists only where a topology is persistent, and ordering after it is free.
BOOT_UNIT = "linuxnet-netns.service"
#: The exit status of systemd's own "the namespace is not there" (EXIT_NETWORK): trying again will not make it.
_NO_NAMESPACE = "225"

#: What a daemon that we write the unit for may not do, unless the user says so. Keys that an old systemd does not
#: know are ignored by it.
HARDENING: dict[str, str] = {
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateIPC": "yes",
    "ProtectSystem": "full",
    "ProtectHome": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectProc": "invisible",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "RemoveIPC": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "@system-service",
    "UMask": "0027",
    # D-Bus would carry requests to the host's daemons, its resolver among them.
    "InaccessiblePaths": "-/run/dbus",
}
_RESTART = {"Restart": "always", "RestartSec": "1", "RestartPreventExitStatus": _NO_NAMESPACE}
_SOCKETS = "-/run/nscd -/run/avahi-daemon"


def unit_text(service: Service, files: Iterable[tuple[str, str, bool]], masked: str, low_ports: bool) -> str:
    """A whole unit for a *service* with a command, a drop-in for any other.

    *files* are (source, destination, must exist) of what the service is to see in place of the host's; *masked* is
    the folder of the host's resolver, which others replace files in; *low_ports* says that it binds ports below 1024.
    """
    settings = dict(service.settings)
    service_lines = []
    if service.command is not None:
        service_lines += ["Type=exec"] if "Type" not in settings else []
        service_lines.append(f"ExecStart={service.command}")
    for key, value in (("User", service.user), ("Group", service.group)):
        service_lines += [f"{key}={value}"] if value is not None else []
    service_lines += [f'Environment="{name}={_quoted(value)}"' for name, value in service.environment]
    service_lines.append(f"NetworkNamespacePath=/run/netns/{service.netns}")
    service_lines += [
        f"BindReadOnlyPaths={'' if required else '-'}{_path(source)}:{target}" for source, target, required in files
    ]
    # Files there are replaced, and a mount on a file that is replaced is gone; over the folder, it stays.
    service_lines.append(f"TemporaryFileSystem={masked}:ro" if masked else "InaccessiblePaths=-/run/systemd/resolve")
    service_lines.append(f"InaccessiblePaths={_SOCKETS}")
    if service.private_tmp or service.command is not None:
        service_lines.append(f"PrivateTmp={'yes' if service.private_tmp else 'no'}")
    defaults = _defaults(service, low_ports)
    service_lines += [f"{key}={value}" for key, value in defaults.items() if key not in settings]
    service_lines += [f"{key}={value}" for key, values in service.settings for value in values]
    unit_lines = [f"After={BOOT_UNIT}"]
    if service.command is not None:
        unit_lines = [
            f"Description={service.name} in network namespace {service.netns}",
            "After=network.target",
        ] + unit_lines
    sections = [("Unit", unit_lines), ("Service", service_lines)]
    if service.command is not None:
        sections.append(("Install", ["WantedBy=multi-user.target"]))
    return HEADER + "\n".join(f"[{name}]\n" + "".join(line + "\n" for line in lines) for name, lines in sections)


def _defaults(service: Service, low_ports: bool) -> dict[str, str]:
    if service.command is None:
        return {"RestartPreventExitStatus": _NO_NAMESPACE}
    capabilities = "CAP_NET_BIND_SERVICE" if low_ports else ""
    return {
        **_RESTART,
        "CapabilityBoundingSet": capabilities,
        "AmbientCapabilities": capabilities,
        **HARDENING,
    }


def _quoted(value: str) -> str:
    """For double quotes in a unit file, where ``%`` starts a specifier."""
    for char, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("\n", "\\n"), ("\t", "\\t")):
        value = value.replace(char, written)
    return value


def _path(path: str) -> str:
    """In a list of paths, ``:`` separates source and destination."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace('"', '\\"').replace("'", "\\'")
