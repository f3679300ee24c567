# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What our table and our accepts in the tables of others have agreed upon."""

from __future__ import annotations

#: The chain of ours in a table of others: it accepts what our own table has let through, and marked.
ACCEPT_CHAIN = "linuxnet-netns"
#: The bit of a packet's mark that our table sets while the packet passes the forward hook, and takes away after it.
MARK = 0x04000000
#: When it is set: right after our filter. Chains that come earlier cannot see it.
MARKED_FROM = -9
