# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of interfaces, namespaces, NATs and forwards."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.names import (
    identity,
    link_name,
    netns_name,
    optional_netns,
    where,
)
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("name", ["eth0", "a", "veth-app.100", "x" * 15, "br+lan", "eth0@1", "a#b", "a_b", "-x"])
def test_interface_names_that_the_kernel_takes(name):
    assert link_name("name", name) == name


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("", "is empty", "1 to 15 bytes"),
        ("x" * 16, "16 bytes, the kernel takes at most 15", repr("x" * 15)),
        (
            "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 8,
            "16 bytes, the kernel takes at most 15",
            repr("\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 7),
        ),
        ("a/b", "contains '/'", "letters, digits"),
        ("a:b", "contains ':'", "letters, digits"),
        ("a b", "contains ' '", "letters, digits"),
        ("veth%d", "contains '%'", "letters, digits"),
        ("eth*", "contains '*'", "letters, digits"),
        ('a"b', "contains '\"'", "letters, digits"),
        ("a\\b", "contains", "letters, digits"),
        ("a\nb", "contains '\\n'", "letters, digits"),
        ("\N{LATIN SMALL LETTER U WITH DIAERESIS}", "contains", "letters, digits"),
        (".", "is a reserved name", "another"),
        ("..", "is a reserved name", "another"),
        ("all", "is a reserved name", "another"),
        ("default", "is a reserved name", "another"),
        ("lo", "is a reserved name", "another"),
    ],
)
def test_interface_names_that_are_refused(name, reason, remedy):
    refused("veths[0].name", name, reason, remedy, link_name, "veths[0].name", name)


@given(st.text(max_size=20))
def test_an_accepted_interface_name_is_short_and_safe_in_quotes(name):
    try:
        found = link_name("name", name)
    except InvalidOption as error:
        assert str(error).startswith("name: ")
        return
    assert found == name
    assert 1 <= len(name.encode()) <= 15
    assert name.isprintable() and not set(name) & set("\"'\\*%/: ")
    assert link_name("name", found) == found


@pytest.mark.parametrize(
    "name",
    [
        "app",
        "a b",
        "x" * 255,
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}",
        ".hidden",
        "a.b",
        "linuxnet",
        "linuxnet-netns",
    ],
)
def test_namespace_names_that_can_be_files(name):
    assert netns_name("name", name) == name


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("", "it is empty", "plain file name"),
        (".", "without '/'", "plain file name"),
        ("..", "without '/'", "plain file name"),
        ("a/b", "without '/'", "plain file name"),
        ("/", "without '/'", "plain file name"),
        ("x" * 256, "longer than 255 bytes", "shorten"),
        ("\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 128, "longer than 255 bytes", "shorten"),
        ("a\nb", "control characters", "plain file name"),
        ("a\0b", "control characters", "plain file name"),
        ("-a", "starts with '-'", "plain file name"),
        ("linuxnet-netns.probe", "the prefix is ours", "plain file name"),
    ],
)
def test_namespace_names_that_are_refused(name, reason, remedy):
    refused("netns", name, reason, remedy, netns_name, "netns", name)


@given(st.text(max_size=300))
def test_an_accepted_namespace_name_is_one_path_component(name):
    try:
        netns_name("name", name)
    except InvalidOption:
        return
    assert "/" not in name and name not in ("", ".", "..") and "\0" not in name
    assert len(name.encode("utf-8", "surrogateescape")) <= 255


def test_no_namespace_means_the_host():
    assert optional_netns("netns", None) == ""
    assert (where(""), where("app")) == ("on the host", "in app")
    refused("netns", "", "it is empty", "plain file name", optional_netns, "netns", "")


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("", "1 to 64 bytes", "shorten"),
        ("x" * 65, "1 to 64 bytes", "shorten"),
        ('a"b', "a quote", "printable ASCII"),
        ("a\\b", "a backslash", "printable ASCII"),
        ("a\tb", "a control", "printable ASCII"),
        ("\N{LATIN SMALL LETTER U WITH DIAERESIS}", "non-ASCII", "printable ASCII"),
    ],
)
def test_names_of_rules_must_fit_a_comment(name, reason, remedy):
    refused("name", name, reason, remedy, identity, "name", name)


@given(st.text(max_size=70))
def test_an_accepted_rule_name_is_safe_in_quotes(name):
    try:
        found = identity("name", name)
    except InvalidOption:
        return
    assert found == name and name.isprintable() and name.isascii() and '"' not in name and "\\" not in name


@pytest.mark.parametrize("name", ["\udc80", "\ud800", "\udc80" * 16, "\ud800" * 300])
def test_names_that_cannot_be_encoded_are_refused_in_words_or_taken_as_bytes(name):
    """Undecodable bytes of a file name come as surrogates."""
    for check in (link_name, netns_name, identity):
        try:
            assert check("name", name) == name
        except InvalidOption as error:
            assert str(error).startswith("name: ")
