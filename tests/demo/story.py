#!/usr/bin/env python3
# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of `make demo`, told inside the sandbox that scripts/demo has made; every claim in it is checked.

usage: story.py CHECKOUT
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path("/run/demo")
WIDTH = 100
#: The folder of names, which stays as `ip netns` leaves it too: empty.
NETNS = "/run/netns"

PORT = 10105
HOST = {4: "198.51.100.10", 6: "2001:db8:100::10"}
CLIENT = {4: "203.0.113.9", 6: "2001:db8:203::9"}
SERVER = {4: "203.0.113.80", 6: "2001:db8:203::80"}
APP = {4: "10.200.0.2", 6: "fd00:200::2"}
APP_HOST_END = {4: "10.200.0.1", 6: "fd00:200::1"}

PICTURE = """
         internet                            host                            namespace app
  +--------------------+        +------------------------------+        +--------------------+
  | client             |        |                              |        |                    |
  |   203.0.113.9      |        | eth0                   v-app |        | eth0               |
  |   2001:db8:203::9  |        |                              |        |                    |
  |                    |--------| 198.51.100.10     10.200.0.1 |========| 10.200.0.2         |
  | web server         |        | 2001:db8:100::10 fd00:200::1 |        | fd00:200::2        |
  |   203.0.113.80     |        |                              |        |                    |
  |   2001:db8:203::80 |        |                              |        | daemon, port 10105 |
  +--------------------+        +------------------------------+        +--------------------+
        port 10105   - - - - - - - - - >  forwarded  - - - - - - - - - - >  to the daemon
        answers    < - - - - - - - - - -  masqueraded  < - - - - - - - - -  asks
"""

#: What the host has before anybody manages it, and the internet beyond its uplink.
INTERNET = """
    link set lo up
    link set up0 up
    address add 198.51.100.1/24 dev up0
    address add 2001:db8:100::1/64 dev up0 nodad
    address add 203.0.113.9/32 dev lo
    address add 203.0.113.80/32 dev lo
    address add 2001:db8:203::9/128 dev lo
    address add 2001:db8:203::80/128 dev lo
    route add 10.200.0.0/30 via 198.51.100.10
    route add fd00:200::/64 via 2001:db8:100::10
"""
UPLINK = """
    link set eth0 up
    address add 198.51.100.10/24 dev eth0
    address add 2001:db8:100::10/64 dev eth0 nodad
    route add default via 198.51.100.1
    route add default via 2001:db8:100::1
"""


class Untrue(Exception):
    """Something that this demo claims did not happen."""


# -- telling --


class Teller:
    """What goes to the terminal."""

    def __init__(self):
        self.colour = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.checks = 0
        self.step = 0

    def paint(self, code, text):
        return "\033[%sm%s\033[0m" % (code, text) if self.colour else text

    def say(self, text=""):
        print(text, flush=True)

    def heading(self, text):
        self.step += 1
        title = "%d. %s " % (self.step, text)
        self.say("\n" + self.paint("1;36", title + "-" * (WIDTH - len(title))))

    def command(self, text):
        self.say("\n" + self.paint("1", "  $ " + text))

    def quote(self, lines):
        for line in lines:
            self.say("    " + line)

    def claim(self, true, text, detail=""):
        """State something, and stop if it is not so."""
        self.checks += 1
        mark = self.paint("1;32", "yes") if true else self.paint("1;31", " NO")
        self.say("  %s  %s%s" % (mark, text.ljust(58), detail and "  " + detail))
        if not true:
            raise Untrue(text)


tell = Teller()


# -- tools --


