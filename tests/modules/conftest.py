"""Fixtures for the tests of modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.modules.certificates import self_signed
from tests.modules.harness import Bench
from tests.modules.holding import Holding

from remedy.modules.target import _holders


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


@pytest.fixture
def hold(tmp_path):
    """Start processes that hold files of this test's folder: hold("app.log", flags, extra="map")."""
    holding = []

    def start(name, *args, **given):
        holding.append(Holding(tmp_path / name, *args, **given))
        return holding[-1]

    yield start
    for each in holding:
        each.end()


@pytest.fixture
def seen(monkeypatch):
    """Leave out processes that even root cannot look into, where the tests' machine has such."""
    every = _holders._pids()
    hidden = {pid for pid in every if not _visible(pid)}
    monkeypatch.setattr(_holders, "_pids", lambda: [pid for pid in _LISTED() if pid not in hidden])


_LISTED = _holders._pids


def _visible(pid):
    try:
        Path(f"/proc/{pid}/fd/0").readlink()
    except PermissionError:
        return False
    except OSError:
        pass
    return True


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of db.example, and its key beside it in the same file."""
    return self_signed(tmp_path_factory.mktemp("tls") / "both.pem")
