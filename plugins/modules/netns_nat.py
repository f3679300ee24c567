#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_nat
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ansible_collections.linuxnet.netns.plugins.module_utils.ansible_module import resource_module, run, single_resource
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_nat import OPTIONS


def main() -> None:
    """Entry point."""
    module = resource_module(OPTIONS)
    run(module, lambda params: single_resource("nat", "netns_nat", params, ("netns_nat", params["netns"] or "", params["name"]), accumulates=False))


if __name__ == "__main__":
    main()
