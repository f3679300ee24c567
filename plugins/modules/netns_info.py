#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_info
short_description: Read what the network namespaces of a host hold
version_added: 0.1.0
description:
  - Returns for each named network namespace its identity, links with their other ends, addresses, routes, policy
    rules, the sysctls that decide about forwarding, listening sockets, processes, and the forwards and NAT of this
    collection with their counters.
  - Reads the kernel's and nft's present state, whoever made it. Nothing is made or changed.
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
  - linuxnet.netns.attributes.info
options:
  names:
    description:
      - Namespaces to read. Those that do not exist are returned in RV(missing).
      - Without it, all that there are. With V([]), none but the host's own.
    type: list
    elements: str
requirements:
  - root on the managed host (C(become))
  - Python >= 3.9
  - nft >= 1.0 (package C(nftables)), without which forwards and NAT are not listed
  - Linux >= 5.4
seealso:
  - module: linuxnet.netns.netns_topology
"""

EXAMPLES = r"""
- name: All namespaces
  linuxnet.netns.netns_info:
  register: found

- name: Which there are, and where their interfaces lead
  ansible.builtin.debug:
    msg: "{{ item.0.name }}: {{ item.1.name }} -- {{ item.1.peer.name }} of {{ item.1.peer.netns or 'the host' }}"
  loop: "{{ found.namespaces | subelements('links') | selectattr('1.peer') }}"
  loop_control:
    label: "{{ item.0.name }}"

- name: How often each forward of the host was used
  ansible.builtin.debug:
    msg: "{{ found.host.forwards | items2dict('name', 'packets') }}"
"""

RETURN = r"""
missing:
  description: Those of O(names) that do not exist, sorted.
  returned: success
  type: list
  elements: str
  sample: []
