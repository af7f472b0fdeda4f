"""What all tests share: the lab's hosts, and projects to drill in."""

from __future__ import annotations

from hypothesis import settings

# How fast an example runs is for the benchmark to say: a busy machine makes nothing wrong.
settings.register_profile("remedy", deadline=None)
settings.load_profile("remedy")

pytest_plugins = ["tests.conftest_lab", "tests.conftest_drill"]
