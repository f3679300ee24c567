#!/usr/bin/env python3
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes to give each host of a fleet an isolated daemon, ours and other ways, over SSH.

The result is the same in all ways: a namespace, a veth pair, NAT, one port forwarded for TCP and UDP, and an
unprivileged service of systemd in it (IPv4; the others' do not come back after a reboot, ours does).

ours      the playbook linuxnet.netns.isolated_daemon
usual     a role of 21 tasks (rivals/roles/usual): commands with guards, and Ansible's own modules
script    one idempotent shell script, sent as one task (rivals/isolate.sh)
ssh       the same script over plain ssh, 50 hosts at a time: a floor
ping      a play with nothing but one ansible.builtin.ping: another floor

Each is run twice on hosts that have nothing of it, on 1, 10 and 40 hosts, with Ansible's defaults, tuned (pipelining,
50 forks, no facts) and under Mitogen; and ours on 10 hosts with one setting at a time changed. The ways take turns, so
that a busy machine slows them all; ratios are of runs of the same round. Connections that an earlier run kept open are
closed.

Hosts are those of the test fleet (tests/fleet), all on this machine, which does the controller's work and the hosts'.
The processor time of both is told apart by their cgroups.

    tests/benchmark/fleet.py                            # all of it: an hour on two cores
    tests/benchmark/fleet.py --hosts 10 --settings tuned --repetitions 5
    tests/benchmark/fleet.py --hosts 10,40 --repetitions 3,1 --add      # more rounds to the figures there are
    tests/benchmark/fleet.py --hosts 40 --ways ping,ours --settings "tuned;mitogen"
    tests/benchmark/fleet.py --report                   # docs/benchmark.md and docs/benchmark.svg again

Figures go to tests/benchmark/fleet.json, and docs/benchmark.md and docs/benchmark.svg are made of it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import importlib.util
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
FLEET_TESTS = HERE.parent / "fleet"
sys.path[:0] = [str(FLEET_TESTS), str(HERE)]

import community  # noqa: E402
import daemons  # noqa: E402
import fleet_profile  # noqa: E402
import fleet_report  # noqa: E402
from fleetlib import layout, lifecycle, playbooks, remote  # noqa: E402
from fleetlib.cgroups import Cgroup  # noqa: E402
from fleetlib.inventory import environment, inventory  # noqa: E402
from fleetlib.testing import GATEWAY4, Fleet  # noqa: E402

RIVALS = HERE / "rivals"
FIGURES = HERE / "fleet.json"
#: Seconds for one run: the slowest, with defaults on 40 hosts, takes a few minutes.
PATIENCE = 1800
#: The variables of the daemon: what the others have written into their files.
VARIABLES = {
    "isolated_daemon_name": "app",
    "isolated_daemon_command": "/usr/bin/python3 %s serve app %d" % (daemons.PROGRAM, daemons.PORT),
    "isolated_daemon_user": "daemon",
    "isolated_daemon_addresses": ["10.200.0.2/30"],
    "isolated_daemon_gateways": ["10.200.0.1/30"],
    "isolated_daemon_ports": [{"port": daemons.PORT, "protocol": ["tcp", "udp"]}],
    "isolated_daemon_dns": {"nameservers": [GATEWAY4]},
}
PLAYBOOKS = {
    "ours": daemons.PLAYBOOK,
    "ours, by the role": str(RIVALS / "ours.yml"),
    "usual": str(RIVALS / "usual.yml"),
    "script": str(RIVALS / "script.yml"),
    "ping": str(RIVALS / "ping.yml"),
}
DEFAULTS = {
    "ANSIBLE_PIPELINING": "false",
    "ANSIBLE_FORKS": "5",
    "ANSIBLE_GATHERING": "implicit",
    "ANSIBLE_STRATEGY": "linear",
}
TUNED = {**DEFAULTS, "ANSIBLE_PIPELINING": "true", "ANSIBLE_FORKS": "50", "ANSIBLE_GATHERING": "explicit"}
#: Environment of ansible-playbook. The first three are tried with all ways, the others with ours.
SETTINGS = {
    "defaults": DEFAULTS,
    "tuned": TUNED,
    "mitogen": {**TUNED, "ANSIBLE_STRATEGY": "mitogen_linear"},
    "defaults, no facts": {**DEFAULTS, "ANSIBLE_GATHERING": "explicit"},
    "no facts, ControlPersist off": {**DEFAULTS, "ANSIBLE_GATHERING": "explicit", "ANSIBLE_SSH_ARGS": "-C"},
    "no facts, pipelining": {**DEFAULTS, "ANSIBLE_GATHERING": "explicit", "ANSIBLE_PIPELINING": "true"},
    "tuned, facts": {**TUNED, "ANSIBLE_GATHERING": "implicit"},
    "tuned, facts cached": {**TUNED, "ANSIBLE_GATHERING": "smart", "ANSIBLE_CACHE_PLUGIN": "jsonfile"},
    "tuned, strategy free": {**TUNED, "ANSIBLE_STRATEGY": "free"},
    "tuned, strategy host_pinned": {**TUNED, "ANSIBLE_STRATEGY": "host_pinned"},
}
BASE = ("defaults", "tuned", "mitogen")
KNOBS_AT = 10

