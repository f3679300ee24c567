# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces as they are wanted: sysctls, resolv.conf, hosts."""

from __future__ import annotations

import pytest
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.netns import HEADER, Netns, sysctl_path
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st


def netns(**options):
    return Netns.from_options({"name": "app", **options}, "namespaces[0].")


def refuse(option, value, reason, remedy, **options):
    refused(f"namespaces[0].{option}", value, reason, remedy, netns, **options)


def test_defaults():
    found = netns()
    assert found == Netns("app")
    assert (found.loopback, found.sysctls, found.resolv_conf, found.hosts, found.processes, found.timeout) == (
        True,
        (),
        None,
        None,
        "fail",
        10,
    )
    assert found.identity == ("netns", "app")


def test_bad_names_and_timeouts_name_the_option():
    refuse("name", "a/b", "is not a valid namespace name", "plain file name", name="a/b")
    refuse("timeout", -1, "is negative", "0 or more", timeout=-1)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.10/rp_filter", "net/ipv4/conf/eth0.10/rp_filter"),
        ("net.ipv4.conf.eth0/10.rp_filter", "net/ipv4/conf/eth0.10/rp_filter"),
    ],
)
def test_sysctl_keys_as_in_sysctl_8(key, path):
    assert sysctl_path("sysctls", key) == path


@pytest.mark.parametrize(
    ("key", "reason", "remedy"),
    [
        ("kernel.hostname", "is not a sysctl of a network namespace", "only keys under net."),
        ("net.ipv4", "is not a sysctl of a network namespace", "only keys under net."),
        ("net", "is not a sysctl of a network namespace", "only keys under net."),
        ("", "is not a sysctl", "net.ipv4.ip_forward"),
        ("net..ip_forward", "is not a sysctl", "net.ipv4.ip_forward"),
        ("net/../kernel/hostname", "is not a sysctl", "net.ipv4.ip_forward"),
        ("net/ipv4/../../kernel/hostname", "is not a sysctl", "net.ipv4.ip_forward"),
        ("/net/ipv4/ip_forward", "is not a sysctl", "net.ipv4.ip_forward"),
        ("net.ipv4.ip forward", "is not a sysctl", "net.ipv4.ip_forward"),
        ("net.ipv4.ip_forward\n", "is not a sysctl", "net.ipv4.ip_forward"),
    ],
)
def test_sysctl_keys_that_are_refused(key, reason, remedy):
    with pytest.raises(InvalidOption) as caught:
        sysctl_path("sysctls", key)
    assert reason in str(caught.value) and remedy in str(caught.value) and str(caught.value).startswith("sysctls: ")


@given(
    st.text("netipv46conf./%- ", max_size=30)
    | st.builds(
        "net{0}ipv4{0}conf{0}{1}{0}forwarding".format, st.sampled_from("./"), st.text("eth0-_", min_size=1, max_size=5)
    )
)
def test_reading_a_sysctl_key_twice_changes_nothing(key):
    try:
        found = sysctl_path("sysctls", key)
    except InvalidOption:
        return
    assert sysctl_path("sysctls", found) == found
    assert found.startswith("net/") and not {"", ".", ".."} & set(found.split("/"))


def test_sysctl_values():
    found = netns(
        sysctls={
            "net.ipv4.ip_forward": True,
            "net/core/somaxconn": 128,
            "net.ipv4.ip_local_port_range": " 1024\t 2048 ",
        }
    )
    assert found.sysctls == (
        ("net/core/somaxconn", "128"),
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/ip_local_port_range", "1024 2048"),
    )
    assert netns(sysctls={"net.ipv4.ip_forward": 1, "net/ipv4/ip_forward": "1"}).sysctls == (
        ("net/ipv4/ip_forward", "1"),
    )


@pytest.mark.parametrize("value", [None, "", "  ", [1], {"a": 1}, 1.5, "a\0b"])
def test_sysctl_values_that_are_refused(value):
    refuse(
        "sysctls.net.core.somaxconn",
        value,
        "is not a sysctl's value",
        "a number or a string",
        sysctls={"net.core.somaxconn": value},
    )


def test_two_spellings_of_one_key_must_agree():
    refuse(
        "sysctls.net/ipv4/ip_forward",
        0,
        "contradicts another spelling",
        "keep one",
        sysctls={"net.ipv4.ip_forward": 1, "net/ipv4/ip_forward": 0},
    )


def test_resolv_conf():
    found = netns(
        dns={
            "nameservers": ["192.0.2.53", "FE80::1%eth0"],
            "search": ["example.net", "."],
            "options": ["ndots:2", "edns0"],
        }
    )
    assert (
        found.resolv_conf
        == HEADER + "nameserver 192.0.2.53\nnameserver fe80::1%eth0\nsearch example.net .\noptions ndots:2 edns0\n"
    )
    assert netns(dns={}).resolv_conf == HEADER
    assert HEADER.startswith("#")


@pytest.mark.parametrize(
    ("dns", "option", "value", "reason", "remedy"),
    [
        (
            {"nameservers": ["dns.example.net"]},
            "dns.nameservers[0]",
            "dns.example.net",
            "is not an IP address",
            "without prefix length",
        ),
        (
            {"nameservers": ["10.0.0.1", "10.0.0.2/24"]},
            "dns.nameservers[1]",
            "10.0.0.2/24",
            "is not an IP address",
            "without prefix length",
        ),
        (
            {"nameservers": ["fe80::1%a b"]},
            "dns.nameservers[0]",
            "fe80::1%a b",
            "has a zone that is not an interface",
            "fe80::1%eth0",
        ),
        ({"search": ["a b"]}, "dns.search[0]", "a b", "is not a domain name", "example.net"),
        (
            {"search": ["a\nnameserver 6.6.6.6"]},
            "dns.search[0]",
            "a\nnameserver 6.6.6.6",
            "is not a domain name",
            "example.net",
        ),
        ({"options": ["ndots: 2"]}, "dns.options[0]", "ndots: 2", "is not a resolver option", "ndots:2"),
    ],
)
def test_dns_that_is_refused(dns, option, value, reason, remedy):
    refuse(option, value, reason, remedy, dns=dns)


def test_hosts():
    assert netns(hosts={"10.0.0.5": ["db", "db.example.net"], "fd00::5": "db"}).hosts == HEADER + (
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.5\tdb db.example.net\nfd00::5\tdb\n"
    )
    assert "127.0.0.1\tme\n" in netns(hosts={"127.0.0.1": ["me"]}).hosts


@pytest.mark.parametrize(
    ("hosts", "option", "value", "reason", "remedy"),
    [
        ({"db": ["files"]}, "hosts", "db", "is not an IP address", "without prefix length"),
        ({"10.0.0.5": []}, "hosts.10.0.0.5", [], "is not a list of host names", "[db, db.example.net]"),
        ({"10.0.0.5": {"a": 1}}, "hosts.10.0.0.5", {"a": 1}, "is not a list of host names", "[db, db.example.net]"),
        ({"10.0.0.5": ["a b"]}, "hosts.10.0.0.5", "a b", "is not a host name", "letters, digits"),
        (
            {"10.0.0.5": ["a\n6.6.6.6 bank"]},
            "hosts.10.0.0.5",
            "a\n6.6.6.6 bank",
            "is not a host name",
            "letters, digits",
        ),
        ({"10.0.0.5": [7]}, "hosts.10.0.0.5", 7, "is not a host name", "letters, digits"),
    ],
)
def test_hosts_that_are_refused(hosts, option, value, reason, remedy):
    refuse(option, value, reason, remedy, hosts=hosts)
