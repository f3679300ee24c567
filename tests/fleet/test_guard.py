# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What could cut a host off is refused, or made on trial: then SSH is really cut here, and comes back by itself."""

from __future__ import annotations

import json
import pathlib

import ansible_mitogen
import pytest
from fleetlib.testing import GATEWAY4

CONTROLLER4 = "172.30.0.1"
MITOGEN = {
    "ANSIBLE_STRATEGY": "mitogen_linear",
    "ANSIBLE_STRATEGY_PLUGINS": str(pathlib.Path(ansible_mitogen.__file__).parent / "plugins" / "strategy"),
}
WAYS = pytest.mark.parametrize(
    "way",
    [
        {"user": "root"},
        {"user": "admin"},
        {"user": "admin", "pipelining": False},
        {"user": "root", "variables": MITOGEN},
        {"user": "admin", "variables": MITOGEN},
    ],
    ids=["root", "admin", "admin without pipelining", "root mitogen", "admin mitogen"],
)


def pair(**end):
    """A pair whose end on the host has these options."""
    return {"name": "cut0", "addresses": ["10.66.0.1/30"], **end} | {
        "peer": {"name": "eth0", "netns": "cut", "addresses": ["10.66.0.2/30"]}
    }


def topology(**options):
    return {"name": "cut", "namespaces": [{"name": "cut", "dns": {"nameservers": [GATEWAY4]}}], **options}


#: By what they do: all of these would end the connection by which the run came, or take the default route away.
CUTS = {
    "a route to the controller": topology(veths=[pair(routes=[{"to": CONTROLLER4, "via": "10.66.0.2"}])]),
    "an address in whose network the controller is": topology(veths=[pair(addresses=["172.30.0.100/25"])]),
    "a rule for what sshd answers": topology(
        veths=[pair(rules=[{"priority": 100, "to": "172.30.0.0/24", "table": "100"}])]
    ),
    "another default route": topology(veths=[pair(gateway="10.66.0.2")]),
    "a forward of the server's port": topology(
        veths=[pair()], forwards=[{"name": "ssh", "port": "22", "to_address": "10.66.0.2"}]
    ),
    "a forward of a range with it": topology(
        veths=[pair()],
        forwards=[{"name": "all", "port": "20-30", "to_address": "10.66.0.2", "in_interface": ["mgmt0"]}],
    ),
}
#: The same kinds of things, but harmless.
HARMLESS = {
    "a route elsewhere": topology(veths=[pair(routes=[{"to": "10.99.0.0/16", "via": "10.66.0.2"}])]),
    "a default route that is not asked": topology(
        veths=[pair(routes=[{"to": "default", "via": "10.66.0.2", "metric": 5000}])]
    ),
    "a rule for others": topology(veths=[pair(rules=[{"priority": 100, "from": "10.66.0.1", "table": "100"}])]),
    "a forward at another interface": topology(
        veths=[pair()], forwards=[{"name": "ssh", "port": "22", "to_address": "10.66.0.2", "in_interface": ["eth0"]}]
    ),
    "a forward of a port by its side": topology(
        veths=[pair()], forwards=[{"name": "ssh", "port": "2222", "to_address": "10.66.0.2", "to_port": "22"}]
    ),
}


def play(options, fails=False, **settings):
    task = {"name": "Converge", "linuxnet.netns.netns_topology": options, **({"ignore_errors": True} if fails else {})}
    return "---\n" + json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]) + "\n", settings


def converge(host, options, **settings):
    """The result of one task."""
    text, settings = play(options, **settings)
    return host.run_playbook(text, **settings).task("Converge").result


def refused(host, options, **settings):
    text, settings = play(options, fails=True, **settings)
    return host.run_playbook(text, **settings).task("Converge").result


@pytest.mark.parametrize("user", ["root", "admin"])
def test_what_could_cut_the_host_off_is_refused(host, user):
    host.ssh(f"ip route replace default via {GATEWAY4} metric 100; ip route delete default metric 0")
    before = host.snapshot()
    tasks = [
        {
            "name": f"{what}, check {check}",
            "linuxnet.netns.netns_topology": cut,
            "ignore_errors": True,
            "check_mode": check,
        }
        for what, cut in CUTS.items()
        for check in (True, False)
    ]
    text = "---\n" + json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]) + "\n"
    outcome = host.run_playbook(text, user=user)
    for task in tasks:
        result = outcome.task(task["name"]).result
        assert result.get("error") == "lockout", (task["name"], result)
        assert "confirm_timeout" in result["msg"], result["msg"]
    host.assert_same(before)


def test_what_is_on_the_way_is_not_touched_without_a_trial(host):
    """The very interface that carries the connection, and the one of the default route."""
    for link, mtu in (("mgmt0", 1400), ("eth0", 1400)):
        text = "---\n" + json.dumps(
            [
                {
                    "hosts": "all",
                    "gather_facts": False,
                    "tasks": [
                        {"name": "Converge", "linuxnet.netns.veth": {"name": link, "mtu": mtu}, "ignore_errors": True}
                    ],
                }
            ]
        )
        result = host.run_playbook(text + "\n").task("Converge").result
        assert result.get("error") == "lockout", result
        assert host.ssh(f"cat /sys/class/net/{link}/mtu").strip() == "1500"


