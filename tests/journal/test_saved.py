"""What sweeps saved lies in the run's folder, readable, before the word is given."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from remedy.journal import Journal, read_run
from tests.journal import telling


def sweep(**given: object) -> object:
    return telling.intent(**{"kind": "sweep", "module": "log_truncate", "irreversible": "gone", **given})


def test_files_are_on_disk_with_the_commit_and_named_in_the_line(tmp_path: Path) -> None:
    folder = tmp_path / "state/runs/20250102-030405-ab"
    journal = Journal(folder)
    journal(telling.started(folder.name))
    journal(sweep(kept={"/var/log/app.log.tail": b"last\xff words\n", "failed-units.txt": b"x"}))
    journal.commit()
    saved = folder / "kept/db1/var_log_app.log.tail"
    assert saved.read_bytes() == b"last\xff words\n"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    journal(sweep(change="1.2", kept={"/var/log/app.log.tail": b"later"}))
    journal.close()
    assert (folder / "kept/db1/var_log_app.log.tail.2").read_bytes() == b"later"
    [first, _] = [line for line in read_run(folder).lines if line.event.__class__.__name__ == "Intent"]
    assert first.blob is None
    assert read_run(folder).intent(first).kept == {
        "/var/log/app.log.tail": "kept/db1/var_log_app.log.tail",
        "failed-units.txt": "kept/db1/failed-units.txt",
    }


@pytest.mark.parametrize(
    ("host", "name", "path"),
    [
        ("../..", "../../etc/passwd", "kept/.._../.._.._etc_passwd"),
        ("..", "..", "kept/unnamed/unnamed"),
        ("h", "/" + "d/" * 150 + "\udcff.log", "kept/h/" + "_d" * 97 + "_\udcff.log"),
        ("h", "", "kept/h/unnamed"),
    ],
)
def test_names_chosen_by_others_lead_nowhere(tmp_path: Path, host: str, name: str, path: str) -> None:
    folder = tmp_path / "state/runs/20250102-030405-ab"
    telling.write(folder.parent.parent, folder.name, [sweep(host=host, kept={name: b"x"})])
    [found] = [each for each in (folder / "kept").rglob("*") if each.is_file()]
    assert (str(found.relative_to(folder)), found.read_bytes()) == (path, b"x")


def test_what_is_secret_is_sealed_and_no_plain_file(tmp_path: Path) -> None:
    folder = tmp_path / "state/runs/20250102-030405-ab"
    telling.write(folder.parent.parent, folder.name, [sweep(kept={"a.tail": b"word"}, secret=True)])
    assert not (folder / "kept").exists()
    assert b"word" not in (folder / "undo.bin").read_bytes()
    [line] = [line for line in read_run(folder).lines if line.blob]
    assert read_run(folder).intent(line).kept == {"a.tail": b"word"}


def test_what_a_host_sends_in_the_place_of_content_stops_no_other_host(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state/runs/20250102-030405-ab")
    with pytest.raises(TypeError):
        journal(sweep(host="liar", kept={"a.log": "no bytes"}))
    journal(sweep(host="odd", kept={"nul\0.log": b"tail"}))
    journal(sweep(host="good", kept={"b.log": b"tail"}))
    journal.commit()
    journal.close()
    kept = tmp_path / "state/runs/20250102-030405-ab/kept"
    assert (kept / "odd/nul_.log").read_bytes() == (kept / "good/b.log").read_bytes() == b"tail"
