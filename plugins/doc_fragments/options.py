# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of each resource, described once.

An item of a topology takes the options of the resource's own module, word for word, and so does its description:
like the argument specs in module_utils/spec, these texts are put together, not repeated.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_NETNS = r"""
name:
  description:
    - Name of the namespace. It appears as C(/run/netns/NAME) and in C(ip netns list).
    - A plain file name of at most 255 bytes.
  type: str
  required: true
loopback:
  description: Whether the namespace's loopback interface C(lo) is up.
  type: bool
  default: true
sysctls:
  description:
    - Sysctls to set inside the namespace, values by key.
    - Only keys below C(net) belong to a network namespace.
    - Separate the parts of a key by dots (C(net.ipv4.ip_forward)) or by slashes. After a slash, dots belong to the
      name of an interface (C(net/ipv4/conf/eth0.10/rp_filter)).
  type: dict
dns:
  description:
    - The namespace's resolver configuration, written to C(/etc/netns/NAME/resolv.conf).
    - C(ip netns exec) shows this file to what it starts as C(/etc/resolv.conf). A systemd unit needs
      C(BindReadOnlyPaths) for it.
  type: dict
  suboptions:
    nameservers:
      description: Addresses of name servers, IPv4 or IPv6. An IPv6 link-local one needs its interface
        (V(fe80::1%eth0)).
      type: list
      elements: str
      default: []
    search:
      description: Domains to search for short names.
      type: list
      elements: str
      default: []
    options:
      description: Resolver options as in resolv.conf(5), such as V(ndots:2) or V(edns0).
      type: list
      elements: str
      default: []
hosts:
  description:
    - Host names inside the namespace, written to C(/etc/netns/NAME/hosts). Each key is an address, each value a name
      or a list of names.
    - C(localhost) is always there.
  type: dict
processes:
  description:
    - What to do when the namespace is to be removed while processes live in it. Without its name it would live on
      unseen until the last of them ends.
    - V(fail) refuses before anything is touched and lists the processes.
    - V(kill) ends them, first with SIGTERM, and with SIGKILL after O(timeout) seconds. Units of systemd whose main
      process is inside are stopped instead, so that none is started again. Processes elsewhere that only hold the
      namespace open are never ended. They are a reason to refuse.
  type: str
  choices:
    - fail
    - kill
  default: fail
timeout:
  description: Seconds to wait for processes that were asked to end, a day at most.
  type: int
  default: 10
"""

_VETH_END = r"""
name:
  description: Name of this end, at most 15 bytes.
  type: str
  required: true
netns:
  description: Namespace in which this end lives. Without it, the host's own.
  type: str
addresses:
  description:
    - Addresses of this end, IPv4 and IPv6, each with its prefix length.
    - When given, it is the whole list, and any other address is removed from the interface. Link-local IPv6 addresses
      and those learnt by router advertisement stay. V([]) removes all.
    - When omitted, the addresses are left as they are.
  type: list
  elements: str
mac:
  description:
    - MAC address.
    - Without it a new interface gets a locally administered address that is always the same for this interface on
      this machine, and an existing one keeps what it has.
  type: str
mtu:
  description: MTU in bytes, 68 to 65535, and at least 1280 where there are IPv6 addresses.
  type: int
up:
  description: Whether the interface is up. A link that is down holds no routes.
  type: bool
  default: true
bridge:
  description: An existing bridge in the same namespace, to which this end is attached.
  type: str
gateway:
  description:
    - Default route for IPv4 through this end, in the main table with metric 0.
    - Must lie in a network of O(addresses). For a next hop outside of them use O(routes) with O(routes[].onlink).
  type: str
gateway6:
  description:
    - Default route for IPv6 through this end, in the main table with metric 1024.
    - Must lie in a network of O(addresses) or be a link-local address.
  type: str
routes:
  description:
    - Routes through this end, beside O(gateway) and O(gateway6).
    - When given, it is the whole list, and any other route through this end is removed, in all tables. Routes that
      the kernel makes for addresses and those learnt by router advertisement stay.
    - When omitted, routes are left as they are.
  type: list
  elements: dict
  suboptions:
    to:
      description: The destination network. V(default) takes its family from O(routes[].via) or O(routes[].source).
      type: str
      required: true
    via:
      description:
        - The next hop. It must lie in a network of O(addresses), be an IPv6 link-local address, or come with
          O(routes[].onlink).
      type: str
    metric:
      description: The metric. Without it, 0 for IPv4 and 1024 for IPv6, as the kernel has it.
      type: int
    table:
      description: The routing table, V(main), V(default) or a number.
      type: str
      default: main
    source:
      description: Preferred source address, one of O(addresses).
      type: str
    onlink:
      description: Take O(routes[].via) to be on the link, whatever the addresses say.
      type: bool
      default: false
    type:
      description:
        - Kind of route. All but V(unicast) go nowhere and take neither O(routes[].via) nor O(routes[].source) nor
          O(routes[].onlink).
      type: str
      choices:
        - unicast
        - blackhole
        - unreachable
        - prohibit
        - throw
      default: unicast
rules:
  description:
    - Policy routing rules (C(ip rule)) that belong to this end, in the namespace in which it lives. They decide in
      which table a packet's route is looked up, lowest priority first.
    - When given, it is the whole list of those that were made for this end, and any other one of them is removed.
      Rules of others stay. An identical one of somebody else's counts as ours being there and is never removed, a
      different one of the same family and priority is an error.
    - When omitted, rules are left as they are.
    - Rules name interfaces, which need not be there. They stay when the link goes by itself, and are removed
      with the pair.
    - See C(docs/policy_routing.md) of the collection for several interfaces in one subnet.
  type: list
  elements: dict
  suboptions:
    priority:
      description:
        - Priority, 1 to 32765, lowest first. Within a namespace each rule of a family has its own.
      type: int
      required: true
    not:
      description: Whether the rule is for the packets that the selectors do not fit.
      type: bool
      default: false
    from:
      description:
        - Source network or address. Without any selector a rule is for all packets.
        - O(rules[].from) and O(rules[].to) decide about the family. Without both, one rule each is made for the
          families of O(addresses) in the same task, or for IPv4 and IPv6 if that lists none. V(0.0.0.0/0) and V(::/0)
          select nothing but the family.
      type: str
    to:
      description: Destination network or address.
      type: str
    iif:
      description: Interface through which packets arrive. V(lo) is for what the namespace itself sends.
      type: str
    oif:
      description: Interface that the sending socket is bound to.
      type: str
    fwmark:
      description: Firewall mark, with or without a mask, such as V(0x1) or V(0x1/0xff).
      type: str
    action:
      description:
        - What to do with the packets. All but V(lookup) drop them, V(unreachable) and V(prohibit) with an answer.
      type: str
      choices:
        - lookup
        - blackhole
        - unreachable
        - prohibit
      default: lookup
    table:
      description: The routing table to look in, V(main), V(default) or a number. Only with O(rules[].action=lookup).
      type: str
      default: main
"""