def test_what_is_harmless_needs_no_trial(host):
    before = host.snapshot()
    for what, options in HARMLESS.items():
        assert converge(host, options)["changed"], what
        converge(host, {"name": "cut", "state": "absent"})
    host.assert_same(before)


@WAYS
def test_a_change_on_trial_is_confirmed_over_a_new_connection(host, way):
    before = host.snapshot()
    options = {**HARMLESS["a route elsewhere"], "confirm_timeout": 30}
    foretold = converge(host, options, check=True, **way)
    host.assert_same(before)
    done = converge(host, options, **way)
    assert done["changed"] and done["changes"] == foretold["changes"], done
    assert "10.99.0.0/16 via 10.66.0.2" in host.ssh("ip route")
    assert GATEWAY4 in host.ssh("cat /etc/netns/cut/resolv.conf")
    assert host.ssh("ls /run/linuxnet-netns* 2>/dev/null || :") == ""
    assert not converge(host, options, **way)["changed"]
    assert converge(host, {"name": "cut", "state": "absent", "confirm_timeout": 30}, **way)["changed"]
    host.assert_same(before)


#: Notes, five times a second, whether the host is cut off and what of ours is on its disk.
WATCH = """
while :; do
    ip route get %s | grep -q cut0 && echo cut
    find /etc/netns /var/lib /usr/local /etc/systemd/system -name '*netns*' 2>/dev/null
    ls -d /etc/netns/cut 2>/dev/null
    sleep 0.2
done > /run/watched
"""


@WAYS
def test_a_host_that_is_cut_off_comes_back_by_itself(host, way):
    host.write("/run/watch", WATCH % CONTROLLER4)
    host.ssh("systemd-run --quiet --collect --unit=watch sh /run/watch")
    before = host.snapshot()
    result = refused(host, {**CUTS["a route to the controller"], "persist": True, "confirm_timeout": 8}, **way)
    assert result["error"] == "not_confirmed" and not result["changed"], result
    assert "8 s" in result["msg"] and "the host is as before" in result["msg"], result["msg"]
    host.assert_same(before)
    watched = set(host.ssh("systemctl stop watch; cat /run/watched").split("\n")) - {""}
    assert watched == {"cut"}, "written before the confirmation: %s" % watched


@pytest.mark.parametrize("end", [{"up": False}, {"addresses": []}], ids=str)
def test_an_interface_that_is_taken_away_comes_back_with_all_its_routes(host, end):
    """The one that carries the connection: what the kernel removed along with it is there again, too."""
    host.ssh("ip route add 10.70.0.0/16 via 172.30.0.1 proto static")
    host.ssh("ip route add 10.71.0.0/16 via 10.70.0.9 dev mgmt0 onlink")
    before = host.snapshot()
    options = {"name": "mgmt0", "confirm_timeout": 6, **end}
    task = {"name": "Converge", "ignore_errors": True, "linuxnet.netns.veth": options}
    text = "---\n" + json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]) + "\n"
    result = host.run_playbook(text).task("Converge").result
    assert result["error"] == "not_confirmed" and "the host is as before" in result["msg"], result
    host.assert_same(before)


def test_a_host_whose_watchdog_is_killed_with_it_is_as_before_after_a_reboot(host):
    """Pulling the plug is what is left to an operator; nothing of the trial comes back."""
    before = host.snapshot()
    boots = host.boots()
    host.write("/run/plug", "while ! ip route get %s | grep -q cut0; do sleep 0.1; done; reboot -ff" % CONTROLLER4)
    host.ssh("systemd-run --quiet --collect --unit=plug sh /run/plug")
    text, _settings = play({**CUTS["a route to the controller"], "persist": True, "confirm_timeout": 300}, fails=True)
    result = host.run_playbook(text, variables={"ANSIBLE_TIMEOUT": "5"}).task("Converge").result
    assert result["error"] == "not_confirmed" and "rebooted" in result["msg"], result
    host.wait_for_boot(boots)
    host.booted()
    host.assert_same(before)


def test_a_second_run_waits_its_turn_and_says_why(host):
    """What is on trial belongs to one run."""
    text = "---\n" + json.dumps(
        [
            {
                "hosts": "all",
                "gather_facts": False,
                "tasks": [
                    {
                        "name": "Converge",
                        "linuxnet.netns.netns_topology": {**HARMLESS["a route elsewhere"], "confirm_timeout": 30},
                        "async": 60,
                        "poll": 1,
                        "ignore_errors": True,
                    }
                ],
            }
        ]
    )
    result = host.run_playbook(text + "\n").task("Converge").result
    assert "async" in result["msg"], result
