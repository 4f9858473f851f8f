# guardrails: every target sets up what it needs first, once, and again when its inputs change.
# `make demo` and `make test` are the two to begin with; `make help` lists them all.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
AGENTDOJO_VENV := .venv-agentdojo
BENCH_VENV := .tools/bench
PEERS_VENV := .tools/peers
OUTSIDE_VENV := .tools/outside
# Each host has its own environment, since some of them exclude each other.
ADAPTER_VENVS := .tools/adapters
ADAPTERS ?= $(patsubst requirements/adapters/%.in,%,$(wildcard requirements/adapters/*.in))

# Processes that share the tests, file by file.
WORKERS ?= auto

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The reference OPA, where there is one: $OPA if it is set, else what `make opa` put here.
ifneq ($(wildcard .tools/opa),)
OPA ?= $(CURDIR)/.tools/opa
endif
export OPA

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# ---------------------------------------------------------------------------------------- see it

.PHONY: demo
demo: $(VENV)/.stamp ## agents at work under policy, in about 45 seconds
	@$(BIN)/guardrails demo $(ARGS)

.PHONY: demo-agentdojo
demo-agentdojo: $(AGENTDOJO_VENV)/.stamp ## AgentDojo's banking suite, hijacked in every pair, under policy
	@$(AGENTDOJO_VENV)/bin/python examples/agentdojo_banking.py $(ARGS)

# -------------------------------------------------------------------------------------- check it

.PHONY: test
test: $(VENV)/.stamp ## the tests, on every core (ARGS="-k name" goes to pytest; WORKERS=0 for one process)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: check
check: lint types layers test ## everything that has to hold before a change is taken

.PHONY: lint
lint: $(VENV)/.stamp ## formatting and ruff's rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.PHONY: types
types: $(VENV)/.stamp ## mypy, strict
	$(BIN)/mypy

.PHONY: layers
layers: $(VENV)/.stamp ## imports point down
	$(BIN)/lint-imports --no-cache

.PHONY: soak
soak: $(VENV)/.stamp ## the tests with the long campaigns in full
	GUARDRAILS_SOAK=1 $(BIN)/python -m pytest --timeout 3600 $(ARGS)

.PHONY: conformance
conformance: $(VENV)/.stamp ## what passes of OPA's own test cases
	$(BIN)/python -m tests.conformance.report $(ARGS)

.PHONY: parity
parity: $(VENV)/.stamp ## 20,400 generated calls: this engine decides what a real OPA server decides
	$(BIN)/python -m tests.parity.campaign $(ARGS)

.PHONY: test-adapters
test-adapters: $(ADAPTERS:%=$(ADAPTER_VENVS)/%/.stamp) $(if $(filter temporal,$(ADAPTERS)),.tools/temporal) ## the adapters inside their real hosts, as a matrix (ADAPTERS="mcp")
	@scripts/test-adapters.sh "$(ADAPTER_VENVS)" "$(ADAPTERS)" $(ARGS)

# ---------------------------------------------------------------------------------------- measure it

.PHONY: bench
bench: $(BENCH_VENV)/.stamp $(PEERS_VENV)/.pins ## all measurements, on a quiet machine; writes the results, README's table, the plots
	$(BENCH_VENV)/bin/python -m benchmarks $(ARGS)

.PHONY: bench-quick
bench-quick: $(BENCH_VENV)/.stamp $(PEERS_VENV)/.pins ## the gates alone, in few rounds: fails where one does
	$(BENCH_VENV)/bin/python -m benchmarks --quick --gates $(ARGS)

.PHONY: bench-peers
bench-peers: $(BENCH_VENV)/.stamp $(PEERS_VENV)/.pins ## decisions and whole calls beside other engines and SDKs
	$(BENCH_VENV)/bin/python -m benchmarks --only peers --only peer-calls --only sidecar $(ARGS)

.PHONY: bench-profile
bench-profile: $(BENCH_VENV)/.stamp ## where the time of a governed call goes, step by step
	$(BENCH_VENV)/bin/python -m benchmarks.profile

.PHONY: bench-report
bench-report: $(BENCH_VENV)/.stamp ## write README's table, the results' page and the plots anew, from benchmarks/results.json
	$(BENCH_VENV)/bin/python -m benchmarks.report $(ARGS)

# --------------------------------------------------------------------------------------- work on it

.PHONY: setup
setup: $(VENV)/.stamp ## the development environment in .venv

.PHONY: format
format: $(VENV)/.stamp ## rewrite the code in its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

.PHONY: opa
opa: ## the reference OPA at .tools/opa (from $OPA, PATH, Go or its release)
	@scripts/opa.sh .tools/opa

.tools/temporal:
	@scripts/temporal.sh $@

.PHONY: outside
outside: $(OUTSIDE_VENV)/.pins ## programs of others that some tests run: pre-commit, schemas of manifests

.PHONY: lock
lock: ## resolve the pinned dependencies anew (ARGS="--upgrade" for newer ones)
	@scripts/lock.sh "$$(scripts/python.sh)" $(ARGS)

.PHONY: clean
clean: ## remove environments, tools and caches
	rm -rf $(VENV) $(AGENTDOJO_VENV) .tools dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made from nothing whenever its pins change, so that it holds exactly them.
# pip comes first: the one that Python brings may be years old, and four times slower here.
# Bytecode is left to the first import: most of what is installed is never imported.
$(VENV)/.pins: requirements/dev.txt
$(AGENTDOJO_VENV)/.pins: requirements/agentdojo.txt
$(BENCH_VENV)/.pins: requirements/bench.txt
$(PEERS_VENV)/.pins: requirements/peers.txt
$(OUTSIDE_VENV)/.pins: requirements/outside.txt
$(foreach name,$(ADAPTERS),$(eval $(ADAPTER_VENVS)/$(name)/.pins: requirements/adapters/$(name).txt))
%/.pins: requirements/pip.txt
	@python="$$(scripts/python.sh)"; \
	pins="$(filter-out $<,$^)"; \
	echo "setting up $* with $$("$$python" --version), $$pins"; \
	"$$python" -m venv --clear $*; \
	$*/bin/python -m pip install --quiet --require-hashes --no-deps --requirement $<; \
	$*/bin/python -m pip install --quiet --no-compile --require-hashes --no-deps --requirement "$$pins"
	@touch $@

# The package itself is editable: only a change of its metadata installs it again.
%/.stamp: %/.pins pyproject.toml
	@$*/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PRECIOUS: %/.pins
