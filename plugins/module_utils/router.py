# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""From the router role's namespaces to the lists of netns_topology. Pure, and free of Ansible."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .desired import cidr
from .desired.names import IFNAMSIZ, link_name, netns_name
from .errors import InvalidOption
from .spec.netns_forward import OPTIONS as FORWARD

#: Options of an item; ``nat`` and ``forwards`` are the role's own, the others go to netns and veth as they are.
OPTIONS = ("name", "interface", "peer_interface", "addresses", "gateways", "dns", "hosts", "sysctls", "nat", "forwards")
#: Options of a forward: those of netns_forward, which happens on the host here.
FORWARD_OPTIONS = tuple(name for name in FORWARD if name != "netns")
_NAME_BYTES = 64


def router_topology(namespaces: Any, uplink: Any = ()) -> dict[str, list[dict[str, Any]]]:
    """The ``namespaces``, ``veths``, ``nat`` and ``forwards`` of a host that routes for *namespaces*.

    *uplink* are the interfaces towards the outside; none means any. Raises InvalidOption, which names
    ``router_namespaces[N].KEY``.
    """
    uplink = _texts("router_uplink", uplink)
    found: dict[str, list[dict[str, Any]]] = {"namespaces": [], "veths": [], "nat": [], "forwards": []}
    names: dict[str, str] = {}
    for number, item in enumerate(_list("router_namespaces", namespaces)):
        behind = _Behind(f"router_namespaces[{number}]", item)
        found["namespaces"].append(behind.namespace())
        found["veths"].append(behind.veth())
        found["nat"] += behind.nat(uplink)
        for option, forward in behind.forwards(uplink):
            if forward["name"] in names:
                raise InvalidOption(
                    f"{option}.name",
                    forward["name"],
                    f"is the name of {names[forward['name']]} too",
                    "give each forward a name of its own",
                )
            names[forward["name"]] = option
            found["forwards"].append(forward)
    return found


class _Behind:
    """One namespace behind the router. ``gateways`` and ``addresses`` are on the two ends of its pair; ``reached`` is
    its first address of each family in which the host can reach it."""

    def __init__(self, where: str, item: Any) -> None:
        self.where = where
        self.item = item = _options(where, item, OPTIONS)
        self.name = netns_name(f"{where}.name", _required(where, item, "name"))
        named = item.get("interface")
        self.link = host_interface(self.name) if named is None else link_name(f"{where}.interface", str(named))
        self.addresses = [cidr.interface(option, text) for option, text in self._numbered("addresses")]
        self.gateways = [cidr.interface(option, text) for option, text in self._numbered("gateways")]
        for number, gateway in enumerate(self.gateways):
            networks = [address.network for address in self.addresses if address.version == gateway.version]
            if not any(gateway.ip in network for network in networks):
                reason = (
                    f"is outside the networks of addresses ({', '.join(map(str, networks))})"
                    if networks
                    else f"is IPv{gateway.version}, but addresses holds no IPv{gateway.version} address"
                )
                raise InvalidOption(
                    f"{where}.gateways[{number}]", str(gateway), reason, "put both ends into one network"
                )
        routed = {gateway.version for gateway in self.gateways}
        self.reached: dict[int, cidr.Address] = {
            address.version: address.ip for address in reversed(self.addresses) if address.version in routed
        }

    def _numbered(self, option: str) -> list[tuple[str, str]]:
        values = _texts(f"{self.where}.{option}", self.item.get(option, ()))
        return [(f"{self.where}.{option}[{number}]", text) for number, text in enumerate(values)]

    def namespace(self) -> dict[str, Any]:
        given = [key for key in ("dns", "hosts", "sysctls") if key in self.item]
        return {"name": self.name, **{key: dictionary(f"{self.where}.{key}", self.item[key]) for key in given}}

    def veth(self) -> dict[str, Any]:
        inner = link_name(f"{self.where}.peer_interface", str(self.item.get("peer_interface", "eth0")))
        peer: dict[str, Any] = {"name": inner, "netns": self.name, "addresses": [str(item) for item in self.addresses]}
        for option, version in (("gateway", 4), ("gateway6", 6)):
            first = next((gateway for gateway in self.gateways if gateway.version == version), None)
            if first is not None:
                peer[option] = str(first.ip)
        return {"name": self.link, "addresses": [str(gateway) for gateway in self.gateways], "peer": peer}

    def nat(self, uplink: list[str]) -> list[dict[str, Any]]:
        """From its own addresses only: nothing else comes out of the namespace anyway."""
        source = [f"{item.ip}/{item.max_prefixlen}" for item in self.addresses if item.version in self.reached]
        if not source or not _flag(f"{self.where}.nat", self.item.get("nat", True)):
            return []
        return [{"name": _shortened(self.name), "source": source, "out_interface": uplink}]

    def forwards(self, uplink: list[str]) -> list[tuple[str, dict[str, Any]]]:
        """(where it was declared, forward); one for each address family that it is meant for."""
        found = []
        for number, item in enumerate(_list(f"{self.where}.forwards", self.item.get("forwards", ()))):
            where = f"{self.where}.forwards[{number}]"
            options = _options(where, item, FORWARD_OPTIONS)
            options["port"] = str(_required(where, options, "port"))
            options["in_interface"] = _texts(f"{where}.in_interface", options.get("in_interface", ())) or uplink
            families = self._families(where, options)
            found += [(where, self._forward(where, options, version, len(families) > 1)) for version in families]
        return found

    def _families(self, where: str, options: dict[str, Any]) -> list[int]:
        """Those of to_address, listen_address and sources where given, else all in which the namespace is reached."""
        families: set[int] = set(self.reached)
        if "to_address" in options:
            families = {cidr.address(f"{where}.to_address", str(options["to_address"])).version}
        if not families:
            raise InvalidOption(
                f"{where}.to_address",
                None,
                "has no default: the namespace has no address with a gateway of its family",
                "give the namespace addresses and gateways, or the forward a to_address",
            )
        for option in ("listen_address", "sources"):
            given = {version for version, _text in _by_family(where, option, options)}
            if given and not given & families:
                raise InvalidOption(
                    f"{where}.{option}",
                    options[option],
                    f"is IPv{min(given)}, but the forward leads to IPv{min(families)}",
                    "use one family, or give the namespace an address and a gateway of the other one",
                )
            families = families & given if given else families
        return sorted(families)

    def _forward(self, where: str, options: dict[str, Any], version: int, both: bool) -> dict[str, Any]:
        forward = {"to_address": str(self.reached.get(version, "")), **options}
        for option in ("listen_address", "sources"):
            if option in options:
                forward[option] = [text for family, text in _by_family(where, option, options) if family == version]
        if "name" in options:
            forward["name"] = f"{options['name']}-v6" if both and version == 6 else str(options["name"])
        else:
            forward["name"] = self._derived_name(where, forward, version)
        return forward

    def _derived_name(self, where: str, forward: dict[str, Any], version: int) -> str:
        """Stable: it says what tells forwards apart, not where they stand in the list."""
        protocols = sorted(set(_texts(f"{where}.protocol", forward.get("protocol", "tcp"))))
        family = ["v6"] if version == 6 else []
        return _shortened(
            "-".join(
                [self.name, *protocols, forward["port"].replace(" ", ""), *forward.get("listen_address", ()), *family]
            )
        )


