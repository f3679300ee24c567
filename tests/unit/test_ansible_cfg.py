# Copyright: linuxnet.netns contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ansible.cfg for operators: no line of it is unknown to Ansible, or says what is the default anyway."""

from __future__ import annotations

import configparser
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "ansible.cfg"


def ansible_config(config, *words):
    """Run ansible-config with that file and no other setting."""
    beside = str(pathlib.Path(sys.executable).parent)
    search = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    program = shutil.which("ansible-config", path=search)
    if program is None:
        # The Pythons of managed nodes have none; a controller's always does.
        assert sys.version_info < (3, 11), "ansible-config is missing"
        pytest.skip("this Python is no controller's")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment.update(ANSIBLE_CONFIG=str(config), ANSIBLE_NOCOLOR="1", ANSIBLE_DEPRECATION_WARNINGS="0", PATH=search)
    return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=False)


def options(tree):
    """(name, places in a file) of all options in the output of `ansible-config list`, those of plugins too."""
    for name, found in tree.items():
        # There is a plugin called ini, as well.
        if isinstance(found, dict) and isinstance(found.get("ini"), list):
            yield name, found["ini"]
        elif isinstance(found, dict):
            yield from options(found)


def values(tree, path=()):
    """((plugin, ..., name), value, origin) of all options in the output of `ansible-config dump`."""
    if isinstance(tree, dict) and "origin" in tree:
        yield (*path, tree["name"]), tree["value"], tree["origin"]
    elif isinstance(tree, dict):
        for name, part in tree.items():
            yield from values(part, (*path, name))
    elif isinstance(tree, list):
        for part in tree:
            yield from values(part, path)


def dump(config):
    return values(json.loads(ansible_config(config, "dump", "-t", "all", "--format", "json").stdout))


def lines(config):
    parser = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None)
    parser.read(config)
    return [(section, key) for section in parser.sections() for key in parser[section]]


def without_effect(config, tmp_path):
    """The lines of that file that are unknown, or equal to the default."""
    names = {}
    for name, places in options(json.loads(ansible_config(config, "list", "-t", "all", "--format", "json").stdout)):
        for place in places:
            names.setdefault((place["section"], place["key"]), set()).add(name)
    # "--only-changed" would tell what is set, be it to the default.
    nothing = tmp_path / "nothing.cfg"
    nothing.write_text("")
    defaults = {path: value for path, value, _origin in dump(nothing)}
    effective = {
        path[-1] for path, value, origin in dump(config) if origin == str(config) and value != defaults.get(path)
    }
    return [line for line in lines(config) if not names.get(line, set()) & effective]


def test_ansible_knows_every_line():
    done = ansible_config(CONFIG, "validate", "-t", "all")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_line_has_an_effect(tmp_path):
    assert len(lines(CONFIG)) >= 9
    assert without_effect(CONFIG, tmp_path) == []


def test_the_check_itself(tmp_path):
    """Settings that blogs still have, and defaults, are found."""
    config = tmp_path / "ansible.cfg"
    text = CONFIG.read_text().replace("forks = 50", "forks = 5\ngather_subset = !all\ncallback_whitelist = timer")
    config.write_text(text.replace("retries = 2", "retries = 0"))
    assert without_effect(config, tmp_path) == [
        ("defaults", "forks"),
        ("defaults", "gather_subset"),
        ("defaults", "callback_whitelist"),
        ("connection", "retries"),
    ]
    done = ansible_config(config, "validate", "-t", "all")
    assert done.returncode == 1 and "gather_subset" in done.stderr and "callback_whitelist" in done.stderr
