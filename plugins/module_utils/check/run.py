# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The module netns_check's way through: options, the running system, the verdict."""

from __future__ import annotations

import os
from typing import Any

from ..errors import MissingDependency
from ..lock import Lock
from ..system import System
from .diagnosis import diagnose
from .live import LiveNamespaces
from .question import Question


def check(options: dict[str, Any]) -> dict[str, Any]:
    """The result of netns_check."""
    question = Question.from_options(options)
    if os.geteuid() != 0:
        raise MissingDependency(
            "looking into network namespaces needs root on the managed host; run the task with become: true"
        )
    system = System()
    try:
        with Lock(read_only=True):
            return diagnose(LiveNamespaces(system), question).as_dict()
    finally:
        system.close()
