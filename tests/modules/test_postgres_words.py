"""Pure parts of PostgreSQL's modules: .pgpass, what only reads, the settings of pools, names and texts in SQL."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.modules.controller._pgpass import password_of
from remedy.modules.controller._postgres import literal, plain, quoted
from remedy.modules.controller._reading import objection
from remedy.modules.controller.postgresql_set import Setting
from remedy.modules.target.postgresql_pools import Pools


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("db1:5432:shop:app:secret", "secret"),
        ("*:*:*:app:secret", "secret"),
        (r"db1:5432:shop:app:se\:cr\\et", r"se:cr\et"),
        ("db1:5432:shop:app:", ""),
        ("# db1:5432:shop:app:secret", None),
        ("db1:5433:shop:app:secret", None),
        ("db1:5432:shop:other:secret", None),
        ("db1:5432:shop", None),
    ],
)
def test_the_first_line_of_pgpass_that_fits(line: str, password: str | None) -> None:
    text = f"other:5432:shop:app:wrong\n{line}\n*:*:nowhere:app:wrong\n"
    assert password_of(text, {"db1"}, 5432, "shop", "app") == password


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs", "Cc", "Zl", "Zp"))))
def test_any_password_comes_back_from_pgpass(password: str) -> None:
    written = password.replace("\\", r"\\").replace(":", r"\:")
    assert password_of(f"h:1:d:u:{written}", {"h"}, 1, "d", "u") == password


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  select ';' AS \"a;b\" -- ; DELETE FROM x\n;",
        "SHOW max_connections;",
        "EXPLAIN SELECT 1",
        "EXPLAIN (COSTS off, FORMAT json) SELECT 1",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "(SELECT 1) UNION (SELECT 2)",
        "SELECT $$; DROP TABLE x$$",
        "SELECT analyze FROM t",
        "EXPLAIN SELECT 'analyze'",
        r"SELECT E'a\\', $1, $a1$it's; $a1$",
        "SELECT 1 /* a /* b */ ; */ FROM name$x",
    ],
)
def test_what_only_reads(sql: str) -> None:
    assert objection(sql) is None


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("", "begins with nothing"),
        ("DELETE FROM x", "begins with DELETE"),
        ("VACUUM", "begins with VACUUM"),
        ("SELECT 1; SELECT 2", "more than one"),
        ("SELECT 'a' /* ' */; DROP TABLE x; --'", "more than one"),
        ("EXPLAIN ANALYZE DELETE FROM x", "EXPLAIN ANALYZE"),
        ("EXPLAIN (costs, Analyse) SELECT 1", "EXPLAIN ANALYZE"),
        ("explain verbose analyze select 1", "begins with EXPLAIN|EXPLAIN ANALYZE"),
        ("SELECT pg_terminate_backend(7)", "pg_terminate_backend"),
        ('SELECT pg_catalog."pg_reload_conf"()', "pg_reload_conf"),
        ("SELECT pg_drop_replication_slot /* */ ('x')", "pg_drop_replication_slot"),
        ("COPY x TO PROGRAM 'sh'", "begins with COPY"),
        ("SELECT '--', pg_terminate_backend(7)", "pg_terminate_backend"),
        ("SELECT '/*', pg_reload_conf(), '*/'", "pg_reload_conf"),
        (r'SELECT U&"pg_terminate\005fbackend"(7)', "U&"),
        ("SELECT 1 -- \r; DELETE FROM x", "more than one"),
        ("SELECT 1 /* /* */ ' */; DELETE FROM x; -- '", "more than one"),
        ("SELECT 1 /* /* */", "a comment has no end"),
        ("SELECT $t1$ ' $t1$; DELETE FROM x; SELECT '1'", "more than one"),
        ("SELECT 1 AS a$b$; DELETE FROM x; SELECT 1 AS a$b$", "belongs to a name"),
        ("SELECT 1 AS a\u00a0$b$; DELETE FROM x; SELECT 1 AS a\u00a0$b$", "belongs to a name"),
        (r"SELECT name'x\'; DELETE FROM x; -- '", "in a text"),
        ("SELECT E'x'\n'y\\'; DELETE FROM x; -- '", "in a text"),
    ],
)
def test_what_does_more(sql: str, why: str) -> None:
    found = objection(sql)
    assert found is not None
    assert re.search(why, found)


def test_values_become_plain_data() -> None:
    at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    row = [Decimal("1.50"), Decimal("3"), at, timedelta(minutes=1), b"\x01", [Decimal("NaN")], {"a": None}]
    assert plain(row)[:5] == [1.5, 3, "2024-05-01T12:00:00+00:00", 60.0, "01"]


def test_names_and_texts_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
    assert literal("it's") == "'it''s'"
    assert literal("a\\b'") == " E'a\\\\b'''"


def test_pools_are_told_without_their_passwords(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "DATABASE_URL=postgres://app:secret@db/shop\nexport DB_POOL_SIZE=20\nDB_MAX_OVERFLOW='10' # more\n"
        "POOL_PASSWORD=123secret\nCONN_MAX_AGE=none\nOTHER=5\n"
    )
    found = Pools({"env_files": [str(path), "/no/such/.env"]}, None).read()
    one, two = found["pools"]
    assert (one["connections"], found["total"]) == (30, 30)
    assert one["settings"] == {"DB_POOL_SIZE": "20", "DB_MAX_OVERFLOW": "10", "CONN_MAX_AGE": "none"}
    assert two["error"] == "No such file or directory"


@pytest.mark.parametrize(
    ("seen", "elsewhere", "service"),
    [
        ("postgresql@15-other.service", None, "postgresql@15-other.service"),
        (None, None, "postgresql@15-main"),
        ("postgresql@15-main.service", "in a container", None),
    ],
)
def test_the_unit_that_a_server_is_seen_in_goes_before_the_one_that_is_named(
    seen: str | None, elsewhere: str | None, service: str | None
) -> None:
    """The variable may be of another host: a task that is delegated to a standby has its primary's."""
    setting = Setting.__new__(Setting)
    setting.params = {"name": "max_connections", "service": "postgresql@15-main"}
    setting._about = {"context": "postmaster", "unit": None, "running": "20"}
    setting._told = {"pid": 7, "unit": seen, "elsewhere": elsewhere}
    assert setting.returns({"next": "20"}, {"next": "30"})["service"] == service
