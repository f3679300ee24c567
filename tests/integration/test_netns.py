# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module netns: a namespace by name, its loopback, its sysctls, its resolv.conf and hosts.

An operator gets a namespace that the kernel vouches for, under exactly that name, repaired when half-made, and removed
only when nobody lives in it any more.
"""

from __future__ import annotations

import time

import pytest

RESOLV_CONF = "/etc/netns/app/resolv.conf"
HOSTS = "/etc/netns/app/hosts"


def about(result, *words):
    """Every line of the diff is about one of these, and so is at least one change."""
    assert result.diff_lines
    strange = [line for line in result.diff_lines if not any(word in line for word in words)]
    assert not strange, "the diff speaks of other things too: %s" % result.diff_lines
    return True


def mounts_of(host, name):
    lines = host.read("/proc/self/mountinfo").splitlines()
    return sum(line.split()[4] == "/run/netns/" + name for line in lines)


# --- existence --------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_namespace_comes_and_goes(host):
    before = host.snapshot()

    done = host.apply("netns", name="app")
    assert {change["action"] for change in done.changes} == {"create"}
    assert any("app" in change["object"] for change in done.changes)
    assert host.namespaces() == ["app"]
    # The loopback is up, and the new network stack is another than the host's.
    for loopback in ("127.0.0.1", "::1"):
        host.ns("app").serve(loopback, 8080)
        assert host.ns("app").ask(loopback, 8080).seen == loopback
        assert not host.reaches(loopback, 8080)
    host.release()

    done = host.apply("netns", name="app", state="absent")
    assert {change["action"] for change in done.changes} == {"delete"}
    assert host.namespaces() == []
    host.assert_same(before, "absent left something behind")


def test_a_namespace_is_seen_by_iproute2(host):
    host.module("netns", name="app")
    assert host.run("ip", "netns", "list").split()[0] == "app"
    assert host.run("ip", "netns", "exec", "app", "readlink", "/proc/self/ns/net").strip() == host.ns("app").inode


def test_a_namespace_lives_in_other_mount_namespaces_too(host):
    """/run/netns is shared, as `ip netns` makes it: a daemon with mounts of its own sees names come later."""
    host.module("netns", name="first")
    script = """
        echo ready
        for try in $(seq 100); do
            if [ "$(stat -f -c %T /run/netns/later 2>/dev/null)" = nsfs ]; then echo nsfs; exit; fi
            sleep 0.1
        done
        echo never
    """
    inside = host.start("unshare", "--mount", "--propagation", "slave", "sh", "-c", script)
    assert inside.stdout.readline() == "ready\n"
    host.module("netns", name="later")
    assert inside.stdout.readline() == "nsfs\n"


def test_a_second_run_keeps_the_same_namespace(host):
    host.module("netns", name="app")
    inode = host.ns("app").inode
    host.unchanged("netns", name="app")
    host.module("netns", name="app", sysctls={"net.ipv4.ip_forward": 1})
    assert host.ns("app").inode == inode


def test_absent_is_content_with_nothing(host):
    before = host.snapshot()
    host.unchanged("netns", name="app", state="absent")
    host.assert_same(before)


@pytest.mark.parametrize("there, wanted", [("app2", "app"), ("app", "app2"), ("my-app", "app"), ("app.x", "app")])
def test_a_name_is_not_a_part_of_another(host, there, wanted):
    host.module("netns", name=there)
    inode = host.ns(there).inode
    host.unchanged("netns", name=wanted, state="absent")
    assert host.module("netns", name=wanted).changed
    assert host.namespaces() == sorted([there, wanted])
    assert host.module("netns", name=wanted, state="absent").changed
    assert host.namespaces() == [there]
    assert host.ns(there).inode == inode


@pytest.mark.parametrize("name", ["a", "with.dot", "with_underscore-and-dash", "UPPER", "x" * 255])
def test_names_that_the_file_system_can_hold(host, name):
    host.module("netns", name=name)
    assert host.namespaces() == [name]
    host.unchanged("netns", name=name)
    host.module("netns", name=name, state="absent")
    assert host.namespaces() == []


# --- repairs ----------------------------------------------------------------------------------------------------------


def test_a_half_made_name_is_repaired_and_reported(host):
    """A plain file of mode 0 is what a killed `ip netns add` leaves, or one run in another mount namespace."""
    host.module("netns", name="other")
    host.sh("touch /run/netns/app; chmod 0 /run/netns/app")

    done = host.apply("netns", name="app")
    assert host.namespaces() == ["app", "other"]
    assert any("app" in warning for warning in done.warnings), "the repair is not reported"


def test_a_name_with_something_else_mounted_on_it_is_repaired(host):
    host.module("netns", name="other")
    host.sh("touch /run/netns/app; mount --bind /run/netns/app /run/netns/app")
    host.apply("netns", name="app")
    assert mounts_of(host, "app") == 1
    host.apply("netns", name="app", state="absent")
    assert not host.exists("/run/netns/app")
    assert mounts_of(host, "app") == 0


def test_a_half_made_name_goes_when_it_should_be_absent(host):
    host.module("netns", name="other")
    host.sh("touch /run/netns/app; chmod 0 /run/netns/app")
    host.apply("netns", name="app", state="absent")
    assert not host.exists("/run/netns/app")
    assert host.namespaces() == ["other"]


def test_stacked_mounts_are_repaired_and_reported(host):
    """Two mounts on one name: one hides the other, and `ip netns del` fails with EBUSY."""
    host.module("netns", name="app", sysctls={"net.ipv4.ip_forward": 1})
    host.sh("unshare --net mount --bind /proc/self/ns/net /run/netns/app; mount --bind /proc/1/ns/net /run/netns/app")
    assert mounts_of(host, "app") == 3

    done = host.module("netns", name="app", sysctls={"net.ipv4.ip_forward": 1})
    assert done.changed
    assert mounts_of(host, "app") == 1
    assert any("app" in warning for warning in done.warnings), "the repair is not reported"
    assert host.ns("app").inode != host.run("readlink", "/proc/self/ns/net").strip()
    assert host.ns("app").sysctl("net/ipv4/ip_forward") == "1"
    assert host.sysctl("net/ipv4/ip_forward") == "0"
    host.unchanged("netns", name="app", sysctls={"net.ipv4.ip_forward": 1})


def test_stacked_mounts_go_when_the_namespace_should_be_absent(host):
    host.module("netns", name="app")
    host.sh("mount --bind /run/netns/app /run/netns/app")
    assert mounts_of(host, "app") > 1
    host.module("netns", name="app", state="absent")
    assert mounts_of(host, "app") == 0
    assert not host.exists("/run/netns/app")


def test_stray_files_are_not_ours(host):
    """Other tools keep pid files and the like in /run/netns: not namespaces, and not to be cleaned."""
    host.module("netns", name="app")
    host.write("/run/netns/dhclient-app.pid", "4711\n")
    host.run("mkdir", "/run/netns/a-directory")
    host.apply("netns", name="app2")
    host.apply("netns", name="app", state="absent")
    assert host.read("/run/netns/dhclient-app.pid") == "4711\n"
    assert host.exists("/run/netns/a-directory")


# --- loopback ---------------------------------------------------------------------------------------------------------


def test_the_loopback_stays_down_on_request(host):
    host.apply("netns", name="app", loopback=False)
    assert "UP" not in host.ns("app").run("ip", "link", "show", "lo").split(">")[0]


def test_a_downed_loopback_is_repaired_alone(host):
    host.module("netns", name="app", sysctls={"net.ipv4.ip_forward": 1})
    before = host.snapshot()
    host.ns("app").run("ip", "link", "set", "lo", "down")
    done = host.repair("netns", name="app", sysctls={"net.ipv4.ip_forward": 1})
    assert about(done, "lo")
    assert "ip_forward" not in str(done.diff_lines)
    host.assert_same(before)


# --- sysctls ----------------------------------------------------------------------------------------------------------


def test_sysctls_hold_inside_only(host):
    sysctls = {
        "net.ipv4.ip_forward": 1,
        "net/ipv6/conf/all/forwarding": "1",
        "net.ipv4.ip_local_port_range": "20000 30000",
        "net.ipv4.ping_group_range": "0\t1000",
        "net.core.somaxconn": 512,
    }
    outside = {key: host.sysctl(key.replace(".", "/")) for key in sysctls}
    done = host.apply("netns", name="app", sysctls=sysctls)
    for key, value in sysctls.items():
        assert host.ns("app").sysctl(key.replace(".", "/")).split() == str(value).split()
    assert {key: host.sysctl(key.replace(".", "/")) for key in sysctls} == outside
    assert "ip_local_port_range" in done.told


def test_an_interface_name_with_a_dot_takes_the_slash_form(host):
    host.module("netns", name="app")
    host.ns("app").run("ip", "link", "add", "eth0.10", "type", "veth", "peer", "name", "b")
    host.apply("netns", name="app", sysctls={"net/ipv4/conf/eth0.10/rp_filter": 2})
    assert host.ns("app").sysctl("net/ipv4/conf/eth0.10/rp_filter") == "2"


def test_a_changed_sysctl_is_repaired_alone(host):
    sysctls = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.rp_filter": 2}
    host.module("netns", name="app", sysctls=sysctls)
    before = host.snapshot()
    host.ns("app").sysctl("net/ipv4/conf/all/rp_filter", 0)
    done = host.repair("netns", name="app", sysctls=sysctls)
    assert about(done, "rp_filter")
    assert [change["action"] for change in done.changes] == ["update"]
    host.assert_same(before)


# --- dns and hosts ----------------------------------------------------------------------------------------------------


DNS = {"nameservers": ["192.0.2.54", "2001:db8::53"], "search": ["example.org", "example.net"], "options": ["ndots:2"]}


def test_names_are_resolved_the_namespaces_way(host):
    before = host.snapshot()
    done = host.apply("netns", name="app", dns=DNS, hosts={"10.1.2.3": ["db", "db.example.org"], "fd00::7": ["v6only"]})
    assert RESOLV_CONF in done.told
    assert HOSTS in done.told
    text = host.read(RESOLV_CONF)
    assert [line for line in text.splitlines() if line and line[0] not in "#;"] == [
        "nameserver 192.0.2.54",
        "nameserver 2001:db8::53",
        "search example.org example.net",
        "options ndots:2",
    ]

    # `ip netns exec` brings both files in, and the host's own stay as they are.
    inside = ("ip", "netns", "exec", "app")
    assert host.run(*inside, "cat", "/etc/resolv.conf") == text
    assert host.run(*inside, "getent", "hosts", "db.example.org").split()[0] == "10.1.2.3"
    assert host.run(*inside, "getent", "hosts", "v6only").split()[0] == "fd00::7"
    assert host.run(*inside, "getent", "hosts", "localhost").split()[0] in ("127.0.0.1", "::1")
    assert host.read("/etc/resolv.conf") == "nameserver 192.0.2.53\n"

    host.apply("netns", name="app", state="absent")
    host.assert_same(before, "absent left something behind")


def test_the_files_are_readable_by_every_user(host):
    """A daemon inside runs as an unprivileged user, even when root's umask is tight."""
    tight = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
    host.module("netns", name="app", dns=DNS, hosts={"10.1.2.3": ["db"]}, wrapper=tight)
    for path in ("/etc/netns", "/etc/netns/app"):
        assert host.run("stat", "-c", "%a", path).strip() == "755"
    for path in (RESOLV_CONF, HOSTS):
        assert host.run("stat", "-c", "%a", path).strip() == "644"


