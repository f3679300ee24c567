# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The soak test (tests/soak), cut short: the same random steps every time, and some that nobody has seen before."""

from __future__ import annotations

import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

from soak import soak

#: Of each of the two, or as many as fit into the time on a machine that has other things to do.
CONVERGES, MINUTES = 20, 0.15


@pytest.mark.parametrize(
    ("seed", "old_kernel"),
    [("known", False), ("known as well", True)],
    ids=["as it is", "without force_forwarding"],
)
def test_random_converges_after_random_drift_keep_every_promise(seed, old_kernel):
    # The same every time, so that a failure is the change's and not chance's: `make soak` looks further.
    print(soak(seed, CONVERGES, MINUTES, old_kernel))  # the seed is in the summary, and in the failure
