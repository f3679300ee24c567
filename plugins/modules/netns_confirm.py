#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_confirm
short_description: Confirm a change that is on trial
version_added: 0.1.0
description:
  - A task with O(linuxnet.netns.netns_topology#module:confirm_timeout) makes its change on trial, and confirms it with
    this module, over a new connection. It is not needed in playbooks.
  - When the change is not confirmed in time, the host takes it back by itself. This module then says so.
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
attributes:
  check_mode:
    support: none
  diff_mode:
    support: none
  idempotent:
    support: none
options:
  id:
    description: Name of the trial, which is that of a folder in C(/run/linuxnet-netns).
    type: str
    required: true
requirements:
  - root on the managed host (C(become))
seealso:
  - module: linuxnet.netns.netns_topology
"""

EXAMPLES = r"""
- name: Confirm a change by hand, when the controller that made it is gone
  linuxnet.netns.netns_confirm:
    id: 9f86d081884c7d65
"""

RETURN = r"""
changes:
  description: The changes that are now final, as the module that asked for them returns them.
  returned: success
  type: list
  elements: dict
  sample: []
again:
  description: Why this was no confirmation, because it came over the connection by which the change was asked for.
  returned: when it has to be repeated over a new connection
  type: str
  sample: this is still the connection by which the change was asked for
msg:
  description: Why the change was undone.
  returned: failure
  type: str
  sample: "nobody confirmed within 30 s over a new connection that the host can be reached. Everything was undone; ..."
error:
  description:
    - Kind of failure, for machines.
    - V(not_confirmed) means that it was too late, and all is as before.
  returned: failure
  type: str
  sample: not_confirmed
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.linuxnet.netns.plugins.module_utils.ansible_module import report
from ansible_collections.linuxnet.netns.plugins.module_utils.confirmation import confirm


def main() -> None:
    """Entry point."""
    module = AnsibleModule({"id": dict(type="str", required=True)})

    def work() -> dict:
        answer = confirm(module.params["id"])
        if answer.pop("failed", False):
            module.fail_json(**answer)
        return answer

    report(module, work)


if __name__ == "__main__":
    main()
