# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doors of the engine with model_kernel.py behind them, converge() to run it there, and a host to start from."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import subprocess
import tempfile
from unittest import mock

from ansible_collections.linuxnet.netns.plugins.module_utils import engine, lock, preflight, snapshot
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import conntrack, processes
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.netlink import ALIAS, ROUTE_PROTOCOL
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.netns_mounts import NameState
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.systemd import UNITS, Systemd, Unit
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import SystemRefused
from ansible_collections.linuxnet.netns.plugins.module_utils.system import System
from model_kernel import Device, ModelKernel, Space, refuse


class Netlink:
    def __init__(self, kernel):
        self._kernel = kernel

    def close(self):
        pass

    def prepare(self, names):
        for name in names:
            self._kernel.space(name)

    def forget(self, netns):
        pass

    def expect(self, names):
        pass

    def links(self, netns):
        return [device.wire() for device in self._kernel.space(netns).devices.values()]

    def addresses(self, netns):
        return [
            wire.Address(device.index, item, wire.IFA_F_PERMANENT, 254 if device.name == "lo" else 0)
            for device in self._kernel.space(netns).devices.values()
            for item in device.addresses
        ]

    def routes(self, netns):
        return list(self._kernel.space(netns).routes)

    def neighbours(self, netns):
        return [
            wire.Neighbour(device.index, ipaddress.ip_address(address), mac)
            for device in self._kernel.space(netns).devices.values()
            for address, mac in device.neighbours.items()
        ]

    def add_neighbour(self, netns, index, address, mac):
        self._kernel.act()
        self._kernel.space(netns).by_index(index).neighbours[str(address)] = mac

    def rules(self, netns):
        return list(self._kernel.space(netns).rules)

    def netnsid(self, netns, other):
        return self._kernel.space(other).number

    def _device(self, netns, name):
        return self._kernel.space(netns).devices.get(name) or refuse(errno.ENODEV)

    def add_veth(self, end, peer):
        self._kernel.act()
        made = self._kernel.add_veth(
            *((self._kernel.space(item["netns"]), item["name"], item.get("mac")) for item in (end, peer))
        )
        for device, item in zip(made, (end, peer)):
            device.mtu = item.get("mtu") or 1500

    def mark(self, netns, name, text, up):
        self._kernel.act()
        device = self._device(netns, name)
        device.alias, device.up = ALIAS + text, device.up or up

    def delete_link(self, netns, name):
        self._kernel.act()
        self._device(netns, name).end()

    def move_link(self, netns, index, target):
        self._kernel.act()
        device = self._kernel.space(netns).by_index(index)
        if device.name in self._kernel.space(target).devices:
            refuse(errno.EEXIST)
        device.move(self._kernel.space(target))

    def set_link(self, netns, index, up=None, mac=None, mtu=None, master=None):
        self._kernel.act()
        space = self._kernel.space(netns)
        device = space.by_index(index)
        device.mac, device.mtu = mac or device.mac, mtu or device.mtu
        if master is not None:
            device.master = space.by_index(master) if master else None
        if up is False:
            device.take_down()
        device.up = device.up if up is None else up

    def add_address(self, netns, index, address):
        self._kernel.act()
        space = self._kernel.space(netns)
        space.add_address(space.by_index(index), address)

    def delete_address(self, netns, index, address):
        self._kernel.act()
        space = self._kernel.space(netns)
        space.delete_address(space.by_index(index), address)

    def add_route(self, netns, route):
        self._kernel.act()
        self._kernel.space(netns).add_route(route._replace(protocol=route.protocol or ROUTE_PROTOCOL))

    def delete_route(self, netns, route):
        self._kernel.act()
        self._kernel.space(netns).delete_route(route)

    def add_rule(self, netns, rule):
        self._kernel.act()
        self._kernel.space(netns).add_rule(rule._replace(protocol=ROUTE_PROTOCOL))

    def delete_rule(self, netns, rule):
        self._kernel.act()
        self._kernel.space(netns).delete_rule(rule._replace(protocol=ROUTE_PROTOCOL))


class _Nft:
    def __init__(self, kernel):
        self._kernel = kernel

    def require(self):
        return "nft"

    def canonical(self, body):
        return self.listed(body)

    @staticmethod
    def listed(body):
        return "table inet linuxnet_netns {\n%s}\n" % body

    def table(self, netns):
        return self._kernel.space(netns).table

    def forward_tables(self, netns):
        return set()

    def has_chain(self, netns, family, table, chain):
        return False

    def listing(self, netns, tables):
        return []

    def replace(self, netns, body):
        self._kernel.act()
        self._kernel.space(netns).table = None if body is None else self.listed(body)


