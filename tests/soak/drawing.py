# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strategies of the unit tests, drawn from by a seed, without a test around it."""

from __future__ import annotations

import itertools
import os

#: Hypothesis varies within a batch what it has drawn in it, and begins with the simplest there is.
_BATCH = 40


def draws(strategy, seed, random):
    """What *strategy* makes of *seed*, without end and in an order of *random*'s; the same seed gives the same."""
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.devnull)  # nothing is kept
    import hypothesis

    settings = hypothesis.settings(
        max_examples=_BATCH,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    for batch in itertools.count():
        found = []
        collect = settings(hypothesis.given(strategy)(_collector(found)))
        hypothesis.seed("%s %d" % (seed, batch))(collect)()
        random.shuffle(found)
        yield from found


def _collector(found):
    def collect(item):
        found.append(item)

    return collect
