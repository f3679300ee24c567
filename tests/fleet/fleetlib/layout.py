# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, paths and addresses: everything of a fleet carries its name, and nothing else is ever touched.

    controller                host hI                    internet
    172.30.0.1 -------- mgmt0 172.30.0.(10+I)
                         eth0 198.51.100.(10+I) -------- 198.51.100.1
                              2001:db8:100::(10+I)       2001:db8:100::1

Addresses are the same in every fleet: fleets do not see each other.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re

from .errors import FleetError

PROJECT = "linuxnet-netns-fleet"
STATE = pathlib.Path("/run") / PROJECT
HERE = pathlib.Path(__file__).resolve().parents[1]
CHECKOUT = HERE.parents[1]

#: More do not fit into a /24 beside the others.
MOST_HOSTS = 200

CONTROLLER4 = "172.30.0.1"
MGMT_NET4 = "172.30.0.0/24"
GATEWAY4, GATEWAY6 = "198.51.100.1", "2001:db8:100::1"
WAN_NET4, WAN_NET6 = "198.51.100.0/24", "2001:db8:100::/64"
#: More addresses of the internet: somebody who may, and somebody who may not.
CLIENT4, CLIENT6 = "203.0.113.9", "2001:db8:203::9"
STRANGER4, STRANGER6 = "203.0.113.66", "2001:db8:203::66"


def cache():
    """Where images and disks are kept: $LINUXNET_NETNS_FLEET_CACHE, or .cache/fleet of the checkout."""
    return pathlib.Path(os.environ.get("LINUXNET_NETNS_FLEET_CACHE") or CHECKOUT / ".cache" / "fleet").resolve()


@dataclasses.dataclass(frozen=True)
class HostLayout:
    """One host: its number counts from 1."""

    fleet: Layout
    number: int

    @property
    def name(self):
        return "h%d" % self.number

    @property
    def state(self):
        return self.fleet.state / "hosts" / self.name

    @property
    def disk(self):
        """Directory of the writable layer; the state directory is often in memory, and small."""
        return self.fleet.disks / self.name

    @property
    def root(self):
        """Mount point of the root file system, in the supervisor's mount table only."""
        return self.disk / "root"

    @property
    def network(self):
        """Mount point of the network namespace, in the supervisor's mount table only."""
        return self.state / "network"

    @property
    def console(self):
        return self.state / "console.log"

    @property
    def boots(self):
        """File with the number of boots so far."""
        return self.state / "boots"

    @property
    def mgmt4(self):
        return "172.30.0.%d" % (10 + self.number)

    @property
    def wan4(self):
        return "198.51.100.%d" % (10 + self.number)

    @property
    def wan6(self):
        return "2001:db8:100::%d" % (10 + self.number)

    @property
    def mgmt_mac(self):
        return "02:00:00:00:01:%02x" % self.number

    @property
    def wan_mac(self):
        return "02:00:00:00:02:%02x" % self.number


@dataclasses.dataclass(frozen=True)
class Layout:
    """A fleet by its name."""

    name: str
    #: Where this fleet's disks are; a running fleet remembers it.
    cache: pathlib.Path = dataclasses.field(default_factory=cache, compare=False)

    def __post_init__(self):
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", self.name):
            raise FleetError("not a name for a fleet: %r (letters a-z, digits and dashes)" % self.name)

    @property
    def state(self):
        return STATE / self.name

    @property
    def record(self):
        """File that says what was made."""
        return self.state / "fleet.json"

    @property
    def disks(self):
        return self.cache / "disks" / self.name

    @property
    def controller(self):
        """Path of the controller's network namespace."""
        return self.state / "controller"

    @property
    def internet(self):
        """Path of the simulated internet's network namespace."""
        return self.state / "internet"

    @property
    def image(self):
        """A link to the image that the fleet runs on: the same path for every fleet of this name."""
        return self.state / "image"

    @property
    def ssh_sockets(self):
        """Directory of the ssh connections that Ansible keeps open."""
        return self.state / "ssh"

    @property
    def ansible_home(self):
        return self.state / "ansible"

    def host(self, number):
        if not 1 <= number <= MOST_HOSTS:
            raise FleetError("hosts are numbered from 1 to %d, not %d" % (MOST_HOSTS, number))
        return HostLayout(self, number)
