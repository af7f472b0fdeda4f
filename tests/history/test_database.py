"""The history database: made once and for the operator alone, brought up to date by one process, renewed if damaged."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError

from remedy import history
from remedy.errors import InputError
from remedy.history import HistoryError, in_memory, open_database, tables

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def claim(due: datetime, schedule: str = "nightly") -> dict[str, object]:
    return {"schedule": schedule, "due": due, "state": "claimed", "holder": "daemon@a", "updated": NOON}


def test_it_is_made_for_the_operator_alone(tmp_path: Path) -> None:
    state = tmp_path / "deep/state"
    database = open_database(state)
    with database.writing() as connection:
        connection.execute(tables.leases.insert().values(name="daemon", holder="a", until=NOON))
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in state.iterdir()} == dict.fromkeys(
        ("history.db", "history.db-wal", "history.db-shm", "history.db.lock"), "0o600"
    )
    database.close()


def test_the_migrations_lead_to_the_tables_and_to_the_head() -> None:
    database = in_memory()
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []
        names = {name: inspect(connection).get_indexes(name) for name in tables.metadata.tables}
    database.close()
    known = {name: {index.name for index in table.indexes} for name, table in tables.metadata.tables.items()}
    assert {name: {index["name"] for index in found if not index["unique"]} for name, found in names.items()} == known
    scripts = ScriptDirectory(str(Path(history.__file__).parent / "migrations"))
    assert scripts.get_current_head() == tables.HEAD


def test_a_database_of_an_older_remedy_is_brought_up_to_date_with_what_it_holds(tmp_path: Path) -> None:
    first = open_database(tmp_path)
    with first.writing() as connection:
        connection.execute(tables.schedule_times.insert().values(**claim(NOON)))
        connection.exec_driver_sql("DROP TABLE schedule_jobs")
        connection.exec_driver_sql(f"UPDATE {tables.VERSION_TABLE} SET version_num = '0001'")
    first.close()
    said: list[str] = []
    with open_database(tmp_path, notice=said.append) as again, again.reading() as connection:
        assert connection.execute(select(tables.schedule_times.c.due)).scalar_one() == NOON
        assert connection.execute(select(tables.schedule_jobs)).all() == []
        version = connection.exec_driver_sql(f"SELECT version_num FROM {tables.VERSION_TABLE}").scalar_one()
    assert (version, said) == (tables.HEAD, [])


def test_opened_again_it_holds_what_it_held_and_alembic_is_not_needed(tmp_path: Path) -> None:
    first = open_database(tmp_path)
    with first.writing() as connection:
        connection.execute(tables.schedule_times.insert().values(**claim(NOON)))
    first.close()
    script = (
        "import sys; from pathlib import Path\n"
        "from remedy.history import open_database, tables\n"
        "from sqlalchemy import select\n"
        "with open_database(Path(sys.argv[1])).reading() as connection:\n"
        "    print(connection.execute(select(tables.schedule_times.c.due)).scalar_one())\n"
        "print('alembic' in sys.modules)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.splitlines() == ["2026-11-29 12:00:00+00:00", "False"]


def test_times_are_utc_whatever_the_zone_they_came_in(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    with database.writing() as connection:
        connection.execute(tables.schedule_times.insert().values(**claim(tokyo)))
        found = connection.execute(select(tables.schedule_times.c.due)).scalar_one()
        assert (found, found.tzinfo) == (NOON, UTC)
        with pytest.raises(Exception, match="has no time zone"):
            connection.execute(tables.schedule_times.insert().values(**claim(NOON.replace(tzinfo=None))))
    database.close()


def test_a_due_time_is_claimed_once(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    for due in (NOON, NOON + timedelta(minutes=1)):
        with database.writing() as connection:
            connection.execute(tables.schedule_times.insert().values(**claim(due)))
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(tables.schedule_times.insert().values(**claim(NOON)))
    database.close()


def test_what_no_database_can_hold_is_a_question_mark(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    with database.writing() as connection:
        connection.execute(tables.leases.insert().values(name="a\0b\udcff", holder="a", until=NOON))
        assert connection.execute(select(tables.leases.c.name)).scalar_one() == "a?b?"
    database.close()


def test_many_processes_that_open_it_at_once_make_it_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from remedy.history import open_database, tables\n"
        "state, number = Path(sys.argv[1]), sys.argv[2]\n"
        "sys.stdin.readline()\n"
        "with open_database(state).writing() as connection:\n"
        "    until = tables.datetime.now(tables.UTC)\n"
        "    connection.execute(tables.leases.insert().values(name=number, holder='x', until=until))\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(5)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    errors = [child.communicate(timeout=120)[1] for child in children]
    assert errors == [""] * 5
    database = open_database(tmp_path)
    with database.reading() as connection:
        assert sorted(connection.execute(select(tables.leases.c.name)).scalars()) == list("01234")
    database.close()


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    open_database(tmp_path).close()
    with sqlite3.connect(tmp_path / "history.db") as raw:
        raw.execute(f"UPDATE {tables.VERSION_TABLE} SET version_num = '9999'")
    raw.close()
    with pytest.raises(HistoryError) as caught:
        open_database(tmp_path)
    assert caught.value.newer
    assert "is of a newer remedy (its schema is 9999, this one knows up to" in str(caught.value)
    with sqlite3.connect(tmp_path / "history.db") as raw:
        assert raw.execute(f"SELECT version_num FROM {tables.VERSION_TABLE}").fetchone() == ("9999",)
    raw.close()


@pytest.mark.parametrize("damage", ["text", "header"])
def test_a_damaged_file_is_set_aside_and_made_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "history.db"
    if damage == "text":
        path.write_text("this is no database, and longer than its header would be\n" * 9)
    else:
        open_database(tmp_path).close()
        content = bytearray(path.read_bytes())
        content[100:4096] = b"\xff" * 3996  # the page that lists the tables
        path.write_bytes(content)
    was = path.read_bytes()
    notices: list[str] = []
    database = open_database(tmp_path, notice=notices.append)
    with database.reading() as connection:
        assert inspect(connection).has_table("runs")
    database.close()
    (aside,) = tmp_path.glob("history.db.damaged-*")
    assert aside.read_bytes() == was
    assert notices == [
        f"the history database {path} was damaged: it is now {aside}, and filled anew from the journals; "
        "what schedules have run is not in these"
    ]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match=r"history\.db cannot be used: .*/file: File exists"):
        open_database(tmp_path / "file/state")


def test_a_named_database_that_was_not_there_is_told_and_a_folder_is_not_made(tmp_path: Path) -> None:
    notices: list[str] = []
    (tmp_path / "kept").mkdir()
    for _ in range(2):
        open_database(tmp_path / "state", f"sqlite:///{tmp_path}/kept/hsitory.db", notice=notices.append).close()
    (notice,) = notices
    assert notice.startswith(f"a new history database was made, for there was none: {tmp_path}/kept/hsitory.db; ")
    with pytest.raises(HistoryError, match=f"there is no folder {tmp_path}/kpet"):
        open_database(tmp_path / "state", f"sqlite:///{tmp_path}/kpet/history.db", notice=notices.append)
    assert not (tmp_path / "kpet").exists()
    # The state folder's own is made without a word.
    open_database(tmp_path / "state", notice=notices.append).close()
    assert len(notices) == 1


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://root:secret@db1/x", "sqlite:///relative.db", "sqlite://", "postgresql+asyncpg://h/d"]
)
def test_other_urls_are_bad_input_and_show_no_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError) as caught:
        open_database(tmp_path, url)
    assert "expected postgresql://USER@HOST/DATABASE or sqlite:////PATH" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_is_said_soon_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(HistoryError) as caught:
        open_database(tmp_path, "postgresql://remedy:s3cr3t@127.0.0.1:9/history")
    assert "the history database postgresql://remedy:***@127.0.0.1:9/history cannot be used" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_time_that_is_none_is_an_error_of_the_database(tmp_path: Path) -> None:
    """Whoever wrote it: a daemon goes on with the other schedules, and says so."""
    with open_database(tmp_path) as database:
        with database.writing() as connection:
            connection.execute(tables.schedule_times.insert().values(**claim(NOON)))
            connection.exec_driver_sql("UPDATE schedule_times SET updated = 'noon'")
        expected = r"history\.db cannot be used: 'noon' is no time"
        with pytest.raises(HistoryError, match=expected), database.reading() as connection:
            connection.execute(select(tables.schedule_times)).all()
