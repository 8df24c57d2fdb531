# PDFed: `make demo` and `make test` are all one needs; `make help` lists the rest.
# Needs Python 3.11 and Node 20 on PATH, and pip and npm that reach their registries. Everything else lands in this folder.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ROOT := $(CURDIR)
PY := .venv/bin/python
SOLC_VERSION := 0.8.37
SOLC := .solc/solc-v$(SOLC_VERSION)
SOURCES := $(shell find contracts interfaces -name '*.sol' 2>/dev/null)

# One thread a process: the processes are many and the cores few. Brownie reads HOME for its data, so it gets its own.
export OMP_NUM_THREADS ?= 1
export PYTHONNOUSERSITE := 1
export SOLCX_BINARY_PATH := $(ROOT)/.solc
export PATH := $(ROOT)/node_modules/.bin:$(ROOT)/.venv/bin:$(or $(PATH),/usr/local/bin:/usr/bin:/bin)
PRIVATE := HOME="$(ROOT)/build/home"

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

# --- set-up ----------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: .venv/.installed node_modules/.installed build/.compiled  ## Python environment, node tools, compiled contracts

.venv/.installed: pyproject.toml .ci/constraints.txt scripts/toolchain/check_versions.sh
	python=$$(scripts/toolchain/check_versions.sh); \
	$(PY) -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear .venv
	@# torch is named with exactly its pin so that a small CPU build is taken where one is offered
	$(PY) -m pip install --quiet --constraint .ci/constraints.txt 'torch==2.13.0' --editable '.[dev]'
	touch $@

node_modules/.installed: package.json package-lock.json scripts/toolchain/check_versions.sh
	scripts/toolchain/check_versions.sh >/dev/null
	npm ci --ignore-scripts --no-audit --no-fund
	touch $@

$(SOLC):
	mkdir -p .solc
	ln -sfn ../scripts/toolchain/solc.js $@

web/node_modules/.installed: web/package.json web/package-lock.json scripts/toolchain/check_versions.sh
	scripts/toolchain/check_versions.sh >/dev/null
	cd web && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

build/.compiled: .venv/.installed node_modules/.installed brownie-config.yaml $(SOURCES) | $(SOLC)
	$(PY) scripts/toolchain/compile.py
	touch $@

.PHONY: fingerprint
fingerprint: setup  ## train the shipped fingerprinter and verifier again (minutes)
	$(PY) -m pdfed_sdk.ml.copies.train_shipped

.PHONY: fingerprint-large
fingerprint-large: setup  ## train a larger one on a GPU; writes out/fingerprint-large.safetensors
	$(PY) -m pdfed_sdk.ml.copies.train_shipped --large --device cuda --out out/fingerprint-large.safetensors

# --- run -------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup  ## a federation of real nodes trains, scores and pays; writes runs/demo/
	.venv/bin/pdfed demo

# --- checks ----------------------------------------------------------------------------------------------------------

PYTEST := $(PRIVATE) $(PY) -m pytest

.PHONY: test
test: setup lint web/node_modules/.installed  ## all checks and tests, in two workers (WORKERS=n)
	cd web && npm test
	$(PYTEST) tests -n $(or $(WORKERS),2) --dist loadfile --no-loadscope-reorder --durations=40

.PHONY: test-contracts
test-contracts: setup  ## contracts on a real local chain: unit, stateful, gas
	$(PYTEST) tests/contracts

.tools/halmos/.installed: tests/contracts/forge/proofs/requirements.txt scripts/toolchain/check_versions.sh
	python=$$(scripts/toolchain/check_versions.sh); "$$python" -m venv --clear .tools/halmos
	.tools/halmos/bin/python -m pip install --quiet --requirement $<
	touch $@

.PHONY: prove
prove: setup .tools/halmos/.installed  ## proofs of the pure maths by symbolic execution; rewrites docs/audit/proofs.md
	.tools/halmos/bin/python tests/contracts/forge/proofs/prove.py

.PHONY: prove-planted
prove-planted: setup .tools/halmos/.installed  ## each proof fails under a bug planted for it, or fail
	.tools/halmos/bin/python tests/contracts/forge/proofs/prove.py --planted

.PHONY: test-forge-deep
test-forge-deep: setup  ## long campaigns of the forge handlers (RUNS=n); rewrites docs/audit/handlers.json
	$(PY) tests/contracts/forge/campaign.py --deep $(if $(RUNS),--runs $(RUNS))

.PHONY: test-forge-planted
test-forge-planted: setup  ## planted bugs, each noticed by a forge handler, or fail; docs/audit/handlers-planted.json
	$(PY) tests/contracts/forge/campaign.py --planted