def run(*command, stdin=None):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Untrue("%s: exit %s\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
    return done.stdout


def ip(batch, *enter):
    lines = (line.strip() for line in batch.splitlines())
    run(*enter, "ip", "-batch", "-", stdin="".join(line + "\n" for line in lines if line))


class Agent:
    """A process in a namespace that serves and asks; see agent.py. It ends with us, as its stdin does."""

    def __init__(self, name, ports, *enter):
        self.name = name
        command = [*enter, sys.executable, "-I", str(HERE / "agent.py"), *map(str, ports)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise Untrue("the agent in %s did not start" % name)

    def ask(self, address, port, **more):
        self.process.stdin.write(json.dumps(dict(more, address=address, port=port)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


class Play:
    """One run of ansible-playbook, shown."""

    def __init__(self, playbook, *flags, show_diff=False):
        words = ["ansible-playbook", "linuxnet.netns." + playbook, "-i", "hosts", "-e", "@router.yml", *flags]
        tell.command(" ".join(words))
        start = time.monotonic()
        done = subprocess.run(
            words, cwd=WORK, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        self.seconds = time.monotonic() - start
        lines = [re.sub(r"\s*\*{3,}", "", line) for line in done.stdout.splitlines()]
        plain = [re.sub(r"\033\[[0-9;]*m", "", line).rstrip() for line in lines]
        self.diff = [line for line in plain if re.match(r"[-+](?!--|\+\+)", line)]
        shown = [line for line, text in zip(lines, plain) if text and (show_diff or not re.match(r"[-+@ ]", text))]
        tell.quote(shown)
        if done.returncode:
            tell.quote(plain if not show_diff else [])
            raise Untrue("ansible-playbook ended with exit code %s" % done.returncode)
        self.changed = sum(map(int, re.findall(r"\bchanged=(\d+)", "\n".join(plain))))
        tell.say(tell.paint("2", "    (%.1f s)" % self.seconds) + "\n")


def ansible_environment(root):
    """Everything that Ansible writes goes below /run/demo, which ends with the sandbox."""
    os.environ.update(
        PATH="%s/.venv/bin:%s" % (root, os.environ["PATH"]),
        ANSIBLE_CONFIG=str(WORK / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH="%s/.cache/collections" % root,
        ANSIBLE_HOME=str(WORK / "ansible"),
        ANSIBLE_LOCAL_TEMP=str(WORK / "tmp"),
        ANSIBLE_REMOTE_TEMP=str(WORK / "tmp"),
        ANSIBLE_LOCALHOST_WARNING="0",
        ANSIBLE_NOCOWS="1",
        ANSIBLE_PIPELINING="1",
        **{"ANSIBLE_FORCE_COLOR" if tell.colour else "ANSIBLE_NOCOLOR": "1"},
    )
    (WORK / "ansible.cfg").write_text("# none of the machine's or the user's\n", encoding="utf-8")
    variables = "ansible_connection=local ansible_python_interpreter=%s/.venv/bin/python netns_become=false" % root
    (WORK / "hosts").write_text("host %s\n" % variables, encoding="utf-8")
    shutil.copy(HERE / "router.yml", WORK / "router.yml")


def host_state():
    """All that could be left behind on the host, as {topic: lines}."""
    found = {
        name: run(*command.split()).splitlines()
        for name, command in {
            "links": "ip -o link show",
            "addresses": "ip -o address show",
            "IPv4 routes": "ip -4 route show table all",
            "IPv6 routes": "ip -6 route show table all",
            "IPv4 rules": "ip -4 rule show",
            "IPv6 rules": "ip -6 rule show",
            "nftables": "nft list ruleset",
            "files": "find -H /etc /var/lib /run -xdev -not -path /run/demo/* -printf %y_%m_%p_%l\\n",
        }.items()
    }
    found["files"] = [line for line in found["files"] if not line.endswith("_%s_" % NETNS)]
    found["sysctls"] = []
    for path in sorted(pathlib.Path("/proc/sys/net").glob("ipv[46]/**/*")):
        try:
            found["sysctls"].append("%s = %s" % (path, path.read_text(encoding="ascii").strip()))
        except OSError:
            pass  # a directory, write-only, or not set (stable_secret)
    mounts = [line.split(" ", 5)[3:] for line in pathlib.Path("/proc/self/mountinfo").read_text("utf-8").splitlines()]
    found["mounts"] = [" ".join(mount) for mount in mounts if mount[1] != NETNS]
    return found


def differences(before, after):
    lines = []
    for topic, was in before.items():
        lines += ["%s: - %s" % (topic, line) for line in was if line not in after[topic]]
        lines += ["%s: + %s" % (topic, line) for line in after[topic] if line not in was]
    return lines


def expect_answer(who, sees, address, asker, text, port=PORT, **more):
    """*asker* asks, and the server tells that it sees the address *sees*."""
    answer = asker.ask(address, port, **more)
    got = answer.get("error") or "%s sees %s" % (who, answer["saw"])
    tell.claim(answer.get("saw") == sees, text, got)


def expect_no_answer(asker, address, text, port=PORT, **more):
    answer = asker.ask(address, port, patience=1.0, **more)
    tell.claim("error" in answer, text, answer.get("error", "answered, as %s" % answer.get("saw")).lower())


def at(address, port=PORT):
    return "%s:%s" % ("[%s]" % address if ":" in address else address, port)


# -- the story --


def build_world():
    for name in ("default", "all"):
        pathlib.Path("/proc/sys/net/ipv6/conf", name, "accept_dad").write_text("0", encoding="ascii")
    internet = Agent("internet", [80], "unshare", "--net")
    enter = ["nsenter", "--net=/proc/%d/ns/net" % internet.process.pid]
    ip("link add eth0 address 02:00:00:00:00:10 type veth peer name up0 address 02:00:00:00:00:01 netns %d"
       % internet.process.pid)  # fmt: skip
    ip(INTERNET, *enter)
    ip(UPLINK)
    return internet


def introduce():
    tell.say(tell.paint("1", "linuxnet.netns: a namespace behind a host, in ten lines of YAML"))
    tell.say("Host and internet are made up for this demo: they live in namespaces that end with it.")
    tell.say(PICTURE.rstrip())
    tell.heading("What is asked for")
    tell.command("cat router.yml")
    text = (WORK / "router.yml").read_text(encoding="utf-8")
    tell.quote(line for line in text.splitlines() if not line.startswith(("#", "---")))


def predict_and_run(before):
    tell.heading("What would happen")
    predicted = Play("router", "--check", "--diff", show_diff=True)
    lines = "%d lines" % len(predicted.diff)
    tell.claim(predicted.changed > 0 and predicted.diff != [], "it says what it would change", lines)
    lines = differences(before, host_state())
    tell.quote(lines)
    tell.claim(not lines, "and has touched nothing")

    tell.heading("The run")
    done = Play("router", "--diff")
    tell.claim(done.changed == predicted.changed, "it changes what it said it would", "changed=%d" % done.changed)
    lines = "%d lines" % len(done.diff)
    tell.claim(done.diff == predicted.diff, "and its diff (left out here) is the very same", lines)
    return done


def through_the_forward(internet, app):
    tell.heading("In and out")
    for version in (4, 6):
        expect_answer("the daemon", CLIENT[version], HOST[version], internet,
                      "client asks the host at %s" % at(HOST[version]), source=CLIENT[version])  # fmt: skip
    for version in (4, 6):
        expect_answer("the web server", HOST[version], SERVER[version], app,
                      "app asks the web server at %s" % at(SERVER[version], 80), port=80)  # fmt: skip


def not_declared(internet):
    tell.heading("Not declared means not forwarded")
    expect_no_answer(internet, HOST[4], "client asks another port, %s" % at(HOST[4], PORT + 1), port=PORT + 1)
    expect_no_answer(internet, HOST[6], "client asks another port, %s" % at(HOST[6], PORT + 1), port=PORT + 1)
    for version in (4, 6):
        expect_no_answer(internet, APP[version], "client routes to the namespace, %s" % at(APP[version]),
                         source=CLIENT[version])  # fmt: skip


def hairpin(host, app):
    tell.heading("From the host itself, and from the namespace to itself")
    for asker, address, sees in (
        (host, "127.0.0.1", APP_HOST_END[4]),
        (host, HOST[4], HOST[4]),
        (host, HOST[6], HOST[6]),
        (app, HOST[4], APP_HOST_END[4]),
        (app, HOST[6], APP_HOST_END[6]),
    ):
        expect_answer("the daemon", sees, address, asker, "%s asks %s" % (asker.name, at(address)))


def again():
    tell.heading("The same once more")
    tell.claim(Play("router", "--diff").changed == 0, "nothing to do", "changed=0")


def drift(internet):
    tell.heading("Somebody deletes an address by hand")
    expect_answer("the daemon", CLIENT[4], HOST[4], internet, "client connects to %s and stays connected" % at(HOST[4]),
                  source=CLIENT[4], keep="live")  # fmt: skip
    command = ["ip", "-n", "app", "address", "delete", APP[6] + "/64", "dev", "eth0"]
    tell.command(" ".join(command))
    run(*command)
    expect_no_answer(internet, HOST[6], "client asks %s" % at(HOST[6]), source=CLIENT[6])
    repair = Play("router", "--diff", show_diff=True)
    alone = len(repair.diff) == 1 and APP[6] in repair.diff[0]
    tell.claim(alone, "that address is put back, and nothing else is touched", "%d line" % len(repair.diff))
    expect_answer("the daemon", CLIENT[6], HOST[6], internet, "client asks %s" % at(HOST[6]), source=CLIENT[6])
    expect_answer("the daemon", CLIENT[4], HOST[4], internet, "the connection from before still lives", keep="live")


def side(sign, play):
    """One side of a diff."""
    return [line[1:] for line in play.diff if line[0] == sign]


def teardown(internet, before, done):
    tell.heading("Away with it")
    gone = Play("teardown", "--diff")
    made, removed = sorted(side("+", done)), sorted(side("-", gone))
    tell.claim(made == removed, "it removes (diff left out here) what the run has made", "%d lines" % len(removed))
    restored = side("+", gone)
    tell.claim(
        set(restored) <= set(side("-", done)), "and puts back what the run has changed", "%d lines" % len(restored)
    )
    expect_no_answer(internet, HOST[4], "client asks %s" % at(HOST[4]), source=CLIENT[4])
    lines = differences(before, host_state())
    tell.quote(lines)
    tell.claim(not lines, "nothing is left: all is as it was before the first run")
    tell.say("       compared: %s" % ", ".join(before))


def story(root):
    start = time.monotonic()
    ansible_environment(root)
    internet = build_world()
    host = Agent("host", [])
    introduce()
    before = host_state()
    done = predict_and_run(before)
    app = Agent("app", [PORT, PORT + 1], "nsenter", "--net=/run/netns/app")
    through_the_forward(internet, app)
    not_declared(internet)
    hairpin(host, app)
    again()
    drift(internet)
    app.end()
    teardown(internet, before, done)
    tell.say("\n" + tell.paint("1;32", "All %d claims hold." % tell.checks) + " (%.0f s)" % (time.monotonic() - start))


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs deaf to it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        story(sys.argv[1])
    except Untrue as reason:
        tell.say("\n" + tell.paint("1;31", "The demo failed: ") + str(reason))
        return 1
    except KeyboardInterrupt:
        tell.say("\ninterrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
