#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_topology
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ansible_collections.linuxnet.netns.plugins.module_utils.ansible_module import resource_module, run
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_topology import OPTIONS
from ansible_collections.linuxnet.netns.plugins.module_utils.engine import Request


def main() -> None:
    """Entry point."""
    run(resource_module(OPTIONS, ("name",)), topology)


def topology(params: dict) -> Request:
    """The Request of a whole topology."""
    absent = params.pop("state") == "absent"
    return Request(owner=f"topology {params['name']}", options={} if absent else params, absent=absent)


if __name__ == "__main__":
    main()
