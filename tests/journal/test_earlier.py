"""What the last run did to an object: told from the journals, also of a run that was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.journal import Journals
from tests.journal import telling

OBJECT = "filesystem:/data"


def last(state: Path, host: str = "db1", name: str = OBJECT) -> str | None:
    found = Journals(state).last(host, name, lambda text: None)
    return None if found is None else found.run


def test_the_newest_write_to_the_object_is_told(tmp_path: Path) -> None:
    states = {"before": {"bytes": 1}, "want": {"bytes": 2}}
    telling.write(tmp_path, "another", [telling.intent(), telling.changed()])
    assert last(tmp_path) is None
    telling.write(tmp_path, "first", [telling.intent(object=OBJECT, kept=None, irreversible="no", **states)])
    telling.write(tmp_path, "elsewhere", [telling.intent(host="db2", object=OBJECT)])
    assert (last(tmp_path), last(tmp_path, "db2")) == ("first", "elsewhere")
    assert last(tmp_path, name="filesystem:/dat") is None
    found = Journals(tmp_path).last("db1", OBJECT, lambda text: None)
    assert found is not None
    assert (found.before, found.want) == ({"bytes": 1}, {"bytes": 2})


@pytest.mark.parametrize("name", ["filesystem:/srv/gr\u00f6\u00dfe", 'filesystem:/srv/"a"', "filesystem:/"])
def test_any_name_is_found_as_journals_write_it(tmp_path: Path, name: str) -> None:
    telling.write(tmp_path, "first", [telling.intent(object=name, kept=None, irreversible="no")])
    assert last(tmp_path, name=name) == "first"


def test_a_journal_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    telling.write(tmp_path, "broken", [telling.intent(object=OBJECT)])
    path = tmp_path / "runs/broken/journal.jsonl"
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    told: list[str] = []
    assert Journals(tmp_path).last("db1", OBJECT, told.append) is None
    assert any("what the run broken did to filesystem:/data is not known" in text for text in told)
