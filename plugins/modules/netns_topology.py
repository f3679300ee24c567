#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_topology
short_description: Manage all network namespaces of a host in one task
version_added: 0.1.0
description:
  - Namespaces, the veth pairs between them, addresses, routes, rules, NAT out, port forwards in, and the services that
    live there, declared as a whole and applied in one go. Either all of it holds afterwards, or the host is as it was
    before.
  - Validated as a whole, before anything is touched. Networks that overlap, names used twice, two forwards for one
    port, and names or addresses that somebody else has taken are errors.
  - What an earlier run made and this one no longer lists is removed, and settings go back to what they were before.
    That includes single options, such as a sysctl that is no longer given.
  - What others made is left alone. What a single module of this collection made is adopted by the topology that lists
    it.
  - The host's ends of all veth pairs that lead into a namespace are closed. Only replies, declared NAT and declared
    forwards pass, and from the namespace only its own addresses.
  - Drift is repaired object by object. A connection through a forward that did not change lives on.
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
  - linuxnet.netns.attributes.resource
  - linuxnet.netns.options.topology
options:
  state:
    description:
      - V(present) makes the host what the lists say.
      - V(absent) removes everything that runs under this O(name) have made, and puts back what they changed. The
        lists are not needed.
    type: str
    choices:
      - present
      - absent
    default: present
seealso:
  - module: linuxnet.netns.netns
  - module: linuxnet.netns.netns_service
  - module: linuxnet.netns.veth
  - module: linuxnet.netns.netns_nat
  - module: linuxnet.netns.netns_forward
"""

EXAMPLES = r"""
- name: A namespace behind the host, which reaches out and is reached at TCP 10105
  linuxnet.netns.netns_topology:
    namespaces:
      - name: app
        dns:
          nameservers: [192.0.2.53]
    veths:
      - name: v-app
        addresses: [10.0.0.1/30, "fd00:0:0:1::1/64"]
        peer:
          name: eth0
          netns: app
          addresses: [10.0.0.2/30, "fd00:0:0:1::2/64"]
          gateway: 10.0.0.1
          gateway6: fd00:0:0:1::1
    nat:
      - name: app
        source: [10.0.0.2, "fd00:0:0:1::2"]
    forwards:
      - name: app
        port: "10105"
        to_address: 10.0.0.2
      - name: app6
        port: "10105"
        to_address: fd00:0:0:1::2

- name: A daemon in a namespace, reached at TCP 8080, back after a reboot
  linuxnet.netns.netns_topology:
    name: web
    persist: true
    namespaces:
      - name: web
        dns:
          nameservers: [192.0.2.53]
    veths:
      - name: v-web
        addresses: [10.0.1.1/30]
        peer:
          name: eth0
          netns: web
          addresses: [10.0.1.2/30]
          gateway: 10.0.1.1
    forwards:
      - name: web
        port: "8080"
        to_address: 10.0.1.2
    services:
      - name: web
        netns: web
        command: /usr/bin/python3 -m http.server 8080 --directory /srv
        user: daemon

- name: A lab of its own, three namespaces in a row
  linuxnet.netns.netns_topology:
    name: lab
    namespaces:
      - name: left
      - name: middle
        sysctls:
          net.ipv4.ip_forward: 1
      - name: right
    veths:
      - name: eth0
        netns: left
        addresses: [10.1.1.2/24]
        gateway: 10.1.1.1
        peer:
          name: left0
          netns: middle
          addresses: [10.1.1.1/24]
      - name: eth0
        netns: right
        addresses: [10.1.2.2/24]
        gateway: 10.1.2.1
        peer:
          name: right0
          netns: middle
          addresses: [10.1.2.1/24]

- name: No lab
  linuxnet.netns.netns_topology:
    name: lab
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

from ansible_collections.linuxnet.netns.plugins.module_utils.ansible_module import resource_module, run
from ansible_collections.linuxnet.netns.plugins.module_utils.engine import Request
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_topology import OPTIONS


def main() -> None:
    """Entry point."""
    run(resource_module(OPTIONS, ("name",)), topology)


def topology(params: dict) -> Request:
    """The Request of a whole topology."""
    absent = params.pop("state") == "absent"
    return Request(owner=f"topology {params['name']}", options={} if absent else params, absent=absent)


if __name__ == "__main__":
    main()