_NAT = r"""
name:
  description: Name of this NAT within its namespace, up to 64 printable ASCII characters.
  type: str
  required: true
netns:
  description: Namespace that translates. Without it, the host's own.
  type: str
source:
  description: Networks or addresses whose packets are translated, IPv4 and IPv6.
  type: list
  elements: str
  required: true
exclude:
  description: Destination networks that are reached untranslated. With O(forward) they are still forwarded.
  type: list
  elements: str
  default: []
out_interface:
  description:
    - Interfaces through which packets leave translated.
    - Without it, any but C(lo) and those that O(source) lives behind.
  type: list
  elements: str
  default: []
to_address:
  description:
    - Fixed address to translate to, or a range such as V(192.0.2.10-192.0.2.19). O(source) must then be of one
      family.
    - Without it, the address of the interface through which a packet leaves (masquerade).
  type: str
forward:
  description:
    - Whether to let these packets and their replies through as well. Forwarding is enabled on the interfaces that
      O(source) lives behind, and on O(out_interface), or, without that, where a default route lives. On no other
      interface.
    - V(false) only translates. Forwarding and filtering are then left to somebody else.
  type: bool
  default: true
"""

_FORWARD = r"""
name:
  description: Name of this forward within its namespace, up to 64 printable ASCII characters.
  type: str
  required: true
netns:
  description: Namespace in which the packets arrive. Without it, the host's own.
  type: str
protocol:
  description: Transport protocols.
  type: list
  elements: str
  choices:
    - tcp
    - udp
    - sctp
  default:
    - tcp
port:
  description: The port, or a range such as V(8000-8010), at which packets arrive.
  type: str
  required: true
listen_address:
  description:
    - Local addresses at which packets arrive, of the family of O(to_address).
    - Without it, every local address. For what the host itself sends, that includes 127.0.0.1. The other loopback
      addresses (a resolver's 127.0.0.53, C(::1)) are left alone.
    - Packets to addresses that are not local are never redirected.
  type: list
  elements: str
  default: []
in_interface:
  description:
    - Interfaces through which packets arrive. With O(hairpin), those that O(to_address) lives behind count as well.
    - Without it, any. Forwarding is then enabled where a default route lives, on no other interface.
  type: list
  elements: str
  default: []
to_address:
  description: Where packets go. The daemon there sees the client's own address.
  type: str
  required: true
to_port:
  description:
    - The port or range at O(to_address). A range must be as long as that of O(port) and is mapped one to one.
    - A range that is shifted may have up to 4096 ports. One that stays the same has no such limit.
    - Without it, the same as O(port).
  type: str
sources:
  description:
    - Networks from which packets are accepted. Without it, any.
    - The list holds for O(hairpin) too. The host itself is let in only if the address that it sends from is listed.
  type: list
  elements: str
  default: []
hairpin:
  description:
    - Make the forward work from the host itself, and from the namespace behind it through the host's address, too.
      These two are shown to the daemon under the host's address where it could not answer otherwise.
    - For 127.0.0.1 this sets C(route_localnet) on the host's end of the pair. Packets from the namespace to
      127.0.0.0/8 are dropped.
  type: bool
  default: true
"""

