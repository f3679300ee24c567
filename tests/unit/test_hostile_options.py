# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that nobody should give: taken or refused in a sentence, and never a part of anything but themselves."""

from __future__ import annotations

import copy
import json
import re

import pytest
import readers
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.firewall import Inside, Ruleset, compile_ruleset
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import State
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import Clash, NetnsError
from ansible_collections.linuxnet.netns.plugins.module_utils.spec.netns_topology import OPTIONS
from hostile import BREAKING, FULL, HOSTILE, at, damaged_options, leaves, names_and_texts, renamed, renamed_options
from hypothesis import given, settings
from hypothesis import strategies as st
from model_system import converge, topology, uplinked
from topologies import topologies

more = settings(max_examples=settings.default.max_examples * 3)


def options_of(spec, path=()):
    for name, option in spec.items():
        if "options" in option:
            yield from options_of(option["options"], (*path, name))
        else:
            yield (*path, name)


def named(path):
    """Without numbers; the ends of a pair have the same options."""
    return tuple(key for key in path if isinstance(key, str) and key != "peer")


def test_every_option_is_tried():
    """A new option has to be in FULL, and then gets its share."""
    State.from_options(FULL)
    tried = {named(path) for path, _kind in leaves(FULL, OPTIONS)}
    assert {named(path) for path in options_of(OPTIONS)} <= tried


@more
@given(damaged_options())
def test_odd_options_are_taken_or_refused_in_a_sentence(options):
    readers.options(options)


@given(damaged_options(topologies()))
def test_so_are_those_of_any_topology(options):
    readers.options(options)


# -- what is taken stays where it belongs --


@pytest.mark.parametrize("old", sorted(names_and_texts()))
def test_what_is_taken_is_written_nowhere_but_in_its_place(old):
    for new in (*HOSTILE, *(old + text for text in BREAKING)):
        stays_in_its_place(renamed(names_and_texts()[old], new))


@given(renamed_options())
def test_nor_is_anything_else_that_is_taken(options):
    stays_in_its_place(options)


def stays_in_its_place(options):
    try:
        State.from_options(options)
    except NetnsError:
        return
    kernel = uplinked()
    try:
        converge(kernel, topology(options))
    except NetnsError:
        return
    check_rulesets(kernel)
    check_units(kernel, options)
    check_files(kernel)


def check_rulesets(kernel):
    """Outside of quotes there is nothing that an option can say but addresses and numbers."""
    spaces = [kernel.host, *(entry[0] for entry in kernel.names.values() if entry[0])]
    for table in (space.table for space in spaces if space.table):
        for quoted in re.findall(r'"([^"\n]*)"', table):
            comment = re.fullmatch(r"(nat|forward) [ !#-\[\]-~]{1,64}", quoted)
            assert comment or re.fullmatch(r"[!#-&(-)+-.0-9;-\[\]-~]{1,15}", quoted), quoted
        rest = re.sub(r'"[^"\n]*"', "", table)
        assert re.fullmatch(r"[A-Za-z0-9 \t\n{}.,:;/!=_\[\]-]*", rest), rest
        assert "flush" not in rest


def settings_of(text):
    """(section, key, value) as systemd reads a unit: CR, LF and NUL all end a line, a backslash continues it."""
    section, found, pending = "", [], ""
    for line in re.split(r"[\n\r\0]", text):
        line = pending + line.strip(" \t")
        if line.endswith("\\"):
            pending = line[:-1]
        elif line.startswith("["):
            section, pending = line, ""
        else:
            pending = ""
            if line and line[0] not in "#;":
                key, equals, value = line.partition("=")
                assert equals, f"a line that is no setting: {line!r}"
                found.append((section, key, value))
    assert not pending
    return found


def shapes(kernel):
    """What the unit files of a host consist of, whatever their names and the values in them."""
    texts = [text for path, text in kernel.files.items() if path.startswith("/etc/systemd/") and text]
    return sorted([(section, key) for section, key, _value in settings_of(text)] for text in texts)


def made_by(options):
    kernel = uplinked()
    converge(kernel, topology(options))
    return kernel


BENIGN = shapes(made_by(FULL))


def check_units(kernel, options):
    """The same settings as ever, whatever is in them; what systemd would pass over is not among them."""
    assert shapes(kernel) == BENIGN
    given_as_they_are = {"ExecStart", *(key for service in options["services"] for key in service.get("hardening", {}))}
    for path, text in kernel.files.items():
        if path.startswith("/etc/systemd/") and text:
            text.encode("utf-8")
            for _section, key, value in settings_of(text):
                if key not in given_as_they_are:
                    assert "%" not in value.replace("%%", ""), (key, value)
                if key == "Environment":
                    assert re.fullmatch(r'"[A-Z]+=(?:[^"\\]|\\[\\"nt])*"', value), value


