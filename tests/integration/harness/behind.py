# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A namespace behind the host, in the words of the modules."""

from __future__ import annotations


class Behind:
    """A namespace NAME on a network of its own: host end veth-NAME at .1, namespace end eth0 at .2.

    `netns` and `veth` are the options of the modules of these names, and the items of a topology.
    """

    def __init__(self, host, name, number):
        self.host = host
        self.name = name
        self.link = "veth-" + name
        self.net4, self.net6 = "10.200.%d.0/24" % number, "fd00:200:%d::/64" % number
        self.gateway4, self.gateway6 = "10.200.%d.1" % number, "fd00:200:%d::1" % number
        self.address4, self.address6 = "10.200.%d.2" % number, "fd00:200:%d::2" % number

    @property
    def ns(self):
        return self.host.ns(self.name)

    @property
    def netns(self):
        return {"name": self.name}

    @property
    def veth(self):
        return {
            "name": self.link,
            "addresses": [self.gateway4 + "/24", self.gateway6 + "/64"],
            "peer": {
                "name": "eth0",
                "netns": self.name,
                "addresses": [self.address4 + "/24", self.address6 + "/64"],
                "gateway": self.gateway4,
                "gateway6": self.gateway6,
            },
        }

    def veth_with(self, peer=None, **changed):
        """The options of the pair with some of them changed; peer: those of the namespace's end."""
        options = dict(self.veth, **changed)
        options["peer"] = dict(options["peer"], **(peer or {}))
        return options

    def nat(self, name="out", **more):
        return dict({"name": name, "source": [self.net4, self.net6]}, **more)

    def build(self):
        self.host.module("netns", **self.netns)
        self.host.module("veth", **self.veth)
        return self

    def serve(self, *ports, proto="tcp"):
        """Servers at both of the namespace's addresses; returns all of them."""
        addresses = (self.address4, self.address6)
        return [self.ns.serve(address, port, proto=proto) for address in addresses for port in ports]


def topology(*behind, nat=True, forwards=(), **more):
    """The options of netns_topology that put these namespaces behind the host."""
    options = {
        "namespaces": [one.netns for one in behind],
        "veths": [one.veth for one in behind],
        "nat": [one.nat("out-" + one.name) for one in behind] if nat else [],
        "forwards": list(forwards),
    }
    return dict(options, **more)
