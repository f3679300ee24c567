# Copyright: linuxnet.netns contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""pyroute2's message classes, without the rest of pyroute2.

``import pyroute2`` loads all it has (its network database, asyncio, an HTTP server...): a third of the processor time
that a module spends on a changed host. The classes that encode messages need a fifth of that.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from ..errors import SystemRefused

_PACKAGE = "pyroute2"
#: What we call a message, and the module of pyroute2 that has a class of that module's name.
_CLASSES = {"link": "ifinfmsg", "address": "ifaddrmsg", "route": "rtmsg", "rule": "fibmsg", "neighbour": "ndmsg"}


def message_classes() -> dict[str, Any]:
    """Classes by shape: link, address, route, rule, neighbour. SystemRefused without pyroute2."""
    if _loaded():
        return _classes()
    sys.modules[_PACKAGE] = _bare_package()
    try:
        return _classes()
    except ModuleNotFoundError:
        _forget()
        # Before 0.7 the package is a facade that has to be run: its modules are elsewhere, and aliased.
        importlib.import_module(_PACKAGE)
        return _classes()
    finally:
        # Whoever shares this interpreter (Mitogen) finds pyroute2 as if nobody had touched it.
        _forget()


def _classes() -> dict[str, Any]:
    modules = {shape: importlib.import_module(f"pyroute2.netlink.rtnl.{name}") for shape, name in _CLASSES.items()}
    return {shape: getattr(module, _CLASSES[shape]) for shape, module in modules.items()}


def _forget() -> None:
    for name in _loaded():
        del sys.modules[name]


def _loaded() -> list[str]:
    return [name for name in sys.modules if name == _PACKAGE or name.startswith(_PACKAGE + ".")]


def _bare_package() -> ModuleType:
    """The package, so that its modules are found, but not run."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise SystemRefused("this Python has no pyroute2")
    return importlib.util.module_from_spec(spec)
