"""Backups and restores of PostgreSQL: what comes back, whose sessions end, and that the only copy is never lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.acceptance.operator import Operator, Result
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import MAJOR, Postgres

pytestmark = pytest.mark.lab

FOLDER = "/var/backups/postgresql"
MAKE = r"""
CREATE DATABASE shop OWNER keeper TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'
  CONNECTION LIMIT 7;
COMMENT ON DATABASE shop IS 'the shop''s own';
ALTER DATABASE shop SET work_mem = '5MB';
ALTER DATABASE shop SET search_path = "$user", public;
REVOKE ALL ON DATABASE shop FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO keeper;
"""
FILL = r"""
CREATE TABLE orders (id serial PRIMARY KEY, note text, at timestamptz DEFAULT now(), amount float8);
CREATE TABLE "Odd name" (id int REFERENCES orders, raw bytea, "a|b" jsonb);
CREATE SCHEMA old; CREATE TABLE old.archive (id int) PARTITION BY RANGE (id);
CREATE TABLE old.archive_1 PARTITION OF old.archive FOR VALUES FROM (0) TO (100);
INSERT INTO orders (note, amount) SELECT 'order|' || i, i / 3.0 FROM generate_series(1, 500) i;
INSERT INTO "Odd name" SELECT i, decode('00ff', 'hex'), '{"x|y": 1}' FROM generate_series(1, 50) i;
INSERT INTO old.archive SELECT i FROM generate_series(1, 30) i;
CREATE VIEW totals AS SELECT count(*) FROM orders;
GRANT ALL ON ALL TABLES IN SCHEMA public TO keeper;
"""
SEEN = 'SELECT * FROM orders ORDER BY 1; SELECT * FROM "Odd name" ORDER BY 1; SELECT * FROM old.archive ORDER BY 1'
DRESS = (
    "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datconnlimit, datacl, datallowconn,"
    " shobj_description(oid, 'pg_database'), (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = d.oid)"
    " FROM pg_database d WHERE datname = 'shop'"
)


class Bench:
    """One server, and the operator who plays on it."""

    def __init__(self, folder: Path, lab: Lab, server: Postgres) -> None:
        self.server = server
        self.operator = Operator(folder, lab, lab.host(server.host), ansible_become=True)

    def play(self, *tasks: dict[str, Any]) -> Result:
        """Play tasks in this process."""
        book = [{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]
        path = self.operator.write("playbooks/restore.yml", json.dumps(book))
        return self.operator.here("play", str(path), "--yes")

    def one(self, module: str, **params: Any) -> dict[str, Any]:
        """Play one task; return it as the document has it."""
        (task,) = self.play({module: params}).report["tasks"]
        return dict(task)

    def databases(self) -> list[str]:
        """Return the names of all databases of applications."""
        return self.server.sql(
            "SELECT datname FROM pg_database WHERE datname LIKE 'shop%' ORDER BY 1"
        ).split()


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Postgres:
    host_factory("rest2", role="postgres")
    made = Postgres(lab, "rest2")
    made.begin()
    made.sql("CREATE ROLE keeper LOGIN PASSWORD 'keeper secret'")
    return made


@pytest.fixture
def bench(server: Postgres, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """A shop that is whole, and no backup."""
    made = Bench(tmp_path, lab, server)
    server.shell(f"rm -rf {FOLDER}")
    server.sql(MAKE)
    server.sql(FILL, "shop")
    yield made
    for name in made.databases():
        server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def restore(path: str, **params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two tasks of a restore."""
    beside = {"name": "shop", "backup": path, **params}
    swap = {**beside, "state": "swapped", "confirm": "shop"}
    return {"postgresql_restore": beside}, {"postgresql_restore": swap}


def stay_behind(done: Result) -> list[dict[str, str]]:
    """Return what a rollback says that it leaves as it is."""
    return [kept for task in done.report["tasks"] for kept in task["kept"]]


def backed_up(bench: Bench) -> str:
    """Back the shop up; return the backup's path."""
    return str(bench.one("postgresql_backup", name="shop")["result"]["path"])


