"""The history answers by host, playbook, time, status and project; what it does not know it says with what is near."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remedy.errors import InputError
from remedy.history import Database, open_database
from remedy.history.filling import catch_up
from remedy.history.queries import STATUSES, Asked, Point, find_past, list_past, measured
from tests.history import made
from tests.journal import telling


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    ignored = telling.done(host="db2", status="failed", ignored=True)
    failed = telling.done(host="db2", status="failed")
    pending = [telling.changed(predicted=True), telling.done()]
    left = [made.found("db1"), made.found("db1", again=True)]
    write = telling.write
    write(tmp_path, "1-healed", [*made.healed("db1"), ignored], time=1000.0, started_in=str(tmp_path))
    write(tmp_path, "2-failed", [*made.healed("db1"), failed], time=2000.0, playbook="mysql-slow.yml")
    write(tmp_path, "3-check", pending, time=3000.0, mode="check")
    write(tmp_path, "4-away", [made.away("web_1")], time=4000.0, hosts=["web_1", "webx1"])
    write(tmp_path, "5-cut", left, time=5000.0, hosts=["db1"], end=False)
    opened = open_database(tmp_path)
    catch_up(opened, tmp_path)
    yield opened
    opened.close()


def asked(database: Database, **given: object) -> list[str]:
    return [past.run.id for past in list_past(database, Asked(**given))]  # type: ignore[arg-type]


def test_all_newest_first_and_only_so_many(database: Database) -> None:
    assert asked(database) == ["5-cut", "4-away", "3-check", "2-failed", "1-healed"]
    assert asked(database, number=2) == ["5-cut", "4-away"]


@pytest.mark.parametrize(
    ("hosts", "runs"),
    [
        (("db1",), "5 3 2 1"),
        (("db2",), "3 2 1"),
        (("web_1",), "4"),  # no pattern of SQL's: webx1 is another
        (("web?1",), "4"),
        (("db*", "webx1"), "5 4 3 2 1"),
    ],
)
def test_by_host(database: Database, hosts: tuple[str, ...], runs: str) -> None:
    assert [run[0] for run in asked(database, hosts=hosts)] == runs.split()


def test_a_host_is_told_with_how_it_fared(database: Database) -> None:
    fared = {past.run.id[0]: past.hosts for past in list_past(database, Asked(hosts=("db*",)))}
    assert fared["2"] == {"db1": "changed", "db2": "failed"}
    assert fared["1"] == {"db1": "changed", "db2": "ok"}
    assert fared["3"] == {"db1": "pending", "db2": "none"}


@pytest.mark.parametrize(
    ("status", "everywhere", "on_db2"),
    [
        ("ok", "4 3 2 1", "1"),
        ("failed", "", "2"),
        ("changed", "2 1", ""),
        ("pending", "3", ""),
        ("findings", "5 2 1", ""),
        ("unresolved", "5", ""),
        ("cut-off", "5", ""),
        ("running", "", ""),
        ("unreachable", "", ""),
        ("refused", "", ""),
        ("interrupted", "", ""),
    ],
)
def test_by_status_of_the_run_or_of_the_host(database: Database, status: str, everywhere: str, on_db2: str) -> None:
    assert [run[0] for run in asked(database, statuses=(status,))] == everywhere.split()
    assert [run[0] for run in asked(database, statuses=(status,), hosts=("db2",))] == on_db2.split()


def test_every_status_was_tried() -> None:
    marks = next(mark for mark in test_by_status_of_the_run_or_of_the_host.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {case[0] for case in marks.args[1]} == set(STATUSES)


def test_by_playbook_time_project_and_all_at_once(database: Database, tmp_path: Path) -> None:
    assert asked(database, playbooks=("mysql-slow",)) == ["2-failed"]
    assert asked(database, playbooks=("mysql-slow.yml",)) == ["2-failed"]
    assert asked(database, playbooks=("disk-*",), hosts=("db2",)) == ["3-check", "1-healed"]
    assert asked(database, since=datetime.fromtimestamp(4000, UTC)) == ["5-cut", "4-away"]
    assert asked(database, project=tmp_path) == ["1-healed"]
    assert asked(database, statuses=("pending", "cut-off"), hosts=("db1",)) == ["5-cut", "3-check"]


def test_what_is_not_known_is_said_with_what_is_near(database: Database) -> None:
    with pytest.raises(InputError, match=r"no run of a host 'db3' is in the history\n  did you mean 'db[12]'\?"):
        asked(database, hosts=("db3",))
    with pytest.raises(InputError, match=r"no run of a playbook 'disk' is in the history\n  "):
        asked(database, playbooks=("disk",))
    with pytest.raises(InputError, match=r"no status 'fail'\n  did you mean 'failed'\?"):
        asked(database, statuses=("fail",))


def test_one_run_is_found_by_its_start(database: Database) -> None:
    kept = find_past(database, "2-")
    assert kept is not None
    assert [(host["host"], host["status"]) for host in kept.hosts] == [("db1", "changed"), ("db2", "failed")]
    assert [change["object"] for change in kept.changes] == ["file:/etc/motd"]
    assert [(finding["finding"], finding["resolved"]) for finding in kept.findings] == [("disk-full", True)]
    assert find_past(database, "9") is None
    assert find_past(database, "") is None
    assert find_past(database, "_-") is None


def test_several_that_begin_so_are_named(database: Database, tmp_path: Path) -> None:
    telling.write(tmp_path, "5-more", [], time=1.0)
    catch_up(database, tmp_path)
    with pytest.raises(InputError, match=r"'5-' could be 2 runs\n  write more of one: 5-more, 5-cut"):
        find_past(database, "5-")


def test_what_was_measured_is_a_series_by_host_and_object(database: Database) -> None:
    def at(second: int) -> datetime:
        return datetime.fromtimestamp(second, UTC)

    points = measured(database, ["disk.used"], hosts=["db1"], since=at(101))
    assert set(points) == {Point("db1", "disk.used", "/var", at(103), 300.0)}
    assert len(points) == 2  # in two runs
    everything = measured(database, ["disk.used", "disk.size"])
    assert [(point.name, point.value) for point in everything] == [
        *[("disk.size", 1000.0)] * 2,
        *[("disk.used", 900.0)] * 2,
        *[("disk.used", 300.0)] * 2,
    ]
    assert measured(database, ["memory.total"]) == []
