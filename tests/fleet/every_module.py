# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play with every module of the collection, to be run in one way and in another: the results are to be the same."""

from __future__ import annotations

import difflib
import json

from daemons import COMMAND, PORT
from fleetlib.testing import GATEWAY4

NETNS = {"name": "app", "dns": {"nameservers": [GATEWAY4]}, "sysctls": {"net.ipv4.tcp_keepalive_time": 300}}
VETH = {
    "name": "v-app",
    "addresses": ["10.200.0.1/30", "fd00:200::1/64"],
    "peer": {
        "name": "eth0",
        "netns": "app",
        "addresses": ["10.200.0.2/30", "fd00:200::2/64"],
        "gateway": "10.200.0.1",
        "gateway6": "fd00:200::1",
    },
}
NAT = {"name": "app", "source": ["10.200.0.2", "fd00:200::2"]}
FORWARD = {"name": "app", "protocol": ["tcp", "udp"], "port": str(PORT), "to_address": "10.200.0.2"}
FORWARD6 = {"name": "app6", "protocol": ["tcp", "udp"], "port": str(PORT), "to_address": "fd00:200::2"}
SERVICE = {"name": "app", "netns": "app", "command": COMMAND, "user": "daemon"}
TOPOLOGY = {
    "name": "kept",
    "persist": True,
    "namespaces": [{"name": "other"}],
    "veths": [
        {
            "name": "v-other",
            "addresses": ["10.200.1.1/30"],
            "peer": {"name": "eth0", "netns": "other", "addresses": ["10.200.1.2/30"], "gateway": "10.200.1.1"},
        }
    ],
    "nat": [{"name": "other", "source": ["10.200.1.2"]}],
}
#: (module, its options), in the order of building.
MAKING = (
    ("netns", NETNS),
    ("veth", VETH),
    ("netns_nat", NAT),
    ("netns_forward", FORWARD),
    ("netns_forward", FORWARD6),
    ("netns_service", SERVICE),
    ("netns_topology", TOPOLOGY),
)
READING = (("netns_info", {}), ("netns_check", {"to_address": "127.0.0.1"}))


def removing():
    """The tasks that take away what MAKING has made, last things first."""
    return tuple((module, {"name": options["name"], "state": "absent"}) for module, options in reversed(MAKING))


def task(module, options, **keywords):
    """A task (dict)."""
    return {"name": "%s %s" % (module, options.get("name", "")), "linuxnet.netns." + module: options, **keywords}


def play(tasks):
    """A playbook (str) of these tasks (dicts)."""
    return json.dumps([{"name": "Modules", "hosts": "all", "gather_facts": False, "tasks": list(tasks)}], indent=1)


def said(outcome):
    """What the modules returned, as far as it is the same on every run of the same play: [(task, status, result)]."""
    return [(result.task, result.status, _lasting(result.result)) for result in outcome.results]


#: What the kernel, or chance, chooses anew each time.
_FLEETING = {"identity", "index", "mac", "pid", "processes", "counters", "packets", "bytes", "sockets", "flags"}


def _lasting(value):
    if isinstance(value, dict):
        # What begins with an underscore is Ansible's own, and the rest of invocation is what was asked.
        return {
            key: _lasting(below)
            for key, below in value.items()
            if key not in _FLEETING and not key.startswith("_") and key not in ("invocation", "warnings")
        }
    if isinstance(value, list):
        return [_lasting(below) for below in value]
    # Link-local addresses are made of random MAC addresses.
    return "fe80::" if isinstance(value, str) and value.startswith("fe80::") else value


def difference(one, other):
    """Lines (str) in which two answers of live() differ; empty if they don't."""
    texts = [json.dumps(said, indent=1, sort_keys=True).splitlines() for said in (one, other)]
    return "\n".join(difflib.unified_diff(*texts, "one", "other", lineterm=""))


def live(host, **way):
    """Make, make again, read, remove and remove again; return what was said all along, as in said()."""
    made = host.run_playbook(play(task(*one) for one in (*MAKING, *READING)), **way)
    assert made.changed() == len(MAKING)
    again = host.run_playbook(play(task(*one) for one in (*MAKING, *READING)), **way)
    assert again.changed() == 0
    gone = host.run_playbook(play(task(*one) for one in removing()), **way)
    assert gone.changed() == len(MAKING)
    again_gone = host.run_playbook(play(task(*one) for one in (*removing(), *READING)), **way)
    assert again_gone.changed() == 0
    return [said(outcome) for outcome in (made, again, gone, again_gone)]
