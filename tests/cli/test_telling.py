"""One document on standard output, valid JSON whatever stands in it and whatever goes wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest

import remedy.cli
from remedy.cli.telling import as_json, tell


def strict(text: str) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def test_what_json_has_no_word_for_becomes_plain() -> None:
    odd = {
        "day": date(2024, 1, 2),
        "nan": float("nan"),
        "more": [float("inf"), {3, 1}, ("a",), b"\xff"],
        1: {None: "x", True: "y", 2.5: "z"},
    }
    assert strict(as_json({"run": {}, "tasks": [odd]}))["tasks"] == [
        {
            "day": "2024-01-02",
            "nan": None,
            "more": [None, [1, 3], ["a"], "\udcff"],
            "1": {"null": "x", "true": "y", "2.5": "z"},
        }
    ]


@pytest.mark.parametrize(
    ("trouble", "code"), [(KeyError("a bug"), 1), (KeyboardInterrupt(), 99), (click.Abort(), 99)]
)
def test_a_surprise_is_one_text_and_one_document(
    trouble: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def surprise(*_: Any, **__: Any) -> None:
        raise trouble

    monkeypatch.delenv("REMEDY_TRACEBACK", raising=False)
    monkeypatch.setattr(remedy.cli.cli, "main", surprise)
    with pytest.raises(SystemExit) as ended:
        remedy.cli.main(["play", "x", "--format", "json"])
    said = capsys.readouterr()
    assert ended.value.code == code
    assert strict(said.out)["run"]["exit_code"] == code
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("arguments", "environment", "painted"),
    [
        ([], {}, True),
        (["--no-color"], {}, False),
        (["--no-color", "--color"], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        (["--color"], {"NO_COLOR": "1"}, True),
    ],
)
def test_the_error_is_painted_only_where_that_is_wanted(
    arguments: list[str], environment: dict[str, str], painted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = Terminal()
    monkeypatch.setattr("sys.stderr", said)
    with pytest.raises(SystemExit):
        remedy.cli.main(["play", "no-such-playbook", "-i", "h1,", *arguments])
    assert "no-such-playbook" in said.getvalue()
    assert ("\x1b[" in said.getvalue()) == painted


def test_a_journal_that_cannot_be_ended_leaves_the_document_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from remedy.errors import RemedyError
    from remedy.journal import Journal

    end = Journal.close

    def full(journal: Journal) -> None:
        end(journal)
        raise RemedyError("cannot write the journal: No space left on device")

    monkeypatch.setattr(Journal, "close", full)
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        remedy.cli.main(
            ["run", "all", "-i", "h1,", "-c", "local", "-m", "debug", "-a", "msg=hello", "--format", "json"]
        )
    document = strict(capsys.readouterr().out)
    assert ended.value.code == 1
    assert document["run"]["id"] is not None
    assert document["run"]["exit_code"] == 1
    assert "No space left" in document["run"]["error"]
    assert [task["status"] for task in document["tasks"]] == ["ok"]


def test_a_program_without_standard_streams_works_all_the_same(tmp_path: Path) -> None:
    command = (
        'exec "$0" -c "from remedy.cli import main; main()" run all -i h1, -c local -m debug >&- 2>&- <&-'
    )
    environment = {**os.environ, "REMEDY_STATE": str(tmp_path / "state")}
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable], cwd=tmp_path, env=environment, timeout=60, check=False
    )
    assert done.returncode == 0
    (journal,) = tmp_path.glob("state/runs/*/journal.jsonl")
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_full_disk_under_the_output_is_one_text() -> None:
    command = [sys.executable, "-c", "from remedy.cli import main; main()", "doc", "no-such", "--format=json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False, text=True
        )
    assert done.returncode == 5
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    command = 'rmdir ../here; exec "$0" -c "from remedy.cli import main; main()" history'
    (tmp_path / "here").mkdir()
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable],
        cwd=tmp_path / "here",
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
    )
    assert done.returncode == 5
    assert "the folder you are in is gone" in done.stderr


def test_a_run_asks_for_as_many_open_files_as_it_may_have(tmp_path: Path) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096));"
        "from remedy.cli import _run; _run(sys.argv[1:]); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    command = [sys.executable, "-c", code, "run", "all", "-i", "h1,", "-c", "local", "-m", "debug"]
    environment = {**os.environ, "REMEDY_STATE": str(tmp_path / "state")}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True, text=True)
    assert done.stdout.splitlines()[-1] == "(4096, 4096)"


def test_what_hosts_named_does_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from remedy.cli import undoing
    from remedy.journal import UndoPlan
    from remedy.journal.undo import NotUndone

    said: list[str] = []
    monkeypatch.setattr(click, "echo", lambda text, **_: said.append(text))
    lost = NotUndone(
        host="h1",
        play="p",
        task="t",
        position="",
        module="file",
        kind="resource",
        object="file:/home/bob/\x1b]52;c;cm0gLXJm\x07",
        reason="it is a \x1b[2Jfifo",
    )
    undoing._tell(UndoPlan(run="r", hosts={}, not_undone=(lost,), warnings=("a\x1b[2Jb",)))
    tell("first \x1b[2J\nsecond \x9b31m", 1)
    text = "".join(said).replace("\x1b[31m\x1b[1m", "").replace("\x1b[0m", "")
    assert not [char for char in text if char != "\n" and not char.isprintable()]
    assert "first" in text
    assert "\nsecond" in text
