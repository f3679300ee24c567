# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine in one process that lives for the whole run: a line of JSON in, a line out.

What a run leaves behind in its process would add up here: open files, threads, children, memory.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import threading
import time
import traceback

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.linuxnet.netns.plugins.module_utils.engine import converge
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import NetnsError
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_topology import OPTIONS
from ansible_collections.linuxnet.netns.plugins.modules.netns_topology import topology

#: Seconds for the kernel to take an ended thread off the list.
_SETTLE = 2.0


def main():
    validator = ArgumentSpecValidator(dict(OPTIONS, state=dict(type="str", default="present")))
    for line in sys.stdin:
        asked = json.loads(line)
        answer = run(validator, asked["options"], asked["check"]) if "options" in asked else {}
        print(json.dumps(dict(answer, process=process(asked.get("count")))), flush=True)


def run(validator, options, check):
    """One converge, as the module reports it."""
    checked = validator.validate(options)
    if checked.error_messages:
        return {"failed": True, "error": "arguments", "msg": "; ".join(checked.error_messages)}
    try:
        return converge(topology(checked.validated_parameters), check).as_dict()
    except NetnsError as error:
        return {"failed": True, "error": error.kind, "msg": str(error)}
    except Exception as error:  # reported like a module that crashed
        return {"failed": True, "error": "unexpected", "msg": repr(error), "exception": traceback.format_exc()}


def process(count):
    """What this process holds. *count*: its objects as well, which takes a while."""
    deadline = time.monotonic() + _SETTLE
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    found = {
        "files": files(),
        "threads": [thread.name for thread in threading.enumerate()],
        "tasks": len(os.listdir("/proc/self/task")),
        "children": children(),
        "network": os.readlink("/proc/thread-self/ns/net"),
        "limit": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
        "folder": os.getcwd(),
        "umask": next(line.split()[1] for line in status() if line.startswith("Umask:")),
        "environment": dict(os.environ),
    }
    found["memory"] = next(int(line.split()[1]) for line in status() if line.startswith("VmRSS:"))
    if count:
        gc.collect()
        found["objects"] = len(gc.get_objects())
    return found


def status():
    with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
        return stream.readlines()


def files():
    """What the open files are; the one that lists them is gone when it is asked for."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append("%s %s" % (number, os.readlink("/proc/self/fd/" + number)))
        except FileNotFoundError:
            pass
    return sorted(found)


def children():
    """True if there is a child, running or ended and not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
