#!/usr/bin/env python3
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of one module goes on a host: how much is sent, the interpreter's start, the imports, the work.

The module is built as Ansible builds it, with Ansible's own functions; then it is run on the host without Ansible.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import statistics
import subprocess
import sys
import time
import zipfile

from fleetlib import playbooks, remote

REPETITIONS = 7
MODULES = ("ansible.builtin.ping", "linuxnet.netns.netns_topology")
#: What an imported module belongs to, by its name: the first that fits.
OWNERS = (
    ("the collection", re.compile(r"ansible_collections\.linuxnet\.netns\b")),
    ("pyroute2", re.compile(r"pyroute2\b")),
    ("ansible-core", re.compile(r"ansible\b|_ansiballz\b|ansible_collections\b")),
    ("Python's own", re.compile(r"")),
)

# In a process of its own: Ansible's loaders are set up once and for all.
BUILD = """
import json, sys
from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.release import __version__
from ansible.template import Templar

name, arguments = json.load(sys.stdin)
init_plugin_loader()
found = module_loader.find_plugin_with_context(name)
arguments.update(
    _ansible_check_mode=False, _ansible_no_log=False, _ansible_debug=False, _ansible_diff=False, _ansible_verbosity=0,
    _ansible_version=__version__, _ansible_module_name=name, _ansible_syslog_facility="LOG_USER",
    _ansible_selinux_special_fs=[], _ansible_socket=None,
    _ansible_shell_executable="/bin/sh", _ansible_keep_remote_files=False, _ansible_tmpdir=None,
    _ansible_remote_tmp="~/.ansible/tmp", _ansible_ignore_unknown_opts=False, _ansible_target_log_info=None,
    _ansible_tracebacks_for=[],
)
built = modify_module(
    module_name=found.resolved_fqcn, module_path=found.plugin_resolved_path, module_args=arguments,
    templar=Templar(loader=DataLoader()), task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
    module_compression="ZIP_DEFLATED",
)
sys.stdout.buffer.write(built.b_module_data)
"""

OPTIONS = """
import json, sys, yaml
from ansible_collections.linuxnet.netns.plugins.module_utils import isolated_daemon
root = isolated_daemon.__file__.rpartition("/plugins/")[0]
variables = {**yaml.safe_load(open(root + "/roles/isolated_daemon/defaults/main.yml")), **json.load(sys.stdin)}
prefix = "isolated_daemon_"
given = {name[len(prefix):]: value for name, value in variables.items()}
lists = isolated_daemon.isolated_daemon_topology(given)
json.dump({"name": "daemon-" + given["name"], "state": "present", "persist": True, **lists}, sys.stdout)
"""


def _python(program, given):
    """The output (bytes) of a program that reads JSON. CalledProcessError if it fails."""
    path = playbooks.collections()
    settings = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": path, "PYTHONPATH": path}
    command = [sys.executable, "-c", program]
    text = json.dumps(given).encode()
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, env=settings, check=True).stdout


def options(variables):
    """The options of netns_topology (dict) that the role makes of its variables."""
    return json.loads(_python(OPTIONS, variables))


def build(name, arguments):
    """The program (bytes) that Ansible sends for a module."""
    return _python(BUILD, [name, arguments])


def payload(program):
    """What is in such a program: its size, and the bytes and number of the files in its archive (dict of int)."""
    longest = max(re.findall(rb"[A-Za-z0-9+/=]{1000,}", program), key=len)
    archive = base64.b64decode(longest)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        return {"program": len(program), "archive": len(archive), "files": len(files.namelist())}


class _Runner:
    """Runs commands on one host over a connection that is kept open, so that its making is not measured."""

    def __init__(self, bench):
        self.host = bench.fleet[1]
        self.command = remote.command(self.host.layout, bench.fleet.image, "root", [])

    def ms(self, words, program=b""):
        """Median milliseconds of a command that reads the program, timed on the host."""
        script = (
            "import subprocess, sys, time\\n"
            "text = open('/run/benchmark-program', 'rb').read()\\n"
            "found = []\\n"
            "for _number in range(%d):\\n"
            "    start = time.perf_counter()\\n"
            "    done = subprocess.run(%r, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE)\\n"
            "    found.append((time.perf_counter() - start) * 1000)\\n"
            "    assert done.returncode == 0, done\\n"
            "print(found)\\n"
        ).replace("\\n", "\n") % (REPETITIONS, words)
        self.send(program)
        return statistics.median(json.loads(self.host.ssh("python3 -", stdin=script)))

    def send(self, program):
        done = subprocess.run([*self.command, "cat >/run/benchmark-program"], input=program, check=False)
        assert done.returncode == 0

    def imports(self, program):
        """Milliseconds of imports by owner (dict of float), of one run with -X importtime."""
        self.send(program)
        text = self.host.ssh("python3 -X importtime - </run/benchmark-program 2>&1 >/dev/null")
        found = {}
        for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", text):
            owner = next(owner for owner, pattern in OWNERS if pattern.match(name))
            found[owner] = found.get(owner, 0) + int(own) / 1000
        return found


def profile(bench, variables):
    """What a run costs on a host when nothing is to be done: {module: {"payload": ..., "ms": ...}}.

    ms: of the interpreter's start alone, of the whole module, and of its imports by owner (of one run, and a bit slower
    than usual: the interpreter takes notes).
    """
    runner = _Runner(bench)
    found = {"interpreter": {"ms": round(runner.ms(["python3", "-"], b"pass"), 1)}}
    bench.run("ours", "tuned", 1)
    for name in MODULES:
        program = build(name, options(variables) if name.startswith("linuxnet") else {})
        whole = runner.ms(["python3", "-"], program)
        imports = runner.imports(program)
        found[name] = {
            "payload": payload(program),
            "ms": round(whole, 1),
            "imports": {owner: round(ms, 1) for owner, ms in imports.items()},
        }
    runner.host.ssh("rm /run/benchmark-program")
    bench.clean("ours", 1)
    return found


def main():
    """Print the profile's part that needs no host."""
    start = time.perf_counter()
    print(json.dumps({name: payload(build(name, {})) for name in MODULES}, indent=1))
    print("%.1f s" % (time.perf_counter() - start))


if __name__ == "__main__":
    main()
