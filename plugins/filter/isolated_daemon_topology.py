# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from ansible_collections.linuxnet.netns.plugins.module_utils.isolated_daemon import isolated_daemon_topology


def isolated_daemon_topology_filter(variables: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The filter; module_utils/isolated_daemon.py does the work."""
    try:
        return isolated_daemon_topology(variables)
    except InvalidOption as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable]:
        return {"isolated_daemon_topology": isolated_daemon_topology_filter}
