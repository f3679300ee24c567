# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that reads what others wrote: options, the ledger, the kernel's bytes, what nft, systemd and /proc show.

Each function takes whatever it is given and comes to an end; a NetnsError is an answer, any other exception a defect.
Both the property tests and the harnesses in tests/fuzz feed them.
"""

from __future__ import annotations

from ansible_collections.linuxnet.netns.plugins.module_utils import info
from ansible_collections.linuxnet.netns.plugins.module_utils.compile.netns_service import nsswitch
from ansible_collections.linuxnet.netns.plugins.module_utils.desired.state import LISTS, State
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import conntrack, netns_mounts, processes, systemd
from ansible_collections.linuxnet.netns.plugins.module_utils.doors import netlink_messages as wire
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import NetnsError
from ansible_collections.linuxnet.netns.plugins.module_utils.ledger import PATH, Ledger
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.link_route import observed_route
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.nft_table import body_of
from ansible_collections.linuxnet.netns.plugins.module_utils.objects.policy_rule import is_ours, rule_value

FLAGS = (0, 0x100, 0x200, 0x300)


def cleanly(call, *arguments):
    """What a call returns, None where it refuses."""
    try:
        return call(*arguments)
    except NetnsError as error:
        assert str(error).strip(), "an error without a word"
        return None


def netlink(data):
    """*data* as what one recv() returned, and as the body of a single message of each kind."""
    for message in [*wire.messages(data), *(wire.Message(0, flags, 0, data) for flags in FLAGS)]:
        for read in (wire.link, wire.address, wire.error, wire.netnsid, conntrack._flow):
            cleanly(read, message)
        for route in cleanly(wire.routes, message) or ():
            observed_route("", "eth0", route)
            info._route(route, {})
        rule = cleanly(wire.rule, message)
        if rule is not None:
            assert isinstance(rule_value(rule), str)
            is_ours(rule)
            info._rule(rule)


class Shelf:
    """As much of a System as the ledger needs: one file."""

    def __init__(self, text):
        self._text = text
        self.files = self

    def read(self, path):
        assert path == PATH
        return self._text

    def exists(self, path):
        return self._text is not None

    is_directory = exists

    def writable_by_others(self, path):
        return False

    def boot_id(self):
        return "boot"


def ledger(text):
    """*text* as the ledger's; what can be read can be written, and read again."""
    shelf = Shelf(text)
    cleanly(Ledger.of_this_boot, shelf)
    for name in ("topology default", ""):
        cleanly(Ledger.recorded, shelf, name)
    found = cleanly(Ledger.load, shelf)
    if found is not None:
        written = found.text()
        assert written is None or Ledger.load(Shelf(written)).text() == written
    return found


def options(value):
    """*value* as the options of a topology, and each of its items as those of a module. Returns the topology."""
    for name in LISTS:
        for item in value.get(name) or ():
            cleanly(State.from_options, {name: [item]}, True)
    return cleanly(State.from_options, value)


def texts(text):
    """*text* as what nft, systemctl, systemd-analyze or a file of /proc or /etc might hold."""
    cleanly(info.translations, text)
    assert isinstance(body_of(text), str)
    for names in (["a.service"], ["a.service", "b.service"]):
        cleanly(systemd.parse_units, names, text)
    for failed in (False, True):
        systemd.parse_complaints(f"{systemd.UNITS}/a.service", "/run/x/a.service", "[Service]\nUser=a\n", text, failed)
    lines = text.splitlines(keepends=True)
    netns_mounts._stacks(lines)
    processes._effective_user(lines)
    processes.service_of(processes.systemds_group(lines), "/init.scope")
    assert processes._printable(text).isprintable()
    cleanly(info._sockets, "tcp", "0A", lines)
    assert nsswitch(text).endswith("hosts: files dns\n")