def session(server: Postgres, user: str, sql: str) -> None:
    """Let somebody be in the shop, and stay there in the middle of a statement or a transaction."""
    script = '(PGPASSWORD=\'keeper secret\' setsid psql -h 127.0.0.1 -U "$1" shop -c "$2" > /dev/null 2>&1 &)'
    if user == "postgres":
        script = '(setsid runuser -u postgres -- psql shop -c "$2" > /dev/null 2>&1 &)'
    server.shell(script, user, sql)
    server.shell(
        'for k in $(seq 100); do runuser -u postgres -- psql -Atc "SELECT 1 FROM pg_stat_activity WHERE datname = '
        "'shop' AND usename = '$1'\" | grep -q 1 && exit 0; sleep .1; done; exit 1",
        user,
    )


def test_a_backup_says_what_it_holds_and_a_young_one_is_enough(bench: Bench):
    first = bench.one("postgresql_backup", name="shop")
    assert first["status"] == "changed"
    tables = first["result"]["tables"]
    rows = {name: each["rows"] for name, each in tables.items()}
    assert rows == {'public."Odd name"': 50, "public.orders": 500, "old.archive_1": 30}
    assert all(each["checksum"] for each in tables.values())
    assert bench.one("postgresql_backup", name="shop", max_age="1h")["status"] == "ok"
    assert bench.server.shell(f"ls -A {FOLDER} | grep -c remedy- || true").strip() == "0", (
        "no sibling is left"
    )
    told = bench.one("postgresql_backup_info", name="shop")["result"]
    assert (told["trouble"], told["missing"], told["fewer"]) == (None, [], [])


def test_the_backup_comes_back_and_the_damaged_database_stays(bench: Bench):
    server, path = bench.server, backed_up(bench)
    before, dress = server.sql(SEEN, "shop"), server.sql(DRESS)
    server.sql(
        "INSERT INTO orders (note) SELECT 'late' FROM generate_series(1, 5); DROP TABLE \"Odd name\"", "shop"
    )
    server.sql("DELETE FROM old.archive", "shop")
    told = bench.one("postgresql_backup_info", name="shop")["result"]
    assert told["missing"] == ["public.Odd name"]
    assert told["fewer"] == [{"table": "old.archive_1", "rows": 0, "backup": 30}]
    session(server, "keeper", "SELECT pg_sleep(300)")
    steps = restore(path, checks=[{"query": "SELECT count(*) FROM orders", "expect": 500}])
    done = bench.play(*steps)
    assert done.code == 0, done.report["tasks"]
    (_, swap) = done.report["tasks"]
    assert server.sql(SEEN, "shop") == before
    assert server.sql(DRESS) == dress
    copy = swap["result"]["damaged_copy"]
    assert bench.databases() == ["shop", copy]
    assert server.sql("SELECT count(*) FROM orders", copy) == "505"
    assert [(each["user"], each["state"]) for each in swap["result"]["ended"]] == [("keeper", "active")]
    assert swap["result"]["recovery"]["rows_behind"] == 5
    again = bench.play(*steps)
    assert [task["status"] for task in again.report["tasks"]] == ["ok", "ok"]
    assert again.report["changes"] == []

    # A rollback lets them change back, says so before as after, and throws nothing away that was in service.
    swapped = bench.databases()
    (stays,) = ahead = stay_behind(bench.operator.here("rollback", "--check", done.report["run"]["id"]))
    assert stays["item"] == "postgresql database:shop_restored"
    assert "the restored copy of shop has been in service, and may hold what nobody else has" in stays["reason"]
    assert bench.databases() == swapped
    back = bench.operator.here("rollback", "--yes", done.report["run"]["id"])
    assert back.code == 0, back.report["tasks"]
    assert stay_behind(back) == ahead
    assert bench.databases() == ["shop", "shop_restored"]
    assert server.sql("SELECT count(*) FROM orders", "shop") == "505"
    assert server.sql(DRESS) == dress
    assert "shop_restored has been in service" in bench.play(*steps).report["tasks"][0]["reason"]
    forth = bench.operator.here("rollback", "--yes", back.report["run"]["id"])
    assert forth.code == 0, forth.report["tasks"]
    assert server.sql("SELECT count(*) FROM orders", "shop") == "500"
    assert len(bench.databases()) == 2, "the damaged copy stays as well"


