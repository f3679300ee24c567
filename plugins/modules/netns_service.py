#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_service
short_description: Manage a systemd service that lives in a network namespace
version_added: 0.1.0
description:
  - Writes a unit for a daemon of yours, or attaches a unit that exists by a drop-in, so that the service runs in a
    network namespace, sees that namespace's C(resolv.conf), C(hosts) and C(nsswitch.conf), and never the host's
    resolvers. Without its namespace it does not start.
  - A unit that is written is hardened. The daemon is an unprivileged user without capabilities, with private C(/tmp),
    devices and IPC, and cannot write to the system or see home directories. It is started again when it ends.
  - Whether the main process really is in that namespace, as that user, with those files, is read from the kernel. A
    service that runs otherwise, or with an older configuration, is restarted. One that runs as it should is left alone.
  - A unit that systemd would refuse is refused before anything is written. If the service does not stay up, the task
    fails with its last journal lines, and all is as it was before.
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
  - linuxnet.netns.attributes.resource
  - linuxnet.netns.options.service
options:
  state:
    description:
      - V(started) has the service run, V(stopped) has its unit there but not running, V(restarted) restarts it on
        every run.
      - V(absent) stops a service whose unit was written here and removes the unit. One that was attached goes back to
        the host's network, running or not as it was before.
    type: str
    choices:
      - started
      - restarted
      - stopped
      - absent
    default: started
seealso:
  - module: linuxnet.netns.netns
  - module: linuxnet.netns.netns_topology
"""

EXAMPLES = r"""
- name: A namespace with a resolver of its own
  linuxnet.netns.netns:
    name: app
    dns:
      nameservers: [192.0.2.53]

- name: A daemon in it
  linuxnet.netns.netns_service:
    name: app
    netns: app
    command: /usr/bin/python3 -m http.server 8080 --directory /srv
    user: daemon
    environment:
      PYTHONUNBUFFERED: 1
    hardening:
      MemoryMax: 200M
      StateDirectory: app

- name: The nginx of the distribution, moved into the namespace
  linuxnet.netns.netns_service:
    name: nginx
    netns: app

- name: And back
  linuxnet.netns.netns_service:
    name: nginx
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
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_service import OPTIONS


def main() -> None:
    """Entry point."""
    module = resource_module(OPTIONS, ("name",))
    run(module, lambda params: single_resource(
        "services", "netns_service", params, ("netns_service", params["name"]), accumulates=False))


if __name__ == "__main__":
    main()
