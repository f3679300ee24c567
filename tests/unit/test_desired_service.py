# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service's options: what is taken, what is refused, and the unit that it comes to."""

from __future__ import annotations

import configparser

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.netns_service import nsswitch
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.unit_text import HARDENING, unit_text
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns_service import Service
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st

DAEMON = {"name": "app", "netns": "app", "command": "/usr/bin/app --fast", "user": "daemon"}
ATTACHED = {"name": "nginx", "netns": "app"}


def service(base=DAEMON, **options):
    return Service.from_options({**base, **options})


def unit(one, files=(), masked="", low_ports=False):
    """Sections of the text, each key with its values in their order."""
    found, section = {}, None
    for line in unit_text(one, files, masked, low_ports).splitlines():
        if line.startswith("["):
            section = found.setdefault(line, {})
        elif line and not line.startswith("#"):
            key, _equals, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


def fails(option, value, reason, remedy, base=DAEMON):
    refused(option, value, reason, remedy, service, base, **{option.split(".")[0].split("[")[0]: value})


# -- what is refused --


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x@", "a\n", "ä", "a" * 201, "..", "-.service/"])
def test_a_name_is_that_of_a_unit(name):
    fails("name", name, "is not the name of a service unit", "use letters")


def test_a_name_may_end_like_the_unit():
    assert service(name="app.service").unit == "app.service"
    assert service(name="getty@tty1").unit == "getty@tty1.service"


@pytest.mark.parametrize("command", ["app", "app --x", "./app", "", "  "])
def test_a_command_begins_with_a_full_path(command):
    fails("command", command, "does not start with the full path", "/usr/bin/daemon")


@pytest.mark.parametrize("command", ["+/bin/app", "!/bin/app", "-+/bin/app", "!!/bin/app"])
def test_a_command_has_no_way_around_the_sandbox(command):
    fails("command", command, "asks for privileges", "leave out the prefix")


@pytest.mark.parametrize("command", ["/bin/app\nUser=root", "/bin/app \\", "/bin/app\0", "/bin/app\rx"])
def test_a_command_is_one_line(command):
    fails("command", command, "has a line break", "write it on one line")


def test_a_command_may_be_quoted_and_its_failure_ignored():
    assert service(command='"/opt/my app/run" -x').command == '"/opt/my app/run" -x'
    assert service(command="-/bin/app\n").command == "-/bin/app"


def test_a_command_needs_a_user():
    refused("user", None, "is required with command", "unprivileged user", service, user=None)
    assert service(user=None, hardening={"DynamicUser": True}).user is None
    refused("user", None, "is required", "unprivileged", service, user=None, hardening={"DynamicUser": False})
    assert service(ATTACHED).user is None


@pytest.mark.parametrize("user", ["", "a b", "a\nb", "%u", "-x", "root;id"])
def test_a_user_is_an_account(user):
    fails("user", user, "is not the name of an account", "use a name")
    refused("group", user, "is not the name of an account", "use a name", service, group=user)


@pytest.mark.parametrize("netns", ["a b", "a%b"])
def test_a_namespace_has_to_fit_in_a_unit(netns):
    fails("netns", netns, "cannot be named in a unit", "without blanks")


@pytest.mark.parametrize("key", ["ExecStart", "User", "PrivateTmp", "NetworkNamespacePath", "PrivateNetwork"])
def test_what_has_an_option_is_not_a_setting(key):
    refused(f"hardening.{key}", "x", "has an option of its own", "instead", service, hardening={key: "x"})


@pytest.mark.parametrize("key", ["", "memoryMax", "A=B", "A B", "A\n", "[Unit]"])
def test_a_setting_has_the_name_of_one(key):
    refused(f"hardening.{key}", "x", "is not a setting", "MemoryMax", service, hardening={key: "x"})


@pytest.mark.parametrize("value", [{"a": 1}, [["x"]], [None]])
def test_a_setting_has_values(value):
    shown = value[0] if isinstance(value, list) else value
    refused("hardening.X", shown, "is neither text nor a number", "give a string", service, hardening={"X": value})
    refused("hardening.X", "a\nb", "has a line break", "one line", service, hardening={"X": "a\nb"})


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A=B", "A B"])
def test_a_variable_has_the_name_of_one(name):
    refused(f"environment.{name}", "x", "has a name that no", "letters", service, environment={name: "x"})


# -- the unit --