CLEAN = """
systemctl -q disable --now app 2>/dev/null
rm -f /etc/systemd/system/app.service /etc/sysctl.d/60-app.conf
systemctl daemon-reload
systemctl reset-failed app 2>/dev/null
nft delete table ip filter 2>/dev/null
nft delete table ip nat 2>/dev/null
sysctl -q -w net.ipv4.ip_forward=0
ip netns delete app 2>/dev/null
rm -rf /etc/netns
for try in $(seq 200); do
    [ -e /sys/class/net/v-app ] || exit 0
    sleep 0.05
done
exit 1
"""


def say(text):
    print("benchmark: %s" % text, file=sys.stderr, flush=True)


def busy_seconds():
    """Processor time of the whole machine since it was started (float)."""
    with open("/proc/stat") as lines:
        user, nice, system, _idle, _waiting, *rest = map(int, next(lines).split()[1:])
    return (user + nice + system + sum(rest[:2])) / os.sysconf("SC_CLK_TCK")


def mitogen_strategies():
    """Directory (str) of Mitogen's strategy plugins, or None."""
    found = importlib.util.find_spec("ansible_mitogen")
    return str(pathlib.Path(found.origin).parent / "plugins" / "strategy") if found else None


class Bench:
    """The fleet, and what is measured on it."""

    def __init__(self, fleet, scratch):
        self.fleet = fleet
        self.scratch = scratch
        self.layout = fleet.layout
        self.controller = Cgroup(self.layout.name, "benchmark")
        self.hosts = Cgroup(self.layout.name, "hosts")
        (scratch / "ansible.cfg").write_text("")

    def environment(self, settings):
        """The whole environment of a run (dict of str): nothing of the user's settings for Ansible."""
        beside = str(pathlib.Path(sys.executable).parent)
        found = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        found.update(environment(self.layout))
        found.update(
            PATH=os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]),
            ANSIBLE_CONFIG=str(self.scratch / "ansible.cfg"),
            ANSIBLE_COLLECTIONS_PATH=os.pathsep.join([playbooks.collections(), community.collections()]),
            ANSIBLE_CACHE_PLUGIN_CONNECTION=str(self.scratch / "facts"),
            ANSIBLE_NOCOLOR="1",
        )
        found.update(SETTINGS[settings])
        if found["ANSIBLE_STRATEGY"].startswith("mitogen"):
            found["ANSIBLE_STRATEGY_PLUGINS"] = mitogen_strategies()
        return found

    def inventory(self, size):
        path = self.scratch / ("hosts%d.yml" % size)
        path.write_text(inventory(self.layout, self.fleet.image, range(1, size + 1)))
        return str(path)

    def command(self, way, size, variables=None):
        """The command line (list of str) of a way, as the controller runs it."""
        if way == "ssh":
            words = ["ssh", *remote.options(self.fleet.image), "-o", "BatchMode=yes", "root@HOST", "sh", "-s"]
            script = "%s <%s" % (shlex.join(words), shlex.quote(str(RIVALS / "isolate.sh")))
            listed = self.scratch / ("hosts%d.txt" % size)
            listed.write_text("".join(self.fleet[number].mgmt4 + "\n" for number in range(1, size + 1)))
            return ["xargs", "-a", str(listed), "-P", "50", "-I", "HOST", "sh", "-c", script]
        words = ["ansible-playbook", "--inventory", self.inventory(size), PLAYBOOKS[way]]
        return [*words, "--extra-vars", json.dumps({**VARIABLES, **(variables or {})})]

    def run(self, way, settings, size, variables=None):
        """Run it; return its wall time, processor times, and number of tasks and changes (dict)."""
        remote.end_kept_connections(self.layout)
        command = self.controller.around([*remote.inside(self.layout.controller), *self.command(way, size, variables)])
        before, busy = (self.controller.cpu_seconds(), self.hosts.cpu_seconds()), busy_seconds()
        start = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=self.scratch,
            env=self.environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        wall = time.perf_counter() - start
        found = {
            "wall": round(wall, 3),
            "controller": round(self.controller.cpu_seconds() - before[0], 3),
            "managed": round(self.hosts.cpu_seconds() - before[1], 3),
        }
        found["others"] = round(max(0, busy_seconds() - busy - found["controller"] - found["managed"]), 3)
        tasks, changed = self._counted(way, done.stdout)
        if done.returncode or len(tasks) != size:
            raise SystemExit("%s: exit %d\n%s" % (shlex.join(command), done.returncode, done.stdout[-4000:]))
        return {**found, "tasks": max(tasks), "changed": sum(changed)}

    @staticmethod
    def _counted(way, output):
        """Tasks and changes of each host, from the recap or the script's last line."""
        if way == "ssh":
            changed = [int(number) for number in re.findall(r"^changed=(\d+)$", output, re.MULTILINE)]
            return [1] * len(changed), changed
        tasks, changed = [], []
        for line in output.rpartition("PLAY RECAP")[2].splitlines():
            if " ok=" in line:
                counts = dict(word.split("=") for word in line.partition(" : ")[2].split())
                tasks.append(int(counts["ok"]) + int(counts["skipped"]))
                changed.append(int(counts["changed"]))
        return tasks, changed

    def everywhere(self, size, work):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(work, [self.fleet[number] for number in range(1, size + 1)]))

    def clean(self, way, size):
        """Hosts without anything of it; takes no part in the measuring."""
        if way.startswith("ours"):
            self.run("ours", "tuned", size, {"isolated_daemon_state": "absent"})
        else:
            self.everywhere(size, lambda host: host.ssh("sh", stdin=CLEAN))

    def verify(self, size):
        """The daemon is reached from the internet, and reaches it, on each host. AssertionError otherwise."""

        def check(host):
            for answer in (
                self.fleet.internet.tcp(host.wan4, daemons.PORT),
                self.fleet.internet.udp(host.wan4, daemons.PORT),
            ):
                assert answer is not None and answer.label == "app", "%s does not answer" % host
            out = host.tcp(GATEWAY4, 7, namespace="app")
            assert out is not None and out.address == host.wan4, "%s does not reach out" % host
            assert daemons.pid(host), "%s: no daemon" % host

        self.everywhere(size, check)

    def cycle(self, way, settings, size, verify):
        """Both runs of a way: [("first", figures), ("second", figures)]; of ping, which changes nothing, one."""
        if way == "ping":
            return [("second", self.run(way, settings, size))]
        found = [("first", self.run(way, settings, size))]
        if verify:
            self.verify(size)
        found.append(("second", self.run(way, settings, size)))
        self.clean(way, size)
        changes = [figures["changed"] for _stage, figures in found]
        if not changes[0] or changes[1]:
            raise SystemExit("%s, %s: the runs changed %s things" % (way, settings, changes))
        return found


