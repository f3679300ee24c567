# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All or nothing where systemd is at work: units, what is enabled, what runs. tests/saboteur.py lets one act of a run
go wrong, here on a booted host."""

from __future__ import annotations

import base64
import io
import json
import os
import pathlib
import tarfile

import pytest
from daemons import COMMAND, PORT, VARIABLES, assert_isolated, install
from fleetlib import playbooks
from fleetlib.snapshot import difference

SABOTEUR = pathlib.Path(__file__).resolve().parents[1] / "saboteur.py"
#: Every act, as `make sabotage` has it, or one in so many of them.
PACE = 1 if os.environ.get("LINUXNET_NETNS_SABOTAGE") else 23
OPTIONS = {
    "namespaces": [
        {"name": "app", "dns": VARIABLES["isolated_daemon_dns"], "hosts": VARIABLES["isolated_daemon_hosts"]}
    ],
    "veths": [
        {
            "name": "veth-app",
            "addresses": ["10.200.1.1/24", "fd00:200:1::1/64"],
            "peer": {
                "name": "eth0", "netns": "app", "addresses": ["10.200.1.2/24", "fd00:200:1::2/64"],
                "gateway": "10.200.1.1", "gateway6": "fd00:200:1::1",
            },
        }
    ],
    "nat": [{"name": "app", "source": ["10.200.1.0/24", "fd00:200:1::/64"]}],
    "forwards": [{"name": "app", "port": "10105", "to_address": "10.200.1.2", "to_port": str(PORT)}],
    "services": [{"name": "app", "netns": "app", "command": COMMAND, "user": "daemon"}],
    "persist": True,
}  # fmt: skip
CHANGED = {
    **OPTIONS,
    "services": [{**OPTIONS["services"][0], "environment": {"LANG": "C"}}],
    "forwards": [{**OPTIONS["forwards"][0], "port": "10106"}],
}
WAYS = {
    "making": (None, {"options": OPTIONS}),
    "changing": ({"options": OPTIONS}, {"options": CHANGED}),
    "removing": ({"options": OPTIONS}, {"absent": True}),
}


@pytest.fixture(scope="module")
def engine():
    """The engine and its saboteur in an archive, as text."""
    package = pathlib.Path("ansible_collections/linuxnet/netns/plugins/module_utils")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", dereference=True) as archive:
        archive.add(pathlib.Path(playbooks.collections()) / package, package, filter=_without_caches)
        archive.add(SABOTEUR, SABOTEUR.name)
    return base64.b64encode(packed.getvalue()).decode()


def _without_caches(member):
    return None if "__pycache__" in member.name else member


@pytest.fixture
def ready(host, engine):
    install(host)
    host.ssh("mkdir /root/engine && base64 -d | tar -xzC /root/engine", stdin=engine)
    return host


def run(host, how, number, request):
    program = "env PYTHONPATH=/root/engine python3 /root/engine/saboteur.py"
    tolerant = " || :" if how == "kill" else ""
    text = host.ssh(f"{program} {how} {number}{tolerant}", stdin=json.dumps(request))
    return json.loads(text) if text else None


def converge(host, request):
    answer = run(host, "none", 0, request)
    assert "error" not in answer, answer["error"]
    return answer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["refuse", "lost"])
def test_whatever_goes_wrong_all_is_as_before(ready, how, way):
    host = ready
    origin, request = WAYS[way]
    back = origin or {"absent": True}
    converge(host, back)
    acts = converge(host, request)["acts"]
    converge(host, back)
    before = uncompiled(host.snapshot())
    for number in range(1 + PACE // 2, len(acts) + 1, PACE):
        answer = run(host, how, number, request)
        about = f"{how} {number}: {answer['acts'][number - 1 : number]}: {answer}"
        if answer["spoiled"] and "error" in answer:
            assert "in part" not in answer["error"], about
            assert difference(before, uncompiled(host.snapshot())) == [], about
            if origin:
                assert_isolated(host)
        else:
            assert "error" not in answer, about
            converge(host, back)


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_act_the_next_run_finishes(ready, way):
    host = ready
    origin, request = WAYS[way]
    bare = host.snapshot()
    converge(host, origin or {"absent": True})
    acts = converge(host, request)["acts"]
    wanted = uncompiled(host.snapshot())
    converge(host, {"absent": True})
    for number in range(1 + PACE // 2, len(acts) + 1, PACE):
        if origin:
            converge(host, origin)
        survived = run(host, "kill", number, request)
        # Systemd is asked until it has settled, so a run may have an act or two fewer than another.
        assert survived is None or number > len(survived["acts"]) > len(acts) - 10, acts[number - 1]
        about = f"killed at {number}: {acts[number - 1]}"
        if number % 2:
            converge(host, request)
            assert difference(wanted, uncompiled(host.snapshot())) == [], about
            assert not converge(host, request)["changed"], about
        converge(host, {"absent": True})
        host.assert_same(bare, about)


def uncompiled(picture):
    """Without byte code, which has the time of the source in it."""
    return {topic: [line for line in lines if "__pycache__" not in line] for topic, lines in picture.items()}
