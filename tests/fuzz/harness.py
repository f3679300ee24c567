# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the harnesses have in common: the engine made to tell which branches it takes, a corpus, and the loop."""

from __future__ import annotations

import pathlib
import sys

import atheris

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))

with atheris.instrument_imports(include=["ansible_collections.linuxnet.netns"]):
    import readers  # noqa: F401  # with it, all that is read
    import test_hostile_answers  # noqa: F401
    import test_hostile_ledger  # noqa: F401


def fuzz(target, seeds=()):
    """Call *target* with ever more bytes, until libFuzzer's arguments on the command line say that it is enough."""
    corpus = next((pathlib.Path(word) for word in sys.argv[1:] if pathlib.Path(word).is_dir()), None)
    for number, seed in enumerate(seeds if corpus else ()):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


def text_of(data):
    """Bytes as the file door reads them."""
    return data.decode("utf-8", "surrogateescape")