def host_interface(netns: str) -> str:
    """The name of a namespace's link on the host: ``v-NAME``, shortened where it would not fit."""
    plain = f"v-{netns}"
    try:
        return link_name("interface", plain)
    except InvalidOption:
        kept = "".join(char for char in plain if char.isascii() and (char.isalnum() or char in "-_."))
        return f"{kept[: IFNAMSIZ - 8]}-{_digest(netns)}"


def _shortened(name: str) -> str:
    """A name fit for a NAT or a forward, the same whenever it is asked for."""
    if name.isascii() and name.isprintable() and not set(name) & set('"\\') and len(name) <= _NAME_BYTES:
        return name
    kept = "".join(char for char in name if char.isascii() and char.isprintable() and char not in '"\\')
    return f"{kept[: _NAME_BYTES - 7]}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:6]


def _by_family(where: str, option: str, options: dict[str, Any]) -> list[tuple[int, str]]:
    texts = _texts(f"{where}.{option}", options.get(option, ()))
    return [(cidr.network(f"{where}.{option}[{number}]", text).version, text) for number, text in enumerate(texts)]


# -- what playbooks pass: mappings and lists of any kind, and None for what is left out --


def _options(where: str, item: Any, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise InvalidOption(where, item, "is not a dictionary", f"give it {', '.join(known)}")
    for key in item:
        if key not in known:
            raise InvalidOption(f"{where}.{key}", item[key], "is an unknown option", f"choose from {', '.join(known)}")
    return {key: item[key] for key in known if item.get(key) is not None}


def _required(where: str, item: Mapping[str, Any], key: str) -> Any:
    if key not in item:
        raise InvalidOption(f"{where}.{key}", None, "is missing", f"every item needs a {key}")
    return item[key]


def dictionary(option: str, value: Any) -> Mapping[str, Any]:
    """*value*, if it is a mapping. InvalidOption otherwise."""
    if not isinstance(value, Mapping):
        raise InvalidOption(option, value, "is not a dictionary", "write KEY: VALUE, each below the option")
    return value


def _list(option: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise InvalidOption(option, value, "is not a list", "begin each item with a dash")
    return list(value)


def _texts(option: str, value: Any) -> list[str]:
    """A list of strings; as in a module's option, a string is split at commas."""
    if isinstance(value, str):
        return [text.strip() for text in value.split(",") if text.strip()]
    return [str(text) for text in _list(option, value)]


def _flag(option: str, value: Any) -> Optional[bool]:
    text = str(value).lower()
    if text in ("true", "yes", "on", "1", "y", "t"):
        return True
    if text in ("false", "no", "off", "0", "n", "f"):
        return False
    raise InvalidOption(option, value, "is neither true nor false", "use true or false")