def test_changed_dns_is_changed_in_the_file(host):
    host.module("netns", name="app", dns={"nameservers": ["192.0.2.54"]})
    done = host.apply("netns", name="app", dns={"nameservers": ["192.0.2.55"]})
    assert [change["action"] for change in done.changes] == ["update"]
    assert "192.0.2.54" in done.before
    assert "192.0.2.55" in done.after
    assert "nameserver 192.0.2.55" in host.read(RESOLV_CONF)
    assert "192.0.2.54" not in host.read(RESOLV_CONF)


@pytest.mark.parametrize("path", [RESOLV_CONF, HOSTS])
@pytest.mark.parametrize("damage", ["echo '# edited' >> {0}", "rm {0}", ": > {0}"])
def test_an_edited_file_is_repaired_alone(host, path, damage):
    options = {"name": "app", "dns": DNS, "hosts": {"10.1.2.3": ["db"]}}
    host.module("netns", **options)
    good = {name: host.read(name) for name in (RESOLV_CONF, HOSTS)}
    host.sh(damage.format(path))
    done = host.repair("netns", **options)
    assert len(done.changes) == 1
    assert path in done.changes[0]["object"] + str(done.changes[0])
    assert {name: host.read(name) for name in (RESOLV_CONF, HOSTS)} == good


