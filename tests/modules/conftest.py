"""Fixtures for the tests of modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.modules.harness import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A host, and a control machine whose files are in the folder `control`."""
    folder = tmp_path / "control"
    folder.mkdir()
    return Bench(folder)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the host that tests work in."""
    folder = tmp_path / "host"
    folder.mkdir()
    return folder