def test_a_unit_of_our_own_is_hardened():
    found = unit(service())
    assert found["[Unit]"] == {
        "Description": ["app in network namespace app"],
        "After": ["network.target", "linuxnet-netns.service"],
    }
    assert found["[Install]"] == {"WantedBy": ["multi-user.target"]}
    lines = found["[Service]"]
    assert lines["ExecStart"] == ["/usr/bin/app --fast"]
    assert (lines["User"], lines["NetworkNamespacePath"], lines["PrivateTmp"]) == (
        ["daemon"],
        ["/run/netns/app"],
        ["yes"],
    )
    assert lines["CapabilityBoundingSet"] == lines["AmbientCapabilities"] == [""]
    assert lines["Restart"] == ["always"] and lines["RestartPreventExitStatus"] == ["225"]
    for key, value in HARDENING.items():
        assert value in lines[key]


def test_low_ports_ask_for_one_capability():
    lines = unit(service(), low_ports=True)["[Service]"]
    assert lines["CapabilityBoundingSet"] == lines["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]


def test_settings_replace_defaults_and_none_takes_them_away():
    settings = {"ProtectHome": False, "UMask": None, "ReadWritePaths": ["/srv/a", "/srv/b"], "Nice": 5}
    lines = unit(service(hardening=settings))["[Service]"]
    assert lines["ProtectHome"] == ["no"]
    assert "UMask" not in lines
    assert lines["ReadWritePaths"] == ["/srv/a", "/srv/b"]
    assert lines["Nice"] == ["5"]


def test_files_of_the_namespace_and_masked_sockets():
    files = [("/etc/netns/a:b/resolv.conf", "/etc/resolv.conf", True), ("/etc/netns/app/hosts", "/etc/hosts", False)]
    lines = unit(service(), files)["[Service]"]
    assert lines["BindReadOnlyPaths"] == [
        "/etc/netns/a\\:b/resolv.conf:/etc/resolv.conf",
        "-/etc/netns/app/hosts:/etc/hosts",
    ]
    assert lines["InaccessiblePaths"][:2] == ["-/run/systemd/resolve", "-/run/nscd -/run/avahi-daemon"]
    masked = unit(service(), files, "/run/systemd/resolve")["[Service]"]
    assert masked["TemporaryFileSystem"] == ["/run/systemd/resolve:ro"]
    assert "-/run/systemd/resolve" not in masked["InaccessiblePaths"]


def test_a_drop_in_says_where_and_little_else():
    found = unit(service(ATTACHED))
    assert found["[Unit]"] == {"After": ["linuxnet-netns.service"]}
    assert set(found) == {"[Unit]", "[Service]"}
    assert set(found["[Service]"]) == {
        "NetworkNamespacePath",
        "InaccessiblePaths",
        "PrivateTmp",
        "RestartPreventExitStatus",
    }
    assert "PrivateTmp" not in unit(service(ATTACHED, private_tmp=False))["[Service]"]
    assert unit(service(private_tmp=False))["[Service]"]["PrivateTmp"] == ["no"]


def test_environment_is_quoted():
    lines = unit(service(environment={"B": 'say "50%" \\ now', "A": True, "C": "a\nb"}))["[Service]"]
    assert lines["Environment"] == ['"A=yes"', '"B=say \\"50%%\\" \\\\ now"', '"C=a\\nb"']


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text()), st.text())
def test_nothing_that_is_taken_breaks_out_of_its_line(environment, user_text):
    """Whatever the values, each line of the unit is one of ours."""
    try:
        one = service(environment=environment, hardening={"Slice": user_text})
    except InvalidOption as error:
        assert "write it on one line" in str(error) or "has a control character" in str(error)
        return
    parser = configparser.RawConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str
    parser.read_string(unit_text(one, [], "", False).replace("\r", "\n").replace("\0", "\n"))  # as systemd reads it
    assert parser.sections() == ["Unit", "Service", "Install"]
    assert set(parser["Service"]) <= {
        "Type",
        "ExecStart",
        "User",
        "Environment",
        "NetworkNamespacePath",
        "InaccessiblePaths",
        "PrivateTmp",
        "Restart",
        "RestartSec",
        "RestartPreventExitStatus",
        "CapabilityBoundingSet",
        "AmbientCapabilities",
        "Slice",
        *HARDENING,
    }


# -- nsswitch.conf --


def test_names_are_looked_up_in_files_and_dns_only():
    host = "passwd: files sss\nhosts: files mymachines resolve [!UNAVAIL=return] dns\n# end\n"
    lines = nsswitch(host).splitlines()
    assert lines[1:] == ["passwd: files sss", "# end", "hosts: files dns"]
    assert nsswitch(None).splitlines()[1:] == ["hosts: files dns"]
    assert nsswitch(nsswitch(host)) == nsswitch(host)
