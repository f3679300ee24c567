#!/usr/bin/python
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: netns_check
short_description: Tell whether a connection gets through, and what blocks it
version_added: 0.1.0
description:
  - Walks the way of a connection from a namespace, or from outside into one, as the kernel would, and returns the first
    thing that blocks it with a remedy, or the path.
  - Looked at are the namespaces, links, addresses, policy rules and routes, neighbours, forwarding switches, the
    reverse path filter, NAT and filter of this collection and of every other nftables table, MTUs, listening sockets,
    the name servers of a namespace, and the way of the answer.
  - It decides from what the kernel, nft and files hold. No packet is sent, and nothing is made or changed.
author:
  - linuxnet.netns contributors (!UNKNOWN)
extends_documentation_fragment:
  - linuxnet.netns.attributes
  - linuxnet.netns.attributes.info
options:
  netns:
    description:
      - Namespace in which the connection begins; with O(direction=in), the one at whose interface it arrives.
      - Without it, the host's own.
    type: str
  direction:
    description:
      - V(out) is a connection of a process in O(netns).
      - V(in) is one of somebody beyond an interface of O(netns), to an address of it, which a forward may take into a
        namespace.
    type: str
    choices: [out, in]
    default: out
  to_address:
    description:
      - Address to reach. When it belongs to a namespace of this host, the walk goes on into that.
      - With O(direction=out), the name of a host is taken as well. Then it is looked for in the hosts file of the
        namespace, and failing that it is checked that a name server can be reached. Which address the server has for it
        is not asked, so the walk ends there.
      - With O(direction=in), it defaults to the first address of the interface.
    type: str
  port:
    description:
      - Port to reach, needed for all protocols but V(icmp).
    type: int
  protocol:
    description:
      - Protocol. V(icmp) stands for echo requests of both IP versions.
      - The default is V(tcp) with O(port), else V(icmp).
    type: str
    choices: [tcp, udp, sctp, icmp]
  source:
    description:
      - With O(direction=out), the address that the process binds to. By default the kernel chooses one.
      - With O(direction=in), the address of whoever comes. The default is one of a documentation network that stands
        for anybody, V(203.0.113.1) or V(2001:db8:203::1).
    type: str
  in_interface:
    description:
      - With O(direction=in), the interface through which the connection comes. The default is the one that leads back
        to O(source).
    type: str
  out_interface:
    description:
      - With O(direction=out), the interface that the process binds to. By default routes decide.
    type: str
  to_netns:
    description:
      - Namespace in which the connection is to end, empty for the host's own. Ending elsewhere is then a failure.
    type: str
  size:
    description:
      - Size in bytes, IP header included, of a packet that must not be fragmented. All MTUs of the way are compared
        with it.
    type: int
  require_nat:
    description:
      - Whether what is forwarded out of the host needs to leave under an address of the host.
      - By default it does if the source is private (RFC 1918, RFC 6598, unique local) and the destination is not.
    type: bool
  fail:
    description:
      - Fail when something blocks. By default the module only returns what it found, for instance for
        C(failed_when), C(until) or C(ansible.builtin.assert).
    type: bool
    default: false
requirements:
  - root on the managed host (C(become))
  - Python >= 3.9
  - nft >= 1.0 (package C(nftables)), without which no firewall is looked at
  - Linux >= 5.4
notes:
  - What lies beyond the host's interfaces cannot be seen. A connection that leaves without being blocked is
    RV(ok=true).
  - Only new connections are judged, and those alone that no earlier packet has an entry in conntrack for.
  - Not looked at are tables of iptables-legacy (RV(certain=false) says that there are some), eBPF and tc, IPsec, VRFs,
    and the bridge and netdev families of nftables.
seealso:
  - module: linuxnet.netns.netns_info
"""

EXAMPLES = r"""
- name: Does the namespace reach the internet?
  linuxnet.netns.netns_check:
    netns: app
    to_address: 9.9.9.9
    port: 443
  register: found

- name: What blocks it, and what to do
  ansible.builtin.debug:
    msg: "{{ found.msg }}; {{ found.remedy }}"
  when: not found.ok

- name: Fail unless TCP 10105 of the host reaches the daemon in its namespace
  linuxnet.netns.netns_check:
    direction: in
    port: 10105
    to_netns: app
    fail: true

- name: Is a partner let in?
  linuxnet.netns.netns_check:
    direction: in
    in_interface: eth0
    source: 192.0.2.7
    to_address: 198.51.100.10
    port: 10105

- name: Can the namespace look up names?
  linuxnet.netns.netns_check:
    netns: app
    to_address: packages.example.org

- name: Do full-size packets get through the tunnel?
  linuxnet.netns.netns_check:
    netns: vpn
    to_address: 10.8.0.1
    size: 1500