_SERVICE = r"""
name:
  description: Name of the unit, without C(.service).
  type: str
  required: true
netns:
  description: Namespace in which the service runs.
  type: str
  required: true
command:
  description:
    - What the unit runs, as in C(ExecStart). It begins with the full path of a program. C($) and C(%) mean what they
      mean there.
    - Without it, a unit of O(name) must exist. It is attached to the namespace by a drop-in and stays as it is
      otherwise.
  type: str
user:
  description:
    - The account as which the service runs. It must exist.
    - Required with O(command), unless O(hardening) sets C(DynamicUser).
  type: str
group:
  description: The group. Without it, the account's own.
  type: str
environment:
  description: Environment variables. Any user of the host can read them in the unit.
  type: dict
private_tmp:
  description: Whether the service has a C(/tmp) and a C(/var/tmp) of its own.
  type: bool
  default: true
hardening:
  description:
    - More settings for the C([Service]) section, by their names there, such as C(MemoryMax) or C(StateDirectory). A
      list is written as one line for each item.
    - With O(command) they are put over strong defaults. A setting given here takes the place of the default for it,
      and one without a value (V(null)) only takes the default away.
    - Capabilities are C(CAP_NET_BIND_SERVICE) if a forward of the topology leads to a port below 1024 in the
      namespace, else none.
  type: dict
enabled:
  description: Whether the service is started at boot. Its namespace must be back by then, see C(persist) of
    M(linuxnet.netns.netns_topology).
  type: bool
  default: true
"""

_SERVICE_STATE = r"""
state:
  description: V(started) has the service run, V(stopped) has its unit there but not running, V(restarted) restarts it
    on every run.
  type: str
  choices:
    - started
    - restarted
    - stopped
  default: started
"""

_TOPOLOGY = r"""
name:
  description:
    - Name of the topology. What an earlier run under this name made, and this one no longer lists, is removed.
    - Two topologies on one host cannot list the same thing.
  type: str
  default: default
isolate:
  description:
    - Whether the namespaces of this topology are kept from reaching each other through the host.
    - With V(false) they may. What is outside of the topology stays out either way.
  type: bool
  default: true
persist:
  description:
    - Whether the topology comes back by itself, at boot and when C(nftables.service), C(firewalld.service),
      C(ufw.service), C(docker.service) or the services that load rules of iptables were started, stopped or reloaded.
    - A copy of the engine is installed on the host for it, with the command C(linuxnet-netns) (V(restore), V(check),
      V(show)) and a unit C(linuxnet-netns.service). C(After=linuxnet-netns.service) orders other units after it.
    - Needs systemd. Without it, all but files is gone after a reboot, and the next run makes it again.
  type: bool
  default: false
"""


def _options(text: str, prefix: str = "") -> dict[str, Any]:
    """The options in *text*; references to other options get *prefix* (``veths[].``) in front."""
    return yaml.safe_load(re.sub(r"\bO\((?=\w)", f"O({prefix}", text))


def _veth(prefix: str = "") -> dict[str, Any]:
    peer = {
        "description": ["The other end, with the same options.",
                        "Needed to make the pair. It may be left out where the pair exists, to change this end alone."],
        "type": "dict",
        "suboptions": _options(_VETH_END, prefix + "peer."),
    }
    return dict(_options(_VETH_END, prefix), peer=peer)


def _items(what: str, module: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"description": f"{what}, with the options of M(linuxnet.netns.{module}).",
            "type": "list", "elements": "dict", "default": [], "suboptions": options}


def _module(options: dict[str, Any], identity: tuple[str, ...] = ("name",)) -> str:
    """As a fragment for a module with ``state``: for ``absent`` the identity is enough."""
    for name, option in options.items():
        if option.get("required") and name not in identity:
            del option["required"]
            text = option["description"]
            option["description"] = [*([text] if isinstance(text, str) else text), "Required with O(state=present)."]
    return yaml.safe_dump({"options": options}, sort_keys=False, width=4096)


class ModuleDocFragment:
    """One fragment for each module: ``linuxnet.netns.options.veth``, ...."""

    NETNS: str = _module(_options(_NETNS))
    VETH: str = _module(_veth())
    NAT: str = _module(_options(_NAT))
    FORWARD: str = _module(_options(_FORWARD))
    SERVICE: str = _module(_options(_SERVICE))
    TOPOLOGY: str = _module({
        **_options(_TOPOLOGY),
        "namespaces": _items("Namespaces", "netns", _options(_NETNS, "namespaces[].")),
        "veths": _items("Veth pairs", "veth", _veth("veths[].")),
        "nat": _items("Outbound NAT", "netns_nat", _options(_NAT, "nat[].")),
        "forwards": _items("Port forwards", "netns_forward", _options(_FORWARD, "forwards[].")),
        "services": _items("Services", "netns_service", _options(_SERVICE + _SERVICE_STATE, "services[].")),
    })