def test_other_files_in_the_directory_are_not_ours(host):
    host.write("/etc/netns/app/nsswitch.conf", "hosts: files\n")
    host.module("netns", name="app", dns=DNS)
    host.apply("netns", name="app", state="absent")
    assert host.read("/etc/netns/app/nsswitch.conf") == "hosts: files\n"
    assert not host.exists(RESOLV_CONF)


# --- processes inside -------------------------------------------------------------------------------------------------


def sleeper(host, *how, script='echo "$$"; exec sleep 600'):
    """A process inside the namespace, and its id as the host sees it."""
    process = host.ns("app").start(*how, "sh", "-c", script)
    return process, process.stdout.readline().strip()


def test_a_namespace_with_somebody_in_it_stays(host):
    host.module("netns", name="app")
    process, pid = sleeper(host)
    result = host.refuses("netns", pid, "app", "processes", name="app", state="absent")
    assert "sleep" in result.msg, "the message does not say who it is"
    assert process.poll() is None
    assert host.namespaces() == ["app"]

    process.kill()
    process.wait()
    host.apply("netns", name="app", state="absent")
    assert host.namespaces() == []


def test_the_processes_inside_are_killed_on_request(host):
    host.module("netns", name="app")
    host.module("netns", name="app2")
    process, pid = sleeper(host)
    bystander = host.ns("app2").start("sleep", "600")

    foretold = host.module("netns", name="app", state="absent", processes="kill", check=True)
    assert pid in foretold.told
    assert process.poll() is None

    done = host.module("netns", name="app", state="absent", processes="kill")
    assert done.changed
    assert pid in done.told
    process.wait(timeout=2)
    assert host.namespaces() == ["app2"]
    assert bystander.poll() is None


def test_a_process_that_ignores_the_polite_signal_is_killed_all_the_same(host):
    host.module("netns", name="app")
    process, _pid = sleeper(host, script="trap '' TERM; echo \"$$\"; while :; do sleep 1; done")
    start = time.monotonic()
    host.module("netns", name="app", state="absent", processes="kill", timeout=1)
    process.wait(timeout=2)
    assert host.namespaces() == []
    assert time.monotonic() - start < 8


def test_a_process_that_only_holds_the_namespace_open_counts_too(host):
    """It would keep every link inside alive after the name has gone."""
    host.module("netns", name="app")
    process = host.start("sh", "-c", 'exec 9< /run/netns/app; echo "$$"; exec sleep 600')
    pid = process.stdout.readline().strip()
    host.refuses("netns", pid, name="app", state="absent")
