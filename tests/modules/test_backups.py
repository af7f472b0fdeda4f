"""Dumps read without a server, and names of backups: what servers of other versions write is recorded here."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from remedy.agent.kinds import Failed
from remedy.modules.target import _backups, _mysql_dump, _mysql_replay, _postgres_tools

# MariaDB writes a row a line, MySQL a statement a line; both escape line ends, quotes and backslashes.
MARIADB = r"""-- MariaDB dump 10.19
-- CHANGE MASTER TO MASTER_LOG_FILE='binlog.000007', MASTER_LOG_POS=4711;
CREATE TABLE `odd (a``b)` (
  `id` int(11) NOT NULL
);
INSERT INTO `odd (a``b)` VALUES
(1,'a(b),(c\'d'),
(2,'it''s; done);'),
(3,NULL);
CREATE TABLE `empty` (`id` int);
INSERT INTO `t` (`VALUES(x)`, `b`) VALUES (1,0x27285C),(2,_binary '\0(\'');
-- Dump completed on 2026-01-31 12:00:00
"""
MYSQL = r"""-- MySQL dump 10.13  Distrib 9.7.0
-- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.000003', SOURCE_LOG_POS=158;
CREATE TABLE `t` (`id` int);
INSERT INTO `t` VALUES (1,'one (1), \\'),(2,'two\n(');
INSERT INTO `t` VALUES (3,'three');
-- Dump completed on 2026-01-31 12:00:00
"""


def write(path: Path, text: str) -> str:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["x.sql", "x.sql.gz"])
def test_a_dump_is_counted_whatever_stands_in_its_texts(tmp_path: Path, name: str):
    found = _mysql_dump.read(write(tmp_path / name, MARIADB))
    assert found["rows"] == {"odd (a`b)": 3, "empty": 0, "t": 2}
    assert found["position"] == ["binlog.000007", 4711]
    assert found["trouble"] is None
    assert found["bytes"] == len(MARIADB.encode())
    found = _mysql_dump.read(write(tmp_path / name, MYSQL))
    assert (found["rows"], found["position"], found["trouble"]) == ({"t": 3}, ["binlog.000003", 158], None)


def test_a_dump_that_was_cut_off_or_names_databases_is_told(tmp_path: Path):
    whole = write(tmp_path / "x.sql.gz", MYSQL)
    os.truncate(whole, Path(whole).stat().st_size - 9)
    assert "it is no whole gzip file" in _mysql_dump.read(whole)["trouble"]
    cut = write(tmp_path / "y.sql", MYSQL.replace("-- Dump completed", "--"))
    assert "the dump was cut off" in _mysql_dump.read(cut)["trouble"]
    for line in ("USE `other`;\n", "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `other`;\n"):
        several = _mysql_dump.read(write(tmp_path / "z.sql", line + MYSQL))
        assert "it names databases by itself" in several["trouble"]
        with pytest.raises(Failed, match=r"z\.sql cannot be used: it names databases"):
            _mysql_dump.refuse(several, "/z.sql")
    with pytest.raises(Failed, match="cannot read"):
        _mysql_dump.read(str(tmp_path / "none.sql"))


def test_the_newest_backup_of_a_database_is_none_of_another_one_s(tmp_path: Path):
    for age, name in enumerate(
        ["shop-20260131T120000Z.sql.gz", "shop.sql", "shop_2026-01-31.sql", "shop-eu-20260131T120000Z.sql.gz",
         "shopping.sql", ".shop.sql.remedy-1", "shop-20260131T120000Z.sql.gz.json", "shop-1.dump"]
    ):  # fmt: skip
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / "shop-9.sql").symlink_to("shop.sql")
    found = [Path(each["path"]).name for each in _backups.newest(str(tmp_path), "shop", _mysql_dump.ENDINGS)]
    assert found == ["shop-20260131T120000Z.sql.gz", "shop.sql", "shop_2026-01-31.sql"]
    found = [
        Path(each["path"]).name for each in _backups.newest(str(tmp_path), "shop-eu", _mysql_dump.ENDINGS)
    ]
    assert found == ["shop-eu-20260131T120000Z.sql.gz"]
    assert _backups.newest(str(tmp_path / "none"), "shop", _mysql_dump.ENDINGS) == []


def test_a_backup_that_fails_leaves_nothing_under_its_name(tmp_path: Path):
    path = tmp_path / "shop.sql"

    def broken(beside: str) -> dict[str, object]:
        Path(beside).write_text("half")
        raise Failed("no")

    with pytest.raises(Failed, match="no"):
        _backups.keep(str(path), broken, {})
    assert list(tmp_path.iterdir()) == []

    def whole(beside: str) -> dict[str, object]:
        Path(beside).write_text("whole")
        return {"tables": {}}

    known = _backups.keep(str(path), whole, {"database": "shop"})
    assert known["size"] == 5
    assert _backups.manifest(str(path)) == known
    assert path.stat().st_mode & 0o777 == 0o600
    assert (_backups.good(str(tmp_path), "shop", (".sql",), 0) or {}).get("path") == str(path)
    assert _backups.good(str(tmp_path), "shop", (".sql",), path.stat().st_mtime + 1) is None
    path.write_text("other")
    assert _backups.good(str(tmp_path), "shop", (".sql",), 0) is None
    assert _backups.differing(known, _backups.sha256(str(path)))


def test_without_room_it_says_how_much_is_missing(tmp_path: Path):
    with pytest.raises(Failed, match="bytes free, and the dump of shop may take"):
        _backups.room(str(tmp_path / "not" / "yet"), 1 << 60, "the dump of shop")


@pytest.mark.parametrize(
    ("until", "right"),
    [
        ("binlog.000007:4711", True),
        ("2026-01-31 12:00:00", True),
        ("2026-01-31T12:00:00Z", True),
        ("2026-01-31T12:00:00+02:00", True),
        ("2026-13-31 12:00:00", False),
        ("yesterday", False),
        ("../x.000001:4", False),
    ],
)
def test_a_point_in_time_is_a_position_or_a_moment(until: str, right: bool):
    assert (_mysql_replay.refuse_until(until) is None) == right


def test_zones_are_understood():
    noon = _mysql_replay._moment("2026-01-31T12:00:00Z")
    assert noon == 1769860800
    assert _mysql_replay._moment("2026-01-31T14:00:00+02:00") == noon
    assert _mysql_replay._moment("2026-01-31T06:30:00-0530") == noon


def test_names_and_texts_stay_what_they_are_in_sql():
    assert _postgres_tools.name('a"b') == '"a""b"'
    assert _postgres_tools.text("it's") == "'it''s'"
    assert _postgres_tools.text("a\\'b") == " E'a\\\\''b'"
    assert _postgres_tools.measured("public.orders|12|345\nold.x|0|\ndump 0\n") == {
        "public.orders": {"rows": 12, "checksum": "345"},
        "old.x": {"rows": 0},
    }
    assert _postgres_tools.marks({"comment": '{"remedy": {"of": "shop"}}'}) == {"of": "shop"}
    for other in ("the shop's own", '{"remedy": 1}', "[]", None):
        assert _postgres_tools.marks({"comment": other}) is None
