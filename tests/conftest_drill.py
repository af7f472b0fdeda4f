"""Projects to drill in; loaded as a plugin by tests/conftest.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.lab import Host, Lab
from tests.drill.rehearsing import Rehearser


@pytest.fixture
def rehearser(tmp_path: Path) -> Rehearser:
    """A project with the runbook `flag` and its drill."""
    return Rehearser(tmp_path)


@pytest.fixture
def staging(lab: Lab, lab_host: Host, rehearser: Rehearser) -> Rehearser:
    """That project with one marked host that is there already."""
    rehearser.static(lab, lab_host)
    return rehearser
