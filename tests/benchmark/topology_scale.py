#!/usr/bin/env python3
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long one netns_topology with many namespaces takes, against `ip -batch` doing its links, addresses and routes.

Each namespace has a veth pair to the host, a /30 and a /64 on both ends, default routes of both families, and one TCP
forward. Three ways to get there take turns, so that a busy machine slows them all:

module   netns_topology as Ansible runs it: a fresh interpreter, all imports, argument checks, JSON in and out
engine   converge() alone, in an interpreter that has imported everything
ip       what a careful script does: one `ip -batch` makes the namespaces, one everything on the host, and one per
         namespace (`ip -n NAME -batch`) everything inside; no firewall, no forwarding, no check of what is there

and go through these stages (medians of all repetitions, in milliseconds of wall time; processor time, children
included, is told beside it, because it stands still when others use the machine too):

build     from nothing
again     the same once more: read back and find nothing to do (ip: all links, addresses and routes shown)
address   one address deleted by hand comes back
forward   one forward of all gets another port
absent    everything removed (module and engine wait until the kernel has taken the links off the host; ip does not)

The aims: module build within 1.5 times ip's build, module again within 0.5 times ip's build, for each size; cost per
namespace that does not grow with their number; memory that stays small.

Everything happens in network, mount and process id namespaces of its own: the machine is not touched. Needs root or
unprivileged user namespaces, iproute2 and nft, and an installed collection (`make build`).

    tests/benchmark/topology_scale.py                     # 100 and 500 namespaces, 5 repetitions each
    tests/benchmark/topology_scale.py --sizes 100 --profile
    tests/benchmark/topology_scale.py --python python3.9 --pyroute2 DIR --json figures.json
    tests/benchmark/topology_scale.py --sizes 10,50,100,200,500 --publish     # docs/benchmark_namespaces.md and .svg
    tests/benchmark/topology_scale.py --report                                # these again, from the figures there are
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pathlib
import platform
import pstats
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent)]

import topology_report  # noqa: E402

FIGURES = REPOSITORY / "tests" / "benchmark" / "topology.json"
COLLECTION = "ansible_collections.linuxnet.netns"
STAGES = ("build", "again", "address", "forward", "absent")
AIMS = {"build": 1.5, "again": 0.5}

# What the wrapper of ansible-core does once it has unpacked a module; and the most memory it used, to stderr. (The
# kernel's account of a child would start at what its parent had when it forked.)
RUNNER = """
import atexit, runpy, sys
from ansible.module_utils import basic
atexit.register(lambda: sys.stderr.write([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]))
name, basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.argv.pop(), sys.stdin.buffer.read(), "legacy"
known = {"_module_fqn": name, "_modlib_path": sys.path[1]}
runpy.run_module(name, init_globals=known, run_name="__main__", alter_sys=True)
"""

# A computer of its own, with an uplink: nothing that is made here is seen outside.
SANDBOX = """
set -e
mount -t tmpfs -o mode=755 layers /run
for dir in etc var/lib; do
    mkdir -p /run/$dir/upper /run/$dir/work
    mount -t overlay overlay -o lowerdir=/$dir,upperdir=/run/$dir/upper,workdir=/run/$dir/work /$dir
done
mount -t tmpfs -o mode=755 run /run
mount -t proc proc /proc
rm -rf /etc/netns /var/lib/linuxnet-netns
ip link set lo up
ip link add eth0 type veth peer name uplink
ip link set uplink up
ip link set eth0 up
ip address add 198.51.100.10/24 dev eth0
ip address add 2001:db8:100::10/64 dev eth0 nodad
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8:100::1
exec "$@"
"""


# -- what is built --


class Spot:
    """The numbers and names of one namespace."""

    def __init__(self, number):
        self.netns = "bench%d" % number
        self.link = "hb%d" % number
        high, low = divmod(number * 4, 256)
        prefix = "10.100.%d." % high
        self.net4, self.host4, self.inner4 = ("%s%d" % (prefix, low + step) for step in range(3))
        self.host6, self.inner6 = ("fd00:100:%x::%d" % (number, step) for step in (1, 2))
        self.port = 10000 + number


