#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns
short_description: Manage a network namespace
version_added: 0.1.0
description:
  - Makes, changes and removes a named network namespace, the kind that C(ip netns) shows.
  - Options that are left out leave as it is what they stand for. A namespace that exists already is taken as it is,
    whoever made it.
  - To manage all of a host's namespaces and what is between them in one task, see M(linuxnet.netns.netns_topology).
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
  - linuxnet.netns.attributes.resource
  - linuxnet.netns.options.netns
options:
  state:
    description:
      - V(present) makes the namespace if it is not there, and gives it what the other options say. A name that is
        only half there (a plain file, or a namespace mounted more than once) is repaired, with a warning.
      - V(absent) removes the namespace of that name, whoever made it, with all that is inside, the other ends of its
        veth pairs, and the files under C(/etc/netns) that this module wrote. O(processes) says what becomes of
        processes.
    type: str
    choices:
      - present
      - absent
    default: present
seealso:
  - module: linuxnet.netns.veth
  - module: linuxnet.netns.netns_topology
"""

EXAMPLES = r"""
- name: A namespace
  linuxnet.netns.netns:
    name: app

- name: A namespace with its own resolver, hosts file and sysctls
  linuxnet.netns.netns:
    name: db
    dns:
      nameservers: [192.0.2.53, "2001:db8::53"]
      search: [example.net]
      options: [edns0, "timeout:2"]
    hosts:
      192.0.2.10: [backup, backup.example.net]
    sysctls:
      net.ipv4.ping_group_range: 0 2147483647
      net.ipv4.tcp_keepalive_time: 300

- name: No namespace, and nobody in it
  linuxnet.netns.netns:
    name: app
    state: absent
    processes: kill
    timeout: 5
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, in the order in which it is done.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(update) or V(delete).
      type: str
      sample: create
    kind:
      description: >-
        V(namespace), V(veth), V(link) (a setting of an interface), V(address), V(neighbour), V(route), V(rule),
        V(sysctl), V(nftables), V(directory), V(file), V(process), V(physical link), V(unit), V(enablement),
        V(service) or V(program).
      type: str
      sample: address
    object:
      description: The object, in words.
      type: str
      sample: address 10.0.0.2/30 on eth0 in app
    before:
      description: Its value before, V(none) if it was not there. V(present) is the value of what has no other.
      type: raw
      sample: null
    after:
      description: Its value after, V(none) if it is gone.
      type: raw
      sample: present
diff:
  description: The same as text, a line for each object that differs, with its value.
  returned: in diff mode
  type: dict
  contains:
    before:
      description: The lines as they were.
      type: str
      sample: ""
    after:
      description: The lines as they are.
      type: str
      sample: "address 10.0.0.2/30 on eth0 in app\n"
msg:
  description: Why the task failed, in a sentence that names the option or object and the remedy.
  returned: failure
  type: str
  sample: "addresses[0]: '10.0.0.2' has no prefix length; write ..."
error:
  description:
    - Kind of failure, for machines.
    - V(invalid_option), V(missing_dependency), V(clash) (a name or address is somebody else's, or a namespace is in
      use) and V(ledger) (the record of what was made is damaged) are raised before anything is touched.
    - V(step_failed) means that the system refused a step and everything before it was undone. V(refused) is a refusal
      outside of such a step, V(unexpected) a bug.
  returned: failure
  type: str
  sample: clash
"""

from ansible_collections.linuxnet.netns.plugins.module_utils.ansible_module import resource_module, run, single_resource
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns import OPTIONS


def main() -> None:
    """Entry point."""
    module = resource_module(OPTIONS, ("name",))
    run(module, lambda params: single_resource(
        "namespaces", "netns", params, ("netns", params["name"]), accumulates=True))


if __name__ == "__main__":
    main()