def cases(given):
    """[(hosts, settings, ways, repetitions)]: ways of one line take turns."""
    found = []
    for size, repetitions in given.sizes:
        for settings in BASE:
            if settings in given.settings:
                floor = ["ssh"] if settings == "tuned" else []
                ways = [way for way in ["ping", "ours", "script", "usual", *floor] if way in given.ways]
                found.append((size, settings, ways, repetitions))
        if size == KNOBS_AT and "ours" in given.ways:
            others = [settings for settings in SETTINGS if settings not in BASE and settings in given.settings]
            found += [(size, settings, ["ping", "ours, by the role"], repetitions) for settings in others]
    return found


def measure(bench, given, figures):
    """Append to figures["runs"], round by round; the file is written after each way."""
    runs = figures["runs"]
    todo = cases(given)
    earlier = {}
    for run in runs:
        key = run["hosts"], run["settings"]
        earlier[key] = max(earlier.get(key, 0), run["round"] + 1)
    for repetition in range(max(case[3] for case in todo)):
        for size, settings, ways, repetitions in todo:
            if repetition >= repetitions:
                continue
            number = earlier.get((size, settings), 0) + repetition
            shift = number % len(ways)
            for way in ways[shift:] + ways[:shift]:
                if way.startswith("ours") and settings == "tuned, facts cached" and not repetition:
                    bench.run(way, settings, size)  # fills the cache
                    bench.clean(way, size)
                for stage, found in bench.cycle(way, settings, size, verify=not repetition):
                    say("%2d hosts, %s, %s, %s run: %.1f s" % (size, settings, way, stage, found["wall"]))
                    entry = {"hosts": size, "settings": settings, "way": way, "stage": stage, "round": number}
                    runs.append({**entry, **found})
                write(given.json, figures)


