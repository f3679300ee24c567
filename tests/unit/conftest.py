# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the unit tests: no root, no network, no namespaces."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

# The same examples every time, so that a failure is the change's and not chance's.
# HYPOTHESIS_PROFILE=thorough looks further.
_COMMON = dict(
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.register_profile("quick", max_examples=60, derandomize=True, **_COMMON)
settings.register_profile(
    "mutation", settings.get_profile("quick"), max_examples=30, phases=[Phase.explicit, Phase.generate]
)
settings.register_profile("thorough", max_examples=1000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
