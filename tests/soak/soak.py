#!/usr/bin/env python3
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of random converges on the real kernel, after drift by hand, with every promise checked each time.

A host of its own (network, mounts, process ids, /run, /etc, /var/lib: the machine is not touched) has an uplink, a
management network and things of somebody else's. Step after step, hands do something to it (drift.py), and one of two
topologies is asked for, asked for again or removed, with options from the strategies of the unit tests. Most steps run
the engine in one process that lives from the first to the last (worker.py), every tenth the module as Ansible starts
it.

After each step:

* check mode touched nothing and foretold the very changes and diff of the run; a second run changes and writes nothing;
* what the topology lists is there, as `ip` and `nft` tell it; what others have is as it was; the other topology has not
  got more to repair than before;
* a run that refused, or failed, left the host as it was;
* no file, thread, child, mount, namespace, lock or temporary file is left over.

Every now and then, and at the end, all is removed: the host is as it was before the first step, sysctl by sysctl.

The steps since then are a story that can be played again on a new host: each is a line of JSON that says all of it, and
is printed when something is wrong, with the seed. Needs root, an installed collection (`make build`) and hypothesis.

    tests/soak/soak.py                                  # 2,000 converges, seed from the clock
    tests/soak/soak.py --converges 200 --seed 7 --minutes 5
    tests/soak/soak.py --replay story.jsonl
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import select
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(TESTS / "integration")]
sys.path.append(str(TESTS / "unit"))

from harness import ModuleFailed, World, difference  # noqa: E402
from harness.modules import collections_dir, python, python_path  # noqa: E402
from harness.snapshot import files_snapshot, stack_snapshot  # noqa: E402

if str(collections_dir()) not in sys.path:
    sys.path.append(str(collections_dir()))

import drift  # noqa: E402
import promises  # noqa: E402
from drawing import draws  # noqa: E402
from topologies import NAMES, OTHERS, topologies  # noqa: E402

OWNERS = {"default": NAMES, "second": OTHERS}
OLD_KERNEL = {"LINUXNET_NETNS_NO_FORCE_FORWARDING": "1"}
#: Seconds for the kernel to take namespaces apart, and for a worker to answer.
SETTLE, PATIENCE = 5.0, 180.0
#: What the worker may grow by once everything has been loaded.
MORE_KB, MORE_OBJECTS = 16 << 10, 5000
#: Errors by which a run refuses before it has touched anything.
REFUSALS = ("clash", "invalid_option", "refused")
#: What only the kernel can judge, and does when it is asked: the step fails, and all before it is undone.
UNDONE = re.compile(r"ip_default_ttl to '0': Invalid argument. Everything was undone; the host is as before")

#: The kernel's own route to an address of IPv6, which it makes in the background when it gets to it.
LATE = re.compile(r" protocol=2 .*table=255 ")

# What must be the same whenever the host is at rest.
RESIDUE = r"""
set +e
say() { printf '\036%s\n' "$1"; }
say mounts
grep -v -e ' - nsfs ' -e ' /run/netns/' /proc/self/mountinfo | cut -d ' ' -f 5-
say run
ls -A /run /run/tmp /run/lock /run/ansible 2>/dev/null
say temporary
find /etc /run /var/lib -xdev -name '.*linuxnet-netns*'
say probe
ls -A /run/netns | grep probe
say processes
for folder in /proc/[0-9]*; do
    if [ "$folder" != "/proc/$$" ] && read -r _ name state _ < $folder/stat; then
        [ "$state" = Z ] || state=alive
        echo "$name $state"
    fi
done 2>/dev/null
say networks
readlink /proc/[0-9]*/task/*/ns/net | sort -u | wc -l
say numbers
ip netns list-id | grep -vc name:
:
"""


class Violation(AssertionError):
    """A promise that was not kept."""


