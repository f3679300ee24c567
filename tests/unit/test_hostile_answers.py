# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that make no sense, of the kernel, nft and systemd: read or refused in a sentence, and always to an end."""

from __future__ import annotations

import errno
import json
import struct

import pytest
import readers
import test_netlink_messages as samples
from ansible_collections.linuxnet.netns.plugins.module_utils import info
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netns_mounts, processes, systemd
from ansible_collections.linuxnet.netns.plugins.module_utils.doors.netlink import NetlinkSocket
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import SystemRefused
from hostile import anything, damaged_bytes, json_paths, replaced
from hypothesis import given, settings
from hypothesis import strategies as st
from test_conntrack import ORIGINAL, REPLY

more = settings(max_examples=settings.default.max_examples * 3)

# -- netlink --

BODIES = (
    samples.link_body(
        5,
        0x41,
        samples.attribute(3, b"app0\0"),
        samples.attribute(18, samples.attribute(1, b"veth\0") + samples.attribute(2, samples.attribute(1, b""))),
        samples.attribute(37, struct.pack("=i", 3)),
    ),
    struct.pack("=BBBBI", 2, 30, 0x80, 0, 5) + samples.attribute(1, samples.packed("10.0.0.1")),
    samples.route_body(
        2,
        24,
        254,
        wire.RTN_UNICAST,
        samples.attribute(1, samples.packed("10.8.0.0")),
        samples.attribute(5, samples.packed("10.0.0.1")),
        samples.attribute(9, struct.pack("=HBBi", 16, 0, 0, 3) + samples.attribute(5, samples.packed("10.0.0.1"))),
    ),
    samples.rule_body(
        10,
        64,
        128,
        252,
        wire.FR_ACT_TO_TBL,
        samples.attribute(6, samples.number(1000)),
        samples.attribute(2, samples.packed("fd00::2")),
        samples.attribute(1, samples.packed("fd00:1::")),
        samples.attribute(3, b"eth0\0"),
        samples.attribute(14, struct.pack("=i", -1)),
        samples.attribute(20, struct.pack("=II", 5, 6)),
        samples.attribute(21, b"\xc4"),
        samples.attribute(23, struct.pack("=HH", 1, 2)),
    ),
    struct.pack("=i", -101) + bytes(16) + samples.attribute(1, b"Nexthop has invalid gateway\0"),
    bytes(4) + ORIGINAL + REPLY,
)


@given(st.binary(max_size=200))
def test_any_bytes_of_the_kernels(raw):
    readers.netlink(raw)


@more
@given(st.sampled_from(BODIES), st.sampled_from(readers.FLAGS), st.data())
def test_damaged_messages_of_the_kernels(body, flags, data):
    readers.netlink(data.draw(damaged_bytes(body)))
    readers.netlink(data.draw(damaged_bytes(samples.message(16, body, flags) + samples.message(24, body))))


@pytest.mark.parametrize("length", range(16))
def test_lengths_that_lead_nowhere_end_it(length):
    for form in ("=IHHII", "=HHIII"):
        raw = struct.pack(form, length, 1, 0, 0, 0) * 4
        assert len(list(wire.messages(raw))) <= 4
        assert len(wire.attributes(raw, 0)) <= 16
        assert len(list(wire._next_hops(raw))) <= 8


@pytest.mark.parametrize("read", [wire.link, wire.address, wire.error, wire.routes, wire.rule])
def test_what_cannot_be_read_says_so(read):
    with pytest.raises(SystemRefused) as caught:
        read(samples.parsed(b""))
    assert f"an answer of the kernel cannot be read ({read.__name__}: " in str(caught.value)


def test_an_interface_ends_its_name_with_the_first_zero():
    assert wire.link(samples.parsed(samples.link_body(1, 0, samples.attribute(3, b"a\0b\0")))).name == "a"


class Heard:
    """A socket that has received these (sender's number, bytes)."""

    def __init__(self, *heard):
        self.heard = list(heard)

    def send(self, request):
        pass

    def recvfrom(self, size):
        sender, raw = self.heard.pop(0)
        return raw, (sender, 0)


def exchange(*heard):
    found = NetlinkSocket.__new__(NetlinkSocket)
    found._socket, found._sequence = Heard(*heard), 6
    return list(found._exchange(wire.RTM_GETLINK, 0, b""))


def test_only_the_kernel_is_believed():
    """Another process can write to our socket where it is allowed to, and guess the number of our request."""
    done = samples.message(wire.NLMSG_DONE, b"")
    forged = samples.message(16, b"forged")
    assert [message.body for message in exchange((77, forged + done), (0, samples.message(16, b"real") + done))] == [
        b"real",
        b"",
    ]


@pytest.mark.parametrize("number", [-(2**31), -4095, -1, 1, 2**31 - 1])
def test_an_error_of_any_number_is_one(number):
    with pytest.raises(SystemRefused) as caught:
        exchange((0, samples.message(wire.NLMSG_ERROR, struct.pack("=i", number) + bytes(16))))
    assert caught.value.errno == min(-number, 2**31 - 1)