class _Files:
    def __init__(self, kernel):
        self._kernel, self._files = kernel, kernel.files

    def read(self, path):
        return self._files.get(path)

    def exists(self, path):
        return path in self._files

    def is_directory(self, path):
        return path in self._files and self._files[path] is None

    def writable_by_others(self, path):
        return False

    def write(self, path, text, mode=0o644):
        self._kernel.act()
        if not self.is_directory(os.path.dirname(path)):
            refuse(errno.ENOENT)
        self._files[path] = text
        self._kernel.written[path] = float(self._kernel.writes)

    def real_path(self, path):
        return path

    def modified(self, path):
        return self._kernel.written.get(path, 0.0) if path in self._files else 0.0

    def read_tree(self, path, suffix):
        return {
            other[len(path) + 1 :]: text
            for other, text in self._files.items()
            if other.startswith(path + "/") and other.endswith(suffix) and text is not None
        }

    def write_tree(self, path, texts):
        self.remove_tree(path)
        self._kernel.act()
        self._files.update({path: None, **{f"{path}/{name}": text for name, text in texts.items()}})

    def remove_tree(self, path):
        if path in self._files:
            self._kernel.act()
        for other in [other for other in self._files if (other + "/").startswith(path + "/")]:
            del self._files[other]

    def remove(self, path):
        if self._files.get(path) is not None:
            self._kernel.act()
            del self._files[path]

    def sweep(self, paths):
        pass

    def names(self, path):
        return sorted(os.path.basename(other) for other in self._files if os.path.dirname(other) == path)

    def make_directory(self, path, mode=0o755):
        if not self.is_directory(path):
            self._kernel.act()
            self._files[path] = None

    def remove_directory(self, path):
        if self.is_directory(path) and not any(os.path.dirname(other) == path for other in self._files):
            self._kernel.act()
            del self._files[path]

    def sysctl(self, path):
        if path == "kernel/random/boot_id":
            return self._kernel.boot
        return self._kernel.space(self._kernel.current).sysctls.get(
            path.replace("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding")
        )

    def sysctl_of_new_namespace(self, path):
        return Space(0, True, self._kernel.host).sysctls.get(path)

    def set_sysctl(self, netns, path, value):
        self._kernel.act()
        return self._kernel.space(netns).set_sysctl(path, value)


class _Mounts:
    def __init__(self, kernel):
        self._kernel, self._held = kernel, {}

    def own_identity(self):
        return self._kernel.host.identity

    def names(self):
        return sorted(name for name, entry in self._kernel.names.items() if entry[0])

    def state(self, name):
        if name not in self._kernel.names:
            return NameState(None, False, 0)
        space, mounts = self._kernel.names[name]
        return NameState(space.identity if space else None, space is None, mounts)

    def delete(self, name):
        self._kernel.act()
        space = self._kernel.names.pop(name, [None])[0]
        if space is not None:
            self._held[name] = space

    def give_back(self, name):
        self._kernel.act()
        self._kernel.names[name] = [self._held.pop(name, None) or self._kernel.new_space(), 1]

    def unstack(self, name):
        self._kernel.act()
        self._kernel.names[name][1] = 1

    def let_go(self):
        while self._held:
            self._kernel.end_space(self._held.popitem()[1])

    def sweep(self):
        pass

    def why_unfit(self, really):
        return ""


class _Systemd(Systemd):
    """Units are files below UNITS; a service that is started runs with what its files say at that moment."""

    def __init__(self, kernel):
        super().__init__()
        self._kernel = kernel

    def available(self):
        return True

    def units(self, names):
        return {name: self._unit(name) for name in names}

    def _unit(self, name):
        path = f"{UNITS}/{name}"
        if name not in self._kernel.units and self._kernel.files.get(path) is None:
            return Unit()
        state = self._kernel.units.get(name, {})
        return Unit(
            load="loaded",
            active="active" if state.get("pid") else "inactive",
            pid=state.get("pid", 0),
            enabled="enabled" if state.get("enabled") else "disabled",
            path=path if self._kernel.files.get(path) is not None else f"/lib/systemd/system/{name}",
            started=state.get("started", 0.0),
        )

    def verify(self, texts):
        return []

    def _act(self, verb):
        try:
            self._kernel.act()
        except SystemRefused as error:
            raise SystemRefused(f"systemctl {verb}: {error}") from None

    def _systemctl(self, verb, units, *options):
        self._act(verb)
        for name in units:
            if verb in ("stop", "disable") and not self._unit(name).exists:
                refuse(errno.ENOENT)
            state = self._kernel.units.setdefault(name, {})
            if verb == "disable" and not state.get("vendor") and self._kernel.files.get(f"{UNITS}/{name}") is None:
                refuse(errno.ENOENT)  # a unit whose file has gone cannot be disabled
            if verb == "stop":
                state.pop("pid", None)
            else:
                state["enabled"] = verb == "enable"
        if verb == "daemon-reload":
            for name in list(self._kernel.units):
                state = self._kernel.units[name]
                known = state.get("vendor") or self._kernel.files.get(f"{UNITS}/{name}") is not None
                if not known and not state.get("pid"):
                    del self._kernel.units[name]

    def _call(self, command, env=None):
        verb = next(word for word in command[1:] if word[0] != "-")
        units = command[command.index("--") + 1 :] if "--" in command else []
        if verb in ("start", "restart"):
            self._act(verb)
            for name in units:
                self._kernel.start(name)
        elif verb == "stop":
            self._systemctl(verb, units)
        return subprocess.CompletedProcess(command, 0, "", "")

    def _check_alive(self, names, since, trouble):
        pass


