# Every target installs what it needs first; CI runs these same targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help venv test drills soak lint types docs demo bench clean
help:            ## list the targets
	@echo "usage: make TARGET"
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ /' | while read -r target what; do \
	    printf '  %-8s %s\n' "$$target" "$$what"; done
	@echo "PYTHON=python3.12 makes the environment with another Python (3.11 or newer)."

$(BIN)/.ready: pyproject.toml scripts/venv
	@scripts/venv $(VENV) $(PYTHON)

venv: $(BIN)/.ready  ## a virtual environment with remedy and its tools, in .venv

test: venv       ## all tests, on real lab hosts (root on Linux), at most 15 minutes
	@scripts/test

drills: venv     ## every drill: break real hosts, heal them, prove it (root on Linux)
	@scripts/drills

soak: venv       ## what takes longer: guests under QEMU, every cut, waiting (root on Linux)
	@scripts/soak

lint: venv       ## ruff, import-linter, vermin
	@scripts/lint

types: venv      ## mypy, strict
	@$(BIN)/mypy

docs: venv       ## write the modules' pages (docs/modules) anew
	@$(BIN)/python scripts/module_pages.py

demo: venv       ## boot two lab hosts whose disks are full, and heal them (root on Linux)
	@scripts/demo

bench: venv      ## speed and cost against ansible, pyinfra and a bare program
	@$(BIN)/python -m bench

clean:           ## end the lab and remove the virtual environment
	@-$(BIN)/remedy lab down
	@rm -rf $(VENV)
