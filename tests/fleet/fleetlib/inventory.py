# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as Ansible sees it."""

from __future__ import annotations

import json
import shlex

from . import layout, remote


def inventory(fleet, image, numbers, user="root"):
    """An inventory in YAML (str) for these hosts. A user other than root becomes root by sudo."""
    hosts = {}
    for number in numbers:
        host = fleet.host(number)
        hosts[host.name] = {"ansible_host": host.mgmt4, "fleet_wan4": host.wan4, "fleet_wan6": host.wan6}
    shared = {
        "ansible_user": user,
        "ansible_become": user != "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        # The key is named by the option -i in there.
        "ansible_ssh_common_args": shlex.join(remote.options(image)),
        "fleet_gateway4": layout.GATEWAY4,
        "fleet_gateway6": layout.GATEWAY6,
    }
    lines = ["---", "all:", "  vars:"]
    # JSON is YAML: its quoting does for any value.
    lines += ["    %s: %s" % (name, json.dumps(value)) for name, value in shared.items()]
    lines.append("  hosts:")
    for name, values in hosts.items():
        lines.append("    %s:" % name)
        lines += ["      %s: %s" % (key, json.dumps(value)) for key, value in values.items()]
    return "\n".join(lines) + "\n"


def environment(fleet):
    """Settings of Ansible (dict of str) for what runs on the controller; the user's own home stays out of it."""
    return {
        "ANSIBLE_HOME": str(fleet.ansible_home),
        "ANSIBLE_INVENTORY": str(fleet.state / "inventory.yml"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(fleet.ssh_sockets),
        # The default is too long for a socket, under this directory.
        "ANSIBLE_SSH_CONTROL_PATH": "%(directory)s/%%h-%%p-%%r",
        "LINUXNET_NETNS_FLEET_NAME": fleet.name,
    }
