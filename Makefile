# Vigil's verbs. Each one sets up what it needs first; a second run starts in seconds.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# A stamp lies in what it speaks of, and carries the hash of what that was made from: another lock, another stamp; an
# environment that was thrown away takes its stamps with it.
hash = $(shell cat $(1) 2>/dev/null | sha256sum | cut -c1-12)
RUN_STAMP := .venv/run-$(call hash,requirements.lock pyproject.toml)
DEV_STAMP := .venv/dev-$(call hash,requirements-dev.lock pyproject.toml)
NPM_STAMP := node_modules/vigil-$(call hash,package-lock.json)

# What the tests use from Debian, and only they: RTSP cameras made of GStreamer, H.264 files made by ffmpeg, a witness
# of system calls, a reader of PDF, another user to be, what Playwright's driver links to. NAME=PACKAGE: any such command will do.
TEST_PACKAGES := ffmpeg=ffmpeg strace=strace pdftotext=poppler-utils setpriv=util-linux node=nodejs npm=npm \
	python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly fonts-dejavu-core libatomic1

.PHONY: help setup setup-test test-packages demo test lint format bench lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(RUN_STAMP) ## .venv with what Vigil runs on
	@:

$(RUN_STAMP):
	@sh tools/setup-venv.sh requirements.lock
	@rm -f .venv/run-* && touch $@

setup-test: $(RUN_STAMP) $(DEV_STAMP) test-packages $(NPM_STAMP) ## … and what its tests need
	@sh tools/need-browser.sh

test-packages: # looks, and installs only what is missing
	@sh tools/need-apt.sh $(TEST_PACKAGES)

$(DEV_STAMP): | $(RUN_STAMP)
	@sh tools/setup-venv.sh requirements-dev.lock
	@rm -f .venv/dev-* && touch $@

$(NPM_STAMP): | test-packages
	@echo "set-up: installing the TypeScript checker from npm"
	@npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

demo: setup ## four synthetic cameras and a call button each, on this machine
	@$(BIN)/vigil demo

test: lint ## everything that must hold, lint first
	@sh tools/run-tests.sh $(BIN)/python

lint: setup-test ## style, types, the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@node_modules/.bin/tsc --noEmit -p tsconfig.json

format: setup-test ## put style right where a machine can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup-test ## CPU a packet, memory a viewer, time to the first picture: printed, not judged
	@$(BIN)/python -m tests.bench

LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile pyproject.toml --quiet --universal \
	--python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-index-url --group build

lock: setup-test ## write both locks anew from pyproject.toml (names, versions and hashes; no addresses)
	@$(LOCK) --upgrade -o requirements.lock
	@$(LOCK) --upgrade --group dev --extra onvif -c requirements.lock -o requirements-dev.lock

clean: ## remove all that the other verbs made here
	@rm -rf .venv node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
