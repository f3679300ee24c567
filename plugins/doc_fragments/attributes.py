# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules have in common: attributes, and what they need on the managed host."""

from __future__ import annotations


class ModuleDocFragment:
    """``linuxnet.netns.attributes`` for every module; one of the others beside it."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/linuxnet.netns.netns) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - linuxnet.netns.netns
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff
      mode.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates
      no change.
  platform:
    description: Target OS or families that can be operated against.
    support: full
    platforms: linux
"""

    # Modules that change the host.
    RESOURCE = r"""
options:
  confirm_timeout:
    description:
      - Put the change on trial. The host makes it, and takes all of it back by itself unless the controller confirms
        within this many seconds, over a new connection, that the host can still be reached. The task does that
        by itself.
      - Nothing that outlives a reboot is written before the confirmation.
      - Needed for a change that touches the interface or the route by which the SSH connection of the run comes, or
        the host's default route, and for a forward that takes the port of the SSH server. Without it such a change is
        refused (RV(ignore:error=lockout)).
      - From 5 to 86400. Allow for the time that a connection takes to be made.
      - Cannot be used with C(async).
    type: int
attributes:
  check_mode:
    support: full
    details:
      - Predicts exactly what the run would do, from the same plan.
  diff_mode:
    support: full
    details:
      - Names each object that differs, with what it was and what it will be.
  idempotent:
    support: full
requirements:
  - root on the managed host (C(become))
  - Python >= 3.9
  - pyroute2 >= 0.6.13 (package C(python3-pyroute2))
  - nft >= 1.0 (package C(nftables)) for NAT, forwards and topologies
  - Linux >= 5.4
notes:
  - All changes of a task are planned before the first one is made. When a step fails, everything done before it is
    undone, and the error says which step it was.
  - What was made, and what was there before, is recorded in C(/var/lib/linuxnet-netns/ledger.json) on the managed
    host.
  - The state is read from the kernel, not from gathered facts. C(gather_facts=false) is enough.
seealso:
  - module: linuxnet.netns.netns_info
"""

    # Modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This action does not modify state.
  diff_mode:
    support: full
    details:
      - This action does not modify state, so there is never a difference to show.
  idempotent:
    support: full
    details:
      - This action does not modify state.
"""
