"""Statements for PostgreSQL 11 to 18: columns that came, went and were renamed, and settings in any unit."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from remedy.agent.kinds import Failed
from remedy.modules.controller import _postgres, postgresql_statements
from remedy.modules.controller._pg_heavy import running_sql
from remedy.modules.controller._pg_settings import Capacity, canonical
from remedy.modules.controller.postgresql_activity import roots
from remedy.modules.controller.postgresql_disk import wal_sql
from remedy.modules.controller.postgresql_info import connections
from remedy.modules.controller.postgresql_replication import slots_sql


@pytest.mark.parametrize(("major", "has", "lacks"), [
    (11, [], ["wal_status", "inactive_since,"]),
    (12, [], ["wal_status AS status"]),
    (13, ["wal_status AS status"], ["inactive_since AS inactive_since"]),
    (16, ["wal_status AS status"], ["inactive_since AS inactive_since"]),
    (17, ["wal_status AS status", "inactive_since AS inactive_since"], []),
    (18, ["wal_status AS status", "inactive_since AS inactive_since"], []),
])  # fmt: skip
def test_slots(major: int, has: list[str], lacks: list[str]) -> None:
    sql = slots_sql(major)
    assert all(word in sql for word in has)
    assert not any(word in sql for word in lacks)


def test_what_is_kept_of_the_write_ahead_log() -> None:
    assert "wal_keep_segments" in wal_sql(12)
    assert "wal_keep_size" in wal_sql(13)
    assert "wal_keep_segments" not in wal_sql(13)


class Answers:
    """psycopg's client of a server of a version, as far as a login needs it."""

    closed = False
    prepare_threshold: int | None = 5

    def __init__(self, number: int) -> None:
        self.number, self.asked = number, []

    def execute(self, sql: str, params: Any = None) -> Any:
        self.asked.append(sql)
        row = {
            "search_path": '"$user", public', "set_config": "", "pid": 7, "version": self.number,
            "words": f"PostgreSQL {self.number // 10000}.23 on x86_64-pc-linux-gnu", "superuser": True,
            "standby": False, "started": None,
        }  # fmt: skip
        return SimpleNamespace(statusmessage="SELECT 1", rowcount=1, description=("x",), fetchall=lambda: [row])

    def close(self) -> None:
        self.closed = True


def test_a_server_that_is_too_old_is_refused_and_asked_nothing_that_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, refused in ((100023, True), (110022, False)):
        client = Answers(number)
        monkeypatch.setattr("psycopg.connect", lambda client=client, **_: client)
        door = SimpleNamespace(line=None, failed=None, close=lambda: None)
        monkeypatch.setattr(_postgres, "_door", lambda site, login, door=door: (door, {}))
        site = SimpleNamespace(name="pg1", attempt=lambda *login: nullcontext())
        if refused:
            with pytest.raises(Failed) as told:
                _postgres.Session(site, _postgres.Login("postgres"))  # type: ignore[arg-type]
            assert told.value.message == (
                "pg1 runs PostgreSQL 10.23: remedy works with PostgreSQL 11 and newer; nothing was changed"
            )
            assert client.closed
        else:
            assert _postgres.Session(site, _postgres.Login("postgres")).major == 11  # type: ignore[arg-type]
        assert all(sql.startswith(("SHOW ", "SELECT ")) for sql in client.asked)


def test_statements_and_progress() -> None:
    assert "total_time" in postgresql_statements.sql(12, "public")
    assert "total_exec_time" in postgresql_statements.sql(13, "public")
    assert "create_index" not in running_sql(11)
    assert "create_index" in running_sql(12)


class Recorded:
    """What a server of a version has answered."""

    def __init__(self, major: int, rows: list[dict[str, Any]], settings: dict[str, str]) -> None:
        self.major = major
        self._rows, self._settings = rows, settings
        self.asked: list[str] = []

    def rows(self, sql: str, params: Any = None, **_: Any) -> list[dict[str, Any]]:
        self.asked.append(sql)
        if "pg_settings" in sql:
            return [{"name": name, "setting": value} for name, value in self._settings.items() if name in params[0]]
        return self._rows


ROWS = [
    {"by_user": "app", "by_client": "10.0.0.5", "by_state": "idle", "count": 90},
    {"by_user": "app", "by_client": "local", "by_state": "active", "count": 5},
    {"by_user": "postgres", "by_client": "local", "by_state": "idle", "count": 2},
]


