#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: veth
short_description: Manage a veth pair and what is on its two ends
version_added: 0.1.0
description:
  - Makes, changes and removes a veth pair, a cable between two network namespaces, with the addresses, routes, rules
    and settings of both ends.
  - The pair is made directly in its namespaces, in one step, and the alias of both ends begins with
    C(linuxnet.netns).
  - Options that are left out leave as it is what they stand for. O(up) is the exception, and true.
  - The pair is the same whichever end is named first.
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
  - linuxnet.netns.attributes.resource
  - linuxnet.netns.options.veth
options:
  state:
    description:
      - V(present) makes the pair if it is not there, and gives its ends what the other options say. An interface of
        that name that is something else, or belongs to another pair, is an error.
      - V(absent) removes the pair with an end of that O(name) in O(netns), whoever made it.
    type: str
    choices:
      - present
      - absent
    default: present
seealso:
  - module: linuxnet.netns.netns
  - module: linuxnet.netns.netns_topology
"""

EXAMPLES = r"""
- name: A namespace for the other end
  linuxnet.netns.netns:
    name: app

- name: A pair between the host and the namespace, with IPv4 and IPv6 and default routes
  linuxnet.netns.veth:
    name: v-app
    addresses: [10.0.0.1/30, "fd00:0:0:1::1/64"]
    peer:
      name: eth0
      netns: app
      addresses: [10.0.0.2/30, "fd00:0:0:1::2/64"]
      gateway: 10.0.0.1
      gateway6: fd00:0:0:1::1

- name: Another MTU on both ends, and all else as it is
  linuxnet.netns.veth:
    name: v-app
    mtu: 1400
    peer:
      name: eth0
      netns: app
      mtu: 1400

- name: Routes of the namespace's end, one of them in a table of its own
  linuxnet.netns.veth:
    name: v-app
    peer:
      name: eth0
      netns: app
      routes:
        - to: 192.0.2.0/24
          via: 10.0.0.1
          metric: 50
        - to: 203.0.113.0/24
          type: unreachable
        - to: default
          via: 10.0.0.1
          table: "100"

- name: A second way out, for what is sent from its address and for what comes in through it (policy routing)
  linuxnet.netns.veth:
    name: v-app2
    addresses: [10.0.2.1/30]
    peer:
      name: eth1
      netns: app
      addresses: [10.0.2.2/30]
      routes:
        - to: default
          via: 10.0.2.1
          table: "102"
      rules:
        - priority: 1000
          from: 10.0.2.2
          table: "102"
        - priority: 1001
          iif: eth1
          table: "102"

- name: No pair
  linuxnet.netns.veth:
    name: v-app
    state: absent
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
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.veth import OPTIONS


def main() -> None:
    """Entry point."""
    module = resource_module(OPTIONS)
    run(module, lambda params: single_resource(
        "veths", "veth", params, ("veth", params["netns"] or "", params["name"]), accumulates=True))


if __name__ == "__main__":
    main()
