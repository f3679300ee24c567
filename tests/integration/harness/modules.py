# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a module of the installed collection on a test host, as Ansible would: arguments in, JSON out."""

from __future__ import annotations

import atexit
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import ansible

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
COLLECTION = "ansible_collections.linuxnet.netns"

# What the wrapper of ansible-core does once it has unpacked a module: hand over the arguments, run it as __main__.
RUNNER = """
import runpy, sys
from ansible.module_utils import basic
name, basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.argv.pop(), sys.stdin.buffer.read(), "legacy"
known = {"_module_fqn": name, "_modlib_path": sys.path[1]}
runpy.run_module(name, init_globals=known, run_name="__main__", alter_sys=True)
"""


class ModuleFailed(AssertionError):
    """A module failed though the test did not expect it (the text is its msg), or crashed."""


class ModuleSucceeded(AssertionError):
    """A module did not fail though the test expected it."""


def python():
    """The interpreter on the "managed node"."""
    return os.environ.get("NETNS_TEST_PYTHON") or sys.executable


def collections_dir():
    return pathlib.Path(os.environ.get("NETNS_TEST_COLLECTIONS") or REPOSITORY / ".cache" / "collections")


_ansible_only = None


def ansible_only():
    """A directory with nothing but ansible in it: another interpreter must not see our other packages."""
    global _ansible_only
    if _ansible_only is None:
        _ansible_only = tempfile.mkdtemp(prefix="netns-test-")
        atexit.register(shutil.rmtree, _ansible_only, ignore_errors=True)
        os.chmod(_ansible_only, 0o755)
        os.symlink(pathlib.Path(ansible.__file__).resolve().parent, os.path.join(_ansible_only, "ansible"))
    return _ansible_only


def python_path(pyroute2=True):
    path = [ansible_only(), str(collections_dir())]
    if pyroute2 and os.environ.get("NETNS_TEST_PYROUTE2"):
        path.append(os.environ["NETNS_TEST_PYROUTE2"])
    return path


class Result(dict):
    """What a module returned, with the questions that tests ask of it."""

    @property
    def changed(self):
        return self["changed"]

    @property
    def changes(self):
        return self.get("changes", [])

    @property
    def msg(self):
        return self.get("msg", "")

    @property
    def warnings(self):
        # Newer ansible-cores send them with the story of where they came from.
        return [item if isinstance(item, str) else item["event"]["msg"] for item in self.get("warnings", [])]

    @property
    def before(self):
        return self._side("before")

    @property
    def after(self):
        return self._side("after")

    def _side(self, side):
        diff = self.get("diff") or {}
        parts = diff if isinstance(diff, list) else [diff]
        return "".join(part.get(side, "") for part in parts)

    @property
    def diff_lines(self):
        """The lines that differ, as a diff would show them: "-" what was, "+" what is."""
        before, after = self.before.splitlines(), self.after.splitlines()
        gone = ["-" + line for line in before if line not in after]
        come = ["+" + line for line in after if line not in before]
        return [line for line in gone + come if line[1:].strip()]

    @property
    def told(self):
        """All that the operator is told about what was done."""
        return json.dumps([self.changes, self.diff_lines, self.warnings, self.msg])


def run_module(stack, module, args, check=False, fails=False, env=None, wrapper=(), interpreter=None, pyroute2=True):
    """Run a module in a stack.

    fails: whether it has to fail (None: it may). wrapper: words put before the interpreter. env: more environment.
    """
    arguments = dict(args)
    arguments.update(
        _ansible_check_mode=check,
        _ansible_diff=True,
        _ansible_no_log=False,
        _ansible_verbosity=0,
        _ansible_module_name="linuxnet.netns." + module,
        _ansible_remote_tmp="/run/ansible",
        _ansible_keep_remote_files=False,
        _ansible_socket=None,
        _ansible_syslog_facility="LOG_USER",
        _ansible_shell_executable="/bin/sh",
        _ansible_selinux_special_fs=["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"],
    )
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(python_path(pyroute2)),
    }
    if "PYTHONPYCACHEPREFIX" in os.environ:
        environment["PYTHONPYCACHEPREFIX"] = os.environ["PYTHONPYCACHEPREFIX"]
    environment.update(env or {})
    command = stack._enter() + ["env", "-i", *("%s=%s" % item for item in environment.items()), *wrapper]
    command += [interpreter or python(), "-c", RUNNER, "%s.plugins.modules.%s" % (COLLECTION, module)]
    handed = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    done = subprocess.run(command, input=handed, capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    try:
        result = Result(json.loads(lines[-1]))
    except (IndexError, ValueError):
        raise ModuleFailed(
            "%s gave no result (exit %s)\n%s%s" % (module, done.returncode, done.stdout, done.stderr)
        ) from None
    result.pop("invocation", None)
    result["stderr_of_python"] = done.stderr
    failed = bool(result.get("failed"))
    if failed and fails is False:
        raise ModuleFailed("%s(%s): %s" % (module, json.dumps(args), result.get("exception") or result.msg))
    if fails and not failed:
        raise ModuleSucceeded("%s(%s) should have failed: %s" % (module, json.dumps(args), result.told))
    if failed and (result.get("error") == "unexpected" or "Traceback" in result.msg):
        raise ModuleFailed("%s(%s) crashed: %s" % (module, json.dumps(args), result.get("exception") or result.msg))
    return result