class ModelSystem(System):
    """The engine's System with the model behind its doors."""

    def __init__(self, kernel):
        super().__init__()
        self.netlink, self.nft, self.files, self.mounts = (
            Netlink(kernel),
            _Nft(kernel),
            _Files(kernel),
            _Mounts(kernel),
        )
        self.systemd = _Systemd(kernel)
        self._kernel = kernel

    def keep(self, netns):
        """In the model nothing goes along that was not said."""

    def bring_back(self, netns, kept):
        return []

    def place_of(self, pid):
        return self._kernel.place_of(pid)

    def user_of(self, pid):
        return None

    def sees(self, pid, path, source):
        return True


@contextlib.contextmanager
def inside(kernel):
    """What the engine reaches without a door object (threads, the lock, /proc, connection tracking) leads elsewhere."""

    def visit(names, work):
        found = {}
        for name in names:
            kernel.current = name
            found[name] = work(name)
        kernel.current = ""
        return found

    def forget(netns, doomed):
        kernel.flows[netns] = [flow for flow in kernel.flows[netns] if flow not in doomed]

    patches = (
        mock.patch.object(snapshot, "in_namespaces", visit),
        mock.patch.object(lock, "PATH", os.path.join(tempfile.gettempdir(), f"netns-model-{os.getpid()}.lock")),
        mock.patch.object(preflight, "check_privileges", list),
        mock.patch.object(processes, "inside", lambda names: {name: kernel.processes.get(name, []) for name in names}),
        mock.patch.object(processes, "living", lambda name: kernel.processes.get(name, [])),
        mock.patch.object(processes, "end", lambda name, timeout, stopping: kernel.processes.pop(name, None)),
        mock.patch.object(processes, "ssh_connection", lambda: None),
        mock.patch.object(conntrack, "flows", lambda netns: list(kernel.flows.get(netns, ()))),
        mock.patch.object(conntrack, "forget", forget),
    )
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield


def topology(options, name="default", absent=False):
    """A Request as the module netns_topology makes it."""
    return engine.Request(owner=f"topology {name}", options={} if absent else options, absent=absent)


def converge(kernel, request, check_mode=False, hold=None):
    with inside(kernel):
        return engine.converge(request, check_mode, ModelSystem(kernel), hold)


def uplinked(force_forwarding=True):
    """A host with an uplink (default routes of both families, the second one by router advertisement), a management
    interface, a bridge, and a namespace of somebody else's with a veth pair."""
    kernel = ModelKernel(force_forwarding)
    host = kernel.host
    host.devices["lo"].up = True
    for name, kind, addresses in (
        ("eth0", "", ("192.0.2.10/24", "2001:db8::10/64")),
        ("eth1", "", ("198.51.100.10/24",)),
        ("br0", "bridge", ()),
    ):
        device = Device(host, name, kind, "52:54:00:00:00:%02x" % host.next_index)
        device.up, device.addresses = True, [ipaddress.ip_interface(item) for item in addresses]
    for via, metric, protocol in (("192.0.2.1", 0, 3), ("2001:db8::1", 1024, wire.RTPROT_RA)):
        via = ipaddress.ip_address(via)
        host.routes.append(
            wire.Route(
                ipaddress.ip_network("0.0.0.0/0" if via.version == 4 else "::/0"),
                254,
                metric,
                wire.RTN_UNICAST,
                via,
                host.devices["eth0"].index,
                None,
                False,
                protocol,
            )
        )
    for end, address in zip(
        kernel.add_veth((host, "theirs0", ""), (kernel.add_netns("theirs"), "eth0", "")),
        ("172.31.0.1/24", "172.31.0.2/24"),
    ):
        end.up, end.addresses = True, [ipaddress.ip_interface(address)]
    return kernel