def check_files(kernel):
    texts = {path: text for path, text in kernel.files.items() if path.startswith("/etc/netns/") and text}
    for path, text in texts.items():
        lines = re.split(r"[\n\r\0\v\f]", text)[1:-1]
        if path.endswith("/resolv.conf"):
            assert [line.split()[0] for line in lines] == ["nameserver", "nameserver", "search", "options"], text
            assert [len(line.split()) for line in lines] == [2, 2, 2, 2], text
        elif path.endswith("/hosts"):
            assert len(lines) == 4 and all(re.fullmatch(r"[0-9a-f.:]+\t[A-Za-z0-9_. -]+", line) for line in lines), text


# -- what was found --


def refuses(path, value):
    options = copy.deepcopy(FULL)
    at(options, path[:-1])[path[-1]] = value
    with pytest.raises(NetnsError) as caught:
        State.from_options(options)
    return str(caught.value)


SERVICE = ("services", 0)


@pytest.mark.parametrize("value", ["a\rExecStartPre=+/bin/x\r", "a\0b", "\x1b[0m", "\x7f", "a\udcff", "\ud800"])
def test_a_variable_is_no_way_into_the_unit(value):
    assert refuses((*SERVICE, "environment", "TEXT"), value).startswith("services[0].environment.TEXT: ")


@pytest.mark.parametrize(
    "command", ["/bin/a ; +/bin/b", "/bin/a ;  -!/bin/b", '/bin/a "x" ; @+/bin/b c', "/bin/a\t;\t+/b"]
)
def test_a_second_command_is_no_way_around_the_sandbox(command):
    assert "asks for privileges" in refuses((*SERVICE, "command"), command)


@pytest.mark.parametrize(
    "command", ["/bin/sh -c 'a ; +b'", '/bin/sh -c "a ; +b"', "/bin/a \\; +x", "/bin/a ;+x", "/bin/a + !"]
)
def test_what_only_looks_like_one_is_taken(command):
    options = copy.deepcopy(FULL)
    options["services"][0]["command"] = command
    assert State.from_options(options).services[0].command == command


@pytest.mark.parametrize("value", ["/bin/a \udcff", "/bin/a \ud800"])
def test_systemd_passes_over_a_line_that_is_not_utf8(value):
    assert "is not UTF-8" in refuses((*SERVICE, "command"), value)
    assert "is not UTF-8" in refuses((*SERVICE, "hardening", "MemoryMax"), value)


@pytest.mark.parametrize("netns", ["app\\", "a\\b", "app\udcff"])
def test_a_service_is_never_left_on_the_host_by_the_name_of_its_namespace(netns):
    assert "cannot be named in a unit" in refuses((*SERVICE, "netns"), netns)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("forwards", 0, "port"), "9" * 5000),
        (("forwards", 0, "to_port"), "0" * 5000),
        (("veths", 0, "rules", 0, "table"), "7" * 5000),
        ((*SERVICE, "user"), "7" * 5000),
        ((*SERVICE, "user"), "4294967295"),
        ((*SERVICE, "user"), "65535"),
        ((*SERVICE, "group"), "u" * 300),
        (("namespaces", 0, "timeout"), 10**400),
        (("namespaces", 0, "timeout"), 86401),
        (("namespaces", 0, "sysctls", "net.core.somaxconn"), "12\u0661"),
    ],
)
def test_numbers_have_an_end(path, value):
    assert refuses(path, value)


def test_the_timeout_of_a_removal_is_looked_at_as_well():
    kernel = uplinked()
    request = topology({})
    single = dict(single=True, identity=("netns", "app"), absent=True)
    for value in (-1, 10**400):
        options = {"namespaces": [{"name": "app", "timeout": value}]}
        with pytest.raises(NetnsError):
            converge(kernel, type(request)(owner="module netns app", options=options, **single))


def test_an_interface_can_be_called_by_any_word():
    """What separates rules in a value is none."""
    options = copy.deepcopy(FULL)
    options["veths"][0]["rules"] = [{"priority": 7, "iif": "and", "oif": "also"}, {"priority": 8, "iif": "not"}]
    kernel = made_by(options)
    found = {(rule.priority, rule.iif, rule.oif) for rule in kernel.host.rules if rule.protocol == 196}
    assert found == {(7, "and", "also"), (8, "not", "")}
    assert not converge(kernel, topology(options)).changes


@pytest.mark.parametrize("link", ['e"accept;"', "eth\\", "eth*"])
def test_an_interface_of_somebody_elses_does_not_get_into_the_ruleset(link):
    """The kernel takes names that nft does not, and a default route may lead through any interface."""
    with pytest.raises(Clash) as caught:
        compile_ruleset(Ruleset((Inside("app0", ()),), opened={4: (link,)}))
    assert repr(link) in str(caught.value) and "rename it" in str(caught.value)


@given(st.data())
def test_an_error_is_fit_for_json(data):
    options = data.draw(damaged_options(most=1))
    try:
        State.from_options(options)
    except NetnsError as error:
        assert json.loads(json.dumps(str(error))) == str(error)
