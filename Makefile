# SPDX-License-Identifier: GPL-3.0-or-later
#
# Works on a Debian or Ubuntu with git, make and python3; scripts/setup brings the rest. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(CURDIR)/.cache
COLLECTIONS := $(CACHE)/collections
INSTALLED := $(COLLECTIONS)/ansible_collections/linuxnet/netns/MANIFEST.json
# Directories too: their time changes when a file goes.
SOURCES := galaxy.yml ansible.cfg $(wildcard *.md LICENSE) \
    $(shell find meta plugins roles playbooks docs extensions -name __pycache__ -prune -o -print 2>/dev/null)

export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
# The tests and the demo run what a user would install: the tarball, not the checkout.
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export PYTHONPATH := $(COLLECTIONS)

# Tests at a time: each has hosts of its own, so they don't meet.
WORKERS ?= auto
# e.g. make unit PYTEST_ARGS='-k veth -x'
PYTEST_ARGS ?=
# FLEET_ARGS= runs all of them, those that take minutes or need an index of packages too.
FLEET_ARGS ?= -m 'not slow'
MOLECULE_ARGS ?= --all
# A minute for each harness.
FUZZ_ARGS ?=

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: setup
setup: ## install what is missing, here (.venv) and on the system
	@scripts/setup run test lint

.PHONY: demo
demo: setup-run build ## see it work: namespaces, NAT, forwards, and nothing left behind
	@scripts/demo

# The integration tests come last: pytest's closing line is the last of the output.
.PHONY: test
test: ## everything below that tells good from bad (root)
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory mutation MUTATION_ARGS=--fast
	@$(MAKE) --no-print-directory matrix MATRIX_ARGS=--fast
	@$(MAKE) --no-print-directory demo
	@$(MAKE) --no-print-directory molecule
	@$(MAKE) --no-print-directory fleet
	@$(MAKE) --no-print-directory integration

.PHONY: unit
unit: setup-test build ## tests without root
	@python -m pytest tests/unit -n $(WORKERS) $(PYTEST_ARGS)

.PHONY: integration
integration: setup-test build root ## tests against the kernel and nft (root)
	@python -m pytest tests/integration -n $(WORKERS) $(PYTEST_ARGS)

.PHONY: fleet
fleet: setup-fleet build root ## tests on hosts booted with systemd, over SSH (root; FLEET_ARGS='-k reboot')
	@python -m pytest tests/fleet -n $(WORKERS) $(FLEET_ARGS)

# Molecule would install this checkout itself, and keep its things in the user's home.
.PHONY: molecule
molecule: export ANSIBLE_HOME := $(CACHE)/ansible
molecule: setup-fleet build root ## scenarios of converging, breaking and repairing (root; MOLECULE_ARGS='-s router')
	@molecule test $(MOLECULE_ARGS)

.PHONY: lint
lint: setup-lint build ## style, types, documentation, ansible-test sanity
	@scripts/lint

.PHONY: mutation
mutation: setup-test build ## break the code, a line at a time, and see the tests notice (MUTATION_ARGS=--fast: without root)
	@python tests/mutation/run.py $(MUTATION_ARGS)

# The tests of that name do a part of it every time.
.PHONY: sabotage
sabotage: export LINUXNET_NETNS_SABOTAGE := everything
sabotage: setup-fleet build root ## let every single act of a run go wrong, in turn, and kill runs (root; half an hour or more)
	@python -m pytest tests/integration/test_sabotage.py tests/fleet/test_sabotage.py -n $(WORKERS) $(PYTEST_ARGS)

# An interpreter of its own: see scripts/fuzz.
.PHONY: fuzz
fuzz: build ## look for input that the code falls over (FUZZ_ARGS='--seconds 600 ledger')
	@scripts/fuzz $(FUZZ_ARGS)

.PHONY: soak
soak: setup-test build root ## 2,000 random converges after drift by hand, for most of an hour (root; SOAK_ARGS='--seed 7')
	@python tests/soak/soak.py $(SOAK_ARGS)

.PHONY: matrix
matrix: setup-test build root ## unit and integration tests on every Python and pyroute2 (root; MATRIX_ARGS=--fast)
	@python scripts/matrix --workers $(WORKERS) $(MATRIX_ARGS)

.PHONY: benchmark
benchmark: setup-test build root ## time against other ways to do it (root)
	@python tests/benchmark/topology_scale.py $(BENCHMARK_ARGS)

.PHONY: benchmark-fleet
benchmark-fleet: setup-benchmark build root ## time against other ways on a fleet (root; BENCHMARK_ARGS='--hosts 1')
	@python tests/benchmark/fleet.py $(BENCHMARK_ARGS)

.PHONY: build
build: setup-run $(INSTALLED) ## the tarball, installed into .cache/collections

# The lock: two makes in one checkout may not build at once.
$(INSTALLED): $(SOURCES)
	@mkdir -p $(CACHE)
	@flock $(CACHE)/build.lock scripts/build
	@touch $@

.PHONY: changelog
changelog: setup-lint build ## bring CHANGELOG.md up to date from changelogs/fragments
	@scripts/lint update-changelog

.PHONY: clean
clean: ## remove all that these targets made in the checkout
	rm -rf .venv .cache .ansible .hypothesis tests/output

.PHONY: setup-run setup-test setup-lint setup-fleet setup-benchmark
setup-run setup-test setup-lint setup-fleet setup-benchmark: setup-%:
	@scripts/setup $*

.PHONY: root
root:
	@[ "$$(id -u)" -eq 0 ] || { echo "make: this needs root: network namespaces are made and removed" >&2; exit 1; }
