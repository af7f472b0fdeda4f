# Every target installs what it needs first; CI runs these same targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help venv test lint types demo bench clean
help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/.ready: pyproject.toml scripts/venv
	@scripts/venv $(VENV) $(PYTHON)

venv: $(BIN)/.ready  ## a virtual environment with remedy and its tools

test: venv       ## all tests, on real lab hosts (root on Linux), at most 15 minutes
	@scripts/test

lint: venv       ## ruff, import-linter, vermin
	@scripts/lint

types: venv      ## mypy, strict
	@$(BIN)/mypy

demo: venv       ## boot a lab host whose log disk is full, and heal it
	@scripts/demo

bench: venv      ## speed and cost against ansible, pyinfra and a bare program
	@$(BIN)/python -m bench

clean:           ## stop the lab and remove what was built here
	@-$(BIN)/remedy lab down
	@rm -rf $(VENV)