def options(size, other_port=None):
    """The options of netns_topology; other_port is for the namespace in the middle."""
    spots = [Spot(number) for number in range(size)]
    return {
        "name": "bench",
        "state": "present",
        "namespaces": [{"name": spot.netns} for spot in spots],
        "veths": [
            {
                "name": spot.link,
                "addresses": [spot.host4 + "/30", spot.host6 + "/64"],
                "peer": {
                    "name": "eth0",
                    "netns": spot.netns,
                    "addresses": [spot.inner4 + "/30", spot.inner6 + "/64"],
                    "gateway": spot.host4,
                    "gateway6": spot.host6,
                },
            }
            for spot in spots
        ],
        "forwards": [
            {
                "name": spot.netns,
                "port": str(other_port if other_port and number == size // 2 else spot.port),
                "to_port": "80",
                "to_address": spot.inner4,
            }
            for number, spot in enumerate(spots)
        ],
    }


def stage_options(stage, size):
    """What is asked for in a stage."""
    if stage in ("absent", "nothing"):
        return {"name": "bench", "state": "absent"}
    return options(size, 9999 if stage == "forward" else None)


def before_stage(stage, size):
    """What happens by hand before a stage of the module or the engine."""
    if stage == "address":
        spot = Spot(size // 2)
        run(["ip", "-n", spot.netns, "address", "delete", spot.inner4 + "/30", "dev", "eth0"])


def expect(stage, size, changed, count):
    """Figures of work that was not done are worth nothing."""
    right = {"build": count >= 10 * size, "again": not changed, "address": 1 <= count <= 2, "forward": count == 1}
    right["nothing"] = not changed
    if not right.get(stage, changed):
        raise SystemExit(
            "%s with %d namespaces: unexpected result (changed=%s, %d changes)" % (stage, size, changed, count)
        )


# -- the three ways --


class Module:
    """netns_topology in an interpreter of its own, JSON on stdin."""

    def __init__(self, python, path):
        self.command = [python, "-c", RUNNER, COLLECTION + ".plugins.modules.netns_topology"]
        self.environment = environment(path)
        self.peak = {}

    def cycle(self, size):
        return {stage: self._stage(stage, size) for stage in STAGES}

    def start(self):
        """Seconds that it takes to find nothing to do for nothing."""
        return self._stage("nothing", 0)

    def _stage(self, stage, size):
        before_stage(stage, size)
        arguments = dict(stage_options(stage, size), _ansible_check_mode=False, _ansible_diff=True)
        arguments.update(_ansible_remote_tmp="/run/ansible", _ansible_keep_remote_files=False)
        handed = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
        watch = Watch()
        done = subprocess.run(self.command, input=handed, capture_output=True, env=self.environment, check=False)
        took = watch.stop()
        try:
            result = json.loads(done.stdout)
        except ValueError:
            raise SystemExit("the module gave no result: %s%s" % (done.stdout.decode(), done.stderr.decode())) from None
        if result.get("failed"):
            raise SystemExit("the module failed: %s" % result.get("exception", result["msg"]))
        expect(stage, size, result["changed"], len(result["changes"]))
        self.peak[stage] = max(self.peak.get(stage, 0), int(done.stderr.split(b"VmHWM:")[1].split()[0]))
        return took


class Engine:
    """converge(), called by this very script as a worker in the interpreter under test."""

    def __init__(self, python, path, profile=0):
        self.command = [python, __file__, "--worker"] + (["--profile", str(profile)] if profile else [])
        self.environment = environment(path)
        self.profile = {}

    def cycle(self, size):
        done = run([*self.command, "--sizes", str(size)], env=self.environment)
        answer = json.loads(done)
        self.profile.update(answer["profile"])
        return answer["seconds"]


class IpBatch:
    """The fewest processes that iproute2 can do it with."""

    def cycle(self, size):
        spots = [Spot(number) for number in range(size)]
        with tempfile.TemporaryDirectory(prefix="netns-benchmark-") as folder:
            self._write(folder, spots)
            names = " ".join(spot.netns for spot in spots)
            inside = "for name in %s; do ip -n $name -batch %s; done"
            return {
                "build": self._time(
                    "ip -batch names; ip -batch host; " + inside % (names, "inside-$name"), folder),
                "again": self._time(
                    "ip -batch show; " + inside % (names, "show"), folder),
                "absent": self._time("ip -batch delete", folder),
            }  # fmt: skip

    @staticmethod
    def _time(script, folder):
        watch = Watch()
        run(["sh", "-ec", script], cwd=folder)
        return watch.stop()

    @staticmethod
    def _write(folder, spots):
        def put(name, lines):
            pathlib.Path(folder, name).write_text("".join(line + "\n" for line in lines), encoding="ascii")

        put("names", ["netns add " + spot.netns for spot in spots])
        put("delete", ["netns delete " + spot.netns for spot in spots])
        put("show", ["link show", "address show", "route show table all"])
        host = []
        for spot in spots:
            host += [
                "link add %s type veth peer name eth0 netns %s" % (spot.link, spot.netns),
                "address add %s/30 brd + dev %s" % (spot.host4, spot.link),
                "address add %s/64 dev %s nodad" % (spot.host6, spot.link),
                "link set %s up" % spot.link,
            ]
            put(
                "inside-" + spot.netns,
                [
                    "link set lo up",
                    "address add %s/30 brd + dev eth0" % spot.inner4,
                    "address add %s/64 dev eth0 nodad" % spot.inner6,
                    "link set eth0 up",
                    "route add default via " + spot.host4,
                    "route add default via " + spot.host6,
                ],
            )
        put("host", host)


# -- the engine's worker --


def worker(size, profile):
    """One cycle of the engine, in this process: what is measured is converge(), nothing before it."""
    import importlib

    # The first write would load pyroute2's part.
    importlib.import_module(COLLECTION + ".plugins.module_utils.doors.netlink").encode("link", {}, [])
    engine = importlib.import_module(COLLECTION + ".plugins.module_utils.engine")
    checked = importlib.import_module("ansible.module_utils.common.arg_spec").ArgumentSpecValidator
    spec = importlib.import_module(COLLECTION + ".plugins.module_utils.spec.netns_topology").OPTIONS
    validator = checked(dict(spec, state=dict(type="str")))
    seconds, profiles = {}, {}
    for stage in STAGES:
        before_stage(stage, size)
        asked = validator.validate(stage_options(stage, size))
        if asked.error_messages:
            raise SystemExit("; ".join(asked.error_messages))
        absent = asked.validated_parameters.pop("state") == "absent"
        given = {} if absent else asked.validated_parameters
        request = engine.Request(owner="topology bench", options=given, absent=absent)
        profiler = cProfile.Profile()
        if profile:
            profiler.enable()
        watch = Watch(resource.RUSAGE_SELF)
        result = engine.converge(request, False)
        seconds[stage] = watch.stop()
        profiler.disable()
        expect(stage, size, bool(result.changes), len(result.changes))
        if profile:
            text = io.StringIO()
            pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("cumulative").print_stats(profile)
            profiles[stage] = text.getvalue()
        settle()
    print(json.dumps({"seconds": seconds, "profile": profiles}))


# -- tools --


class Watch:
    """Seconds of wall and of processor since it was made: of children that ended, and with RUSAGE_SELF of ourselves."""

    def __init__(self, *more):
        self._whom = (resource.RUSAGE_CHILDREN, *more)
        self._processor = self._read()
        self._start = time.perf_counter()

    def _read(self):
        return sum(sum(resource.getrusage(whom)[:2]) for whom in self._whom)

    def stop(self):
        return time.perf_counter() - self._start, self._read() - self._processor


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise SystemExit("%s: exit %s\n%s%s" % (" ".join(command)[:200], done.returncode, done.stdout, done.stderr))
    return done.stdout


def environment(path):
    """Compiled files are kept, whatever the user's setting, and in the sandbox rather than in the checkout."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": "/run",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONPYCACHEPREFIX": "/run/pycache",
    }


def settle():
    """Wait until the kernel has taken deleted namespaces apart, which it does in the background."""
    for _try in range(300):
        names = os.listdir("/sys/class/net") if os.path.exists("/sys/class/net") else []
        if not any(name.startswith("hb") for name in names) or os.listdir("/run/netns"):
            break
        time.sleep(0.02)
    time.sleep(0.1)


def python_path(folder, collections, pyroute2):
    """Nothing but ansible of ours: another interpreter must not see our other packages."""
    import ansible

    os.symlink(pathlib.Path(ansible.__file__).resolve().parent, os.path.join(folder, "ansible"))
    return [folder, str(collections), *([pyroute2] if pyroute2 else [])]


def zipped(folder, path):
    """The same path with ansible and the collection in a zip file, as Ansible sends them: compiled by each task."""
    name = os.path.join(folder, "modules.zip")
    parts = ((path[0], "ansible/module_utils"), (path[1], COLLECTION.replace(".", "/") + "/plugins"))
    files = {file.relative_to(root): file for root, part in parts for file in pathlib.Path(root, part).rglob("*.py")}
    packages = {parent for file in files for parent in list(file.parents)[:-1]}
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in packages - {file.parent for file in files if file.name == "__init__.py"}:
            archive.writestr(str(package / "__init__.py"), "__version__ = __author__ = ''\n")
        for inside, file in files.items():
            archive.write(file, inside)
    return [name, *path[2:]]


def enter_sandbox():
    """Start again in a network that is only ours."""
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *users, "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    command += ["sh", "-c", SANDBOX, "sandbox", sys.executable, *sys.argv, "--inside"]
    sys.exit(subprocess.run(command, check=False).returncode)


# -- figures --


def measure(ways, size, repetitions):
    """{way: {stage: [(wall, processor)]}}; the ways take turns, and who begins changes too."""
    figures = {name: {} for name in ways}
    for repetition in range(repetitions):
        names = list(ways)
        shift = repetition % len(names)
        for name in names[shift:] + names[:shift]:
            for stage, seconds in ways[name].cycle(size).items():
                figures[name].setdefault(stage, []).append(seconds)
            settle()
            print(".", end="", file=sys.stderr, flush=True)
    return figures


def summary(figures, peak):
    """All that is known about one size."""
    found = {"peak_kb": peak, "runs_ms": figures}
    for number, unit in enumerate(("wall", "processor")):
        ms = {
            way: {
                stage: round(statistics.median(run[number] for run in runs) * 1000, 1) for stage, runs in stages.items()
            }
            for way, stages in figures.items()
        }
        found[unit] = {
            "ms": ms,
            "ratio": {
                "%s %s" % (way, stage): round(ms[way][stage] / ms["ip"]["build"], 3)
                for way in ("module", "engine")
                for stage in STAGES
            },
        }
    return found


def report(results, about):
    """The figures as markdown tables; returns the aims that were missed."""
    print(
        "\nMedians of {repetitions}; Python {python}, pyroute2 {pyroute2}, {nft}, {ip}, Linux {kernel}, "
        "{cores} cores.\nFixed part of a module's time (nothing to do for nothing), ms (processor): {compiled}, and "
        "{zip} as Ansible sends modules, in a zip file, to be compiled by every task.\n".format(**about)
    )
    row("N", "way", *("%s, ms (processor)" % stage for stage in STAGES), "build ÷ N", "peak MB build, again")
    row(*["--:", ":--"] + ["--:"] * (len(STAGES) + 2))
    for size, entry in results.items():
        for way, stages in entry["wall"]["ms"].items():
            cells = ["%.0f (%.0f)" % (stages[stage], entry["processor"]["ms"][way][stage]) if stage in stages else ""
                     for stage in STAGES]  # fmt: skip
            peak = (
                ["%.0f" % (entry["peak_kb"][stage] / 1024) for stage in ("build", "again")] if way == "module" else []
            )
            row(size, way, *cells, "%.1f" % (stages["build"] / int(size)), ", ".join(peak))
    print()
    row("N", "÷ ip build, by", "module build (aim 1.5)", "module again (aim 0.5)", "engine build", "engine again")
    row("--:", ":--", *["--:"] * 4)
    for size, entry in results.items():
        for unit in ("wall", "processor"):
            names = ("module build", "module again", "engine build", "engine again")
            row(size, unit, *("%.2f" % entry[unit]["ratio"][name] for name in names))
    sizes = list(results)
    for small, big in zip(sizes, sizes[1:]):
        growth = []
        for way, stages in results[small]["processor"]["ms"].items():
            more = [
                "%s %.1f" % (stage, results[big]["processor"]["ms"][way][stage] / ms) for stage, ms in stages.items()
            ]
            growth.append("%s: %s" % (way, ", ".join(more)))
        print("\nFrom %s to %s (%.1f times as many), processor time grows by: %s" % (
            small, big, int(big) / int(small), "; ".join(growth)))  # fmt: skip
    missed = ["%s at N=%s: %.2f > %.1f" % (stage, size, entry["wall"]["ratio"]["module " + stage], aim)
              for size, entry in results.items() for stage, aim in AIMS.items()
              if entry["wall"]["ratio"]["module " + stage] > aim]  # fmt: skip
    print("\nAims missed: " + "; ".join(missed) if missed else "\nAll aims met.")
    return missed


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def publish():
    """Write the documentation from its figures."""
    text, plot = topology_report.report(json.loads(FIGURES.read_text()))
    (REPOSITORY / "docs" / "benchmark_namespaces.md").write_text(text)
    (REPOSITORY / "docs" / "benchmark_namespaces.svg").write_text(plot)


def versions(python, path):
    tell = "import platform, pyroute2; print(platform.python_version(), pyroute2.__version__)"
    version, library = run([python, "-c", tell], env=environment(path)).split()
    return {
        "python": version, "pyroute2": library, "nft": run(["nft", "--version"]).split(" (")[0].strip(),
        "ip": run(["ip", "-V"]).strip().replace("ip utility, ", ""),
        "kernel": platform.release().split("-")[0], "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def arguments():
    parser = argparse.ArgumentParser(description="Time of one netns_topology against ip -batch.")
    parser.add_argument("--sizes", default="100,500", help="numbers of namespaces (100,500)")
    parser.add_argument("--repetitions", "-k", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the managed host")
    parser.add_argument("--pyroute2", metavar="DIR", help="where that interpreter finds pyroute2")
    parser.add_argument(
        "--collections", metavar="DIR", default=str(REPOSITORY / ".cache" / "collections"),
        help="where the collection is installed (.cache/collections)",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="also write all figures to FILE")
    parser.add_argument("--publish", action="store_true", help="write all figures to where the documentation has them")
    parser.add_argument("--report", action="store_true", help="measure nothing, only write the documentation again")
    parser.add_argument("--strict", action="store_true", help="fail if an aim is missed")
    parser.add_argument("--profile", type=int, nargs="?", const=25, default=0, metavar="LINES",
                        help="instead of timing, show where the engine's time goes")  # fmt: skip
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.sizes = [int(size) for size in given.sizes.split(",")]
    return given


def main():
    given = arguments()
    if given.worker:
        worker(given.sizes[0], given.profile)
        return
    if given.report:
        publish()
        return
    if not given.inside:
        enter_sandbox()
    folder = tempfile.mkdtemp(prefix="netns-benchmark-", dir="/run")
    try:
        benchmark(given, python_path(folder, given.collections, given.pyroute2))
    finally:
        shutil.rmtree(folder)


def benchmark(given, path):
    module, engine = Module(given.python, path), Engine(given.python, path, given.profile)
    if given.profile:
        for size in given.sizes:
            engine.cycle(size)
            for stage in STAGES:
                print("-- %d namespaces, %s --\n%s" % (size, stage, engine.profile[stage]))
        return
    ways = {"module": module, "engine": engine, "ip": IpBatch()}
    measure(ways, 2, 1)  # compiles and loads whatever there is to load
    about = dict(versions(given.python, path), repetitions=given.repetitions)
    sent = Module(given.python, zipped(path[0], path))
    for name, way in (("compiled", module), ("zip", sent)):
        runs = [way.start() for _repetition in range(given.repetitions + 1)][1:]
        about[name] = "%.0f (%.0f)" % tuple(statistics.median(run[unit] for run in runs) * 1000 for unit in (0, 1))
    results = {}
    for size in given.sizes:
        module.peak = {}
        figures = measure(ways, size, given.repetitions)
        results[str(size)] = summary(figures, module.peak)
    missed = report(results, about)
    for file in ([given.json] if given.json else []) + ([FIGURES] if given.publish else []):
        with open(file, "w", encoding="utf-8") as stream:
            json.dump({"about": about, "results": results}, stream, indent=1)
            stream.write("\n")
    if given.publish:
        publish()
    if missed and given.strict:
        sys.exit(1)


if __name__ == "__main__":
    main()
