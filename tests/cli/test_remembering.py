"""A run never waits for the history, nor fails with it: it is filled behind its back, and holds no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.template import encrypt

SECRET = "Tr0ub4dor&3-of-the-vault"
IMPORTED = """
import sys
from remedy.cli import _run
code = _run(sys.argv[1:])
print(code, sorted({"sqlalchemy", "alembic", "remedy.history"} & sys.modules.keys()), file=sys.stderr)
"""

PLAY = """
- hosts: all
  gather_facts: false
  diagnose:
    - disk_usage: {paths: [/]}
    - finding: {id: told, severity: P2, title: "{{ secret }} is out", evidence: "{{ secret }}"}
  tasks:
    - copy: {dest: "{{ folder }}/{{ secret }}.txt", content: "{{ secret }}", mode: "0600"}
      no_log: true
    - command: echo {{ secret }}
    - copy: {dest: "{{ folder }}/key-{{ secret }}", content: "{{ secret }}"}
      name: Write {{ secret }}
  verify:
    - fail: {msg: "not with {{ secret }}"}
"""

Remedy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def remedy(tmp_path: Path) -> Remedy:
    """Run remedy in a folder and with a state folder of the test's own; the history is filled as for a user."""
    environment = {**os.environ, "REMEDY_STATE": str(tmp_path / "state")}
    del environment["REMEDY_HISTORY_FILL"]

    def run(*arguments: str, program: str = "from remedy.cli import main; main()", **more: str) -> object:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True, text=True, cwd=tmp_path, env={**environment, **more}, timeout=120,
        )  # fmt: skip

    return run  # type: ignore[return-value]


def ping(remedy: Remedy, **more: str) -> subprocess.CompletedProcess[str]:
    return remedy("run", "all", "-i", "here,", "-c", "local", "-m", "ping", **more)


def until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not met():
        assert time.monotonic() < end
        time.sleep(0.1)


def filled(state: Path) -> int:
    """Return how many runs the history holds, without filling it."""
    from sqlalchemy import func, select

    from remedy.history import open_database, tables

    if not (state / "history.db").exists():
        return 0
    database = open_database(state)
    with database.reading() as connection:
        number = connection.execute(select(func.count()).select_from(tables.runs)).scalar_one()
    database.close()
    return int(number)


@pytest.mark.parametrize("arguments", [["--help"], ["play", "--help"], ["history", "--help"]])
def test_help_does_not_pay_for_the_database(remedy: Remedy, arguments: list[str]) -> None:
    assert remedy(*arguments, program=IMPORTED).stderr.splitlines()[-1] == "0 []"


def test_neither_does_a_run_and_it_is_in_the_history_soon(remedy: Remedy, tmp_path: Path) -> None:
    done = remedy("run", "all", "-i", "here,", "-c", "local", "-m", "ping", program=IMPORTED)
    assert done.stderr.splitlines() == ["0 []"]
    until(lambda: filled(tmp_path / "state") == 1)


def test_later_leaves_it_to_who_asks(remedy: Remedy, tmp_path: Path) -> None:
    assert ping(remedy, REMEDY_HISTORY_FILL="later").returncode == 0
    time.sleep(1)
    assert not (tmp_path / "state/history.db").exists()
    assert " ping " in remedy("history").stdout
    assert filled(tmp_path / "state") == 1


def test_a_run_does_not_wait_for_a_server_that_is_away_and_the_next_one_says_it(
    remedy: Remedy, tmp_path: Path
) -> None:
    away = {"REMEDY_HISTORY_URL": "postgresql://ops:s3cret@127.0.0.1:9/history"}
    done = ping(remedy, **away)
    assert (done.returncode, done.stderr) == (0, "")
    until((tmp_path / "state/history.trouble").exists)
    done = ping(remedy, REMEDY_HISTORY_FILL="", **away)
    assert done.returncode == 0
    assert done.stderr.startswith(
        "warning: an earlier run is not in the history yet: the history database postgresql://ops:***@127.0.0.1:9/history"
    )
    assert "s3cret" not in done.stderr
    assert len(remedy("history").stdout.splitlines()) == 2


def test_a_database_that_a_typo_has_made_is_told_by_the_next_run(remedy: Remedy, tmp_path: Path) -> None:
    typo = {"REMEDY_HISTORY_URL": f"sqlite:///{tmp_path}/hsitory.db"}
    assert ping(remedy, **typo).stderr == ""
    until((tmp_path / "state/history.trouble").exists)
    said = f"warning: a new history database was made, for there was none: {tmp_path}/hsitory.db; "
    assert ping(remedy, **typo).stderr.startswith(said)
    until(lambda: not (tmp_path / "state/history.trouble").exists())
    assert ping(remedy, **typo).stderr == ""


def test_what_hangs_around_a_run_is_not_imported(remedy: Remedy, tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy.py").write_text("open('imported', 'w').close()\n")
    assert ping(remedy).returncode == 0
    until(lambda: filled(tmp_path / "state") == 1)
    assert not (tmp_path / "imported").exists()


def test_no_secret_is_ever_in_the_database(remedy: Remedy, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass")
    (tmp_path / "secrets.yml").write_bytes(encrypt(f"secret: {json.dumps(SECRET)}\n".encode(), b"pass"))
    (tmp_path / "site.yml").write_text(PLAY)
    flags = ("-i", "here,", "-c", "local", "--vault-password-file", "password", "-e", "@secrets.yml")
    done = remedy("play", "site.yml", *flags, "-e", f"folder={tmp_path}/", "--yes")
    assert done.returncode == 2, done.stderr
    assert (tmp_path / f"key-{SECRET}").exists()
    until(lambda: filled(tmp_path / "state") == 1)
    told = remedy("history", "--format", "json").stdout + remedy("history", "-n", "1").stdout
    assert '"changes": 3' in told
    assert '"findings": 1' in told
    files = sorted((tmp_path / "state").glob("history.db*"))
    content = b"".join(file.read_bytes() for file in files)
    assert b"********" in content
    for part in (SECRET, SECRET[:12], "s3cret"):
        assert part.encode() not in content, part
        assert part not in told
