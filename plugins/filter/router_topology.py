# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.linuxnet.netns.plugins.module_utils.errors import InvalidOption
from ansible_collections.linuxnet.netns.plugins.module_utils.router import router_topology


def router_topology_filter(namespaces: Any, uplink: Any = ()) -> dict[str, list[dict[str, Any]]]:
    """The filter; module_utils/router.py does the work."""
    try:
        return router_topology(namespaces, uplink)
    except InvalidOption as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable]:
        return {"router_topology": router_topology_filter}