def test_reserved_connections_came_with_16_and_walsenders_have_their_own_since_12() -> None:
    old = Recorded(11, ROWS, {"max_connections": "100", "superuser_reserved_connections": "3"})
    found = connections(old)  # type: ignore[arg-type]
    assert (found["allowed"], found["used"], found["free_for_all"], found["percent"]) == (97, 97, 0, 100.0)
    assert "'walsender'" in old.asked[-1]
    new = Recorded(16, ROWS, {"max_connections": "110", "superuser_reserved_connections": "3",
                              "reserved_connections": "2"})  # fmt: skip
    found = connections(new)  # type: ignore[arg-type]
    assert (found["allowed"], found["free_for_all"]) == (105, 8)
    assert found["by_user"] == {"app": 95, "postgres": 2}
    assert found["by_client"] == {"10.0.0.5": 90, "local": 7}
    assert "'walsender'" not in new.asked[-1]


def about(name: str, kind: str, unit: str | None = None, **more: Any) -> dict[str, Any]:
    limits = {"min_val": "-1", "max_val": "2147483647", "enumvals": None}
    return {"name": name, "vartype": kind, "unit": unit, **limits, **more}


@pytest.mark.parametrize(("value", "row", "text"), [
    ("64MB", about("work_mem", "integer", "kB"), "65536"),
    ("1GB", about("shared_buffers", "integer", "8kB"), "131072"),
    (200, about("max_connections", "integer"), "200"),
    ("10min", about("idle_in_transaction_session_timeout", "integer", "ms"), "600000"),
    ("0.5h", about("checkpoint_timeout", "integer", "s"), "1800"),
    ("16MB", about("wal_segment_size", "integer", "16MB"), "1"),
    ("-1", about("log_min_duration_statement", "integer", "ms"), "-1"),
    ("2ms", about("vacuum_cost_delay", "real", "ms"), "2"),
    (True, about("fsync", "bool"), "on"),
    ("OFF", about("fsync", "bool"), "off"),
    ("Replica", about("wal_level", "enum", enumvals=["minimal", "replica"]), "replica"),
    (" a 'b' ", about("log_line_prefix", "string"), " a 'b' "),
])  # fmt: skip
def test_values_as_the_server_shows_them(value: Any, row: dict[str, Any], text: str) -> None:
    assert canonical(value, row) == text


@pytest.mark.parametrize(("value", "row"), [
    ("5min", about("work_mem", "integer", "kB")),
    ("64MB", about("max_connections", "integer")),
    ("10m", about("statement_timeout", "integer", "ms")),
    ("", about("max_connections", "integer")),
    ("3000000000", about("max_connections", "integer")),
    ("maybe", about("fsync", "bool")),
])  # fmt: skip
def test_values_that_no_server_takes(value: str, row: dict[str, Any]) -> None:
    with pytest.raises(Failed, match="cannot be"):
        canonical(value, row)


SETTINGS = {
    "shared_buffers": 16384, "wal_buffers": 512, "work_mem": 4096, "maintenance_work_mem": 65536,
    "autovacuum_max_workers": 3, "max_locks_per_transaction": 64, "max_files_per_process": 1000,
    "superuser_reserved_connections": 3, "max_wal_senders": 10, "max_worker_processes": 8, "max_connections": 100,
}  # fmt: skip


def test_room_is_told_with_its_arithmetic() -> None:
    room = Capacity(SETTINGS, 4 << 30, 80)
    assert room.objection(200) is None
    refused = room.objection(2000)
    assert refused is not None
    assert "2000 x 9.04 MiB" in refused
    assert f"of 4 GiB the server may have 80% (3.2 GiB): at most {room.by_memory}" in refused
    assert room.objection(room.by_memory) is None
    assert room.objection(room.by_memory + 1) is not None
    refused = Capacity(SETTINGS, 4 << 30, 80, 220).objection(200)
    assert "200 and 31 processes of the server itself are 231" in str(refused)
    assert "200 x 1000 (max_files_per_process) are 200000" in str(
        Capacity(SETTINGS, 4 << 30, 80, None, 150000).objection(200)
    )
    assert "13 are reserved" in str(Capacity(SETTINGS, 4 << 30, 80, version=110000).objection(13))
    # Too many already: it is nobody's to refuse that they become fewer.
    assert Capacity(SETTINGS, 1 << 28, 80).objection(50) is None


def test_the_root_of_a_chain_of_locks() -> None:
    assert roots(1, {1: [2], 2: [3, 4], 3: [], 4: [5]}) == {3, 5}
    assert roots(1, {1: [2], 2: [1]}) == set()