def test_whoever_approves_a_restore_reads_what_it_comes_to(bench: Bench):
    path = backed_up(bench)
    named = ("-e", "restore_database=shop", "-e", "restore_backup=newest", "-e", "restore_confirm=shop")
    bench.server.shell("touch -d '-1 day' \"$1\"", path)
    bench.server.sql("DELETE FROM \"Odd name\"; DELETE FROM orders", "shop")
    done = bench.operator.here("play", "postgres-restore", *named)
    said = done.stdout + done.stderr
    assert done.code == 3, said
    assert "interrupt postgresql database:shop  [Let the two change places]" in said
    assert f"its sessions end, and it holds the data of {path}, made 20" in said
    assert " seconds ago; what it holds now stays as shop_damaged_TIME" in said, "as its manifest says, not its file"
    assert "destroy" not in said
    given = {"restore_database": "shop", "restore_backup": "newest", "restore_confirm": "shop"}
    night = bench.operator.scheduled("postgres-restore", bench.server.host, **given)
    assert (night.code, night.report["changes"]) == (3, [])
    assert "interrupts postgresql database:shop  [Let the two change places] (R!)" in night.stderr
    assert bench.databases() == ["shop"]


def test_a_missing_backup_names_the_module_that_makes_one(bench: Bench):
    done = bench.operator.here("diagnose", "postgres-restore", "-e", "restore_database=shop")
    (finding,) = done.report["findings"]
    assert (finding["id"], finding["advice"].split()[0]) == ("backup-missing", "postgresql_backup")
    assert "mysql" not in finding["advice"]


def test_a_copy_in_service_outlives_the_rollback_of_the_run_that_restored_it(bench: Bench):
    """Restored in one run, swapped in a later one: taking back the first alone must not touch what serves."""
    beside, swap = restore(backed_up(bench))
    first, _ = bench.play(beside), bench.play(swap)
    there = bench.databases()
    for flags in (("--check",), ("--yes",)):
        back = bench.operator.here("rollback", *flags, first.report["run"]["id"])
        assert back.code == 0, back.report["tasks"]
        assert [each["item"] for each in stay_behind(back)] == ["postgresql database:shop_restored"]
        assert back.report["changes"] == []
        assert bench.databases() == there


def test_a_copy_that_was_never_in_service_is_rolled_back(bench: Bench):
    beside, _ = restore(backed_up(bench))
    run = bench.play(beside).report["run"]["id"]
    ahead = bench.operator.here("rollback", "--check", run)
    assert [change["object"] for change in ahead.report["changes"]] == ["postgresql database:shop_restored"]
    assert bench.operator.here("rollback", "--yes", run).code == 0
    assert bench.databases() == ["shop"]


def test_superusers_are_not_ended_unless_it_is_said(bench: Bench):
    path = backed_up(bench)
    session(bench.server, "postgres", "SELECT pg_sleep(300)")
    done = bench.play(*restore(path))
    assert "superusers are in shop, and are not ended: postgres (pid" in done.report["tasks"][1]["reason"]
    assert bench.databases() == ["shop", "shop_restored"]
    assert bench.server.sql("SELECT datallowconn FROM pg_database WHERE datname = 'shop'") == "t"
    done = bench.play(*restore(path, end_superusers=True))
    assert done.code == 0
    assert [each["user"] for each in done.report["tasks"][1]["result"]["ended"]] == ["postgres"]


def test_a_database_that_was_dropped_comes_back_as_it_was_made(bench: Bench):
    path, dress = backed_up(bench), bench.server.sql(DRESS)
    before = bench.server.sql(SEEN, "shop")
    bench.server.sql("DROP DATABASE shop")
    steps = restore(path)
    assert bench.play(*steps).code == 0
    assert bench.databases() == ["shop"]
    assert bench.server.sql(SEEN, "shop") == before
    made = bench.server.sql(DRESS).split("|")
    assert made[:6] + made[7:] == dress.split("|")[:6] + dress.split("|")[7:]
    assert bench.play(*steps).report["changes"] == []


