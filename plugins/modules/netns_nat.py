#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_nat
short_description: Manage outbound NAT for a network namespace
version_added: 0.1.0
description:
  - Lets the networks behind a namespace, usually the host's own, reach out under its address, by masquerading or
    under a fixed address.
  - Forwarding is enabled for the interfaces that need it, never for the whole host. The filter is there before it.
  - Once a NAT or a forward uses a pair that this collection made, the pair is closed for everything that is not
    declared.
  - Any number of NATs share one nftables table, C(inet linuxnet_netns), which is replaced in one transaction. No
    other table is touched.
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
  - linuxnet.netns.attributes.resource
  - linuxnet.netns.options.nat
options:
  state:
    description:
      - V(present) makes the NAT what the options say. Options that are left out have their defaults.
      - V(absent) removes it. O(name) and O(netns) are enough. Forwarding that nobody else needs is put back.
    type: str
    choices:
      - present
      - absent
    default: present
seealso:
  - module: linuxnet.netns.netns_forward
  - module: linuxnet.netns.netns_topology
"""

EXAMPLES = r"""
- name: A namespace for the other end
  linuxnet.netns.netns:
    name: app

- name: A pair between the host and the namespace
  linuxnet.netns.veth:
    name: v-app
    addresses: [10.0.0.1/30, "fd00:0:0:1::1/64"]
    peer:
      name: eth0
      netns: app
      addresses: [10.0.0.2/30, "fd00:0:0:1::2/64"]
      gateway: 10.0.0.1
      gateway6: fd00:0:0:1::1

- name: The namespace reaches out under the host's addresses
  linuxnet.netns.netns_nat:
    name: app
    source: [10.0.0.2, "fd00:0:0:1::2"]

- name: The same under a fixed address, through one uplink only, and untranslated within the company
  linuxnet.netns.netns_nat:
    name: app
    source: [10.0.0.2]
    exclude: [10.0.0.0/8]
    out_interface: [eth0]
    to_address: 192.0.2.10

- name: No NAT
  linuxnet.netns.netns_nat:
    name: app
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
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_nat import OPTIONS


def main() -> None:
    """Entry point."""
    module = resource_module(OPTIONS)
    run(module, lambda params: single_resource(
        "nat", "netns_nat", params, ("netns_nat", params["netns"] or "", params["name"]), accumulates=False))


if __name__ == "__main__":
    main()
