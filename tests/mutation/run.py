#!/usr/bin/env python3
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that the tests fail when the code is broken.

One line is changed in a copy of the collection, the tests that watch over it run against that copy, and at least one of
them has to fail. A mutation that all of them survive is a check that checks nothing. Run it with a Python that has
pytest and hypothesis; what is marked "root" needs the same as the integration tests.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENGINE = "plugins/module_utils"
LEFT_OUT = (
    ".git",
    ".cache",
    ".venv",
    ".ansible",
    ".hypothesis",
    ".pytest_cache",
    "__pycache__",
    "*.pyc",
    "*.tar.gz",
    "output",
)


@dataclass(frozen=True)
class Mutation:
    """``old`` stands exactly once in ``file``; *tests* are pytest's names below tests/."""

    floor: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def root(self) -> bool:
        return any(test.startswith("integration/") for test in self.tests)


def mutation(floor: str, file: str, old: str, new: str, *tests: str) -> Mutation:
    return Mutation(floor, f"{ENGINE}/{file}", old, new, tests)


MUTATIONS = (
    mutation(
        "coexistence",
        "accept_chain.py",
        "if not steps or any(not _only_logs(rule) for rule in rules[:number]):",
        "if True:",
        "unit/test_coexistence.py",
    ),
    mutation(
        "coexistence",
        "accept_chain.py",
        "if number is None or not self._drops_all(rules[number]):",
        "if number is None:",
        "unit/test_coexistence.py",
    ),
    mutation(
        "coexistence",
        "compile/coexistence.py",
        "or verdict.priority <= MARKED_FROM:",
        "or False:",
        "unit/test_coexistence.py",
    ),
    mutation(
        "coexistence",
        "foreign_firewall.py",
        'return "return" if kind == "goto" and sure else "next"',
        'return "next"',
        "unit/test_foreign_firewall.py",
    ),
    mutation(
        "spec",
        "spec/netns_forward.py",
        'hairpin=dict(type="bool", default=True)',
        'hairpin=dict(type="bool", default=False)',
        "unit/test_spec.py",
    ),
    mutation(
        "spec",
        "spec/netns_topology.py",
        'isolate=dict(type="bool", default=True)',
        'isolate=dict(type="bool", default=False)',
        "unit/test_spec.py",
    ),
    mutation("desired", "desired/names.py", "if size >= IFNAMSIZ:", "if size > IFNAMSIZ:", "unit/test_names.py"),
    mutation("desired", "desired/names.py", 'frozenset("/:%*', 'frozenset("/:%', "unit/test_names.py"),
    mutation(
        "desired",
        "desired/ports.py",
        "if not 1 <= number <= 65535:",
        "if not 0 <= number <= 65535:",
        "unit/test_ports.py",
    ),
    mutation(
        "desired",
        "desired/veth.py",
        "if not any(via in item.network for item in addresses):",
        "if False:",
        "unit/test_desired_veth.py",
    ),
    mutation(
        "desired",
        "desired/netns_forward.py",
        "if to_port.count != port.count:",
        "if to_port.count < port.count:",
        "unit/test_desired_rules.py",
    ),
    mutation(
        "desired", "desired/state.py", "if entry[0].competes_with(other[0]):", "if False:", "unit/test_desired_state.py"
    ),
    mutation(
        "compile: firewall",
        "compile/firewall.py",
        '"fib daddr type local jump forwards",',
        '"jump forwards",',
        "unit/test_firewall.py",
    ),
    mutation(
        "compile: firewall",
        "compile/firewall.py",
        'yield "to_inside", [*accepting, "drop"]',
        'yield "to_inside", accepting',
        "unit/test_firewall.py",
    ),
    mutation(
        "compile: firewall",
        "compile/firewall.py",
        "shift = forward.to_port.first - forward.port.first",
        "shift = 0",
        "unit/test_firewall.py",
    ),
    mutation(
        "compile: forwarding",
        "compile/forwarding.py",
        'return made.get(key, snapshot.sysctl(netns, path)) == "0"',
        "return False",
        "unit/test_forwarding.py",
    ),
    mutation("compile: forwarding", "compile/forwarding.py", 'found[key] = "2"', "pass", "unit/test_forwarding.py"),
    mutation(
        "compile: reach", "compile/reach.py", "mine = inner & self.ours or ", "mine = inner or ", "unit/test_reach.py"
    ),
    mutation(
        "compile: stale flows",
        "compile/stale_flows.py",
        "(not forward.sources or ",
        "(True or ",
        "unit/test_stale_flows.py",
    ),
    mutation("objects", "objects/sysctl.py", "return 60", "return 27", "unit/test_plan.py"),
    mutation(
        "objects",
        "objects/veth_pair.py",
        "if other < one:",
        "if False:",
        "unit/test_engine.py::test_a_pair_is_the_same_from_either_end",
    ),
    mutation(
        "snapshot",
        "snapshot.py",
        "if link.alias.startswith(ALIAS) and link.alias == other.alias:",
        "if link.alias:",
        "unit/test_engine.py::test_interface_numbers_that_repeat_do_not_confuse_pairs",
    ),
    mutation(
        "plan",
        "plan.py",
        "return 0, -group, netns, -order, str(self.item)",
        "return 0, group, netns, order, str(self.item)",
        "unit/test_plan.py",
    ),
    mutation("check", "check/route_lookup.py", "-route.network.prefixlen,", "0,", "unit/test_check.py"),
    mutation("check", "check/reverse_path.py", "return max(int(value)", "return min(int(value)", "unit/test_check.py"),
    mutation("check", "check/listening.py", "return bound == address", "return True", "unit/test_check.py"),
    mutation("plan", "plan.py", "gone[item] = why or WITH_LINK", "pass", "unit/test_plan.py"),
    mutation("apply", "apply.py", "self._done.append(change)", "pass", "unit/test_journal.py"),
    mutation("apply", "apply.py", "if self._done[number].implied != WITH_LINK", "if True", "unit/test_journal.py"),
    mutation("apply", "apply.py", "        if now != change.before:\n", "        if False:\n", "unit/test_journal.py"),
    mutation(
        "apply",
        "engine.py",
        "        self.ledger.unfinished = True\n",
        "",
        "unit/test_engine.py::test_a_run_that_was_killed_leaves_its_mark",
    ),
    mutation(
        "processes",
        "system.py",
        "if unit.pid in pids",
        "",
        "unit/test_engine.py::test_only_units_whose_main_process_is_inside_are_stopped",
    ),
    mutation(
        "plan",
        "objects/physical_link.py",
        "    ORDER = 22\n",
        "    ORDER = 2\n",
        "unit/test_engine.py::test_a_network_card_goes_back_to_the_host_before_its_namespace_goes",
    ),
    mutation("lock", "ledger.py", "unfinished=system.files.exists(FOLDER)", "", "unit/test_engine.py"),
    mutation("ledger", "ledger.py", "if not same_boot:", "if False:", "unit/test_ledger.py"),
    mutation("ledger", "ledger.py", "if version != VERSION:", "if False:", "unit/test_ledger.py"),
    mutation("lock", "lock.py", "os.path.samestat(os.fstat(handle), os.stat(PATH))", "True", "unit/test_lock.py"),
    mutation(
        "preflight",
        "preflight.py",
        "if item.ip == there.address.ip:",
        "if False:",
        "unit/test_engine.py::test_addresses_that_others_took",
    ),
    mutation(
        "preflight",
        "preflight.py",
        'if bridge is None or bridge.type != "bridge":',
        "if bridge is None:",
        "unit/test_engine.py::test_unknown_namespaces_and_bridges",
    ),
    mutation(
        "preflight",
        "preflight.py",
        "if not ours and value != item.stated:",
        "if False:",
        "unit/test_policy_rule.py::test_a_rule_of_others",
    ),
    mutation("objects", "objects/policy_rule.py", "ORDER = 55", "ORDER = 49", "unit/test_policy_rule.py"),
    mutation(
        "objects",
        "objects/policy_rule.py",
        "if rule.protocol != ROUTE_PROTOCOL:",
        "if False:",
        "unit/test_policy_rule.py",
    ),
    mutation(
        "engine",
        "engine.py",
        "return (rule.netns, rule.version, rule.priority) not in kept and any(",
        "return any(",
        "unit/test_policy_rule.py::test_of_two_ends_in_one_namespace_each_keeps_its_own",
    ),
    mutation(
        "engine",
        "apply.py",
        "        trouble = self.undo()\n",
        "        trouble = []\n",
        "unit/test_engine.py::test_a_failure_names_the_step_and_leaves_everything_as_it_was",
    ),
    mutation(
        "engine",
        "engine.py",
        "            self._intend(changes, previous)\n",
        "",
        "unit/test_engine.py::test_a_run_that_was_killed_is_finished_by_the_next",
    ),
    mutation(
        "engine",
        "engine.py",
        "            if not check_mode:\n                result",
        "            if True:\n                result",
        "unit/test_convergence.py::test_check_mode_touches_nothing_and_predicts_exactly",
    ),
    mutation(
        "doors: netlink",
        "doors/netlink_messages.py",
        "up=bool(flags & IFF_UP)",
        "up=bool(flags)",
        "unit/test_netlink_messages.py",
    ),
    mutation(
        "doors: netlink",
        "doors/netlink_messages.py",
        "if protocol in (RTPROT_KERNEL, RTPROT_REDIRECT) or ",
        "if ",
        "unit/test_netlink_messages.py",
    ),
    mutation(
        "doors: netlink",
        "doors/netlink_messages.py",
        " if 10 in found or 16 in found else None",
        " if 10 in found else None",
        "unit/test_netlink_messages.py",
    ),
    mutation(
        "doors: netlink",
        "doors/netlink.py",
        "wire.FIB_RULE_INVERT if rule.inverted else 0",
        "0",
        "integration/test_rules.py::test_rules_come_and_go",
    ),
    mutation(
        "objects",
        "objects/directory.py",
        'if any(f"{item.path}/{name}" not in going for name in names):',
        "if False:",
        "unit/test_engine.py::test_what_others_put_into_our_directories_stays_and_keeps_them",
    ),
    mutation(
        "objects",
        "objects/link_route.py",
        "            system.netlink.delete_rule(self.netns, way)",
        "            pass",
        "unit/test_link_route.py",
    ),
    mutation(
        "doors: files",
        "doors/files.py",
        "            os.close(handle)  # of a directory, fdopen() would make neither a stream nor an end",
        "            pass",
        "unit/test_files.py",
    ),
    mutation(
        "doors: conntrack", "doors/conntrack.py", "reply[1], reply[3]", "reply[2], reply[3]", "unit/test_conntrack.py"
    ),
    mutation(
        "doors: netlink",
        "doors/netlink.py",
        "wire.IFA_F_NODAD if v6 and",
        "0 if v6 and",
        "integration/test_veth.py::test_addresses_are_usable_at_once",
    ),
    mutation(
        "doors: nft",
        "doors/nft.py",
        'return script if body is None else f"{script}{name} {{',
        'return script if body is None else f"{name} {{',
        "integration/test_forward.py::test_a_rule_slipped_into_our_table_is_removed",
    ),
    mutation(
        "doors: files",
        "doors/files.py",
        "os.fchmod(stream.fileno(), mode)",
        "pass",
        "integration/test_netns.py::test_the_files_are_readable_by_every_user",
    ),
    mutation(
        "doors: processes",
        "doors/processes.py",
        "(signal.SIGKILL, max(",
        "(signal.SIGTERM, max(",
        "integration/test_netns.py::test_a_process_that_ignores_the_polite_signal_is_killed_all_the_same",
    ),
    mutation(
        "doors: mounts",
        "doors/netns_mounts.py",
        "        self.prepare()\n        path = path_of(name)\n        if self.state(name).leftover:",
        "        self.prepare()\n        path = path_of(name)\n        if False:",
        "integration/test_netns.py::test_a_half_made_name_is_repaired_and_reported",
    ),
    mutation(
        "desired",
        "desired/netns_service.py",
        "if service.command is not None and service.user is None and not dynamic:",
        "if service.command is not None and service.user is None and dynamic:",
        "unit/test_desired_service.py",
    ),
    mutation(
        "compile",
        "compile/unit_text.py",
        """if key not in settings]""",
        """]""",
        "unit/test_desired_service.py",
    ),
    mutation(
        "compile",
        "compile/unit_text.py",
        """capabilities = "CAP_NET_BIND_SERVICE" if low_ports else """,
        """capabilities = "CAP_NET_BIND_SERVICE" if not low_ports else """,
        "unit/test_desired_service.py",
    ),
    mutation(
        "compile",
        "compile/netns_service.py",
        "if not line.startswith((",
        "if line.startswith((",
        "unit/test_desired_service.py",
    ),
    mutation(
        "objects",
        "objects/running_service.py",
        "if place != where(self.netns) or not self.configuration:",
        "if not self.configuration:",
        "unit/test_services.py",
    ),
    mutation(
        "objects",
        "objects/running_service.py",
        "return before if before in (None, STOPPED) else ON_THE_HOST",
        "return None",
        "unit/test_services.py",
    ),
    mutation(
        "apply",
        "apply.py",
        """                if not change.item.DEFERRED:
                    self._system.systemd.going_down()
                exact""",
        """                exact""",
        "unit/test_journal.py",
    ),
    mutation(
        "doors",
        "doors/systemd.py",
        "            self._files_changed = True\n",
        "",
        "unit/test_systemd.py",
    ),
    mutation(
        "preflight",
        "services.py",
        "if UnitFile(path) in ours:",
        "if True:",
        "unit/test_services.py",
    ),
    mutation(
        "restore",
        "restore.py",
        "rest = {**rest, list_name: [*rest[list_name][:number], *rest[list_name][number + 1 :]]}",
        "rest = {**rest, list_name: rest[list_name][:number]}",
        "unit/test_restore.py",
    ),
    mutation(
        "restore",
        "engine.py",
        "if self.request.services_later:",
        "if not self.request.services_later:",
        "unit/test_restore.py",
    ),
    mutation(
        "restore",
        "host_command.py",
        "return Ledger.of_this_boot(system) and not system.systemd.stopping()",
        "return not system.systemd.stopping()",
        "unit/test_restore.py",
    ),
    mutation(
        "restore",
        "engine.py",
        "if self.request.remember is not None:",
        "if False:",
        "unit/test_restore.py",
    ),
)