BREAKS = {
    "it cannot be unpacked to its end": "truncate -s -200 $1; rm $1.json",
    "its SHA-256 is not the one of its manifest": "truncate -s -200 $1",
    "pg_restore -l says": "echo no archive > $1; rm $1.json",
}


@pytest.mark.parametrize("why", BREAKS)
def test_a_backup_that_cannot_be_trusted_is_refused_before_anything_is_made(bench: Bench, why: str):
    path = backed_up(bench)
    bench.server.shell(BREAKS[why], path)
    done = bench.play(*restore(path))
    assert done.code == 2
    assert why in done.report["tasks"][0]["reason"]
    assert bench.databases() == ["shop"]
    assert why in bench.one("postgresql_backup_info", name="shop")["result"]["trouble"]


def test_what_does_not_match_the_manifest_never_takes_the_place(bench: Bench):
    path = backed_up(bench)
    script = (
        "import json, sys; p = sys.argv[1] + '.json'; d = json.load(open(p)); "
        "d['tables']['public.orders']['checksum'] = '1'; json.dump(d, open(p, 'w'))"
    )
    bench.server.shell('python3 -c "$2" "$1"', path, script)
    done = bench.play(*restore(path))
    assert "public.orders has another checksum than the backup" in done.report["tasks"][0]["reason"]
    assert bench.databases() == ["shop", "shop_restored"]
    assert "no proved copy" in bench.play(restore(path)[1]).report["tasks"][0]["reason"]
    # An archive without a manifest, such as one's own pg_dump makes, is proved by its list of tables.
    bench.server.shell("rm $1.json", path)
    assert bench.play(*restore(path)).code == 0


def test_a_name_that_somebody_else_has_is_left_alone(bench: Bench):
    path = backed_up(bench)
    bench.server.sql("CREATE DATABASE shop_restored")
    reason = bench.play(*restore(path)).report["tasks"][0]["reason"]
    assert "there is a database shop_restored already, and it is none that remedy restored" in reason
    # As a swap leaves it that is killed between keeping sessions out and the new names.
    bench.server.sql("ALTER DATABASE shop ALLOW_CONNECTIONS false")
    assert bench.play(*restore(path, new_name="shop_fresh", damaged_name="shop_bad")).code == 0
    assert bench.databases() == ["shop", "shop_bad", "shop_restored"]
    closed = "SELECT count(*) FROM pg_database WHERE datname LIKE 'shop%' AND NOT datallowconn"
    assert bench.server.sql(closed) == "0"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"state": "swapped"}, "expected confirm: shop"),
        ({"name": "postgres"}, "not one of the server's own"),
        ({"name": 'shop"; DROP'}, "expected a database's name"),
        ({"name": "-shop"}, "expected a database's name"),
        ({"new_name": "--help"}, "expected a database's name"),
        ({"backup": "/x.sql"}, "expected an archive of pg_dump"),
        ({"checks": ["SELECT 1"]}, "'checks' of 'postgresql_restore'"),
    ],
)
def test_bad_input_is_refused_before_the_host_is_asked(bench: Bench, params: dict[str, Any], said: str):
    done = bench.play({"postgresql_restore": {"name": "shop", "backup": "/x.dump", **params}})
    assert done.code == 5
    assert said in done.stdout + done.stderr


def test_what_the_owner_made_of_search_path_is_a_list_of_names(bench: Bench):
    """SET ... FROM CURRENT keeps what set_config was given, letter by letter: it is not SQL of the superuser's."""
    odd = "public;ALTER/**/ROLE/**/keeper/**/SUPERUSER;--"
    bench.server.sql(
        f"SET ROLE keeper; SELECT set_config('search_path', '{odd}', false); "
        "ALTER DATABASE shop SET search_path FROM CURRENT"
    )
    assert bench.play(restore(backed_up(bench))[0]).code == 0
    assert bench.server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'keeper'") == "f"
    kept = "SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
    assert odd.lower() in bench.server.sql(f"{kept} WHERE datname = 'shop_restored'")


