"""An inventory from one text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.inventory import Inventory, load

Make = Callable[..., Inventory]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a text as the only source, `hosts` unless named, and load it."""

    def work(text: str, name: str = "hosts") -> Inventory:
        (tmp_path / name).write_text(text)
        return load([name], root=tmp_path)

    return work