.PHONY: simulate
simulate: setup  ## attacks on the rules of money, and voters' pay on the real contracts; docs/audit/{contribution,voter-pay}.md
	$(PY) -m scripts.simulation
	PYTHONPATH=tests/contracts $(PRIVATE) $(PY) -m support.simulation 3000

.PHONY: test-deep
test-deep: setup  ## 200,000 transactions of the property tests and more (SEED=n for the same again); docs/audit/deep-run.*
	$(PRIVATE) PYTHONPATH=tests/contracts:. $(PY) -m stateful.deep $(if $(SEED),--seed $(SEED))

.PHONY: test-sdk
test-sdk: setup  ## chain, artifacts, node, CLI, demo
	$(PYTEST) tests/chain tests/artifacts tests/audit tests/node tests/cli tests/demo tests/examples

.PHONY: test-web
test-web: setup web/node_modules/.installed  ## the page: its units, its server, every view in a headless browser
	cd web && npm test
	$(PYTEST) tests/watch tests/web

.PHONY: page
page: setup web/node_modules/.installed  ## build the page of `pdfed watch` from web/ into pdfed_sdk/watch/static
	cd web && npm run build
	$(PY) scripts/page.py

.PHONY: screenshots
screenshots: setup web/node_modules/.installed  ## pictures of every view of a small federation into docs/img (minutes)
	$(PY) tests/web/screenshots.py

.PHONY: test-ml
test-ml: setup  ## data, training, scoring
	$(PYTEST) tests/ml

.PHONY: test-lora
test-lora: setup  ## adapters of text-to-image models: family, averaging, captions, node, manifest, examples, page
	$(PYTEST) tests/ml/test_lora.py tests/ml/test_family.py tests/node/test_adapters.py tests/node/test_adapter_task.py tests/node/test_withdrawal.py \
	  tests/artifacts/test_base_ingredient.py tests/examples/test_lora_example.py tests/documents/test_text_to_image.py

.PHONY: test-docs
test-docs: setup  ## the documents: every command block and example, paths, links, rules, parameters
	$(PYTEST) tests/documents

.PHONY: test-e2e
test-e2e: setup  ## set-up, scripts, and a short federation of real processes
	$(PYTEST) tests/e2e

.PHONY: test-fuzz
test-fuzz: setup  ## mutated packages, configurations, cards and join files: 100,000 inputs (INPUTS=n SEED=n)
	$(PY) -m tests.support.fuzzing --inputs $(or $(INPUTS),100000) --seed $(or $(SEED),0)

.PHONY: test-chaos
test-chaos: setup  ## a node killed at every step, chain and store misbehaving: same books as undisturbed, or fail
	$(PY) -m tests.support.chaos

.PHONY: test-hosts
test-hosts: setup  ## a federation on three hosts of its own, one of them cut off: same books, or fail (root, Linux)
	$(PY) -m tests.support.hosts

.PHONY: test-wheel
test-wheel: setup  ## build the wheel, install it alone into a fresh environment with the newest libraries, use it
	$(PY) scripts/toolchain/check_wheel.py

.PHONY: lint
lint: setup  ## style, types, import rules, generated files
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	node_modules/.bin/forge fmt --check contracts interfaces
	$(PY) scripts/export_abi.py --check
	$(PY) scripts/page.py --check

.PHONY: coverage-contracts
coverage-contracts: setup  ## both outcomes of every branch of the contracts taken by the unit tests, or fail (3 min)
	$(PRIVATE) $(PY) scripts/quality/coverage.py

.PHONY: mutation
mutation: setup  ## are small wrong changes of the contracts noticed? a seeded sample; 95 % killed, or fail
	$(PRIVATE) $(PY) scripts/quality/mutation.py

.PHONY: planted
planted: setup  ## which layer of tests notices each planted bug? MINUTES=n for a seeded part; docs/audit/planted.*
	$(PRIVATE) $(PY) scripts/quality/planted.py $(if $(MINUTES),--minutes $(MINUTES))

.tools/slither/.installed: scripts/quality/slither.txt
	python=$$(scripts/toolchain/check_versions.sh); "$$python" -m venv --clear .tools/slither
	.tools/slither/bin/python -m pip install --quiet --requirement $<
	touch $@

.PHONY: slither
slither: setup .tools/slither/.installed  ## static analysis in an environment of its own; each finding answered, or fail
	$(PY) scripts/quality/slither.py

# --- tidy ------------------------------------------------------------------------------------------------------------

.PHONY: clean
clean:  ## remove what was built, keep what was installed
	rm -rf build out cache dist runs reports .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: distclean
distclean: clean  ## remove everything that is not in git's care
	rm -rf .venv .tools node_modules web/node_modules .solc pdfed_sdk.egg-info
