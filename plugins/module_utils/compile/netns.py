# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A namespace compiled into objects."""

from __future__ import annotations

from ..desired.netns import Netns
from ..objects.directory import Directory
from ..objects.kernel_object import PRESENT
from ..objects.link_setting import LinkSetting
from ..objects.namespace import Namespace
from ..objects.sysctl import Sysctl
from ..objects.text_file import TextFile
from .wanted import Wanted

#: Where `ip netns exec` looks for files to bring into a namespace.
ETC_NETNS = "/etc/netns"


def compile_netns(netns: Netns, wanted: Wanted) -> None:
    wanted.add(Namespace(netns.name, netns.processes, netns.timeout), PRESENT)
    wanted.add(LinkSetting(netns.name, "lo", "up"), netns.loopback)
    for path, value in netns.sysctls:
        wanted.add(Sysctl(netns.name, path), value)
    folder = f"{ETC_NETNS}/{netns.name}"
    for name, text in (("resolv.conf", netns.resolv_conf), ("hosts", netns.hosts)):
        if text is not None:
            wanted.add(Directory(ETC_NETNS), PRESENT)
            wanted.add(Directory(folder), PRESENT)
            wanted.add(TextFile(f"{folder}/{name}"), text)