def write(path, figures):
    """One run in a line: differences are readable."""
    parts = {name: value for name, value in figures.items() if name != "runs"}
    lines = ",\n  ".join(json.dumps(run) for run in figures["runs"])
    text = json.dumps(parts, indent=1)[:-2] + ',\n "runs": [\n  %s\n ]\n}\n' % lines
    pathlib.Path(path).write_text(text)


def about():
    """The versions that figures hold for (dict of str and int)."""
    import ansible.release

    with open("/proc/cpuinfo") as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "ansible": ansible.release.__version__,
        "python": platform.python_version(),
        "kernel": platform.release().split("-")[0],
        "cores": os.cpu_count(),
        "processor": models[0] if models else platform.machine(),
    }
    with contextlib.suppress(ImportError):
        import mitogen

        found["mitogen"] = ".".join(str(part) for part in mitogen.__version__)
    return found


def arguments():
    parser = argparse.ArgumentParser(description="Time of an isolated daemon on each host of a fleet.")
    parser.add_argument("--hosts", default="1,10,40", help="sizes of the fleet (%(default)s)")
    parser.add_argument("--repetitions", "-k", default="5,3,1", help="for each size, or one for all (%(default)s)")
    parser.add_argument("--settings", default=";".join(SETTINGS), help="separated by semicolons (all): %(default)s")
    parser.add_argument("--ways", default="ping,ours,script,usual,ssh", help="which of them (%(default)s)")
    parser.add_argument("--name", default=os.environ.get("LINUXNET_NETNS_FLEET_NAME") or "benchmark",
                        help="name of the fleet (%(default)s); taken down unless it was up")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, default=FIGURES, help="where the figures go")
    parser.add_argument("--docs", metavar="DIR", type=pathlib.Path, default=HERE.parents[1] / "docs",
                        help="where benchmark.md and benchmark.svg go")  # fmt: skip
    parser.add_argument("--add", action="store_true", help="keep the figures that are there, and add rounds")
    parser.add_argument("--report", action="store_true", help="measure nothing, only write the documents again")
    parser.add_argument("--strict", action="store_true", help="fail if a target is missed")
    given = parser.parse_args()
    sizes = [int(size) for size in given.hosts.split(",")]
    repetitions = [int(number) for number in given.repetitions.split(",")]
    given.sizes = list(zip(sizes, repetitions if len(repetitions) > 1 else repetitions * len(sizes)))
    given.settings = [name.strip() for name in given.settings.split(";")]
    given.ways = given.ways.split(",")
    unknown = [name for name in given.settings if name not in SETTINGS]
    if unknown or len(repetitions) not in (1, len(sizes)):
        parser.error("unknown settings: %s" % unknown if unknown else "--repetitions: as many as --hosts, or one")
    if not given.report and "mitogen" in given.settings and not mitogen_strategies():
        parser.error("there is no Mitogen: pip install -r requirements/benchmark.txt, or --settings without it")
    return given


def main():
    given = arguments()
    # Whoever ends it finds no fleet left behind.
    signal.signal(signal.SIGTERM, lambda *_about: sys.exit(143))
    kept = (given.add or given.report) and given.json.exists()
    figures = json.loads(given.json.read_text()) if kept else {"runs": []}
    if not given.report:
        there = lifecycle.find(given.name).record.exists()
        try:
            benchmark(given, figures, there)
        finally:
            if not there:
                lifecycle.down(lifecycle.find(given.name))
    text, plot, missed = fleet_report.report(figures)
    (given.docs / "benchmark.md").write_text(text)
    (given.docs / "benchmark.svg").write_text(plot)
    print(text)
    if missed and given.strict:
        sys.exit(1)


def benchmark(given, figures, there):
    lifecycle.up(layout.Layout(given.name), max(size for size, _repetitions in given.sizes), say)
    fleet = Fleet(given.name)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="benchmark-", dir=fleet.layout.state))
    try:
        bench = Bench(fleet, scratch)
        bench.controller.around([])  # there from now on
        bench.everywhere(len(fleet), daemons.install)
        if there:  # what a run that was interrupted has left
            for way in ("ours", "script"):
                bench.clean(way, len(fleet))
        figures["about"] = about()
        figures["profile"] = fleet_profile.profile(bench, VARIABLES)
        measure(bench, given, figures)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
