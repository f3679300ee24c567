# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The computer under test, and the namespaces that the modules make on it."""

from __future__ import annotations

import re

from . import modules, snapshot
from .nodes import HOST_SETUP, Node, Stack

NETNS_DIR = "/run/netns"


class Namespace(Stack):
    """A named namespace on a host."""

    def __init__(self, host, name):
        super().__init__(name)
        self.host = host
        self.netns_path = "/proc/%d/root%s/%s" % (host.pid, NETNS_DIR, name)

    def _enter(self):
        return ["nsenter", "-t", str(self.host.pid), "--mount", "--pid", "--net=" + self.netns_path, "--"]

    @property
    def inode(self):
        return self.run("readlink", "/proc/self/ns/net").strip()


class Host(Node):
    """A computer to be managed: own network, own process ids, own /run, private changes to /etc and /var/lib."""

    setup = HOST_SETUP
    unshare = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
    entered = ("--net", "--mount", "--pid")

    def __init__(self, label="host"):
        self._namespaces = {}
        super().__init__(label)

    def module(
        self, module, /, check=False, fails=False, env=None, wrapper=(), interpreter=None, pyroute2=True, **args
    ):
        """Run a module with these options; see run_module for the rest."""
        return modules.run_module(self, module, args, check, fails, env, wrapper, interpreter, pyroute2)

    def apply(self, module, /, env=None, **args):
        """Apply and believe nothing: the prediction, the run and the second run have to agree with what is there.

        Check mode changes nothing and foretells the very changes and diff of the run; the run changes something; a
        second run changes nothing and says so. Returns the result of the run.
        """
        before = self.snapshot()
        foretold = self.module(module, check=True, env=env, **args)
        self.assert_same(before, "check mode touched the host", written=True)
        assert foretold.changed, "check mode foresees no change"

        done = self.module(module, env=env, **args)
        assert done.changed
        assert done.changes == foretold.changes, "check mode foretold other changes"
        assert done.get("diff") == foretold.get("diff"), "check mode foretold another diff"
        assert done.changes, "a change that is not in `changes`"
        assert done.diff_lines, "a change that is not in the diff"

        after = self.snapshot()
        self._unchanged(False, module, env, args)
        self.assert_same(after, "a second run touched the host", written=True)
        return done

    def repair(self, module, /, env=None, **args):
        """Put drift right: check mode foretells the very repair. Returns the result of the run."""
        foretold = self.module(module, check=True, env=env, **args)
        done = self.module(module, env=env, **args)
        assert done.changed, "the drift was not found"
        assert (foretold.changed, foretold.changes, foretold.get("diff")) == (True, done.changes, done.get("diff"))
        return done

    def unchanged(self, module, /, env=None, **args):
        """Both check mode and the run find nothing to do."""
        self._unchanged(True, module, env, args)
        return self._unchanged(False, module, env, args)

    def _unchanged(self, check, module, env, args):
        result = self.module(module, check=check, env=env, **args)
        assert not result.changed, "changed without need (check=%s): %s" % (check, result.told)
        assert not result.changes
        assert not result.diff_lines
        return result

    def refuses(self, module, /, *words, check=True, **args):
        """The module fails, names each of the words, and has touched nothing. Check mode fails alike."""
        before = self.snapshot()
        result = self.module(module, fails=True, **args)
        self.assert_same(before, "a refused task touched the host", written=True)
        missing = [word for word in words if str(word).lower() not in result.msg.lower()]
        assert not missing, "the message does not name %s: %s" % (missing, result.msg)
        if check:
            assert self.module(module, check=True, fails=True, **args).msg == result.msg
        return result

    def snapshot(self):
        return snapshot.snapshot(self)

    def assert_same(self, before, why="the host differs", written=False):
        """All is as it was. written: and no file has been written since, not even with the same content."""
        lines = snapshot.difference(before, self.snapshot(), written)
        assert not lines, "%s:\n%s" % (why, "\n".join(lines))

    def namespaces(self):
        """Names of the namespaces, as the kernel knows them: mounts of its own file system."""
        with open("/proc/%d/mountinfo" % self.pid) as mounts:
            return sorted(set(re.findall(r" %s/(\S+) .* - nsfs " % NETNS_DIR, mounts.read())))

    def ns(self, name):
        """The namespace of that name; the same object every time, so that its sockets are known."""
        if name not in self._namespaces:
            self._namespaces[name] = Namespace(self, name)
        return self._namespaces[name]

    def release(self):
        for namespace in self._namespaces.values():
            namespace.release()
        super().release()

    def links(self):
        return self.run("sh", "-c", "ls /sys/class/net").split()

    def exists(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def read(self, path):
        return self.run("cat", path)

    def write(self, path, text):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")"; cat > "$1"', "sh", path, input=text)