# -- nft, systemd, /proc --

LISTING = {
    "nftables": [
        {"metainfo": {"version": "1.0.6"}},
        {
            "rule": {
                "comment": "forward web",
                "expr": [
                    {
                        "match": {
                            "op": "==",
                            "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                            "right": {"set": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, {"range": ["::1", "::2"]}]},
                        }
                    },
                    {
                        "match": {
                            "op": "==",
                            "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                            "right": 80,
                        }
                    },
                    {"counter": {"packets": 1, "bytes": 2}},
                    {"dnat": {"addr": "10.0.0.2", "port": {"map": {"key": {}, "data": {"set": [[1, 2], [3, 4]]}}}}},
                ],
            }
        },
        {"rule": {"comment": "nat out", "expr": [{"counter": {"packets": 1, "bytes": 2}}, {"snat": {"addr": "::1"}}]}},
    ]
}
PATHS = list(json_paths(LISTING))[1:]
SHOWN = "MainPID=88\nNRestarts=2\nExecMainStartTimestampMonotonic=5000000\nId=a.service\nTriggeredBy=x.path\n"
SAID = "/run/x/a.service:2: Unknown key 'X'\na.service: Command not found\nUnit a.service has a bad unit file\n"
MOUNTS = "36 35 0:4 net:[1] /run/netns/a\\040b rw - nsfs\n37 36 0:4 net:[1] /run/netns/a\\040b rw - nsfs\n"
STATUS = "Name:\tapp\nUid:\t0\t33\t33\t33\n"
GROUPS = "1:name=systemd:/system.slice/app.service\n0::/system.slice/app.service\n"
SOCKETS = "  sl  local_address rem_address   st\n   0: 0100007F:0035 00000000:0000 0A 00000000:00000000\n"


@given(st.text(st.characters(exclude_categories=()), max_size=100))
def test_any_text_of_a_program(text):
    readers.texts(text)


@more
@given(st.sampled_from((json.dumps(LISTING), SHOWN + "\n" + SHOWN, SAID, MOUNTS, STATUS, GROUPS, SOCKETS)), st.data())
def test_damaged_texts_of_programs(whole, data):
    readers.texts(data.draw(damaged_bytes(whole.encode())).decode("utf-8", "surrogateescape"))


@more
@given(st.sampled_from(PATHS), anything)
def test_another_grammar_of_nfts(path, value):
    readers.texts(json.dumps(replaced(LISTING, path, value)))


@pytest.mark.parametrize("text", ["[" * 100000, '{"nftables": 7}', '{"nftables": [{"rule": []}]}', "nft: oops", ""])
def test_a_listing_that_cannot_be_read_says_so(text):
    with pytest.raises(SystemRefused) as caught:
        info.translations(text)
    assert "what nft lists cannot be read" in str(caught.value)


@pytest.mark.parametrize("text", ["", "MainPID=88", SHOWN, SHOWN + "\n" + SHOWN + "\n" + SHOWN])
def test_systemctl_speaks_of_all_units_or_none_is_believed(text):
    with pytest.raises(SystemRefused) as caught:
        systemd.parse_units(["a.service", "b.service"], text)
    assert "asked about 2 units" in str(caught.value)


@pytest.mark.parametrize("value", ["x", "1.5", "[not set]"])
def test_numbers_of_systemctls_are_numbers(value):
    with pytest.raises(SystemRefused):
        systemd.parse_units(["a.service"], f"MainPID={value}\n")


@pytest.mark.parametrize("number", ["0", "7", "99999999999999999999", "-1", "\u0661", "x"])
def test_a_complaint_about_a_line_that_is_not_there(number):
    path, copy = f"{systemd.UNITS}/a.service", "/run/x/a.service"
    found = systemd.parse_complaints(path, copy, "[Service]\nUser=a\n", f"{copy}:{number}: bad\n", True)
    assert [complaint.key for complaint in found] in ([""], ["ExecStart"])


def test_a_mount_that_is_its_own_parent_ends_it():
    lines = ["36 36 0:4 net:[1] /run/netns/a rw - nsfs nsfs rw\n", "37 38 0:4 / /run/netns/b rw\n", "\n", "1 2\n"]
    assert netns_mounts._stacks([*lines, "38 37 0:4 / /run/netns/b rw\n"]) == {"/run/netns/a": 1, "/run/netns/b": 2}


def test_a_process_cannot_write_on_the_terminal():
    assert processes._printable("a\x1b[2J\nb\u202ec") == "a?[2J?b?c"


@pytest.mark.parametrize("text", ["", "Uid:", "Uid:\tx\ty\tz\n", "Uid:\t0\n"])
def test_a_process_without_a_user(text):
    assert processes._effective_user([text]) is None


def test_errors_of_the_kernels_have_their_names():
    with pytest.raises(SystemRefused) as caught:
        exchange((0, samples.message(wire.NLMSG_ERROR, struct.pack("=i", -errno.EEXIST) + bytes(16))))
    assert str(caught.value) == "File exists"
