# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests stand on: throw-away hosts, traffic between them, and the modules run on one of them."""

from .behind import Behind, topology
from .hosts import Host, Namespace
from .modules import ModuleFailed, ModuleSucceeded, Result
from .nodes import CommandFailed, Node
from .snapshot import difference
from .traffic import PATIENCE, Answer, NoAnswer
from .world import (
    CLIENT4,
    CLIENT6,
    MGMT4,
    MGMT6,
    MGMT_HOST4,
    MGMT_HOST6,
    SERVER4,
    SERVER6,
    SERVER_PORT,
    STRANGER4,
    STRANGER6,
    UPLINK4,
    UPLINK6,
    World,
)

__all__ = [
    "CLIENT4",
    "CLIENT6",
    "MGMT4",
    "MGMT6",
    "MGMT_HOST4",
    "MGMT_HOST6",
    "PATIENCE",
    "SERVER4",
    "SERVER6",
    "SERVER_PORT",
    "STRANGER4",
    "STRANGER6",
    "UPLINK4",
    "UPLINK6",
    "Answer",
    "Behind",
    "CommandFailed",
    "Host",
    "ModuleFailed",
    "ModuleSucceeded",
    "Namespace",
    "Node",
    "NoAnswer",
    "Result",
    "World",
    "difference",
    "topology",
]