host:
  description:
    - The host's own namespace, as far as it concerns this collection.
    - The keys are those of RV(namespaces), less C(sockets) and C(processes). RV(host.name) is empty.
      RV(host.links) and RV(host.rules) hold the links and rules that this collection made, RV(host.addresses),
      RV(host.routes) and RV(host.sysctls) what belongs to these links.
  returned: success
  type: dict
  contains: &namespace
    name:
      description: Name of the namespace.
      type: str
      sample: app
    identity:
      description: What tells this namespace from another one that had its name before, or will have it.
      type: dict
      contains:
        cookie:
          description: The kernel's number for it, never given twice. V(none) before Linux 5.14.
          type: int
          sample: 4099
        inode:
          description: Device and inode of its file, as under C(/proc/PID/ns/net).
          type: str
          sample: "4:4026532291"
    links:
      description: Interfaces.
      type: list
      elements: dict
      contains:
        name:
          description: Name.
          type: str
          sample: eth0
        index:
          description: Index, unique in its namespace.
          type: int
          sample: 2
        type:
          description: Type as in C(ip link), V(none) for a physical one and for C(lo).
          type: str
          sample: veth
        up:
          description: Whether it is set up.
          type: bool
        mtu:
          description: MTU.
          type: int
          sample: 1500
        mac:
          description: MAC address.
          type: str
          sample: 06:3b:a2:11:0c:5e
        alias:
          description: Alias, or V(none). That of links which this collection made begins with V(linuxnet.netns).
          type: str
          sample: "linuxnet.netns: v-app on the host -- eth0 in app"
        master:
          description: The bridge or other interface that it is attached to, or V(none).
          type: str
        peer:
          description: The other end of a veth pair, V(none) for other types.
          type: dict
          contains:
            name:
              description: Its name. V(none) if it is in a namespace without a name.
              type: str
              sample: v-app
            netns:
              description: Its namespace, empty for the host's own. V(none) if that has no name.
              type: str
              sample: ""
    addresses:
      description: Addresses.
      type: list
      elements: dict
      contains:
        address:
          description: Address with its prefix length.
          type: str
          sample: 10.0.0.2/30
        link:
          description: Its interface.
          type: str
          sample: eth0
        scope:
          description: V(global), V(link) or V(host).
          type: str
          sample: global
        flags:
          description: Any of V(secondary), V(nodad), V(dadfailed), V(deprecated), V(tentative), V(permanent).
          type: list
          elements: str
          sample: [permanent]
    routes:
      description: Routes of all tables but C(local), without those that the kernel makes for addresses.
      type: list
      elements: dict
      contains:
        to:
          description: Destination, V(0.0.0.0/0) or V(::/0) for a default route.
          type: str
          sample: 0.0.0.0/0
        via:
          description: Next hop, or V(none).
          type: str
          sample: 10.0.0.1
        link:
          description: Interface, V(none) for a route that goes nowhere.
          type: str
          sample: eth0
        metric:
          description: Metric.
          type: int
          sample: 0
        table:
          description: Table, V(main), V(default) or a number.
          type: str
          sample: main
        type:
          description: V(unicast), V(blackhole), V(unreachable), V(prohibit) or V(throw).
          type: str
          sample: unicast
        source:
          description: Preferred source address, or V(none).
          type: str
        onlink:
          description: Whether the next hop is taken to be on the link.
          type: bool
        protocol:
          description: >-
            Who made it, V(linuxnet.netns), V(kernel), V(boot), V(static), V(ra), V(dhcp), V(redirect) or a number.
          type: str
          sample: linuxnet.netns
    rules:
      description: Policy rules of both families. A selector that a rule does not have is V(none).
      type: list
      elements: dict
      contains:
        priority:
          description: Priority, lowest first.
          type: int
          sample: 32766
        family:
          description: V(ipv4) or V(ipv6).
          type: str
          sample: ipv4
        not:
          description: Whether the selectors are inverted.
          type: bool
        from:
          description: Source network.
          type: str
          sample: 0.0.0.0/0
        to:
          description: Destination network.
          type: str
          sample: 0.0.0.0/0
        iif:
          description: Interface through which packets arrive.
          type: str
        oif:
          description: Interface that a socket is bound to.
          type: str
        fwmark:
          description: Mark and mask.
          type: str
          sample: 0x1/0xffffffff
        tos:
          description: Type of service.
          type: int
        ip_protocol:
          description: Number of the transport protocol.
          type: int
        sport:
          description: Source port or range.
          type: str
        dport:
          description: Destination port or range.
          type: str
        uids:
          description: User id or range.
          type: str
        l3mdev:
          description: Whether the table is that of the VRF.
          type: bool
        suppress_prefixlength:
          description: Routes with a prefix of at most this length do not count.
          type: int
        action:
          description: V(lookup), V(goto), V(nop), V(blackhole), V(unreachable) or V(prohibit).
          type: str
          sample: lookup
        goto:
          description: Priority of the rule to go to.
          type: int
        table:
          description: Table to look up.
          type: str
          sample: main
        protocol:
          description: Who made it, as for routes. V(unspec) where nobody said.
          type: str
          sample: linuxnet.netns
    sysctls:
      description:
        - Sysctls that decide about forwarding, by key below C(/proc/sys). Of every link C(forwarding), C(rp_filter),
          C(route_localnet), C(force_forwarding) and C(accept_ra), as far as the kernel has them.
      type: dict
      sample:
        net/ipv4/conf/eth0/forwarding: "0"
        net/ipv4/ip_forward: "0"
    sockets:
      description: TCP sockets that listen and UDP sockets that are bound and not connected.
      type: list
      elements: dict
      contains:
        protocol:
          description: V(tcp) or V(udp).
          type: str
          sample: tcp
        address:
          description: Address that it is bound to, V(0.0.0.0) or V(::) for any.
          type: str
          sample: "::"
        port:
          description: Port.
          type: int
          sample: 8080
    processes:
      description: Processes with at least one thread in the namespace, or that hold it open from elsewhere.
      type: list
      elements: dict
      contains:
        pid:
          description: Process id.
          type: int
          sample: 4711
        command:
          description: Its command's name.
          type: str
          sample: nginx
        unit:
          description: The systemd service that it belongs to, empty if it belongs to none.
          type: str
          sample: app.service
        holds:
          description: Whether it lives elsewhere and only keeps the namespace open.
          type: bool
          sample: false
    forwards:
      description: Port forwards that the namespace's firewall holds.
      type: list
      elements: dict
      contains:
        name:
          description: Name.
          type: str
          sample: app
        protocol:
          description: Transport protocols.
          type: list
          elements: str
          sample: [tcp]
        port:
          description: Port or range at which packets arrive.
          type: str
          sample: "10105"
        listen_address:
          description: Local addresses at which they arrive, empty for every.
          type: list
          elements: str
        sources:
          description: Networks from which they are accepted, empty for any.
          type: list
          elements: str
        to_address:
          description: Where they go.
          type: str
          sample: 10.0.0.2
        to_port:
          description: Port or range there.
          type: str
          sample: "10105"
        packets: &packets
          description: Packets that were translated. NAT looks at the first one of a connection only, so it is the
            number of connections since the ruleset last changed.
          type: int
          sample: 7
        bytes:
          description: Bytes of these packets.
          type: int
          sample: 420
    nat:
      description: Outbound NAT that the namespace's firewall holds.
      type: list
      elements: dict
      contains:
        name:
          description: Name.
          type: str
          sample: app
        source:
          description: Networks that are translated.
          type: list
          elements: str
          sample: [10.0.0.2]
        to_address:
          description: Fixed address or range to translate to, V(none) for masquerading.
          type: str
        packets: *packets
        bytes:
          description: Bytes of these packets.
          type: int
          sample: 420
namespaces:
  description: The namespaces, sorted by name.
  returned: success
  type: list
  elements: dict
  contains: *namespace
msg:
  description: Why the task failed, in a sentence that names the option and the remedy.
  returned: failure
  type: str
  sample: "names[0]: 'ap' is an unknown namespace: it does not exist on this host; ..."
error:
  description: Kind of failure, for machines. V(invalid_option), V(missing_dependency), V(refused) or V(unexpected).
  returned: failure
  type: str
  sample: invalid_option
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.linuxnet.netns.plugins.module_utils.ansible_module import report
from ansible_collections.linuxnet.netns.plugins.module_utils.info import read_info


def main() -> None:
    """Entry point."""
    module = AnsibleModule(dict(names=dict(type="list", elements="str")), supports_check_mode=True)
    report(module, lambda: read_info(module.params["names"]))


if __name__ == "__main__":
    main()
