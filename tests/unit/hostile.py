# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that nobody should give, a topology with every option there is to put them in, and ways to damage a text."""

from __future__ import annotations

import copy

from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_topology import OPTIONS
from hypothesis import strategies as st

#: Would be there if any of it was ever run.
CANARY = "/run/pwned"
HOSTILE = (
    "",
    " ",
    "\t",
    "'",
    '"',
    "\\",
    "a\\",
    "\n",
    "a\nb",
    f"a\n[Service]\nExecStartPre=+/bin/touch {CANARY}\n",
    f"a\r[Service]\rExecStartPre=+/bin/touch {CANARY}\r",
    f"a\0ExecStartPre=+/bin/touch {CANARY}",
    f"; touch {CANARY}",
    f" ; +/bin/touch {CANARY}",
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"| touch {CANARY} #",
    f"&& touch {CANARY}",
    "$PATH",
    "${HOME}",
    "%n",
    "%%",
    "%i%",
    "-rf",
    "--help",
    "..",
    ".",
    "/",
    "../../etc/passwd",
    "/etc/passwd",
    "\0",
    "a\0b",
    "\ud800",
    "a\udcff",
    "\u202eppa",
    "a\x85b",
    "a\u2028b",
    "\x1b[31m",
    "\x7f",
    "ü",
    "x" * 16,
    "x" * 300,
    "x" * 70000,
    "9" * 5000,
    "0" * 5000,
    "-1",
    "0x10",
    "1e9",
    "nan",
    "\u0661",
    "lo",
    "all",
    "default",
    "and",
    "not",
    "from",
    "*",
    "eth*",
    "#",
    "{}",
    "}\n}\nflush ruleset\n",
    '" } accept; comment "',
    "10.0.0.1\nnameserver 6.6.6.6",
    "10.0.0.1%eth0",
    "fe80::1%a\nb",
    "::ffff:10.0.0.1",
    "0.0.0.0/0",
    "255.255.255.255",
)
#: Those that end a line, a word or a string.
BREAKING = tuple(text for text in HOSTILE if set(text) & set("\n\r\0\\\"'") or text.startswith((" ;", "%", "$")))
NUMBERS = (0, 1, -1, 2**15, 2**16, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**400)

strings = (
    st.sampled_from(HOSTILE) | st.text(max_size=20) | st.text(st.characters(exclude_categories=()), max_size=8)
)
numbers = st.sampled_from(NUMBERS) | st.integers()
#: What JSON can hold, and Ansible hands over where the type is dict or raw.
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=5,
)

#: Valid, with all options of all resources.
FULL = {
    "name": "default",
    "namespaces": [
        {
            "name": "app",
            "loopback": True,
            "sysctls": {"net.core.somaxconn": "128", "net/ipv4/ip_local_port_range": "1024 60999"},
            "dns": {"nameservers": ["192.0.2.53", "fe80::1%eth0"], "search": ["example.net"], "options": ["ndots:2"]},
            "hosts": {"192.0.2.7": ["files"], "2001:db8::7": "six"},
            "processes": "fail",
            "timeout": 10,
        }
    ],
    "veths": [
        {
            "name": "app0",
            "addresses": ["10.0.0.1/30", "fd00::1/64"],
            "mac": "02:00:00:00:00:01",
            "mtu": 1400,
            "up": True,
            "routes": [{"to": "10.77.0.0/24", "via": "10.0.0.2", "metric": 5, "table": "main", "onlink": False}],
            "rules": [{"priority": 77, "not": False, "from": "10.0.0.1", "to": "10.9.0.0/16", "table": "77"}],
            "peer": {
                "name": "eth0",
                "netns": "app",
                "addresses": ["10.0.0.2/30", "fd00::2/64"],
                "mac": "02:00:00:00:00:02",
                "gateway": "10.0.0.1",
                "gateway6": "fd00::1",
                "routes": [
                    {"to": "203.0.113.0/24", "via": "10.0.0.1", "source": "10.0.0.2", "table": "77", "metric": 5},
                    {"to": "10.66.0.0/16", "type": "blackhole"},
                ],
                "rules": [
                    {"priority": 78, "iif": "eth0", "oif": "eth9", "fwmark": "0x1/0xff", "action": "prohibit"},
                ],
            },
        },
        {"name": "br1", "bridge": "br0", "peer": {"name": "eth1", "netns": "app"}},
    ],
    "nat": [
        {
            "name": "out",
            "source": ["10.0.0.0/30"],
            "exclude": ["192.168.0.0/16"],
            "out_interface": ["eth0"],
            "to_address": "192.0.2.10-192.0.2.12",
            "forward": True,
        },
        {"name": "inner", "netns": "app", "source": ["10.8.0.0/24"]},
    ],
    "forwards": [
        {
            "name": "in",
            "protocol": ["tcp", "udp"],
            "port": "8000-8001",
            "listen_address": ["192.0.2.10"],
            "in_interface": ["eth0", "eth1"],
            "to_address": "10.0.0.2",
            "to_port": "80-81",
            "sources": ["198.51.100.0/24"],
            "hairpin": True,
        },
        {"name": "any", "netns": "app", "port": "22", "to_address": "10.9.0.2"},
    ],
    "services": [
        {
            "name": "daemon",
            "netns": "app",
            "command": "/usr/bin/daemon --flag value",
            "user": "nobody",
            "group": "65534",
            "environment": {"TEXT": "a b", "NUMBER": 5},
            "private_tmp": True,
            "hardening": {"MemoryMax": "1G", "ReadWritePaths": ["/srv/a", "/srv/b"], "UMask": None},
            "enabled": True,
            "state": "started",
        },
        {"name": "nginx", "netns": "app", "environment": {"TEXT": "c"}},
    ],
    "isolate": True,
    "persist": False,
}


