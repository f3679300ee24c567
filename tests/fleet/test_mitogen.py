# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under Mitogen all modules of a play run in one interpreter, which must be after them as it was before."""

from __future__ import annotations

import json
import pathlib

import ansible_mitogen
import daemons
import every_module
import pytest
from every_module import task

#: Not part of `make test`.
pytestmark = pytest.mark.slow

MITOGEN = {
    "ANSIBLE_STRATEGY": "mitogen_linear",
    "ANSIBLE_STRATEGY_PLUGINS": str(pathlib.Path(ansible_mitogen.__file__).parent / "plugins" / "strategy"),
}

#: Tells about each process of Mitogen on the host, by process id: descriptors by what they are, number of threads,
#: dead children, network namespace and working directory. Run by Ansible's command module, as a child of one of them.
OBSERVE = """
import collections, json, os, pathlib

def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return "gone"

found, children = {}, collections.Counter()
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (process / "cmdline").read_bytes().split(b"\\0")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    except OSError:
        continue
    if status["State"].split()[0] == "Z":
        children[status["PPid"].strip()] += 1
    if b"(mitogen:" not in words[0]:
        continue
    kinds = collections.Counter(link(file).split(":")[0] for file in (process / "fd").iterdir())
    found[process.name] = {
        "descriptors": dict(kinds),
        "threads": len(list((process / "task").iterdir())),
        "networks": sorted({link(thread / "ns/net") for thread in (process / "task").iterdir()}),
        "mounts": link(process / "ns/mnt"),
        "directory": link(process / "cwd"),
    }
for pid, about in found.items():
    about["dead children"] = children[pid]
print(json.dumps({"of the host": link("/proc/1/ns/net"), "processes": found}))
"""


@pytest.mark.parametrize("user", ["root", "admin"])
def test_every_module_works_and_says_the_same(host, user):
    daemons.install(host)
    before = host.snapshot()
    plain = every_module.live(host, user=user)
    host.assert_same(before)
    mitogen = every_module.live(host, user=user, variables=MITOGEN)
    difference = every_module.difference(plain, mitogen)
    assert not difference, difference
    host.assert_same(before, "something was left behind")


@pytest.mark.parametrize("user", ["root", "admin"])
def test_a_daemon(fleet, host, user):
    """What is installed to bring it back is read out of Mitogen's importer, and is what plain Ansible installs."""
    daemons.install(host)
    way = {"user": user, "variables": MITOGEN}
    before = host.snapshot()
    foretold = host.run_playbook(daemons.PLAYBOOK, daemons.VARIABLES, check=True, **way)
    host.assert_same(before, "check mode changed the host")
    done = host.run_playbook(daemons.PLAYBOOK, daemons.VARIABLES, **way)
    assert done.task("Run the daemon").result["changes"] == foretold.task("Run the daemon").result["changes"]
    daemons.assert_isolated(host)
    daemons.assert_published(fleet, host)
    assert host.ssh("linuxnet-netns check") == ""
    assert host.run_playbook(daemons.PLAYBOOK, daemons.VARIABLES, **way).changed() == 0
    # Plain Ansible finds nothing to mend either.
    assert host.run_playbook(daemons.PLAYBOOK, daemons.VARIABLES, user=user).changed() == 0
    host.ssh("nft flush ruleset && linuxnet-netns restore")
    daemons.assert_published(fleet, host)
    gone = host.run_playbook(
        daemons.PLAYBOOK, {"isolated_daemon_name": "app", "isolated_daemon_state": "absent"}, **way
    )
    assert gone.changed() == 1
    host.assert_same(before, "something was left behind")


def test_errors_are_said(host):
    """A refusal arrives as its sentence, and the interpreter goes on."""
    bad = {**every_module.VETH, "peer": {**every_module.VETH["peer"], "netns": "nowhere"}}
    tasks = [task("veth", bad, ignore_errors=True), task("netns", every_module.NETNS)]
    plain = host.run_playbook(every_module.play(tasks))
    host.run_playbook(every_module.play([task("netns", {"name": "app", "state": "absent"})]))
    mitogen = host.run_playbook(every_module.play(tasks), variables=MITOGEN)
    assert [result.status for result in mitogen.results] == ["ignored", "ok"]
    assert mitogen.task("veth").result["msg"] == plain.task("veth").result["msg"]


