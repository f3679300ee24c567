# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What resources compile to: objects with their values, and the interfaces whose lists are stated as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..objects.kernel_object import KernelObject, Value


@dataclass
class Wanted:
    """Filled by the compilers. ``whole`` holds (kind, namespace, link): what is there and not listed is too much."""

    objects: dict[KernelObject, Value] = field(default_factory=dict)
    whole: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, item: KernelObject, value: Value) -> None:
        self.objects[item] = value
