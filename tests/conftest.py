"""What all tests share: the lab's hosts."""

from __future__ import annotations

pytest_plugins = ["tests.conftest_lab"]