def _observe(name):
    return {"name": name, "ansible.builtin.command": {"argv": ["/usr/bin/python3", "-c", OBSERVE]}}


def _seen(outcome, name):
    return json.loads(outcome.task(name).result["stdout"])


def _turns(module, options, times, **keywords):
    """A task that makes and removes the same thing by turns: `times` runs of the module."""
    states = ["started" if module == "netns_service" else "present", "absent"] * (times // 2)
    return task(module, {**options, "state": "{{ item }}"}, loop=states, **keywords)


@pytest.mark.parametrize("user", ["root", "admin"])
def test_two_hundred_tasks_leave_the_interpreter_as_it_was(host, user):
    daemons.install(host)
    before = host.snapshot()
    lab = {"name": "leak", "addresses": ["10.201.0.1/30"], "peer": {"name": "leak", "netns": "app"}}
    many = {
        "netns": ({**every_module.NETNS, "name": "leak"}, 44),
        "veth": (lab, 44),
        "netns_nat": (every_module.NAT, 36),
        "netns_forward": (every_module.FORWARD, 36),
        "netns_service": (every_module.SERVICE, 6),
        "netns_topology": (every_module.TOPOLOGY, 10),
    }
    reads = 24
    assert sum(times for _options, times in many.values()) + reads == 200
    tasks = [
        task("netns", every_module.NETNS),
        task("veth", every_module.VETH),
        # Everything once: what is loaded stays.
        *(_turns(module, options, 2) for module, (options, _times) in many.items()),
        task(*every_module.READING[0]),
        _observe("First look"),
        *(_turns(module, options, times) for module, (options, times) in many.items()),
        task(*every_module.READING[0], loop=list(range(reads))),
        _observe("Second look"),
        task("veth", {"name": "v-app", "state": "absent"}),
        task("netns", {"name": "app", "state": "absent"}),
    ]
    outcome = host.run_playbook(every_module.play(tasks), user=user, variables=MITOGEN)
    # Each of the two hundred did what it was told.
    runs = [one for result in outcome.results for one in result.result.get("results", ())]
    assert len(runs) == 200 + 2 * len(many)
    assert sum(one["changed"] for one in runs) == len(runs) - reads
    host.assert_same(before, "something was left behind")

    first, second = _seen(outcome, "First look"), _seen(outcome, "Second look")
    assert first["processes"], "no interpreter of Mitogen's was seen"
    assert second == first
    for about in second["processes"].values():
        assert about["networks"] == [second["of the host"]]
        assert about["dead children"] == 0


#: What a module may leave behind, and where OBSERVE shows it.
LEAKS = {
    "descriptors": 'os.open("/dev/null", os.O_RDONLY)',
    "threads": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "networks": "threading.Thread(target=move, daemon=True).start(); moved.wait()",
    "dead children": "os.fork() or os._exit(0); time.sleep(0.2)",
}
LEAKING = """
#!/usr/bin/python
import ctypes, os, threading, time
from ansible.module_utils.basic import AnsibleModule

moved = threading.Event()

def move():
    ctypes.CDLL(None).unshare(0x40000000)
    moved.set()
    time.sleep(60)

def main():
    module = AnsibleModule({})
    %s
    module.exit_json(changed=False)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_would_be_seen(host, what, tmp_path):
    """The comparison above can fail."""
    (tmp_path / "leaking.py").write_text(LEAKING.lstrip() % LEAKS[what])
    steps = [{"name": "Leak", "leaking": None}]
    tasks = [_observe("Warm up"), *steps, _observe("First look"), *steps, _observe("Second look")]
    outcome = host.run_playbook(every_module.play(tasks), variables={**MITOGEN, "ANSIBLE_LIBRARY": str(tmp_path)})
    first, second = _seen(outcome, "First look"), _seen(outcome, "Second look")
    assert first["processes"].keys() == second["processes"].keys()
    if what == "networks":
        assert any(len(about["networks"]) > 1 for about in second["processes"].values())
    assert any(second["processes"][pid][what] != about[what] for pid, about in first["processes"].items())
