# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input and a host that cannot do it: a clear error before anything is touched.

An operator reads which option, which value, and what to do instead; the host is exactly as it was.
"""

from __future__ import annotations

import os

import pytest
from harness import UPLINK4, Behind, Host, topology
from harness.modules import python


@pytest.fixture(scope="module")
def _bare():
    kept = []
    yield kept
    for node, _before in kept:
        node.close()


@pytest.fixture
def host(_bare):
    """A host with the namespace `app` behind it: refused tasks leave it as it is, so one does for all of them."""
    if not _bare:
        node = Host()
        _bare.append((node, {}))
        app = Behind(node, "app", 1).build()
        node.module("netns_forward", name="taken", port="443", to_address=app.address4)
        _bare[0] = (node, node.snapshot())
    node, before = _bare.pop()
    yield node
    try:
        node.assert_same(before, "a refused task touched the host", written=True)
    except AssertionError:
        node.close()
        raise
    _bare.append((node, before))


APP = {"name": "veth-x", "peer": {"name": "eth1", "netns": "app"}}


def veth(peer=None, **options):
    return dict(APP, peer=dict(APP["peer"], **(peer or {})), **options)


def nat(**options):
    return dict({"name": "out", "source": ["10.200.1.0/24"]}, **options)


def forward(**options):
    return dict({"name": "web", "port": "10105", "to_address": "10.200.1.2"}, **options)


def case(module, options, *words):
    return pytest.param(module, options, words, id="%s %s" % (module, " ".join(str(word)[:30] for word in words)))


BAD_OPTIONS = [
    # CIDR
    case("veth", veth(addresses=["10.1.1.1/33"]), "addresses", "10.1.1.1/33"),
    case("veth", veth(addresses=["10.1.1.256/24"]), "addresses", "10.1.1.256/24"),
    case("veth", veth(addresses=["fd00::1/129"]), "addresses", "fd00::1/129"),
    case("veth", veth(addresses=["fd00::zz/64"]), "addresses", "fd00::zz/64"),
    case("veth", veth(addresses=["example.org/24"]), "addresses", "example.org/24"),
    case("veth", veth(peer={"addresses": ["10.1.1.1/33"]}), "peer", "addresses", "10.1.1.1/33"),
    case("netns_nat", nat(source=["10.200.1.0/40"]), "source", "10.200.1.0/40"),
    case("netns_nat", nat(exclude=["nowhere"]), "exclude", "nowhere"),
    case("netns_forward", forward(to_address="10.200.1.2/24"), "to_address", "10.200.1.2/24"),
    case("netns_forward", forward(sources=["300.0.0.0/8"]), "sources", "300.0.0.0/8"),
    case("netns_forward", forward(listen_address=["nowhere"]), "listen_address", "nowhere"),
    # Families
    case("veth", veth(addresses=["10.1.1.1/24"], gateway="fd00::1"), "gateway", "fd00::1"),
    case("veth", veth(addresses=["fd00::1/64"], gateway6="10.1.1.2"), "gateway6", "10.1.1.2"),
    case(
        "veth",
        veth(addresses=["10.1.1.1/24"], routes=[{"to": "fd00:9::/48", "via": "10.1.1.2"}]),
        "routes",
        "10.1.1.2",
        "fd00:9::/48",
    ),
    case("netns_forward", forward(listen_address=["2001:db8::1"]), "listen_address", "2001:db8::1"),
    case("netns_forward", forward(sources=["2001:db8::/32"]), "sources", "2001:db8::/32"),
    case("netns_nat", nat(source=["fd00:200:1::/64"], to_address="192.0.2.1"), "to_address", "192.0.2.1"),
    # Gateways
    case("veth", veth(addresses=["10.1.1.1/24"], gateway="10.1.2.1"), "gateway", "10.1.2.1", "10.1.1.0/24"),
    case("veth", veth(addresses=["fd00:1::1/64"], gateway6="fd00:2::1"), "gateway6", "fd00:2::1", "fd00:1::/64"),
    case(
        "veth",
        veth(peer={"addresses": ["10.1.1.1/24"], "gateway": "10.1.2.1"}),
        "peer",
        "gateway",
        "10.1.2.1",
    ),
    case(
        "veth",
        veth(addresses=["10.1.1.1/24"], routes=[{"to": "10.9.0.0/16", "via": "10.1.2.1"}]),
        "routes",
        "via",
        "10.1.2.1",
        "onlink",
    ),
    # Interface names
    case("veth", veth(name="sixteen-bytes-xx"), "name", "sixteen-bytes-xx", "15"),
    case("veth", veth(name="a/b"), "name", "a/b"),
    case("veth", veth(name=""), "name"),
    case("veth", veth(name=".."), "name", ".."),
    case("veth", veth(name="a b"), "name", "a b"),
    case("veth", veth(peer={"name": "sixteen-bytes-xx"}), "peer", "name", "sixteen-bytes-xx", "15"),
    case("veth", veth(bridge="sixteen-bytes-xx"), "bridge", "sixteen-bytes-xx"),
    case("netns_nat", nat(out_interface=["sixteen-bytes-xx"]), "out_interface", "sixteen-bytes-xx"),
    case("netns_forward", forward(in_interface=["a/b"]), "in_interface", "a/b"),
    # Namespace names
    case("netns", {"name": ".."}, "name", ".."),
    case("netns", {"name": "."}, "name"),
    case("netns", {"name": "a/b"}, "name", "a/b"),
    case("netns", {"name": "../escape"}, "name", "../escape"),
    case("netns", {"name": ""}, "name", "empty"),
    case("netns", {"name": "x" * 256}, "name", "255"),
    case("netns", {"name": "ü" * 128}, "name", "255"),
    case("netns", {"name": "..", "state": "absent"}, "name", ".."),
    case("veth", veth(netns="a/b"), "netns", "a/b"),
    # Unknown things
    case("veth", veth(peer={"netns": "nope"}), "netns", "nope"),
    case("veth", veth(netns="nope"), "netns", "nope"),
    case("netns_nat", nat(netns="nope"), "netns", "nope"),
    case("netns_forward", forward(netns="nope"), "netns", "nope"),
    case("veth", veth(bridge="nobridge"), "bridge", "nobridge"),
    # Ports
    case("netns_forward", forward(port="0"), "port", "'0'"),
    case("netns_forward", forward(port="65536"), "port", "65536", "65535"),
    case("netns_forward", forward(port="8010-8000"), "port", "8010-8000"),
    case("netns_forward", forward(port="8000-70000"), "port", "70000"),
    case("netns_forward", forward(port="http"), "port", "http"),
    case("netns_forward", forward(port="-1"), "port", "-1"),
    case("netns_forward", forward(to_port="0"), "to_port"),
    case("netns_forward", forward(to_port="65536"), "to_port", "65536"),
    case("netns_forward", forward(port="8000-8010", to_port="9000-9005"), "to_port", "9000-9005", "8000-8010"),
    case("netns_forward", forward(port="8000", to_port="9000-9005"), "to_port", "9000-9005"),
    case("netns_forward", forward(port="443"), "port", "443", "taken"),
    case("netns_forward", forward(protocol=["icmp"]), "protocol", "icmp"),
    # Addresses within one namespace
    case("veth", veth(peer={"addresses": ["10.200.1.2/24"]}), "10.200.1.2"),
    case("veth", veth(addresses=["10.200.1.9/24"]), "addresses", "10.200.1", "veth-app"),
    case("veth", veth(addresses=["fd00:200:1::9/64"]), "addresses", "fd00:200:1::", "veth-app"),
    # The rest
    case("veth", veth(mac="02:00:00:00:00"), "mac", "02:00:00:00:00"),
    case("veth", veth(mac="01:00:5e:00:00:01"), "mac", "01:00:5e:00:00:01"),
    case("veth", veth(mtu=20), "mtu", "20"),
    case("veth", veth(mtu=70000), "mtu", "70000"),
    case("veth", {"name": "veth-x"}, "peer"),
    case("netns", {"name": "x", "sysctls": {"net.ipv4.no_such_thing": 1}}, "net.ipv4.no_such_thing"),
    case("netns", {"name": "x", "sysctls": {"kernel.hostname": "x"}}, "kernel.hostname"),
    case("netns", {"name": "x", "sysctls": {"net/../../kernel/hostname": "x"}}, "hostname"),
    case("netns", {"name": "x", "dns": {"nameservers": ["ns.example.org"]}}, "nameservers", "ns.example.org"),
    case("netns", {"name": "x", "dns": {"search": ["two words"]}}, "search", "two words"),
    case("netns", {"name": "x", "hosts": {"nowhere": ["db"]}}, "hosts", "nowhere"),
    case("netns", {"name": "x", "hosts": {"10.1.2.3": ["d b"]}}, "hosts", "d b"),
    case("netns_nat", nat(source=[]), "source"),
    case("netns_nat", nat(to_address="192.0.2.9-192.0.2.1"), "to_address", "192.0.2.9"),
]


@pytest.mark.parametrize("module, options, words", BAD_OPTIONS)
def test_a_bad_option_is_named_with_its_value(host, module, options, words):
    message = refused(host, module, words, options)
    assert "\n" not in message.strip(), "a message is one sentence, not a dump"


def refused(host, module, words, options):
    message = host.module(module, fails=True, **options).msg
    missing = [word for word in words if word.lower() not in message.lower()]
    assert not missing, "the message does not name %s: %s" % (missing, message)
    return message


def test_check_mode_refuses_alike(host):
    host.refuses("veth", "addresses", "10.1.1.1/33", **veth(addresses=["10.1.1.1/33"]))
    host.refuses("netns_forward", "443", "taken", **forward(port="443"))


A, B = ({"name": name} for name in ("a", "b"))


def end(name, netns, *addresses):
    return {"name": name, "netns": netns, "addresses": list(addresses)}


BAD_TOPOLOGIES = [
    case("netns_topology", {"namespaces": [A, A]}, "namespaces", "'a'"),
    case("netns_topology", {"namespaces": [A, {"name": "a/b"}]}, "namespaces[1].name", "a/b"),
    case(
        "netns_topology",
        {"namespaces": [A], "veths": [{"name": "v", "peer": end("e", "nope")}]},
        "veths[0].peer.netns",
        "nope",
    ),
    case(
        "netns_topology",
        {
            "namespaces": [A, B],
            "veths": [
                {"name": "v1", "addresses": ["10.1.0.1/24"], "peer": end("e", "a", "10.1.0.2/24")},
                {"name": "v2", "addresses": ["10.1.0.1/24"], "peer": end("e", "b", "10.1.0.3/24")},
            ],
        },
        "veths[1].addresses",
        "10.1.0.1",
    ),
    case(
        "netns_topology",
        {
            "namespaces": [A, B],
            "veths": [
                {"name": "v1", "addresses": ["10.1.0.1/16"], "peer": end("e", "a", "10.1.0.2/16")},
                {"name": "v2", "addresses": ["10.1.5.1/24"], "peer": end("e", "b", "10.1.5.2/24")},
            ],
        },
        "addresses",
        "10.1.5.",
        "10.1.0.",
    ),
    case(
        "netns_topology",
        {
            "namespaces": [A, B],
            "veths": [
                {"name": "v1", "addresses": ["fd00:1::1/48"], "peer": end("e", "a", "fd00:1::2/48")},
                {"name": "v2", "addresses": ["fd00:1:0:5::1/64"], "peer": end("e", "b", "fd00:1:0:5::2/64")},
            ],
        },
        "addresses",
        "fd00:1:0:5::",
    ),
    case(
        "netns_topology",
        {"namespaces": [A, B], "veths": [{"name": "v", "peer": end("e", "a")}, {"name": "v", "peer": end("e", "b")}]},
        "veths[1].name",
        "'v'",
    ),
    case(
        "netns_topology",
        {
            "forwards": [
                {"name": "one", "port": "8000-8010", "to_address": "10.1.0.2"},
                {"name": "two", "port": "8005", "to_address": "10.1.0.3"},
            ]
        },
        "forwards",
        "8005",
        "one",
    ),
    case(
        "netns_topology",
        {"forwards": [{"name": "one", "port": "80", "to_address": "10.1.0.2"}] * 2},
        "forwards[1].name",
        "one",
    ),
]


@pytest.mark.parametrize("module, options, words", BAD_TOPOLOGIES)
def test_what_does_not_fit_together_is_named(host, module, options, words):
    refused(host, module, words, options)


# --- a host that cannot do it -----------------------------------------------------------------------------------------


@pytest.fixture
def fresh():
    node = Host()
    yield node
    node.close()


@pytest.mark.parametrize("who", [pytest.param("another user", marks=pytest.mark.smoke), "root without capabilities"])
def test_without_root(fresh, who):
    # Reading is allowed: the interpreter may live where only root can look.
    how = {
        "another user": ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search"]
        + ["--ambient-caps=+dac_read_search"],
        "root without capabilities": ["--bounding-set=-all", "--inh-caps=-all"],
    }[who]
    before = fresh.snapshot()
    result = fresh.module("netns", name="app", fails=True, wrapper=["setpriv", *how, "--"])
    assert "root" in result.msg
    assert "become" in result.msg, "the remedy is missing"
    fresh.assert_same(before)


def hide_pyroute2(host, *interpreters):
    """For these interpreters, in this host's mounts only, pyroute2 is not installed."""
    host.sh("mkdir /run/hide; mount -t tmpfs hide /run/hide")
    find = "import importlib.util as u; print(*(s.origin for s in map(u.find_spec, ('pyroute2', 'pr2modules')) if s))"
    for interpreter in interpreters:
        if host.run("test", "-x", interpreter, check=False).returncode:
            continue
        for origin in host.run(interpreter, "-c", find).split():
            package = os.path.dirname(origin)
            host.sh(
                """
                layers=/run/hide/$(echo "$1" | tr / _)
                mkdir -p "$layers/upper" "$layers/work"
                mount -t overlay hide -o "lowerdir=$1,upperdir=$layers/upper,workdir=$layers/work" "$1"
                rm -r "$2"
                """,
                os.path.dirname(package),
                package,
            )


