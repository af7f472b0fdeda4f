"""What is packed for hosts: kept for the next run, and packed anew as soon as that could be wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from remedy.agent import bootstrap
from remedy.transport import shelf
from remedy.transport.payload import Payloads
from remedy.transport.pythons import Pythons
from remedy.transport.shelf import Shelf


def kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_what_was_packed_is_read_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Payloads(Shelf(tmp_path / "new")).pack(["stat", "copy"])
    assert {"remedy.modules.target.copy", "remedy.agent.main", "remedy.agent.files"} <= first[1]
    monkeypatch.setattr(bootstrap, "sources", None)
    assert Payloads(Shelf(tmp_path / "new")).pack(["copy", "remedy.modules.target.stat"]) == first
    (file,) = kept(tmp_path / "new")
    assert file.stat().st_mode & 0o077 == 0


def test_other_modules_and_other_files_are_another_payload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payloads = Payloads(Shelf(tmp_path))
    payloads.pack(["stat"])
    payloads.pack(["stat", "copy"])
    assert len(kept(tmp_path)) == 2
    files = [("agent/main.py", 1, 1), ("agent/files.py", 2, 2)]
    for at, changed in ((0, ("agent/main.py", 1, 9)), (0, ("agent/main.py", 9, 1)), (1, ("new.py", 2, 2))):
        others = [changed if place == at else file for place, file in enumerate(files)]
        monkeypatch.setattr(shelf, "_files", lambda now=others: iter(now))
        assert Shelf(tmp_path).get(frozenset({"stat"})) is None
        Shelf(tmp_path).put(frozenset({"stat"}), (b"packed", frozenset({"stat"})))
        assert Shelf(tmp_path).get(frozenset({"stat"})) == (b"packed", frozenset({"stat"}))


@pytest.mark.parametrize("how", ["cut", "changed", "empty", "open to others"])
def test_what_is_damaged_or_not_ours_alone_is_packed_anew(tmp_path: Path, how: str) -> None:
    whole = Payloads(Shelf(tmp_path)).pack(["stat"])
    (file,) = kept(tmp_path)
    data = file.read_bytes()
    if how == "open to others":
        file.chmod(0o622)
    else:
        file.write_bytes({"cut": data[:-1], "changed": data[:-1] + b"?", "empty": b""}[how])
    assert Shelf(tmp_path).get(frozenset({bootstrap.full_name("stat")})) is None
    assert Payloads(Shelf(tmp_path)).pack(["stat"]) == whole
    assert kept(tmp_path) == [file]
    assert file.read_bytes() == data
    assert file.stat().st_mode & 0o077 == 0


def test_without_a_place_to_keep_it_is_packed_each_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = Shelf(tmp_path / "file" / "folder")
    assert Payloads(nowhere).pack(["stat"]) == Payloads(Shelf(tmp_path / "new")).pack(["stat"])


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "_MOST", 3)
    for number in range(5):
        Shelf(tmp_path).put(frozenset({f"m{number}"}), (b"", frozenset()))
    assert len(kept(tmp_path)) == 3
    assert Shelf(tmp_path).get(frozenset({"m4"})) is not None


def test_a_host_with_another_python_is_sent_the_source_alone_the_next_time(tmp_path: Path) -> None:
    def run() -> Payloads:
        return Payloads(Shelf(tmp_path / "shelf"), Pythons(tmp_path / "new" / "pythons.json"))

    first = run()
    both = first.pack(["stat"], "me@old:22")
    first.pythons.saw("me@old:22", "3.6.15")
    first.pythons.saw("me@new:22", f"{sys.version_info.major}.{sys.version_info.minor}.99")
    for nonsense in (None, 3, ["3.6.1"], "", "three", "3.6"):
        first.pythons.saw("me@liar:22", nonsense)
    first.pythons.keep()
    second = run()
    assert second.pack(["stat"], "me@new:22") == both
    assert second.pack(["stat"], "me@liar:22") == both
    alone, names = second.pack(["stat"], "me@old:22")
    assert names == both[1]
    assert alone.startswith(b"- 0\n")
    assert alone == bootstrap.pack(bootstrap.sources(["stat"]))
    second.pythons.saw("me@old:22", sys.version)
    assert second.pack(["stat"], "me@old:22") == both


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"me@old:22": 3}', "[" * 100_000])
def test_hints_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "pythons.json").write_text(text)
    pythons = Pythons(tmp_path / "pythons.json")
    assert not pythons.foreign("me@new:22")
    pythons.saw("me@new:22", "3.6.15")
    pythons.keep()
    assert Pythons(tmp_path / "pythons.json").foreign("me@new:22")


def test_hints_that_cannot_be_kept_are_forgotten(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    pythons = Pythons(tmp_path / "file" / "pythons.json")
    pythons.saw("me@new:22", "3.6.15")
    pythons.keep()
    assert not Pythons(tmp_path / "file" / "pythons.json").foreign("me@new:22")
