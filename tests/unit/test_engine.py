# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine from request to result on a kernel in memory: ownership, clashes, errors, repairs."""

from __future__ import annotations

import copy
import errno
import ipaddress
import os
from unittest import mock

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils import preflight
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.engine import Request
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import (
    Clash,
    InvalidOption,
    LedgerUnreadable,
    MissingDependency,
    NetnsError,
    StepFailed,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.ledger import PATH
from model_kernel import ModelKernel
from model_system import converge, topology, uplinked

NAMESPACES = [{"name": "app"}]
VETH = {
    "name": "app0",
    "addresses": ["10.0.0.1/30"],
    "peer": {"name": "eth0", "netns": "app", "addresses": ["10.0.0.2/30"], "gateway": "10.0.0.1"},
}
NAT = {"name": "out", "source": ["10.0.0.0/30"]}
FORWARD = {"name": "in", "port": "10105", "to_address": "10.0.0.2"}
OPTIONS = {"namespaces": NAMESPACES, "veths": [VETH], "nat": [NAT], "forwards": [FORWARD]}


def single(list_name, options, absent=False):
    """A Request as the module of one resource makes it."""
    kind = {"namespaces": "netns", "veths": "veth", "nat": "netns_nat", "forwards": "netns_forward"}[list_name]
    identity = (kind, options["name"]) if kind == "netns" else (kind, options.get("netns") or "", options["name"])
    return Request(
        f"module {kind} {identity[-1]}", {list_name: [options]}, True, identity, absent, kind in ("netns", "veth")
    )


def fails(kernel, request, kind, *words):
    """Refused in these words, in check mode too, and nothing is touched."""
    before, writes = kernel.picture(), kernel.writes
    for check_mode in (True, False):
        with pytest.raises(kind) as caught:
            converge(kernel, request, check_mode)
        text = str(caught.value)
        assert all(word in text for word in words), text
        assert (kernel.picture(), kernel.writes) == (before, writes)
    return text


def made(options=None, kernel=None):
    kernel = kernel or uplinked()
    converge(kernel, topology(OPTIONS if options is None else options))
    return kernel


def items(result):
    return [f"{change.action} {change.item}" for change in result.changes]


# -- what a run says --


def test_the_result_names_each_object_with_before_and_after():
    kernel = made()
    kernel.host.devices["app0"].mtu = 1400
    kernel.host.delete_address(kernel.host.devices["app0"], ipaddress.ip_interface("10.0.0.1/30"))
    result = converge(kernel, topology({**OPTIONS, "veths": [{**VETH, "mtu": 1300}]})).as_dict()
    assert result["changed"] is True
    assert {(change["action"], change["kind"], change["before"], change["after"]) for change in result["changes"]} == {
        ("update", "link", 1400, 1300),
        ("create", "address", None, "present"),
    }
    assert result["diff"]["before"] == "link app0 on the host mtu: 1400\n"
    assert set(result["diff"]["after"].splitlines()) == {
        "link app0 on the host mtu: 1300",
        "address 10.0.0.1/30 on app0 on the host",
    }


def test_no_change_says_so():
    assert converge(made(), topology(OPTIONS)).as_dict() == {
        "changed": False,
        "changes": [],
        "diff": {"before": "", "after": ""},
        "warnings": [],
    }


@pytest.mark.parametrize(
    "act",
    [
        lambda kernel: kernel.host.set_sysctl("net/ipv4/conf/app0/forwarding", "0"),
        lambda kernel: setattr(kernel.names["app"][0].devices["lo"], "up", False),
        lambda kernel: setattr(kernel.host, "table", None),
        lambda kernel: setattr(kernel.host, "table", kernel.host.table.replace("10105", "10106", 1)),
        lambda kernel: kernel.names["app"][0].routes.clear(),
        lambda kernel: kernel.host.devices["app0"].addresses.append(ipaddress.ip_interface("10.99.0.1/24")),
    ],
)
def test_drift_of_one_thing_is_one_change(act):
    kernel = made()
    good = kernel.picture()
    act(kernel)
    result = converge(kernel, topology(OPTIONS))
    assert len(result.changes) == 1, items(result)
    assert kernel.picture() == good


# -- two modules of one name, adoption, foreign things --


def test_single_modules_build_the_same_as_a_topology():
    one, other = uplinked(), uplinked()
    converge(one, topology(OPTIONS))
    for list_name, listed in OPTIONS.items():
        for options in listed:
            converge(other, single(list_name, options))
    assert one.host.table == other.host.table
    assert one.picture(ledger=False) == other.picture(ledger=False)
    for list_name, listed in OPTIONS.items():
        for options in listed:
            assert items(converge(other, single(list_name, options))) == []


def test_single_modules_take_away_what_they_made():
    kernel = uplinked()
    before = kernel.picture()
    for list_name, listed in OPTIONS.items():
        for options in listed:
            converge(kernel, single(list_name, options))
    for list_name, listed in reversed(OPTIONS.items()):
        for options in listed:
            assert items(converge(kernel, single(list_name, options, absent=True)))
            assert items(converge(kernel, single(list_name, options, absent=True))) == []
    assert kernel.picture() == before


def test_a_topology_adopts_what_single_modules_made():
    kernel = uplinked()
    before = kernel.picture()
    converge(kernel, single("namespaces", NAMESPACES[0]))
    converge(kernel, single("veths", VETH))
    result = converge(kernel, topology(OPTIONS))
    assert not [change for change in result.changes if change.item.kind in ("namespace", "veth")]
    converge(kernel, topology(OPTIONS, absent=True))
    assert kernel.picture() == before


def test_what_single_modules_made_outlives_topologies_that_do_not_list_it():
    kernel = uplinked()
    converge(kernel, single("namespaces", {"name": "mine"}))
    converge(kernel, topology(OPTIONS))
    converge(kernel, topology(OPTIONS, absent=True))
    assert "mine" in kernel.names and "app" not in kernel.names


def test_options_left_out_of_a_single_module_stay_as_they_are():
    kernel = uplinked()
    converge(kernel, single("namespaces", NAMESPACES[0]))
    converge(kernel, single("veths", {**VETH, "mtu": 1400}))
    assert items(converge(kernel, single("veths", {"name": "app0", "peer": {"name": "eth0", "netns": "app"}}))) == []
    assert items(converge(kernel, single("veths", {"name": "eth0", "netns": "app"}))) == []


def test_a_pair_is_the_same_from_either_end():
    kernel = made()
    peer = VETH["peer"]
    turned = {**peer, "peer": {name: value for name, value in VETH.items() if name != "peer"}}
    assert items(converge(kernel, topology({**OPTIONS, "veths": [turned]}))) == []
    gone = converge(kernel, topology(OPTIONS, absent=True), check_mode=True)
    assert [str(change.item) for change in gone.changes if change.item.kind == "veth"] == [
        "veth app0 on the host -- eth0 in app"
    ]


def test_two_topologies_may_not_list_the_same_thing():
    fails(made(), topology(OPTIONS, "other"), Clash, "netns app belongs to topology default", "remove it there first")


def test_a_single_module_may_not_change_what_a_topology_lists():
    kernel = made()
    assert items(converge(kernel, single("veths", VETH))) == []
    fails(kernel, single("veths", {**VETH, "mtu": 1400}), Clash, "belongs to topology default", "change it there")
    fails(kernel, single("veths", VETH, absent=True), Clash, "belongs to topology default")
    fails(kernel, single("namespaces", NAMESPACES[0], absent=True), Clash, "topology default")


def test_names_that_others_took():
    kernel = uplinked()
    fails(
        kernel,
        topology({"namespaces": [{"name": "theirs"}]}),
        Clash,
        "namespaces[0].name: namespace 'theirs' exists and was not made by linuxnet.netns",
        "choose another name",
    )
    fails(
        kernel,
        topology({**OPTIONS, "veths": [{**VETH, "name": "eth1"}]}),
        Clash,
        "veths[0].name: 'eth1' on the host is taken by a link of type physical",
        "choose another name",
    )
    fails(
        kernel,
        topology({**OPTIONS, "veths": [{**VETH, "name": "theirs0"}]}),
        Clash,
        "is taken by a veth",
        "choose another name",
    )


def test_addresses_that_others_took():
    kernel = uplinked()
    pair = {**VETH, "peer": {"name": "eth0", "netns": "app"}}
    fails(
        kernel,
        topology({**OPTIONS, "veths": [{**pair, "addresses": ["192.0.2.10/32"]}]}),
        Clash,
        "veths[0].addresses[0]: '192.0.2.10/32' is already an address of interface eth0 on the host",
        "choose another address",
    )
    fails(
        kernel,
        topology({**OPTIONS, "veths": [{**pair, "addresses": ["192.0.2.1/24"]}]}),
        Clash,
        "overlaps 192.0.2.10/24 of interface eth0 on the host",
        "choose another network",
    )
    converge(
        kernel, topology({**OPTIONS, "veths": [{**pair, "addresses": ["192.0.2.65/30"]}]})
    )  # a part of the uplink's network is not its network


def test_a_route_of_somebody_else_in_the_way():
    kernel = uplinked()
    for option, via, address in (("gateway", "10.0.0.2", "10.0.0.1/30"), ("gateway6", "fd00::2", "fd00::1/64")):
        pair = {"name": "app0", "addresses": [address], option: via, "peer": {"name": "eth0", "netns": "app"}}
        fails(
            kernel,
            topology({"namespaces": NAMESPACES, "veths": [pair]}),
            Clash,
            "through eth0 already",
            "another metric or table",
        )


def test_a_port_that_another_topology_forwards():
    fails(
        made(),
        topology({"forwards": [{**FORWARD, "name": "mine"}]}, "other"),
        InvalidOption,
        "forward in of topology default already takes 10105",
        "choose another port",
    )


def test_foreign_links_are_not_touched_by_absent():
    kernel = uplinked()
    fails(
        kernel,
        single("veths", {"name": "eth0"}, absent=True),
        Clash,
        "is a link of type physical, not a veth",
        "left alone",
    )
    assert items(converge(kernel, single("veths", {"name": "nothing"}, absent=True))) == []


@pytest.mark.parametrize("force_forwarding", [True, False])
def test_flows_go_along_when_their_pair_gets_another_name(force_forwarding):
    """The link that leaves still has the addresses that they are found by; forwarding is not enabled on that one."""
    kernel = uplinked(force_forwarding)
    direct = copy.deepcopy(kernel)
    converge(kernel, topology(OPTIONS))
    other = topology({**OPTIONS, "veths": [{**VETH, "name": "other0"}]})
    foretold = converge(kernel, other, check_mode=True)
    assert converge(kernel, other).as_dict() == foretold.as_dict()
    assert not any("app0" in str(change.item) for change in foretold.changes if change.after is not None)
    assert not converge(kernel, other).changes
    converge(direct, other)
    assert kernel.picture(ledger=False) == direct.picture(ledger=False)


@pytest.mark.parametrize("force_forwarding", [True, False])
def test_a_pair_that_was_renamed_by_hand_is_made_anew(force_forwarding):
    kernel = uplinked(force_forwarding)
    converge(kernel, topology(OPTIONS))
    good = kernel.picture(ledger=False)
    kernel.host.rename("app0", "strange0")
    foretold = converge(kernel, topology(OPTIONS), check_mode=True)
    assert converge(kernel, topology(OPTIONS)).as_dict() == foretold.as_dict()
    assert not converge(kernel, topology(OPTIONS)).changes
    assert kernel.picture(ledger=False) == good


def test_what_others_put_into_our_directories_stays_and_keeps_them():
    """A backup of an editor's, say; and a host whose /etc/netns has become somebody else's too."""
    kernel = uplinked()
    options = {"namespaces": [{"name": name, "hosts": {"192.0.2.7": ["files"]}} for name in ("app", "db")]}
    before = kernel.picture()
    converge(kernel, topology(options))
    kernel.files["/etc/netns/app/hosts~"] = "theirs\n"
    foretold = converge(kernel, topology({}, absent=True), check_mode=True)
    gone = converge(kernel, topology({}, absent=True))
    assert gone.as_dict() == foretold.as_dict()
    assert {change.item.path for change in gone.changes if change.item.kind == "directory"} == {"/etc/netns/db"}
    assert not converge(kernel, topology({}, absent=True)).changes
    for path in ("/etc/netns/app/hosts~", "/etc/netns/app", "/etc/netns"):
        del kernel.files[path]
    assert kernel.picture() == before


def test_absent_by_name_means_that_name_whoever_made_it():
    kernel = uplinked()
    converge(kernel, single("namespaces", {"name": "theirs"}, absent=True))
    assert "theirs" not in kernel.names and "theirs0" not in kernel.host.devices


# -- what is missing --


def test_unknown_namespaces_and_bridges():
    kernel = uplinked()
    fails(
        kernel,
        topology({"veths": [VETH]}),
        InvalidOption,
        "veths[0].peer.netns: 'app' is an unknown namespace",
        "make it first",
    )
    fails(kernel, single("veths", VETH), InvalidOption, "peer.netns: 'app' is an unknown namespace", "make it first")
    fails(
        kernel, topology({"nat": [{**NAT, "netns": "gw"}]}), InvalidOption, "nat[0].netns: 'gw' is an unknown namespace"
    )
    fails(
        kernel,
        topology({"forwards": [{**FORWARD, "netns": "gw"}]}),
        InvalidOption,
        "forwards[0].netns: 'gw' is an unknown namespace",
    )
    for bridge, words in (("br9", "is not a bridge"), ("eth1", "not a bridge")):
        fails(
            kernel,
            topology({**OPTIONS, "veths": [{**VETH, "bridge": bridge}]}),
            InvalidOption,
            "veths[0].bridge",
            words,
            "make the bridge first",
        )
    fails(
        kernel,
        single("veths", {"name": "new0"}),
        InvalidOption,
        "peer: None is needed to make new0 on the host",
        "peer.name",
    )


def test_unknown_sysctls():
    fails(
        uplinked(),
        topology({"namespaces": [{"name": "app", "sysctls": {"net.ipv4.nonsense": 1}}]}),
        InvalidOption,
        "namespaces[0].sysctls.net.ipv4.nonsense: '1' is not a sysctl of this kernel",
        "sysctl -a",
    )


def privileges(monkeypatch, user=0, library=True, capabilities=True, mounts="7"):
    """check_privileges() as if run by that user, in such a sandbox."""
    monkeypatch.setattr(preflight, "os", mock.Mock(geteuid=lambda: user))
    monkeypatch.setattr(preflight, "_has_capabilities", lambda: capabilities)
    monkeypatch.setattr(preflight, "has_pyroute2", lambda: library)
    monkeypatch.setattr(preflight, "_mount_ids", {"self": {mounts}, "1": {"7"}}.get)
    return preflight.check_privileges()


@pytest.mark.parametrize(
    ("lacking", "reason", "remedy"),
    [
        ({"user": 1000}, "need root", "become: true"),
        ({"capabilities": False}, "net_admin and sys_admin", "become: true"),
        ({"library": False}, "pyroute2 was not found", "python3-pyroute2"),
    ],
)
def test_privileges_and_libraries(monkeypatch, lacking, reason, remedy):
    with pytest.raises(MissingDependency) as caught:
        privileges(monkeypatch, **lacking)
    assert reason in str(caught.value) and remedy in str(caught.value)


def test_another_mount_namespace_is_a_warning(monkeypatch):
    assert privileges(monkeypatch) == []
    (warning,) = privileges(monkeypatch, mounts="8")
    assert "another mount namespace" in warning


def test_nft_is_needed_only_where_there_are_rules(monkeypatch):
    def missing(self):
        raise MissingDependency("the command nft was not found on this host; install the package nftables")

    monkeypatch.setattr("model_system._Nft.require", missing)
    kernel = uplinked()
    fails(kernel, topology(OPTIONS), MissingDependency, "install the package nftables")
    converge(kernel, topology({"namespaces": NAMESPACES}))


def test_a_place_that_cannot_hold_mounts(monkeypatch):
    monkeypatch.setattr("model_system._Mounts.why_unfit", lambda self, really: "/run/netns is not writable")
    kernel = uplinked()
    fails(
        kernel,
        topology(OPTIONS),
        MissingDependency,
        "/run/netns cannot hold namespaces: /run/netns is not writable",
        "root can mount",
    )


def test_a_damaged_ledger_stops_everything():
    kernel = made()
    kernel.files[PATH] = "{"
    fails(kernel, topology(OPTIONS), LedgerUnreadable, "is damaged", "remove it to start anew")


# -- repairs --


@pytest.mark.parametrize(("entry", "words"), [([None, 0], "leftover file"), ("stack", "mounted more than once")])
def test_half_made_names_and_stacked_mounts_are_repaired_and_reported(entry, words):
    kernel = made({"namespaces": NAMESPACES})
    if entry == "stack":
        kernel.names["app"][1] = 2
    else:
        kernel.names["app"] = list(entry)
    predicted = converge(kernel, topology({"namespaces": NAMESPACES}), check_mode=True)
    result = converge(kernel, topology({"namespaces": NAMESPACES}))
    assert predicted.warnings == result.warnings and words in result.warnings[0] and "repaired" in result.warnings[0]
    assert kernel.names["app"][0] is not None and kernel.names["app"][1] == 1
    assert items(converge(kernel, topology({"namespaces": NAMESPACES}))) == []


def test_a_namespace_in_use_is_not_removed_unless_told():
    from ansible_collections.linuxnet.netns.plugins.module_utils.doors.processes import Process

    kernel = made()
    kernel.processes[kernel.names["app"][0].identity] = [Process(4711, "nginx")]
    fails(kernel, topology(OPTIONS, absent=True), Clash, "'app' is in use", "4711 (nginx)", "processes: kill")
    kill = {**OPTIONS, "namespaces": [{"name": "app", "processes": "kill", "timeout": 1}]}
    converge(kernel, topology(kill))
    converge(kernel, topology(kill, absent=True))
    assert not kernel.processes and "app" not in kernel.names


@pytest.mark.parametrize("start", [uplinked, made])
def test_a_failure_names_the_step_and_leaves_everything_as_it_was(start):
    """On the way up from nothing, and on the way from one topology to another; the last write is the ledger's."""
    options = (
        OPTIONS if start is uplinked else {**OPTIONS, "forwards": [], "namespaces": [{"name": "app", "hosts": {}}]}
    )
    kernel = start()
    before = kernel.picture()
    dry = made(options, copy.deepcopy(kernel))
    for number in range(1, dry.writes - kernel.writes + 1):
        kernel.fail_at = kernel.writes + number
        with pytest.raises(NetnsError) as caught:
            converge(kernel, topology(options))
        assert kernel.picture() == before, (number, str(caught.value))
        if isinstance(caught.value, StepFailed) and "verification" not in str(caught.value):
            assert str(caught.value).startswith("step ") and "Everything was undone" in str(caught.value)
    converge(kernel, topology(options))
    assert kernel.picture(ledger=False) == dry.picture(ledger=False)


def test_a_run_that_was_killed_is_finished_by_the_next():
    """Whatever was made is in the ledger before it is made. Whatever is asked for next, nothing of it stays."""
    options = {
        **OPTIONS,
        "namespaces": [{**NAMESPACES[0], "sysctls": {"net.core.somaxconn": 9}}, *NAMESPACES[1:]],
        "nat": [NAT, {"name": "inner", "netns": "app", "source": ["10.9.0.0/24"], "out_interface": ["eth0"]}],
    }
    dry, bare = made(options), made({"namespaces": [{"name": "app"}]})
    for number in range(2, dry.writes):  # the first is the ledger's folder
        kernel = uplinked()
        clean = kernel.picture()

        def act(number=number, kernel=kernel):
            kernel.writes += 1
            if kernel.writes >= number:
                raise MemoryError("killed")

        kernel.act = act
        with pytest.raises(BaseException):  # noqa: B017 - the process ends here, whatever it says
            converge(kernel, topology(options))
        del kernel.act
        other, third = copy.deepcopy(kernel), copy.deepcopy(kernel)
        converge(kernel, topology(options))
        assert kernel.picture(ledger=False) == dry.picture(ledger=False)
        converge(other, topology(options, absent=True))
        assert other.picture() == clean
        converge(third, topology({"namespaces": [{"name": "app"}]}))
        assert third.picture(ledger=False) == bare.picture(ledger=False)


# -- forwarding --


def test_forwarding_goes_back_to_what_it_was():
    kernel = uplinked()
    kernel.host.set_sysctl("net/ipv4/conf/eth0/forwarding", "1")
    before = kernel.picture()
    converge(kernel, topology(OPTIONS))
    assert '"eth0"' not in kernel.host.table.partition("chain filter_forward")[2].partition("}\n\t}")[0], (
        "the admin's decision stays"
    )
    converge(kernel, topology(OPTIONS, absent=True))
    assert kernel.picture() == before


def test_forwarding_shared_by_two_topologies_goes_with_the_last():
    kernel = uplinked()
    other = {
        "namespaces": [{"name": "db"}],
        "veths": [
            {
                "name": "db0",
                "addresses": ["10.0.1.1/30"],
                "peer": {"name": "eth0", "netns": "db", "addresses": ["10.0.1.2/30"]},
            }
        ],
        "nat": [{"name": "db", "source": ["10.0.1.0/30"]}],
    }
    switch = "net/ipv4/conf/eth0/forwarding"
    converge(kernel, topology(OPTIONS, "one"))
    converge(kernel, topology(other, "two"))
    converge(kernel, topology(OPTIONS, "one", absent=True))
    assert kernel.host.sysctls[switch] == "1"
    converge(kernel, topology(other, "two", absent=True))
    assert kernel.host.sysctls[switch] == "0" and kernel.host.table is None


def test_a_learnt_default_route_survives_the_global_switch():
    six = {
        "namespaces": NAMESPACES,
        "veths": [
            {
                "name": "app0",
                "addresses": ["fd00::1/64"],
                "peer": {"name": "eth0", "netns": "app", "addresses": ["fd00::2/64"]},
            }
        ],
        "nat": [{"name": "six", "source": ["fd00::/64"]}],
    }
    kernel = uplinked(force_forwarding=False)
    before = kernel.picture()
    learnt = [route for route in kernel.host.routes if route.protocol == wire.RTPROT_RA]
    converge(kernel, topology(six))
    assert kernel.host.sysctls["net/ipv6/conf/all/forwarding"] == "1"
    assert learnt and learnt[0] in kernel.host.routes
    converge(kernel, topology(six, absent=True))
    assert kernel.picture() == before


def test_a_host_that_became_a_router_stays_one():
    kernel = made()
    kernel.host.set_sysctl("net/ipv4/ip_forward", "1")
    converge(kernel, topology(OPTIONS, absent=True))
    assert kernel.host.sysctls["net/ipv4/conf/eth0/forwarding"] == "1"


def test_warnings_where_a_flow_has_nowhere_to_go():
    kernel = ModelKernel()
    result = converge(kernel, topology(OPTIONS))
    assert any("there is no IPv4 default route on the host" in warning for warning in result.warnings)
    result = converge(uplinked(), topology({"nat": [{"name": "early", "source": ["10.5.0.0/24"]}]}))
    assert any("nat early: no interface on the host leads to 10.5.0.0/24 yet" in warning for warning in result.warnings)


def test_interface_numbers_that_repeat_do_not_confuse_pairs():
    """Of three pairs between namespaces, each end has the number 2 or 3."""
    names = ("a", "b", "c", "d", "e", "f")
    veths = [
        {"name": "x", "netns": one, "peer": {"name": "y", "netns": other}}
        for one, other in zip(names[::2], names[1::2])
    ]
    options = {"namespaces": [{"name": name} for name in names], "veths": veths}
    kernel = made(options)
    assert {device.index for name in names for device in kernel.names[name][0].devices.values()} == {1, 2}
    assert items(converge(kernel, topology(options))) == []


def test_the_errors_of_the_system_pass_through_with_their_reason():
    kernel = uplinked()
    kernel.add_veth = lambda *_ends, **_options: (_ for _ in ()).throw(
        OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
    )
    with pytest.raises(StepFailed) as caught:
        converge(kernel, topology(OPTIONS))
    assert "create veth app0 on the host -- eth0 in app) failed" in str(caught.value) and os.strerror(
        errno.ENOBUFS
    ) in str(caught.value)


@pytest.mark.parametrize("mark", [1, 2])
def test_a_pair_that_cannot_be_marked_does_not_stay(mark):
    """Making a pair takes several writes; each of them may be refused."""
    kernel = uplinked()
    converge(kernel, topology({"namespaces": NAMESPACES}))
    original = kernel.add_veth

    def add_veth(*ends):
        kernel.fail_at = kernel.writes + mark
        return original(*ends)

    kernel.add_veth = add_veth
    before = kernel.picture()
    with pytest.raises(StepFailed):
        converge(kernel, topology({"namespaces": NAMESPACES, "veths": [VETH]}))
    assert kernel.picture() == before


def test_nft_is_not_asked_twice_what_it_makes_of_a_ruleset():
    """Unless its table reads otherwise than it did then."""
    kernel = uplinked()
    asked = []

    def canonical(nft, body):
        asked.append(body)
        return nft.listed(body)

    with mock.patch("model_system._Nft.canonical", canonical):
        converge(kernel, topology(OPTIONS))
        assert len(asked) == 1
        assert not converge(kernel, topology(OPTIONS)).changes
        assert len(asked) == 1
        kernel.host.table = kernel.host.table.replace("drop", "accept")
        assert [str(change.item) for change in converge(kernel, topology(OPTIONS)).changes] == [
            "nftables table inet linuxnet_netns on the host"
        ]
        assert len(asked) == 2
        assert converge(kernel, topology({**OPTIONS, "forwards": []})).changes
        assert len(asked) == 3


def test_a_run_that_was_killed_leaves_its_mark():
    """The ledger says that a run is under way from before its first act until after its last."""
    kernel, seen = uplinked(), []
    act = kernel.act

    def watch():
        seen.append('"unfinished": true' in (kernel.files.get(PATH) or ""))
        act()

    kernel.act = watch
    converge(kernel, topology(OPTIONS))
    assert seen[:2] == [False, False] and all(seen[2:]) and "unfinished" not in kernel.files[PATH]


def test_only_units_whose_main_process_is_inside_are_stopped(monkeypatch):
    from ansible_collections.linuxnet.netns.plugins.module_utils.doors.processes import Process

    kernel = made({"namespaces": [{"name": "app", "processes": "kill"}]})
    kernel.units = {name: {"vendor": True, "pid": pid} for name, pid in (("inside.service", 7), ("around.service", 8))}
    kernel.processes[kernel.names["app"][0].identity] = [
        Process(7, "inside", unit="inside.service"),
        Process(9, "shell", unit="around.service"),
    ]
    result = converge(kernel, topology({}, absent=True))
    assert any("process 9 (shell, unit around.service) in app" in item for item in items(result))
    assert [name for name, state in kernel.units.items() if state.get("pid")] == ["around.service"]


def test_units_that_were_stopped_start_again_if_a_later_step_fails():
    from ansible_collections.linuxnet.netns.plugins.module_utils.doors.processes import Process

    kernel = made({"namespaces": [{"name": "app", "processes": "kill"}]})
    kernel.units = {"inside.service": {"vendor": True, "pid": 7}}
    kernel.processes[kernel.names["app"][0].identity] = [Process(7, "inside", unit="inside.service")]
    kernel.start = lambda name: kernel.units[name].update(pid=17)
    trial = copy.deepcopy(kernel)
    converge(trial, topology({}, absent=True))
    kernel.fail_at = trial.writes  # the last one, which takes the ledger away
    with pytest.raises(StepFailed):
        converge(kernel, topology({}, absent=True))
    assert kernel.units["inside.service"]["pid"] == 17


@pytest.mark.parametrize("refused", [False, True])
def test_a_network_card_goes_back_to_the_host_before_its_namespace_goes(refused):
    from model_kernel import Device

    kernel = made({"namespaces": NAMESPACES})
    Device(kernel.names["app"][0], "eth7", "", "52:54:00:00:00:77")
    before = kernel.picture()
    if refused:  # the last write: what was moved goes back
        kernel.fail_at = kernel.writes + 4
        with pytest.raises(StepFailed):
            converge(kernel, topology({}, absent=True))
        assert kernel.picture() == before
    else:
        changes = items(converge(kernel, topology({}, absent=True)))
        assert any("physical link eth7" in change for change in changes)
        assert "eth7" in kernel.host.devices and not kernel.names.get("app")


def test_a_network_card_whose_name_is_taken_stays_where_it_is():
    from model_kernel import Device

    kernel = made({"namespaces": NAMESPACES})
    Device(kernel.names["app"][0], "eth1")
    fails(kernel, topology({}, absent=True), Clash, "network card eth1", "ip -n app link set eth1 name NEW")
