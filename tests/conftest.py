"""What all tests share: the lab's hosts, and projects to drill in."""

from __future__ import annotations

import os

from hypothesis import settings

# How fast an example runs is for the benchmark to say: a busy machine makes nothing wrong.
settings.register_profile("remedy", deadline=None)
settings.load_profile("remedy")

# The processes that fill the history after each of a thousand runs would take the time of the tests; theirs ask for it.
os.environ["REMEDY_HISTORY_FILL"] = "later"
os.environ.pop("REMEDY_HISTORY_URL", None)

pytest_plugins = ["tests.conftest_lab", "tests.conftest_drill"]
