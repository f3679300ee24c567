# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All or nothing, on a real kernel: whatever single act goes wrong, and whenever a run is killed.

tests/saboteur.py lets the engine run, and one of its acts go wrong: netlink, nft, files, mounts, sysctls.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import subprocess
import time

import pytest
from harness import Behind, difference, topology
from harness.modules import python, python_path

SABOTEUR = pathlib.Path(__file__).resolve().parents[1] / "saboteur.py"

#: Asked for by `make sabotage`, which takes a while.
EVERYTHING = bool(os.environ.get("LINUXNET_NETNS_SABOTAGE"))
#: How often a run is killed by the clock.
KILLS = 200 if EVERYTHING else 20
#: Every act, or one in so many of them.
PACE = 1 if EVERYTHING else 11


def start(host, how, number, request):
    """The engine with a saboteur, as a process that is under way."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(python_path()), "LANG": "C.UTF-8"}
    # nsenter goes between us and it, and takes it along when it is killed.
    command = [*host._enter(), "setpriv", "--pdeathsig", "KILL", "--"]
    command += ["env", "-i", *(f"{key}={value}" for key, value in environment.items())]
    command += [python(), str(SABOTEUR), how, str(number)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdin.write(json.dumps(request))
    process.stdin.close()
    process.stdin = None
    return process


def run(host, how, number, request):
    """What the saboteur says; None if it was killed."""
    process = start(host, how, number, request)
    out, err = process.communicate(timeout=120)
    if how == "kill" and not out:
        return None
    assert process.returncode == 0, err
    return json.loads(out)


def converge(host, request):
    answer = run(host, "none", 0, request)
    assert "error" not in answer, answer
    return answer


def before_and_after(host):
    """Two topologies that have little in common: the way from one to the other makes, changes and removes some of all
    that there is."""
    app, gone, new = Behind(host, "app", 1), Behind(host, "gone", 2), Behind(host, "new", 3)
    web = {"name": "web", "port": "10105", "to_address": app.address4}
    first = topology(app, gone, forwards=[web])
    first["namespaces"][0].update(dns={"nameservers": ["192.0.2.54"]}, hosts={"192.0.2.7": ["one"]})
    second = topology(app, new, forwards=[dict(web, port="10106", hairpin=False)])
    second["namespaces"][0].update(
        dns={"nameservers": ["192.0.2.55"]}, sysctls={"net.core.somaxconn": 100, "net.ipv4.ip_default_ttl": 33}
    )
    second["veths"][0] = app.veth_with(
        mtu=1400,
        peer={
            "mtu": 1400,
            "addresses": [app.address4 + "/24", "10.200.1.3/24", app.address6 + "/64"],
            "routes": [{"to": "203.0.113.0/24", "via": app.gateway4, "table": "77"}],
            "rules": [{"priority": 1000, "from": app.address4, "table": "77"}],
        },
    )
    return {"options": first}, {"options": second}


def ways(host):
    """(where it starts, what is asked for) by name; None: from nothing."""
    first, second = before_and_after(host)
    return {"making": (None, second), "changing": (first, second), "removing": (first, {"absent": True})}


def settled(host):
    """A snapshot once the kernel has taken apart what was let go."""
    time.sleep(0.05)
    return host.snapshot()


@pytest.fixture
def host(world):
    return world.host


@pytest.mark.parametrize("way", ["making", "changing", "removing"])
@pytest.mark.parametrize("how", ["refuse", "lost"])
def test_whatever_goes_wrong_all_is_as_before(host, how, way):
    origin, request = ways(host)[way]
    back = origin or {"absent": True}
    converge(host, back)
    acts = converge(host, request)["acts"]
    wanted = settled(host)
    converge(host, back)
    before = settled(host)
    undone = 0
    for number in range(1 + PACE // 2, len(acts) + 1, PACE):
        answer = run(host, how, number, request)
        about = f"{how} {number}: {answer['acts'][number - 1 : number]}: {answer}"
        if answer["spoiled"] and "error" in answer:
            undone += 1
            assert "sabotage" in answer["error"] or "Input/output error" in answer["error"], about
            assert answer["kind"] == "step_failed" or number <= acts.index("mkdir /var/lib/linuxnet-netns"), about
            assert "in part" not in answer["error"], about
            host.assert_same(before, about)
        else:
            # Past the last step of the plan: what was asked for is there, and what went wrong is said.
            assert "error" not in answer, about
            assert not answer["spoiled"] or "sabotage" in str(answer["warnings"]) or "netns.lock" in about, about
            assert difference(timeless(wanted), timeless(host.snapshot())) == [], about
            converge(host, back)
            before = settled(host)
    assert undone


@pytest.mark.parametrize("way", ["making", "changing"])
def test_a_disk_that_fills_up_in_the_middle_of_it(host, way):
    """From some act on there is no room for anything new: nothing that was there is lost, and the error says so."""
    origin, request = ways(host)[way]
    back = origin or {"absent": True}
    converge(host, back)
    acts = converge(host, request)["acts"]
    converge(host, back)
    before = settled(host)
    for number in [number for number, act in enumerate(acts, 1) if act.startswith(("fsync", "mkdir /etc"))]:
        answer = run(host, "full", number, request)
        about = f"full from {number}: {acts[number - 1]}: {answer}"
        if "error" not in answer:
            continue
        assert "No space left on device" in answer["error"], about
        if "in part" not in answer["error"]:
            host.assert_same(before, about)
        # Room again: the next run is as good as any.
        converge(host, back)
        assert difference(timeless(before), timeless(host.snapshot())) == [], about


def test_a_disk_without_room(host):
    """/var/lib, where the ledger is, without a byte to spare."""
    _origin, request = ways(host)["making"]
    host.sh("""
        mkdir -p /var/lib/linuxnet-netns
        mount -t tmpfs -o size=4k,mode=700 full /var/lib/linuxnet-netns
        dd if=/dev/zero of=/var/lib/linuxnet-netns/filler bs=4k count=1 2>/dev/null
    """)
    before = host.snapshot()
    answer = run(host, "none", 0, request)
    assert "No space left on device" in answer["error"] and "ledger.json" in answer["error"], answer
    host.assert_same(before)
    host.sh("umount /var/lib/linuxnet-netns; rmdir /var/lib/linuxnet-netns")
    converge(host, request)


def test_an_etc_that_cannot_be_written(host):
    _origin, request = ways(host)["making"]
    bare = host.snapshot()
    host.sh("mkdir -p /etc/netns; mount --bind -o ro /etc/netns /etc/netns")
    before = host.snapshot()
    answer = run(host, "none", 0, request)
    assert "/etc/netns/app" in answer["error"] and "Read-only file system" in answer["error"], answer
    host.assert_same(before)
    host.sh("umount /etc/netns; rmdir /etc/netns")
    converge(host, request)
    converge(host, {"absent": True})
    host.assert_same(bare)


@pytest.mark.parametrize("way", ["making", "changing", "removing"])
def test_killed_at_any_act_the_next_run_finishes(host, way):
    """And nothing that the killed one had half-made stays behind: not after the next run, not after state absent."""
    origin, request = ways(host)[way]
    bare = host.snapshot()
    converge(host, origin or {"absent": True})
    acts = converge(host, request)["acts"]
    wanted = host.snapshot()
    converge(host, {"absent": True})
    for number in range(1 + PACE // 2, len(acts) + 1, PACE):
        if origin:
            converge(host, origin)
        survived = run(host, "kill", number, request)
        # What is waited for is asked more or less often, so a run may have an act or two fewer than another.
        assert survived is None or number > len(survived["acts"]) > len(acts) - 10, acts[number - 1]
        about = f"killed at {number}: {acts[number - 1]}"
        if number % 2:
            converge(host, request)
            assert difference(timeless(wanted), timeless(host.snapshot())) == [], about
            assert not converge(host, request)["changed"], about
        converge(host, {"absent": True})
        host.assert_same(bare, about)
        assert not leftovers(host), about


def leftovers(host):
    """Files of ours that no run should leave behind."""
    return host.sh("find /etc /run /var/lib /usr/local -xdev -name '*linuxnet*' -not -path '/run/ansible*' || :")


def test_killed_at_moments_of_the_clock_the_next_run_converges(host):
    """By the clock, in the middle of whatever it is at."""
    first, second = before_and_after(host)
    bare = host.snapshot()
    converge(host, first)
    started = time.monotonic()
    converge(host, second)
    length = time.monotonic() - started
    wanted = {}
    for name, request in (("first", first), ("second", second)):
        converge(host, request)
        wanted[name] = timeless(host.snapshot())
    rolls, killed = random.Random(), 0
    while killed < KILLS:
        name, request = rolls.choice((("first", first), ("second", second), ("", {"absent": True})))
        process = start(host, "none", 0, request)
        time.sleep(rolls.uniform(0.1, 1.1) * length)
        process.kill()
        out, _err = process.communicate()
        killed += not out
        # Not every kill is looked after: the next one may come upon what the last one left.
        if rolls.random() < 0.3:
            name, request = rolls.choice((("first", first), ("second", second)))
            converge(host, request)
            assert difference(wanted[name], timeless(host.snapshot())) == []
            assert not converge(host, request)["changed"]
    converge(host, {"absent": True})
    host.assert_same(bare)
    assert not leftovers(host)


def timeless(picture):
    """Without the numbers of namespaces, and without times."""
    text = re.sub(r"net:\[\d+\]|written=[\d.]+|[0-9a-f]{64}", "", json.dumps(picture))
    return {topic: sorted(lines) for topic, lines in json.loads(text).items()}
