# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The soak test (tests/soak), cut short: the same random steps every time, and some that nobody has seen before."""

from __future__ import annotations

import pathlib
import random
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

from soak import soak

#: Half of what may take half a minute, or as many as fit into it on a machine that has other things to do.
CONVERGES, MINUTES = 20, 0.5


@pytest.mark.parametrize("old_kernel", [False, True], ids=["", "without force_forwarding"])
def test_random_converges_after_random_drift_keep_every_promise(old_kernel):
    seed = "known" if not old_kernel else str(random.randrange(10**9))
    print(soak(seed, CONVERGES, MINUTES, old_kernel))  # the seed is in the summary, and in the failure