# Where modules look for another interpreter.
SYSTEM_PYTHONS = (
    "/usr/bin/python3",
    "/usr/bin/python",
    "/usr/libexec/platform-python",
    "/usr/local/bin/python3",
    "/bin/python3",
)


def test_without_pyroute2(fresh):
    hide_pyroute2(fresh, python(), *SYSTEM_PYTHONS)
    before = fresh.snapshot()
    result = fresh.module("netns", name="app", fails=True, pyroute2=False)
    assert "pyroute2" in result.msg
    assert "python3-pyroute2" in result.msg, "the package to install is missing"
    fresh.assert_same(before)


def test_another_interpreter_that_has_pyroute2_is_found(fresh):
    """A distribution's python3-pyroute2 belongs to the system's Python, whatever runs the module."""
    system = "/usr/bin/python3"
    version = fresh.run(system, "-c", "import sys; print(*sys.version_info[:2])", check=False)
    if version.returncode or tuple(map(int, version.stdout.split())) < (3, 9):
        pytest.skip("needs a system Python to find")
    # In this host's mounts only: the system's Python has pyroute2, and ours has not.
    where = fresh.run(python(), "-c", "import pyroute2, os; print(os.path.dirname(pyroute2.__path__[0]))", check=False)
    if where.returncode:
        pytest.skip("pyroute2 comes by PYTHONPATH here: every interpreter has it")
    fresh.sh("mkdir -p /run/keep && cp -r %s/pyroute2 /run/keep/" % where.stdout.strip())
    packages = fresh.run(system, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    hide_pyroute2(fresh, python())
    if fresh.run("test", "-d", packages, check=False).returncode:
        pytest.skip("the system's Python keeps its packages elsewhere")
    fresh.run("mount", "--bind", "/run/keep", packages)
    if fresh.run(system, "-c", "import pyroute2", check=False).returncode:
        pytest.skip("this pyroute2 does not work with the system's Python")
    assert fresh.module("netns", name="app", pyroute2=False).changed
    assert fresh.namespaces() == ["app"]


def hide_nft(host):
    host.sh("""
        for dir in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
            if [ -x "$dir/nft" ]; then mount --bind /dev/null "$dir/nft"; fi
        done
    """)


def test_without_nft(world):
    """What needs the firewall says so beforehand; what does not need it works."""
    app = Behind(world.host, "app", 1).build()
    hide_nft(world.host)
    for module, options in (
        ("netns_nat", app.nat()),
        ("netns_forward", {"name": "web", "port": "80", "to_address": app.address4}),
        ("netns_topology", topology(app, name="t")),
    ):
        result = refuses_without_nft(world.host, module, options)
        assert "nft" in result.msg
        assert "nftables" in result.msg, "the package to install is missing"
    world.host.unchanged("netns", **app.netns)
    world.host.unchanged("veth", **app.veth)


def refuses_without_nft(host, module, options):
    """As host.refuses(), but without its snapshot of the rules: there is no nft to read them."""
    before = host.run("ip", "-j", "link", "show"), host.namespaces(), host.links()
    result = host.module(module, fails=True, **options)
    assert (host.run("ip", "-j", "link", "show"), host.namespaces(), host.links()) == before
    return result


@pytest.mark.parametrize(
    "damage, words",
    [
        ("mkdir /run/netns; mount -t tmpfs -o ro,mode=755 none /run/netns", ["/run/netns"]),
        ("mount -o remount,ro /run", ["/run", "read-only"]),
        ("echo in the way > /run/netns", ["/run/netns"]),
        ("ln -s /nowhere /run/netns", ["/run/netns"]),
    ],
)
def test_a_place_that_cannot_hold_mounts(fresh, damage, words):
    fresh.sh(damage)
    before = fresh.run("ls", "-l", "/run")
    result = fresh.module("netns", name="app", fails=True)
    for word in words:
        assert word in result.msg.lower()
    assert fresh.run("ls", "-l", "/run") == before
    assert fresh.module("netns", name="app", fails=True, check=True).msg == result.msg


def test_another_mount_namespace_is_a_warning(fresh):
    """What is made there may not be seen by the host: sandboxes do that on purpose, units by accident."""
    sandbox = ["unshare", "--mount", "--propagation", "private"]
    result = fresh.module("netns", name="app", wrapper=sandbox)
    assert result.changed
    assert any("mount namespace" in warning for warning in result.warnings), result.warnings
    # The host is left with a plain file at most; seen from the host, that is put right and nothing to warn of.
    result = fresh.module("netns", name="app")
    assert result.changed
    assert fresh.namespaces() == ["app"]
    assert not any("mount namespace" in warning for warning in result.warnings)


def test_no_warning_without_a_reason(world):
    app = Behind(world.host, "app", 1)
    for module, options in (
        ("netns", app.netns),
        ("veth", app.veth),
        ("netns_nat", app.nat()),
        ("netns_forward", {"name": "web", "port": "80", "to_address": app.address4, "listen_address": [UPLINK4]}),
        ("netns_topology", topology(app)),
    ):
        result = world.host.module(module, **options)
        assert result.warnings == []
        assert result["stderr_of_python"] == ""