def leaves(value, spec, path=()):
    """(path, type) of every option in *value* that is no dict or list of options with a spec of their own. What is in
    a dict of free form is reached by its keys, with the type raw."""
    for name, option in spec.items():
        if value.get(name) is None:
            continue
        yield from _leaves(value[name], option["type"], option, (*path, name))


def _leaves(value, kind, option, path):
    if kind == "list":
        if option.get("elements") == "str":
            yield path, "list"
        for number, item in enumerate(value):
            yield from _leaves(item, option["elements"], option, (*path, number))
    elif kind == "dict" and "options" in option:
        yield from leaves(value, option["options"], path)
    else:
        yield path, "choice" if "choices" in option else kind
        if kind == "dict":
            for key, item in value.items():
                yield (*path, key), "raw"
                if isinstance(item, list):
                    yield from (((*path, key, number), "raw") for number in range(len(item)))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def replaced(value, path, new):
    """A copy of *value* with *new* at *path*."""
    value = copy.deepcopy(value)
    at(value, path[:-1])[path[-1]] = new
    return value


def odd(kind, old):
    """Odd values of the type that Ansible has seen to, some of them with what was there before in them."""
    mixed = strings
    if isinstance(old, str):
        mixed = mixed | strings.map(lambda new: old + new) | strings.map(lambda new: new + old)
        mixed = mixed | strings.map(lambda new: old[:1] + new + old[1:])
    return {
        "str": mixed,
        "int": numbers,
        "bool": st.booleans(),
        "list": st.lists(strings, max_size=3),
        "dict": st.dictionaries(strings, anything, max_size=3),
        "raw": mixed | anything,
    }[kind]


@st.composite
def damaged_options(draw, base=None, most=3):
    """Options of a topology with odd values in a few places."""
    found = copy.deepcopy(draw(base) if base is not None else FULL)
    for _number in range(draw(st.integers(1, most))):
        places = [(path, kind) for path, kind in leaves(found, OPTIONS) if kind != "choice"]
        if not places:
            break
        path, kind = draw(st.sampled_from(places))
        found = replaced(found, path, draw(odd(kind, at(found, path))))
    return found


def names_and_texts():
    """Every string in FULL that stands for more than a choice, with the places where it stands."""
    found = {}
    for path, kind in leaves(FULL, OPTIONS):
        if kind != "choice" and isinstance(at(FULL, path), str):
            found.setdefault(at(FULL, path), []).append(path)
    return found


def renamed(paths, new):
    """FULL with *new* in all these places: a namespace is called the same wherever it is mentioned."""
    found = copy.deepcopy(FULL)
    for path in paths:
        at(found, path[:-1])[path[-1]] = new
    return found


@st.composite
def renamed_options(draw):
    """FULL with one of its strings, wherever it stands, replaced by an odd one."""
    old, paths = draw(st.sampled_from(sorted(names_and_texts().items())))
    return renamed(paths, draw(odd("str", old)))


@st.composite
def damaged_bytes(draw, whole):
    """*whole* cut off, with bytes changed, taken out, put in or repeated."""
    found = bytearray(whole)
    for _number in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(found)))
        act = draw(st.sampled_from(("cut", "change", "remove", "insert", "repeat")))
        if act == "cut":
            del found[place:]
        elif act == "change":
            found[place : place + 1] = draw(st.binary(min_size=1, max_size=2))
        elif act == "remove":
            del found[place : place + draw(st.integers(1, 8))]
        elif act == "insert":
            found[place:place] = draw(st.binary(min_size=1, max_size=8))
        else:
            found[place:place] = found[place : place + 16]
    return bytes(found)


def json_paths(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from json_paths(item, (*path, key))