class Worker:
    """The process in which the engine runs, on the host."""

    def __init__(self, host, environment):
        words = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
            "LANG": "C.UTF-8", "TMPDIR": "/run/tmp", "PYTHONPATH": os.pathsep.join(python_path()),
            "PYTHONDONTWRITEBYTECODE": "1", **environment,
        }  # fmt: skip
        host.run("mkdir", "-p", "/run/tmp")
        command = [*host._enter(), "setpriv", "--pdeathsig", "KILL", "--", "env", "-i"]
        command += ["%s=%s" % item for item in words.items()]
        command += [python(), str(pathlib.Path(__file__).with_name("worker.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def ask(self, **question):
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise Violation("the worker does not answer")
        answer = self._process.stdout.readline()
        if not answer:
            raise Violation("the worker has ended: %s" % self._process.wait())
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Soak:
    def __init__(self, seed, old_kernel=False):
        self.seed = seed
        self.random = random.Random(seed)
        self.environment = OLD_KERNEL if old_kernel else {}
        self.counts = {name: collections.Counter() for name in ("steps", "changes", "drift", "refusals")}
        self.story = []
        self.wanted = {}
        self.memory, self.objects = [], []
        self.started = time.monotonic()
        self._draws = {
            name: draws(topologies(names), "%s %s" % (seed, name), self.random) for name, names in OWNERS.items()
        }
        self.world = World()
        self.worker = None
        try:
            self.host = self.world.host
            self.host.sh(drift.FOREIGN, drift.THEIR_TABLE)
            self.drift = drift.Drift(self.host, self.random)
            self.worker = Worker(self.host, self.environment)
            self.bare = self._snapshot()
            self._warm_up()
        except BaseException:
            self.close()
            raise

    def _warm_up(self):
        """Whatever is loaded or opened only once has been, and the host has been used once."""
        options = {"name": "default", "namespaces": [{"name": "app"}], "veths": [], "nat": [], "forwards": []}
        for state in ("present", "absent"):
            self.play({"owner": "default", "state": state, "options": options, "by": "engine", "drift": []}, False)
            self.play({"owner": "default", "state": state, "options": options, "by": "module", "drift": []}, False)
        self.process = self._process(self.worker.ask())
        self.residue = self._residue()
        self._bare()

    def close(self):
        if self.worker:
            self.worker.close()
        self.world.close()

    # -- drawing --

    def _topology(self, owner):
        options = next(self._draws[owner])
        # What needs systemd, which this host has not got.
        found = {key: value for key, value in options.items() if key not in ("services", "persist")}
        if self.random.random() < 0.4:
            kill = {"processes": "kill", "timeout": 1}
            found["namespaces"] = [dict(item, **kill) for item in options["namespaces"]]
        for item in found["namespaces"]:
            # One time in ten, a value that the kernel refuses.
            if item.get("sysctls", {}).get("net/ipv4/ip_default_ttl") == 0 and self.random.random() < 0.9:
                item["sysctls"]["net/ipv4/ip_default_ttl"] = 64
        return dict(found, name=owner)

    def draw(self):
        """A step, as plain data; the acts are chosen by what the host has now."""
        owner = self.random.choice(sorted(OWNERS))
        chance = self.random.random()
        state, options = "present", self.wanted.get(owner)
        if options and chance < 0.2:
            state, options = "absent", {"name": owner}
        elif not options or chance < 0.65:
            options = self._topology(owner)
        acts = [self.drift.draw() for _number in range(self.random.choice((0, 0, 1, 2, 3, 4, 5)))]
        seen = set()
        acts = [act for act in acts if act and not (act["undo"] and act["act"] in seen or seen.add(act["act"]))]
        by = "module" if self.random.random() < 0.1 else "engine"
        beside = self.random.random() < 0.3
        return {"owner": owner, "state": state, "options": options, "by": by, "drift": acts, "beside": beside}

    # -- one step --

    def run(self, step, check):
        """One converge, by the worker or by the module."""
        options = dict(step["options"], state=step["state"], name=step["owner"])
        if step["state"] == "absent":
            options = {"name": step["owner"], "state": "absent"}
        if step["by"] == "engine":
            answer = self.worker.ask(options=options, check=check)
            self._check_process(answer.pop("process"))
        else:
            try:
                answer = self.host.module(
                    "netns_topology", check=check, fails=None, env=dict(self.environment, TMPDIR="/run/tmp"), **options
                )
            except ModuleFailed as error:
                raise Violation(str(error)) from None
        if answer.get("error") in ("unexpected", "arguments", "ledger", "missing_dependency"):
            raise Violation("%s\n%s" % (answer["msg"], answer.get("exception", "")))
        return answer

    def play(self, step, check_all=True):
        """Do a step; raises Violation."""
        self.story.append(step)
        step["number"] = self.counts["steps"]["all"] + 1
        for act in step["drift"]:
            act["worked"] = drift.perform(self.host, act)
            if act["worked"]:
                self.counts["drift"][act["act"]] += 1
        pending = self._pending(step)
        before = self._snapshot()
        foretold = self.run(dict(step, by="engine"), check=True)
        self._same(before, self._snapshot(), "check mode touched the host")
        done = self.run(step, check=False)
        after = self._snapshot()
        if done.get("failed"):
            self._check_refusal(foretold, done, before, after)
        else:
            self._check_success(step, foretold, done, before, after)
            self._check_pending(step, pending)
        for act in step["drift"]:
            drift.undo(self.host, act)
        if check_all:
            self._at_rest("left over", self._residue, self.residue)
        self._count(step, done)

    def _count(self, step, done):
        counts = self.counts["steps"]
        counts["all"] += 1
        counts["by " + step["by"]] += 1
        counts[step["state"] if not done.get("failed") else "refused"] += 1
        counts["changed"] += bool(done.get("changed"))

    def _check_success(self, step, foretold, done, before, after):
        for key in ("failed", "msg", "changed", "changes", "diff"):
            if foretold.get(key) != done.get(key):
                self._fail("check mode foretold another %s" % key, _differing(foretold.get(key), done.get(key)))
        for change in done["changes"]:
            self.counts["changes"]["%s %s" % (change["action"], change["kind"])] += 1
        self._same(promises.of_others(before), promises.of_others(after), "what others have was touched")
        again = self.run(dict(step, by="engine"), check=False)
        if again.get("failed") or again["changed"] or again["changes"]:
            self._fail("a second run changes something", [again.get("msg"), *again.get("changes", [])])
        self._same(after, self._snapshot(), "a second run touched the host")
        self.wanted.pop(step["owner"], None)
        if step["state"] == "present":
            self.wanted[step["owner"]] = step["options"]
            wrong = promises.broken(self.host, after, step["options"])
            if wrong:
                self._fail("not as the topology says", wrong)

    def _check_refusal(self, foretold, done, before, after):
        if foretold.get("failed") and foretold["msg"] != done["msg"]:
            self._fail("check mode foretold another error", [foretold["msg"], done["msg"]])
        if done["error"] in REFUSALS and not foretold.get("failed"):
            self._fail("check mode did not foretell the error", [done["msg"]])
        if done["error"] not in REFUSALS and not UNDONE.search(done["msg"]):
            self._fail("a step failed", [done["msg"]])
        undone = done["error"] not in REFUSALS
        if undone:
            before, after = promises.worthwhile(before), promises.worthwhile(after)
        # What was undone has been written again.
        self._same(before, after, "a refused run touched the host", written=not undone)
        self.counts["refusals"][_kind_of(done)] += 1

    def _pending(self, step):
        """What the other topology would have to do, by object; None if it is not asked."""
        other = next(name for name in OWNERS if name != step["owner"])
        if not step.get("beside") or other not in self.wanted:
            return None
        other = {"owner": other, "state": "present", "options": self.wanted[other], "by": "engine"}
        answer = self.run(other, check=True)
        if answer.get("failed"):
            return None
        return {(change["action"], change["object"]) for change in answer["changes"]}

    def _check_pending(self, step, before):
        after = self._pending(step) if before is not None else None
        if after is None:
            return
        known = {item for _action, item in before}
        # The table is made for the links there are: for those that have yet to be repaired, too.
        more = [(action, item) for action, item in after if item not in known and not (known and "nftables" in item)]
        if more:
            self._fail("the other topology was disturbed", sorted(map(str, more)))

    # -- looking around --

    def _snapshot(self):
        """As the harness makes it, namespaces side by side."""
        stacks = {"host": self.host, **{name: self.host.ns(name) for name in self.host.namespaces()}}
        with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
            parts = [pool.submit(files_snapshot, self.host)]
            parts += [pool.submit(stack_snapshot, stack, name) for name, stack in stacks.items()]
            return {
                topic: [line for line in lines if not (topic.endswith(" routes6") and LATE.search(line))]
                for part in parts
                for topic, lines in part.result().items()
            }

    def _fail(self, what, lines):
        raise Violation("%s:\n%s" % (what, "\n".join(map(str, lines))))

    def _same(self, before, after, what, written=True):
        lines = difference(before, after, written)
        if lines:
            self._fail(what, lines)

    @staticmethod
    def _process(found):
        found = dict(found.get("process", found))
        for key in ("memory", "objects"):
            found.pop(key, None)
        return found

    def _check_process(self, found):
        if getattr(self, "process", None) not in (None, self._process(found)):
            self._fail("the process of the engine has changed", _differing(self.process, self._process(found)))

    def _residue(self):
        parts = self.host.sh(RESIDUE).split("\036")[1:]
        return {name: text.splitlines() for name, _newline, text in (part.partition("\n") for part in parts)}

    def _at_rest(self, what, look, wanted):
        """The kernel has a moment to end what was deleted."""
        deadline = time.monotonic() + SETTLE
        while True:
            lines = difference(wanted, look())
            if not lines:
                return
            if time.monotonic() > deadline:
                self._fail(what, lines)
            time.sleep(0.05)

    def _bare(self):
        self._at_rest("the host is not as it was before the first step", self._snapshot, self.bare)
        self.story.clear()

    def clear(self):
        """Remove everything, see the guests off, and find the host as it was."""
        for owner in sorted(self.wanted):
            step = {"owner": owner, "state": "absent", "options": {"name": owner}, "by": "engine", "drift": []}
            self.play(step)
            if owner in self.wanted:
                self._fail("it cannot be removed", [step])
        leaving = {"drift": self.drift.see_off()}
        self.story.append(leaving)
        for act in leaving["drift"]:
            drift.perform(self.host, act)
        self._bare()
        found = self.worker.ask(count=True)["process"]
        self.memory.append(found["memory"])
        self.objects.append(found["objects"])

    # -- many steps --

    def go(self, converges, minutes=None, tell=None):
        """That many steps, or as many as fit; raises Violation."""
        until = float("inf") if minutes is None else time.monotonic() + 60 * minutes
        pause = 0
        while self.counts["steps"]["all"] < converges and time.monotonic() < until:
            self.play(self.draw())
            pause += 1
            if pause >= 15 and self.random.random() < 0.1:
                self.clear()
                pause = 0
            if tell:
                tell(self)
        self.clear()
        self._check_growth()

    def _check_growth(self):
        """The first quarter of the run is for caches to fill."""
        start = len(self.memory) // 4
        if self.memory[-1] > self.memory[start] + MORE_KB:
            self._fail("memory grows", self.memory)
        if self.objects[-1] > self.objects[start] + MORE_OBJECTS:
            self._fail("there are more and more objects", self.objects)

    def replay(self, steps):
        for step in steps:
            for act in step["drift"]:
                self.drift.note(act)
            if "owner" in step:
                self.play(step)
            else:
                for act in step["drift"]:
                    drift.perform(self.host, act)
        self.clear()

    def summary(self):
        steps = self.counts["steps"]
        lines = [
            "seed %s: %s" % (self.seed, ", ".join("%d %s" % (steps[key], key) for key in sorted(steps))),
            "%.0f s; resident memory of the engine's process %s; its objects %s; open files %d" % (
                time.monotonic() - self.started, _from_to(self.memory, "kB"), _from_to(self.objects, ""),
                len(self.process["files"])),
        ]  # fmt: skip
        for name in ("changes", "drift", "refusals"):
            lines.append("%s: %d" % (name, sum(self.counts[name].values())))
            lines += ["%6d %s" % (number, what) for what, number in self.counts[name].most_common()]
        return "\n".join(lines)


def _from_to(figures, unit):
    return "%s to %s %s (at most %s)" % (figures[0], figures[-1], unit, max(figures)) if figures else "unknown"


def _kind_of(answer):
    """An error without its names and numbers."""
    text = re.sub(r"'[^']*'|\b[\w.:]*[\d:][\w.:/-]*", "…", answer["msg"])
    return "%s: %s" % (answer["error"], text[:150])


def _differing(one, other):
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return ["%s: %s instead of %s" % (key, other.get(key), one.get(key)) for key in keys
                if one.get(key) != other.get(key)]  # fmt: skip
    if isinstance(one, list) and isinstance(other, list):
        return ["- %s" % item for item in one if item not in other] + [
            "+ %s" % item for item in other if item not in one
        ]
    return [one, other]


def soak(seed, converges, minutes=None, old_kernel=False, tell=None, steps=None):
    """A whole run; returns its summary, or raises Violation with the story that led there."""
    run = Soak(seed, old_kernel)
    try:
        run.replay(steps) if steps else run.go(converges, minutes, tell)
        return run.summary()
    except Exception as error:
        told = "\n".join(json.dumps(step) for step in run.story)
        raise Violation(
            "%s: %s\n\nseed %s, step %d; the story since the host was bare:\n%s\n\n%s"
            % (type(error).__name__, error, seed, run.counts["steps"]["all"] + 1, told, run.summary())
        ) from error
    finally:
        run.close()


def arguments():
    parser = argparse.ArgumentParser(description="Random converges on the real kernel.")
    parser.add_argument("--converges", type=int, default=2000)
    parser.add_argument("--seed", default=str(int(time.time())))
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--old-kernel", action="store_true", help="as if IPv6 knew only the global forwarding switch")
    parser.add_argument("--replay", metavar="FILE", help="play a story that was printed, a line of JSON a step")
    return parser.parse_args()


def main():
    given = arguments()
    steps = None
    if given.replay:
        steps = [json.loads(line) for line in pathlib.Path(given.replay).read_text().splitlines() if line.strip()]

    told = [0]

    def tell(run):
        number = run.counts["steps"]["all"]
        if number >= told[0] + 100:
            told[0] = number
            print("%d converges, %.0f s" % (number, time.monotonic() - run.started), flush=True)

    print("seed %s" % given.seed, flush=True)
    try:
        print(soak(given.seed, given.converges, given.minutes, given.old_kernel, tell, steps))
    except Violation as error:
        print(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
