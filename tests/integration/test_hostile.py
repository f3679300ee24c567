# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values and places that somebody prepared: no shell, no ruleset and no file gets more than it was meant to."""

from __future__ import annotations

import pytest
from harness import Host

CANARY = "/run/pwned"
#: Modules are run in /run, so that names, which have no slash, would make the same file.
IN_RUN = ("sh", "-c", 'cd /run; exec "$@"', "sh")
WORDS = (
    "$(>pwned);`>pwned`",
    ";>pwned;",
    '" } accept; #',
    f"a\nnameserver 192.0.2.66\n$(touch {CANARY})",
    "../../run/pwned",
    "\u202e\x1b[2J%n",
    "a\0b",
)
PLACES = {
    "netns name": ("netns", lambda word: {"name": word}),
    "dns search": ("netns", lambda word: {"name": "x", "dns": {"search": [word]}}),
    "dns nameservers": ("netns", lambda word: {"name": "x", "dns": {"nameservers": ["fe80::1%" + word]}}),
    "hosts": ("netns", lambda word: {"name": "x", "hosts": {"192.0.2.1": [word]}}),
    "hosts address": ("netns", lambda word: {"name": "x", "hosts": {word: ["a"]}}),
    "sysctls": ("netns", lambda word: {"name": "x", "sysctls": {"net.ipv4.ip_local_port_range": word}}),
    "sysctl key": ("netns", lambda word: {"name": "x", "sysctls": {"net.ipv4." + word: "1"}}),
    "veth name": ("veth", lambda word: {"name": word, "peer": {"name": "eth1", "netns": "app"}}),
    "nat name": ("netns_nat", lambda word: {"name": word, "source": ["10.200.1.0/24"]}),
    "nat link": ("netns_nat", lambda word: {"name": "x", "source": ["10.200.1.0/24"], "out_interface": [word]}),
    "forward name": ("netns_forward", lambda word: {"name": word, "port": "80", "to_address": "10.200.1.2"}),
    "topology name": ("netns_topology", lambda word: {"name": word, "namespaces": [{"name": "x"}]}),
    "service": ("netns_service", lambda word: {"name": "x", "netns": "app", "command": "/bin/x " + word}),
}


@pytest.fixture(scope="module")
def prepared():
    node = Host()
    node.module("netns", name="app")
    yield node
    node.close()


@pytest.mark.parametrize("place", PLACES)
def test_a_value_is_refused_or_taken_for_what_it_is(prepared, place):
    """Whatever is taken can be taken back, and nothing stays."""
    host, before = prepared, prepared.snapshot()
    module, options = PLACES[place]
    for word in WORDS:
        result = host.module(module, fails=None, wrapper=IN_RUN, **options(word))
        if result.get("failed"):
            # what only the kernel can tell is undone, the ledger's words among it
            undone = result.get("error") == "step_failed"
            host.assert_same(before, f"refused {word!r} touched the host", written=not undone)
            before = host.snapshot() if undone else before
        else:
            host.module(module, wrapper=IN_RUN, state="absent", **options(word))
            host.assert_same(before, f"{word!r} left something behind", written=False)
            before = host.snapshot()
        assert not host.exists(CANARY), f"{word!r} was run"


# -- links in the way --

DNS = {"name": "app", "dns": {"nameservers": ["192.0.2.53"]}, "hosts": {"192.0.2.7": ["files"]}}
THEIRS = "mkdir -p /run/theirs; for name in resolv.conf hosts ledger.json; do echo theirs > /run/theirs/$name; done; "


def theirs(host):
    return host.sh("cd /run/theirs; ls -l --time-style=+; cat resolv.conf hosts ledger.json; stat -c %Y.%y *")


@pytest.mark.parametrize(
    ("trap", "words"),
    [
        ("mkdir /etc/netns; ln -s /run/theirs /etc/netns/app", ["/etc/netns/app", "symbolic link"]),
        ("mkdir /run/theirs/app; ln -s /run/theirs /etc/netns", ["/etc/netns", "symbolic link"]),
        ("mkdir /etc/netns; ln -s /nowhere /etc/netns/app", ["/etc/netns/app", "symbolic link"]),
        ("mkdir /etc/netns; echo x > /etc/netns/app", ["/etc/netns/app", "not a directory"]),
        ("mkdir -p /etc/netns/app/hosts", ["/etc/netns/app/hosts", "not a regular file"]),
        ("mkdir -p /etc/netns/app; mkfifo /etc/netns/app/hosts", ["/etc/netns/app/hosts", "not a regular file"]),
        ("ln -s /run/theirs /var/lib/linuxnet-netns", ["/var/lib/linuxnet-netns", "symbolic link"]),
        (
            "mkdir -m 700 /var/lib/linuxnet-netns; ln -s /run/theirs/ledger.json /var/lib/linuxnet-netns/ledger.json",
            ["ledger.json", "symbolic link"],
        ),
        ("mkdir -p /var/lib/linuxnet-netns/ledger.json", ["ledger.json", "not a regular file"]),
        (
            "mkdir /var/lib/linuxnet-netns; mkfifo /var/lib/linuxnet-netns/ledger.json",
            ["ledger.json", "not a regular file"],
        ),
        ("echo x > /var/lib/linuxnet-netns", ["/var/lib/linuxnet-netns"]),
        ("ln -s /run/theirs/lock /run/linuxnet-netns.lock", ["/run/linuxnet-netns.lock"]),
        ("mkdir /run/linuxnet-netns.lock", ["/run/linuxnet-netns.lock"]),
    ],
)
def test_a_trap_is_refused_before_anything_is_touched(host, trap, words):
    host.sh(THEIRS + trap)
    before = theirs(host)
    host.refuses("netns", *words, **DNS)
    assert theirs(host) == before
    assert host.namespaces() == []


