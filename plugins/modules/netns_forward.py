#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_forward
short_description: Manage a port forward into a network namespace
version_added: 0.1.0
description:
  - Redirects a port of the host (or of another namespace that routes) to a daemon in a namespace behind it (DNAT).
    The daemon sees the client's own address.
  - One forward is of one address family, that of O(to_address). Declare two for both.
  - Where several forwards match a packet, the one that names O(listen_address), then O(in_interface), then
    O(sources), comes first. Two that are equally specific and want the same port are an error.
  - When a forward is changed or removed, connections and UDP flows that it began and that would go on to the old
    place are ended. All others live on.
  - Another namespace of the host reaches the forward through the host's address, unless O(in_interface) says
    otherwise.
  - Forwarding is enabled for the interfaces that need it, never for the whole host. The filter is there before it.
  - Once a NAT or a forward uses a pair that this collection made, the pair is closed for everything that is not
    declared.
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
  - linuxnet.netns.attributes.resource
  - linuxnet.netns.options.forward
options:
  state:
    description:
      - V(present) makes the forward what the options say. Options that are left out have their defaults.
      - V(absent) removes it. O(name) and O(netns) are enough. Forwarding that nobody else needs is put back.
    type: str
    choices:
      - present
      - absent
    default: present
seealso:
  - module: linuxnet.netns.netns_nat
  - module: linuxnet.netns.netns_topology
"""

EXAMPLES = r"""
- name: A namespace for the daemon
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

- name: TCP 10105 of the host reaches the daemon
  linuxnet.netns.netns_forward:
    name: app
    port: "10105"
    to_address: 10.0.0.2

- name: The same for IPv6, on another port inside, and for a few clients only
  linuxnet.netns.netns_forward:
    name: app6
    port: "10105"
    to_address: fd00:0:0:1::2
    to_port: "8080"
    sources: ["2001:db8:1::/48"]

- name: A range, shifted one to one, for TCP and UDP at one address, arriving through eth0
  linuxnet.netns.netns_forward:
    name: media
    protocol: [tcp, udp]
    port: 20000-20099
    to_port: 30000-30099
    listen_address: [192.0.2.10]
    in_interface: [eth0]
    to_address: 10.0.0.2
    hairpin: false

- name: No forward
  linuxnet.netns.netns_forward:
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
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_forward import OPTIONS


def main() -> None:
    """Entry point."""
    module = resource_module(OPTIONS)
    run(module, lambda params: single_resource(
        "forwards", "netns_forward", params,
        ("netns_forward", params["netns"] or "", params["name"]), accumulates=False))


if __name__ == "__main__":
    main()
