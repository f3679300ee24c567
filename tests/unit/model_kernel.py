# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel, an nft and a file system in memory, for the engine's own System, Snapshot, plan and Journal to run on.

model_system.py puts it behind the doors. It has the side effects that make the real
kernel hard to plan for:

* a namespace that ends takes its links along, and an end of a veth pair takes the other one;
* a link that goes down loses its routes and its IPv6 addresses;
* a link that loses its last IPv4 address loses its IPv4 routes, a primary address takes the secondary ones of its
  network with it, and a source address the routes that prefer it;
* a policy rule stays when the link that it names goes, and two of the same priority may be there;
* a next hop must be on a network of an interface that is up, and a route that is there is not added twice;
* the global forwarding switches rewrite those of every interface, and the one of IPv6 drops the default routes that
  were learnt by router advertisement, where accept_ra is not 2;
* a new namespace inherits the IPv4 settings of the host, and compiled-in ones for IPv6;
* interface numbers repeat from namespace to namespace.

Left out: link-local addresses, duplicate address detection, connected and local routes (dumps leave them out), the
interval in which the kernel takes a namespace apart, MTUs that disable IPv6, open sockets that keep a namespace alive,
and whatever nft makes of its input: it is listed as it was given.
"""

from __future__ import annotations

import errno
import os

from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import SystemRefused

_LINK_KEYS = {
    "ipv4": {"forwarding": "0", "route_localnet": "0", "rp_filter": "0"},
    "ipv6": {"forwarding": "0", "accept_ra": "1", "disable_ipv6": "0"},
}
_OTHER_KEYS = {
    "net/core/somaxconn": "4096",
    "net/ipv4/ip_local_port_range": "32768 60999",
    "net/ipv4/ip_default_ttl": "64",
}


def refuse(number):
    raise SystemRefused(os.strerror(number), number)


class Device:
    def __init__(self, space, name, kind="", mac="", mtu=1500):
        self.space, self.name, self.type, self.mac, self.mtu = space, name, kind, mac, mtu
        self.index = space.next_index
        space.next_index += 1
        self.up, self.alias, self.master, self.peer = False, "", None, None
        self.neighbours = {}  # permanent ones, entered by hand
        self.addresses = []  # ipaddress interfaces; the first of a network is the primary one
        space.devices[name] = self
        for family in _LINK_KEYS:
            for key in list(space.keys[family]):
                space.sysctls[f"net/{family}/conf/{name}/{key}"] = space.sysctls[f"net/{family}/conf/default/{key}"]

    def wire(self):
        other = self.peer
        return wire.Link(
            index=self.index,
            name=self.name,
            type=self.type,
            up=self.up,
            mtu=self.mtu,
            mac=self.mac,
            master=self.master.index if self.master else 0,
            alias=self.alias,
            peer=other.index if other else 0,
            peer_netnsid=other.space.number if other and other.space is not self.space else None,
            running=self.up and (other is None or other.up),
        )

    def take_down(self):
        self.up, self.neighbours = False, {}
        self.space.drop_routes(lambda route: route.index == self.index)
        self.addresses = [item for item in self.addresses if item.version == 4]

    def move(self, space):
        """To another namespace, where it is down and has no addresses."""
        self.end()
        self.__init__(space, self.name, self.type, self.mac, self.mtu)

    def end(self):
        for device in (self, self.peer):
            if device is not None and device.space.devices.pop(device.name, None):
                device.take_down()
                for other in device.space.devices.values():
                    other.master = None if other.master is device else other.master
                prefixes = tuple(f"net/{family}/conf/{device.name}/" for family in _LINK_KEYS)
                for path in [path for path in device.space.sysctls if path.startswith(prefixes)]:
                    del device.space.sysctls[path]


class Space:
    """A network namespace, with or without a name."""

    def __init__(self, number, force_forwarding, parent=None):
        self.number, self.identity = number, f"4:{4026530000 + number}"
        self.next_index, self.devices, self.routes, self.table = 1, {}, [], None
        self.rules = [
            wire.Rule(version, priority, wire.FR_ACT_TO_TBL, table, protocol=wire.RTPROT_KERNEL)
            for version, priority, table in (
                (4, 0, 255),
                (4, 32766, 254),
                (4, 32767, 253),
                (6, 0, 255),
                (6, 32766, 254),
            )
        ]
        self.keys = {
            "ipv4": _LINK_KEYS["ipv4"],
            "ipv6": dict(_LINK_KEYS["ipv6"], **({"force_forwarding": "0"} if force_forwarding else {})),
        }
        self.sysctls = dict(_OTHER_KEYS)
        self.sysctls.update(
            {
                f"net/{family}/conf/{part}/{key}": value
                for family, keys in self.keys.items()
                for part in ("all", "default")
                for key, value in keys.items()
            }
        )
        if parent is not None:
            self.sysctls.update(
                {
                    path: value
                    for path, value in parent.sysctls.items()
                    if path.startswith(("net/ipv4/conf/all/", "net/ipv4/conf/default/"))
                }
            )
        Device(self, "lo", mtu=65536)

    def by_index(self, index):
        return next((device for device in self.devices.values() if device.index == index), None) or refuse(errno.ENODEV)

    def rename(self, old, new):
        device = self.devices.pop(old)
        device.name = new
        self.devices[new] = device
        for path in [path for path in self.sysctls if f"/{old}/" in path]:
            self.sysctls[path.replace(f"/{old}/", f"/{new}/")] = self.sysctls.pop(path)

    def drop_routes(self, doomed):
        self.routes = [route for route in self.routes if not doomed(route)]

    def add_address(self, device, item):
        if any(
            item.ip == other.ip and (item.version == 6 or item.network == other.network) for other in device.addresses
        ):
            refuse(errno.EEXIST)
        device.addresses.append(item)

    def delete_address(self, device, item):
        if item not in device.addresses:
            refuse(errno.EADDRNOTAVAIL)
        same = [other for other in device.addresses if other.version == 4 and other.network == item.network]
        gone = same if item.version == 4 and same[0] == item else [item]
        device.addresses = [other for other in device.addresses if other not in gone]
        sources = {other.ip for other in gone}
        if item.version == 4:
            self.drop_routes(lambda route: route.source in sources)
            if not any(other.version == 4 for other in device.addresses):
                self.drop_routes(lambda route: route.index == device.index and route.network.version == 4)
        self.routes = [route._replace(source=None) if route.source in sources else route for route in self.routes]

    def add_route(self, route):
        if route.network.version == 6 and not route.metric:
            route = route._replace(metric=1024)
        if any(
            (other.network, other.table, other.metric) == (route.network, route.table, route.metric)
            for other in self.routes
        ):
            refuse(errno.EEXIST)
        if route.type == wire.RTN_UNICAST:
            device = self.by_index(route.index)
            if not device.up:
                refuse(errno.ENETDOWN)
            near = [item.network for item in device.addresses]
            near += [other.network for other in self.routes if other.index == device.index and other.via is None]
            if (
                route.via is not None
                and not route.onlink
                and not route.via.is_link_local
                and not any(route.via in net for net in near)
            ):
                refuse(errno.ENETUNREACH)
            if route.source is not None and not any(
                route.source == item.ip for other in self.devices.values() for item in other.addresses
            ):
                refuse(errno.EINVAL)
        self.routes.append(route)

    def delete_route(self, route):
        for number, other in enumerate(self.routes):
            if (other.network, other.table, other.type) == (route.network, route.table, route.type) and all(
                not asked or asked == there
                for asked, there in ((route.metric, other.metric), (route.via, other.via), (route.index, other.index))
            ):
                del self.routes[number]
                return
        refuse(errno.ESRCH)

    def add_rule(self, rule):
        if rule in self.rules:
            refuse(errno.EEXIST)
        self.rules.append(rule)

    def delete_rule(self, rule):
        """What a request leaves out fits any rule; its protocol number is not left out."""
        selectors = ("source", "destination", "iif", "oif", "mark", "action", "table")
        for number, other in enumerate(self.rules):
            if all(getattr(rule, name) == getattr(other, name) for name in ("version", "priority", "protocol")) and all(
                getattr(rule, name) in (None, 0, "", getattr(other, name)) for name in selectors
            ):
                del self.rules[number]
                return
        refuse(errno.ENOENT)

    def set_sysctl(self, path, value):
        path = "net/ipv4/conf/all/forwarding" if path == "net/ipv4/ip_forward" else path
        if path not in self.sysctls:
            raise SystemRefused(f"setting {path} to {value!r}: {os.strerror(errno.ENOENT)}", errno.ENOENT)
        before, self.sysctls[path] = self.sysctls[path], value
        parts = path.split("/")
        if parts[2:] == ["conf", "all", "forwarding"]:
            for name in ["default", *self.devices]:
                self.sysctls[f"net/{parts[1]}/conf/{name}/forwarding"] = value
                if (
                    parts[1] == "ipv6"
                    and value == "1"
                    and name in self.devices
                    and self.sysctls[f"net/ipv6/conf/{name}/accept_ra"] != "2"
                ):
                    self.drop_routes(
                        lambda route, index=self.devices[name].index: (
                            route.index == index and route.protocol == wire.RTPROT_RA and not route.network.prefixlen
                        )
                    )
        return before


class ModelKernel:
    """The state. ``writes`` counts what was changed through the doors; number ``fail_at`` of them is refused."""

    def __init__(self, force_forwarding=True):
        self.force_forwarding, self.spaces = force_forwarding, 0
        self.names = {}  # name -> [Space, or None for a leftover file; how often it is mounted]
        self.files = {
            "/etc": None,  # None: a directory
            "/var/lib": None,
            "/etc/machine-id": "0123456789abcdef\n",
            "/etc/nsswitch.conf": "passwd: files\nhosts: files resolve dns\n",
            "/etc/systemd": None,
            "/etc/systemd/system": None,
            "/usr/local": None,
            "/usr/local/lib": None,
        }
        self.written = {}  # path -> when, in acts
        #: name -> enabled, vendor (its file is not ours), and of a running one pid, started (in acts) and space
        self.units = {"nginx.service": {"vendor": True, "enabled": False}}
        self.pids = 1000
        self.boot, self.current, self.writes, self.fail_at = "boot-1", "", 0, 0
        self.flows, self.processes = {}, {}
        self.host = self.new_space()

    def new_space(self):
        self.spaces += 1
        return Space(self.spaces, self.force_forwarding, getattr(self, "host", None))

    def space(self, netns):
        found = self.names.get(netns, [None])[0] if netns else self.host
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"/run/netns/{netns}")
        return found

    def act(self):
        self.writes += 1
        if self.writes == self.fail_at:
            raise SystemRefused("the model was told to refuse this", errno.EIO)

    def start(self, unit):
        """Start or restart a service, where its files say; without its namespace it stays down."""
        state = self.units.setdefault(unit, {})
        state.pop("pid", None)
        texts = [self.files.get(path) or "" for path in self.files if path.startswith(f"/etc/systemd/system/{unit}")]
        place = next(
            (line.split("/run/netns/")[1] for text in texts for line in text.splitlines() if "/run/netns/" in line), ""
        )
        needed = [
            line.split("=", 1)[1].split(":")[0]
            for text in texts
            for line in text.splitlines()
            if line.startswith("BindReadOnlyPaths=/")
        ]
        if (place and self.names.get(place, [None])[0] is None) or any(path not in self.files for path in needed):
            refuse(errno.ENOENT)
        self.pids += 1
        state.update(pid=self.pids, started=float(self.writes), space=self.space(place))

    def place_of(self, pid):
        """As System.place_of() says it."""
        space = next(state["space"] for state in self.units.values() if state.get("pid") == pid)
        names = {entry[0]: f"in {name}" for name, entry in self.names.items() if entry[0]}
        return {self.host: "on the host", **names}.get(space, "in a namespace without a name")

    def add_netns(self, name):
        self.names[name] = [self.new_space(), 1]
        return self.names[name][0]

    def add_veth(self, one, other, alias=""):
        """Ends are (space, name, mac or "")."""
        if any(name in space.devices for space, name, _mac in (one, other)) or one[:2] == other[:2]:
            refuse(errno.EEXIST)
        ends = [
            Device(space, name, "veth", mac or "02:00:00:%02x:%02x:01" % (space.number, space.next_index))
            for space, name, mac in (one, other)
        ]
        for end, peer in (ends, ends[::-1]):
            end.peer, end.alias = peer, alias
        return ends

    def end_space(self, space):
        for device in list(space.devices.values()):
            device.end()

    def picture(self, ledger=True):
        """All that can be seen from outside, comparable; numbers that the kernel hands out are left out."""
        named = {"": self.host, **{name: entry[0] for name, entry in self.names.items() if entry[0]}}
        spaces = {}
        for where, space in named.items():
            names = {device.index: device.name for device in space.devices.values()}
            links = {
                name: (
                    item.type,
                    item.up,
                    item.mtu,
                    item.mac,
                    item.alias,
                    item.master.name if item.master else "",
                    item.peer
                    and (
                        next((name for name, other in named.items() if other is item.peer.space), "?"),
                        item.peer.name,
                    ),
                    sorted(map(str, item.addresses)),
                    dict(item.neighbours),
                )
                for name, item in space.devices.items()
            }
            routes = sorted(str(route._replace(index=names.get(route.index, ""))) for route in space.routes)
            spaces[where] = {
                "links": links,
                "routes": routes,
                "rules": sorted(map(str, space.rules)),
                "sysctls": dict(space.sysctls),
                "table": space.table,
            }
        files = {path: text for path, text in self.files.items() if ledger or "/var/lib/linuxnet-netns" not in path}
        units = {
            name: (state.get("enabled", False), self.place_of(state["pid"]) if state.get("pid") else "")
            for name, state in self.units.items()
        }
        return {
            "names": {name: (entry[0] is None, entry[1]) for name, entry in self.names.items()},
            "spaces": spaces,
            "files": files,
            "units": {name: state for name, state in units.items() if any(state)},
        }
