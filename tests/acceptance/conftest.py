"""Projects to run commands in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.cli import PLAIN, Scene


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Iterator[Scene]:
    """A project in which nothing is wrong, whose hosts nobody may contact."""
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "project" / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    scene = Scene(folder)
    scene.write(PLAIN)
    yield scene
    scene.listener.close()
