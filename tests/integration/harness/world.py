# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world around the host under test.

    internet ---- eth0 [ host ] eth1 ---- mgmt
    198.51.100.1      .10    192.0.2.1    .2
    clients 203.0.113.9 and .66

"internet" answers at SERVER and speaks from CLIENT and STRANGER too. Both neighbours have routes to everything behind
the host: what does not get through was stopped by the host, not by a missing route.
"""

from __future__ import annotations

from .hosts import Host
from .nodes import Node
from .snapshot import stack_snapshot

UPLINK4, UPLINK6 = "198.51.100.10", "2001:db8:100::10"
SERVER4, SERVER6 = "198.51.100.1", "2001:db8:100::1"
CLIENT4, CLIENT6 = "203.0.113.9", "2001:db8:203::9"
STRANGER4, STRANGER6 = "203.0.113.66", "2001:db8:203::66"
MGMT_HOST4, MGMT_HOST6 = "192.0.2.1", "2001:db8:192::1"
MGMT4, MGMT6 = "192.0.2.2", "2001:db8:192::2"

#: A port of the server on the internet and of the one on the management network, TCP and UDP.
SERVER_PORT = 7


class World:
    def __init__(self):
        self.nodes = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _node(self, node):
        self.nodes.append(node)
        return node

    def _build(self):
        self.internet = self._node(Node("internet"))
        self.mgmt = self._node(Node("mgmt"))
        self.host = self._node(Host("host"))
        self.host.cable("eth0", self.internet, "up0", "02:00:00:00:00:10", "02:00:00:00:00:01")
        self.host.cable("eth1", self.mgmt, "eth0", "02:00:00:00:01:01", "02:00:00:00:01:02")
        self.internet.ip("""
            address add 198.51.100.1/24 dev up0
            address add 2001:db8:100::1/64 dev up0 nodad
            address add 203.0.113.9/32 dev lo
            address add 203.0.113.66/32 dev lo
            address add 2001:db8:203::9/128 dev lo
            address add 2001:db8:203::66/128 dev lo
            route add 192.0.2.0/24 via 198.51.100.10
            route add 10.0.0.0/8 via 198.51.100.10
            route add 2001:db8:192::/64 via 2001:db8:100::10
            route add fd00::/8 via 2001:db8:100::10
        """)
        self.mgmt.ip("""
            address add 192.0.2.2/24 dev eth0
            address add 2001:db8:192::2/64 dev eth0 nodad
            route add default via 192.0.2.1
            route add default via 2001:db8:192::1
        """)
        self.host.ip("""
            address add 198.51.100.10/24 dev eth0
            address add 2001:db8:100::10/64 dev eth0 nodad
            address add 192.0.2.1/24 dev eth1
            address add 2001:db8:192::1/64 dev eth1 nodad
            route add default via 198.51.100.1
            route add default via 2001:db8:100::1
        """)
        for proto in ("tcp", "udp"):
            for address in (SERVER4, SERVER6):
                self.internet.serve(address, SERVER_PORT, proto=proto)
            for address in (MGMT4, MGMT6):
                self.mgmt.serve(address, SERVER_PORT, proto=proto)

        for node in self.nodes:
            node.keep()

    def release(self):
        """Close what a test has opened; the world stays."""
        for node in self.nodes:
            node.release()

    def snapshot(self):
        """Everything configured, on the host and around it."""
        found = self.host.snapshot()
        for node in (self.internet, self.mgmt):
            found.update(stack_snapshot(node, node.label))
        return found

    def close(self):
        for node in reversed(self.nodes):
            node.close()