def collection(place: pathlib.Path) -> pathlib.Path:
    """A copy of the collection where Python and Ansible look for it."""
    copy = place / "ansible_collections" / "linuxnet" / "netns"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    return copy


def pytest(copy: pathlib.Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess:
    place = str(copy.parents[2])
    environment = dict(
        os.environ,
        PYTHONPATH=place,
        ANSIBLE_COLLECTIONS_PATH=place,
        NETNS_TEST_COLLECTIONS=place,
        PYTHONDONTWRITEBYTECODE="1",
        HYPOTHESIS_PROFILE="mutation",
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "--tb=short",
        "-o",
        f"cache_dir={place}/cache",
        *(f"tests/{test}" for test in tests),
    ]
    return subprocess.run(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def attempt(item: Mutation | None, tests: tuple[str, ...]) -> tuple[bool, str]:
    """Run *tests* with this mutation (None: with none); True with a word on it if they fail as they should."""
    with tempfile.TemporaryDirectory(prefix="netns-mutation-") as place:
        copy = collection(pathlib.Path(place))
        if item is not None:
            path = copy / item.file
            text = path.read_text(encoding="utf-8")
            if text.count(item.old) != 1:
                return False, f"STALE: {item.old!r} is there {text.count(item.old)} times"
            path.write_text(text.replace(item.old, item.new), encoding="utf-8")
        done = pytest(copy, tests)
    if item is None:
        return done.returncode == 0, done.stdout
    failed = [line.split(" ")[1].rpartition("/")[2] for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    if done.returncode == 1 and failed:
        return True, failed[0]
    return False, "SURVIVED" if done.returncode == 0 else f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--fast", action="store_true", help="one mutation of each floor, and only those that need no root"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="mutations at a time (those that need root go one by one)",
    )
    parser.add_argument("floor", nargs="*", help="only floors that begin so, such as compile")
    return parser.parse_args()


def chosen(wanted: argparse.Namespace) -> list[Mutation]:
    found = [item for item in MUTATIONS if not wanted.floor or item.floor.startswith(tuple(wanted.floor))]
    if wanted.fast:
        found = list({item.floor: item for item in reversed(found) if not item.root}.values())[::-1]
    return found


def main() -> int:
    wanted = arguments()
    mutations = chosen(wanted)
    if os.geteuid() != 0:
        for item in [item for item in mutations if item.root]:
            print(f"mutation: {item.floor}: skipped, needs root")
            mutations.remove(item)
    if not mutations:
        print("mutation: nothing to do", file=sys.stderr)
        return 1
    started = time.monotonic()
    tests = tuple(sorted({test for item in mutations for test in item.tests}))
    with concurrent.futures.ThreadPoolExecutor(wanted.jobs) as pool:
        baseline = pool.submit(attempt, None, tests)
        running = {item: pool.submit(attempt, item, item.tests) for item in mutations if not item.root}
        sound, output = baseline.result()
        if not sound:
            pool.shutdown(cancel_futures=True)
            print(f"mutation: the tests fail without any mutation\n{output}", file=sys.stderr)
            return 1
        results = {item: future.result() for item, future in running.items()}
    results.update((item, attempt(item, item.tests)) for item in mutations if item.root)
    width = max(len(item.floor) for item in mutations)
    for item in mutations:
        found, word = results[item]
        line = f"{item.file.rpartition('module_utils/')[2]}: {' '.join(item.old.split())[:60]}"
        print(f"{'found' if found else 'MISSED':6}  {item.floor:{width}}  {line}\n{'':10}{word}")
    missed = sum(not found for found, _word in results.values())
    print(f"mutation: {len(results) - missed} of {len(results)} found, in {time.monotonic() - started:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