def test_an_owner_puts_no_function_before_the_servers_own(bench: Bench):
    """Whoever owns a database sets its search_path: what a superuser asks there stays the server's own."""
    trap = "RETURNS text LANGUAGE plpgsql AS $$BEGIN ALTER ROLE keeper SUPERUSER; RETURN '1'; END$$"
    bench.server.sql(
        f"SET ROLE keeper; CREATE SCHEMA trap; CREATE FUNCTION trap.version() {trap}; "
        f"CREATE FUNCTION trap.md5(text) {trap}; CREATE FUNCTION trap.concat(text, text) {trap}; "
        "CREATE TABLE trap.mine (id int); INSERT INTO trap.mine VALUES (7); "
        "ALTER DATABASE shop SET search_path = trap, public, pg_catalog",
        "shop",
    )
    path = backed_up(bench)
    for query, reads in (("SELECT id FROM mine", True), ("CREATE TABLE other (id int)", False)):
        done = bench.one("postgresql_query", query=query, reads=reads, login_db="shop")
        assert done["status"] in ("ok", "changed"), done["reason"]
    assert bench.server.sql("SELECT count(*) FROM trap.other", "shop") == "0"
    # The operator's own checks find the database's tables as before, and the server's functions before its owner's.
    checks = [
        {"query": "SELECT id FROM mine;", "expect": 7},
        {"query": "SELECT left(version(), 10)", "expect": "PostgreSQL"},
        {"query": "SELECT md5('a')", "expect": "0cc175b9c0f1b6a831c399e269772661"},
    ]
    done = bench.play(restore(path, checks=checks)[0])
    assert done.code == 0, done.report["tasks"]
    writes = [{"query": "DELETE FROM mine RETURNING id", "expect": 7}]
    done = bench.play(restore(path, checks=writes, new_name="shop_other")[0])
    assert "syntax error" in done.report["tasks"][0]["reason"], "a check is one SELECT"
    assert bench.server.sql("SELECT count(*) FROM trap.mine", "shop_other") == "1"
    assert bench.server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'keeper'") == "f"


_HELD = "cannot set parameter \"%s\" within security-restricted operation"
_PROGRAM = {
    15: "must be superuser or have privileges of the pg_execute_server_program role to COPY to or from an external "
    "program",
    17: "permission denied to COPY to or from an external program",
}[MAJOR]
ESCAPES = {
    "COPY (SELECT 1) TO PROGRAM $$touch /tmp/by-a-check$$": _PROGRAM,
    "RESET ROLE": _HELD % "role",
    "SET ROLE postgres": _HELD % "role",
    "SET SESSION AUTHORIZATION postgres": _HELD % "session_authorization",
    "INSERT INTO public.orders (note) VALUES (1)": "permission denied for table orders",
    "SELECT rolpassword FROM pg_catalog.pg_authid": "permission denied for table pg_authid",
    "SELECT pg_catalog.pg_read_file($$/etc/passwd$$)": "permission denied for function pg_read_file",
    "SELECT public.write()": "done",  # its owner may: it goes with the transaction
}  # fmt: skip


