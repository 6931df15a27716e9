# GNU make; recipes are POSIX sh. `make` alone lists the targets.
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# With it each of the several hundred `omnigate` that the tests start would compile itself and its libraries anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
READY := .venv/.ready

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo '  Arguments for the program behind a target: make test ARGS="-k spool", make run ARGS="--workers 2"'

.PHONY: setup
setup: $(READY) ## create .venv with everything in it
	@echo 'setup: .venv is ready'

$(READY): pyproject.toml uv.lock .ci/setup.sh
	@sh .ci/setup.sh

.PHONY: run
run: $(READY) ## start the gateway on the embedded default, print the URLs to open
	@$(BIN)/omnigate init
	@exec $(BIN)/omnigate run $(ARGS)

.PHONY: test
test: $(READY) ## run all tests, against real servers on private ports
	@sh .ci/packages.sh redis-server=redis-server rabbitmq-server=rabbitmq-server erl_call=erlang-base setpriv=util-linux swaks=swaks dovecot=dovecot-core /usr/lib/dovecot/imap=dovecot-imapd chromium=chromium \
		sipp=sip-tester kamailio=kamailio faketime=faketime
	@$(BIN)/pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: bench
bench: $(READY) ## measure the gateway beside straightforward Python and Node.js scripts
	@sh .ci/packages.sh redis-server=redis-server rabbitmq-server=rabbitmq-server erl_call=erlang-base wrk=wrk node=nodejs npm=npm sipp=sip-tester kamailio=kamailio
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: lint style types layers dead spelling deps budgets
lint: style types layers dead spelling deps budgets ## every static check (make -k lint goes on after the first failure)

style: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) ## mypy, strict
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

dead: $(READY)
	$(BIN)/vulture

spelling: $(READY)
	$(BIN)/codespell

deps: $(READY)
	$(BIN)/deptry .

budgets: $(READY)
	$(BIN)/pytest -q -p no:randomly tests/unit/test_budgets.py

.PHONY: docs
docs: $(READY) ## write the generated documents in config/
	$(BIN)/python -m gateway.settings.reference

.PHONY: widget
widget: $(READY) ## put the chat widget together from connectors/chat/widget
	$(BIN)/python -m connectors.chat.widget

.PHONY: screenshots
screenshots: $(READY) ## pictures of the chat widget and the agent console, into var/screenshots
	@sh .ci/packages.sh chromium=chromium -=fonts-noto-core -=fonts-noto-cjk
	@$(BIN)/python -m tests.screenshots var/screenshots

.PHONY: autobahn
autobahn: $(READY) ## the Autobahn test suite against the web chat; needs a Python 2.7 (PYTHON2=...)
	@$(BIN)/python -m tests.autobahn $(ARGS)

.PHONY: clean
clean: ## remove what was built and installed; data in var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist .coverage
	rm -rf tests/bench/peers/node_modules tests/bench/peers/haraka/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