"""

RETURN = r"""
ok:
  description: Whether nothing was found that blocks the connection.
  returned: always
  type: bool
certain:
  description:
    - Whether all on the way could be understood. V(false) if, for instance, a rule of iptables may match or not. The
      checks whose RV(checks[].ok) is V(none) say what could not be told.
  returned: always
  type: bool
cause:
  description:
    - What blocks, for machines. V(none) if nothing does.
    - V(netns_missing), V(netns_leftover) - there is no namespace of that name, or a file that is none.
    - V(link_missing), V(link_elsewhere) - a link is nowhere, or in another namespace.
    - V(link_down), V(link_no_carrier) - a link or the other end of its pair is down, or has no carrier.
    - V(no_address), V(address_not_local), V(address_tentative) - there is no address to speak from, the address is not
      where it should be, or duplicate address detection keeps it from being used.
    - V(no_route), V(route_blackhole) - there is no route, or one (or a policy rule) that refuses.
    - V(gateway_not_on_link), V(gateway_unreachable), V(host_unreachable) - the next hop is in no network of its link,
      or nobody has its address; the same for the destination itself.
    - V(forwarding_off), V(rp_filter), V(route_localnet) - the kernel does not forward from that interface, refuses the
      source there, or drops what comes over a wire for 127.0.0.0/8.
    - V(no_nat) - a private source leaves untranslated.
    - V(no_forward), V(forward_sources), V(wrong_netns) - nothing takes the port to a namespace, a forward does but not
      from that source, or the connection ends in another namespace than O(to_netns).
    - V(own_filter), V(foreign_drop) - the filter of this collection drops what was not declared, or a table of somebody
      else drops it.
    - V(mtu) - a packet of O(size) does not fit.
    - V(not_listening), V(listening_loopback_only), V(listening_elsewhere), V(icmp_ignored) - nobody listens, or only
      at another address; echo requests are not answered.
    - V(dns_no_resolv_conf), V(dns_no_nameserver), V(dns_loopback_nameserver), V(dns_unreachable) - why names cannot be
      looked up.
    - V(answer_lost), V(loop) - the answer ends elsewhere, or packets go round in circles.
  returned: always
  type: str
  sample: forwarding_off
msg:
  description: The verdict in a sentence. Why the task failed, in case of bad options.
  returned: always
  type: str
  sample: "IPv4 packets that come through v-app are not forwarded on the host (net.ipv4.conf.v-app.forwarding is 0)"
remedy:
  description: What to do about it. V(none) if nothing blocks.
  returned: always
  type: str
  sample: declare netns_nat (or netns_forward), which enables forwarding on its links
checks:
  description: What was checked, in order. What begins with C(answer) is about the way back.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: >-
        V(netns), V(link), V(address), V(route), V(gateway), V(forwarding), V(rp_filter), V(filter), V(nat), V(forward),
        V(mtu), V(listening), V(dns) or V(answer).
      type: str
      sample: route
    ok:
      description: Whether it passed, V(none) where that cannot be told.
      type: bool
    detail:
      description: What was found.
      type: str
      sample: default via 10.0.0.1 dev eth0 in app
path:
  description: The namespaces that the first packet passes, as far as it gets.
  returned: always
  type: list
  elements: dict
  contains:
    netns:
      description: Namespace, empty for the host's own.
      type: str
      sample: app
    in:
      description: Link by which it comes in, V(none) where it begins.
      type: str
    out:
      description: Link by which it leaves, V(none) where it ends.
      type: str
      sample: eth0
    source:
      description: Source address when it leaves.
      type: str
      sample: 10.0.0.2
    destination:
      description: Destination address when it leaves.
      type: str
      sample: 9.9.9.9
    route:
      description: Route that it takes, V(none) within a namespace.
      type: str
      sample: default via 10.0.0.1 dev eth0
path_mtu:
  description: Smallest MTU of the links that were passed, V(none) if there were none.
  returned: always
  type: int
  sample: 1500
error:
  description: >-
    Kind of failure, for machines. V(invalid_option), V(missing_dependency), V(refused), V(blocked) (see O(fail)) or
    V(unexpected).
  returned: failure
  type: str
  sample: invalid_option
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.linuxnet.netns.plugins.module_utils.ansible_module import report
from ansible_collections.linuxnet.netns.plugins.module_utils.check.run import check
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_check import OPTIONS


def main() -> None:
    """Entry point."""
    module = AnsibleModule(OPTIONS, supports_check_mode=True)

    def work() -> dict[str, Any]:
        result = check(dict(module.params))
        if module.params["fail"] and not result["ok"]:
            result.update(msg=f"{result['msg']}; {result['remedy']}", error="blocked")
            module.fail_json(**result)
        return result

    report(module, work)


if __name__ == "__main__":
    main()