def test_what_a_check_calls_acts_with_the_rights_of_a_role_that_only_reads(bench: Bench):
    """Functions and views of a restored database run with the rights of who asks, which was a superuser."""
    body = "BEGIN EXECUTE sql; RETURN 'done'; EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END"
    copy = "COPY (SELECT 1) TO PROGRAM $p$touch /tmp/by-a-check$p$"
    bench.server.shell("rm -f /tmp/by-a-check")
    bench.server.sql("GRANT CREATE ON DATABASE shop TO keeper")
    bench.server.sql(
        "SET ROLE keeper; CREATE SCHEMA own; CREATE TABLE own.kept (n int);"
        f"CREATE FUNCTION own.try(sql text) RETURNS text LANGUAGE plpgsql AS $b${body}$b$;"
        f"CREATE VIEW own.seen AS SELECT own.try('{copy}') AS t; RESET ROLE;"
        "CREATE FUNCTION public.write() RETURNS int LANGUAGE sql SECURITY DEFINER"
        " AS 'INSERT INTO own.kept VALUES (1) RETURNING n'; ALTER FUNCTION public.write() OWNER TO keeper",
        "shop",
    )
    checks = [{"query": f"SELECT own.try('{sql}');", "expect": said} for sql, said in ESCAPES.items()]
    checks += [
        {"query": "SELECT t FROM own.seen", "expect": next(iter(ESCAPES.values()))},
        {"query": "WITH o AS (SELECT note FROM orders) SELECT count(*) FROM o  -- all", "expect": 500},
        {"query": "SELECT count FROM totals", "expect": 500},
        {"query": "SELECT count(*) = 30 FROM old.archive WHERE ';' = ';'", "expect": "t"},
        {"query": "SELECT current_user ~ '^remedy_check_' AND current_user <> session_user", "expect": "t"},
        {"query": "SELECT last_value FROM orders_id_seq", "expect": 500},
        {"query": "SELECT amount FROM orders WHERE id = 0", "expect": ""},
    ]
    path = backed_up(bench)
    for query in ("SELECT id, note FROM orders WHERE id = 1", "SELECT id FROM orders"):
        done = bench.play(restore(path, checks=[*checks, {"query": query, "expect": 1}])[0])
        reason = done.report["tasks"][0]["reason"]
        assert "subquery must return only one column" in reason or "more than one row returned" in reason
    done = bench.play(restore(path, checks=checks)[0])
    assert done.code == 0, done.report["tasks"]
    assert bench.server.shell("ls /tmp/by-a-check 2> /dev/null || true") == ""
    assert bench.server.sql("SELECT count(*) FROM own.kept", "shop_restored") == "0"
    assert bench.server.sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^remedy_'") == "0"
    assert bench.server.sql("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^remedy_'", "shop_restored") == "0"


def test_counting_rows_calls_no_cast_that_their_owner_made(bench: Bench):
    """A superuser's backup and restore sum up rows as text: whoever owns a table may say how one is cast to that."""
    bench.server.shell("rm -f /tmp/by-a-cast")
    bench.server.sql("GRANT CREATE ON DATABASE shop TO keeper")
    bench.server.sql(
        "SET ROLE keeper; CREATE SCHEMA own; CREATE TABLE own.mine (n int, s text);"
        " INSERT INTO own.mine VALUES (1, 'a');"
        " CREATE FUNCTION own.said(own.mine) RETURNS text LANGUAGE plpgsql AS $$BEGIN"
        " COPY (SELECT 1) TO PROGRAM 'touch /tmp/by-a-cast'; RETURN 'x'; END$$;"
        " CREATE CAST (own.mine AS text) WITH FUNCTION own.said(own.mine)",
        "shop",
    )
    # And a column that is called like the whole row does not stand for it.
    bench.server.sql("CREATE TABLE odd (n int, t text); INSERT INTO odd VALUES (1, 'same')", "shop")
    made = bench.one("postgresql_backup", name="shop")["result"]
    bench.server.sql("UPDATE odd SET n = 2", "shop")
    again = bench.one("postgresql_backup", name="shop")["result"]["tables"]["public.odd"]
    assert again["checksum"] != made["tables"]["public.odd"]["checksum"]
    assert bench.play(restore(made["path"])[0]).code == 0
    assert bench.server.shell("ls /tmp/by-a-cast 2> /dev/null || true") == ""


def test_a_number_that_json_has_no_word_for_is_the_servers_own_word(bench: Bench):
    query = "SELECT 'NaN'::numeric AS a, 'NaN'::float8 AS b, '-Infinity'::float4 AS c, ARRAY['Infinity'::float8] AS d"
    done = bench.one("postgresql_query", query=query, reads=True)
    assert done["result"]["query_result"] == [{"a": "NaN", "b": "NaN", "c": "-Infinity", "d": ["Infinity"]}]
