"""What all tests share: the lab's hosts, and projects to drill in."""

from __future__ import annotations

pytest_plugins = ["tests.conftest_lab", "tests.conftest_drill"]