@pytest.mark.parametrize("trap", ["ln -s", "ln"])
def test_a_link_in_the_place_of_a_file_is_replaced(host, trap):
    host.sh(THEIRS + "mv /run/theirs /etc; mkdir -p /etc/netns/app; %s /etc/theirs/hosts /etc/netns/app/hosts" % trap)
    host.module("netns", **DNS)
    assert host.read("/etc/theirs/hosts") == "theirs\n"
    assert "192.0.2.7\tfiles\n" in host.read("/etc/netns/app/hosts")
    assert host.sh("stat -c '%F %a %h' /etc/netns/app/hosts") == "regular file 644 1\n"
    host.unchanged("netns", **DNS)
    host.module("netns", name="app", state="absent")
    assert host.read("/etc/theirs/hosts") == "theirs\n"


def test_a_folder_that_became_a_link_keeps_what_is_behind_it(host):
    """`absent` removes what was made, by its path; that must not lead to the files of somebody else."""
    host.module("netns", **DNS)
    host.sh(THEIRS + "rm -r /etc/netns/app; ln -s /run/theirs /etc/netns/app")
    before = theirs(host)
    host.refuses("netns", "/etc/netns/app", "symbolic link", name="app", state="absent")
    assert theirs(host) == before
    host.sh("rm /etc/netns/app")
    host.module("netns", name="app", state="absent")
    assert host.namespaces() == []


@pytest.mark.parametrize(
    "damage",
    [
        "chown nobody /var/lib/linuxnet-netns",
        "chmod 777 /var/lib/linuxnet-netns",
        "chown nobody /var/lib/linuxnet-netns/ledger.json",
        "chmod 660 /var/lib/linuxnet-netns/ledger.json",
    ],
)
def test_a_ledger_that_others_can_write_is_not_believed(host, damage):
    """What it lists is removed by root: whoever writes it would choose what."""
    host.module("netns", name="app")
    host.sh(damage)
    for options in ({"name": "db"}, {"name": "app", "state": "absent"}):
        host.refuses("netns", "ledger.json", "somebody else", "chown", **options)
    host.sh("chown -R root /var/lib/linuxnet-netns; chmod -R go-w /var/lib/linuxnet-netns")
    host.module("netns", name="app", state="absent")


@pytest.mark.parametrize("lock", ["install -m 666 -o nobody /dev/null", "mkfifo -m 666"])
def test_a_lock_of_somebody_elses_is_as_good(host, lock):
    host.sh(f"{lock} /run/linuxnet-netns.lock")
    host.module("netns", name="app", check=True)
    host.module("netns", name="app")
    assert host.namespaces() == ["app"]
    assert not host.exists("/run/linuxnet-netns.lock")


# -- rights and temporary files --

MODES = """\
755 root /etc/netns
755 root /etc/netns/app
644 root /etc/netns/app/hosts
644 root /etc/netns/app/resolv.conf
755 root /run/netns
700 root /var/lib/linuxnet-netns
600 root /var/lib/linuxnet-netns/ledger.json
"""


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_rights_do_not_depend_on_the_umask(host, umask):
    host.module("netns", wrapper=("sh", "-c", 'umask %s; exec "$@"' % umask, "sh"), **DNS)
    found = host.sh(
        "find /etc/netns /var/lib/linuxnet-netns /run/netns -maxdepth 2 ! -path '/run/netns/*' -printf '%m %u %p\\n'"
    )
    assert sorted(found.splitlines()) == sorted(MODES.splitlines())


def test_temporary_files_go_nowhere_that_others_can_reach(host):
    """/tmp may be full of traps, or read-only, and TMPDIR lead anywhere."""
    host.sh("mount --bind /tmp /tmp; mount -o remount,bind,ro /tmp; install -d -m 777 -o nobody /run/attacker")
    before = host.sh("stat -c %Y.%y /run/attacker; ls -A /run/attacker")
    env = {"TMPDIR": "/run/attacker", "TMP": "/run/attacker", "TEMP": "/run/attacker"}
    host.apply("netns", env=env, **DNS)
    host.module("veth", env=env, name="app0", addresses=["10.200.1.1/24"], peer={"name": "eth0", "netns": "app"})
    host.module("netns_nat", env=env, name="out", source=["10.200.1.0/24"])
    assert host.sh("stat -c %Y.%y /run/attacker; ls -A /run/attacker") == before


def test_an_unprivileged_user_reads_no_secret(host):
    host.module("netns", **DNS)
    stranger = ("setpriv", "--reuid=65534", "--clear-groups")
    done = host.run(*stranger, "cat", "/var/lib/linuxnet-netns/ledger.json", check=False)
    assert done.returncode != 0 and "Permission denied" in done.stderr
