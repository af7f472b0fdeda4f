"""The history that schedules are kept in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remedy.history import Database, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(tmp_path / "state")
    yield found
    found.close()
