# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of the simulated internet and of the controller, each a process in the network namespace of its own."""

from __future__ import annotations

from . import answer, kernel
from .cgroups import Cgroup

#: TCP and UDP, on the internet and (to be reached by nobody but hosts themselves) on the controller.
PORT = 7
HTTP_PORT = 80
NAMES = ("internet", "controller")


def cgroup(fleet, name):
    return Cgroup(fleet.name, "servers", name)


def serve(fleet, name):
    """Be the servers of that name, for ever."""
    cgroup(fleet, name).enter()
    kernel.enter_network({"internet": fleet.internet, "controller": fleet.controller}[name])
    answer.serve(name, [PORT], [HTTP_PORT])
