"""A statement is under way and its answer never comes: remedy says that nobody knows, and looks before it goes on.

The link is cut, the server dies, the session is ended, or time is over. Each statement leaves a trace that can be
counted: it must be there once at most, and after the next run exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.modules.mariadb import Database, spec
from tests.services_lab import mysql_bench, postgres, redis_host

pytestmark = pytest.mark.lab

CUT = "pkill -u admin sshd"
OPEN = "whether it took effect is not known"
LONG = 4  # seconds that a statement takes
_MARIA = (
    'for k in $(seq 400); do id=$(mariadb -NBe "SELECT id FROM information_schema.processlist WHERE info LIKE '
    '\'INSERT INTO shop.trace%\' AND time > 0"); [ -n "$id" ] && break; sleep .05; done; [ -n "$id" ]; '
)
_POSTGRES = (
    'psql() { runuser -u postgres -- psql -AtXc "$1"; }; for k in $(seq 400); do pid=$(psql "SELECT pid FROM '
    "pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'INSERT INTO trace%'\"); [ -n \"$pid\" ] && break; "
    'sleep .05; done; [ -n "$pid" ]; '
)
_REDIS = (
    "for k in $(seq 400); do redis-cli client list | grep name=remedy | grep -q cmd=unlink && break; sleep .05; done; "
    "redis-cli client list | grep name=remedy | grep -q cmd=unlink; "
)


@dataclass(frozen=True)
class Tasks:
    """Tasks that write the trace only where it is not there; `report` is what one run says."""

    module: str
    insert: dict[str, Any]
    count: dict[str, Any]
    play: Callable[..., dict[str, Any]]

    def run(self, **more: Any) -> dict[str, Any]:
        """Look, write where nothing is found, look again."""
        look = {self.module: {**self.count, "reads": True}}
        none = "before.query_result | flatten | sum(attribute='n') == 0"
        write = {self.module: {**self.insert, **more}, "when": none}
        return self.play({**look, "register": "before"}, write, look)

    def interrupted(self, shell: Callable[[str], str], script: str, **more: Any) -> dict[str, Any]:
        """Run it, with something happening while the statement is under way."""
        with ThreadPoolExecutor() as pool:
            happening = pool.submit(shell, f"set -e; {script}")
            done = self.run(**more)
            happening.result(60)
        return done


def finished(done: dict[str, Any], found: int) -> None:
    """The run after: what is there already is not written again."""
    first, write, last = done["tasks"]
    rows = [each["result"]["query_result"] for each in (first, last)]
    assert [row[-1][0]["n"] if isinstance(row[-1], list) else row[-1]["n"] for row in rows] == [found, 1]
    assert write["status"] == ("skipped" if found else "changed"), write


def lost(done: dict[str, Any], host: str) -> None:
    """The link is lost: the task did not fail, nobody knows what became of it, and nothing came after."""
    assert done["run"]["exit_code"] == 4
    assert done["hosts"][host]["reason"] == "link_lost"
    tasks = [each for each in done["tasks"] if each["status"] != "ok"]
    assert tasks[0]["status"] == "not_run"
    assert "whether it ran is not known" in tasks[0]["reason"]
    assert not [each for each in tasks if each["status"] == "changed"]


@pytest.fixture(scope="module")
def maria(lab: Lab, host_factory: HostFactory) -> Database:
    made = spec("db1")
    host_factory(made.name, role=made.role, disks=made.disks)
    found = Database(lab, made.name)
    found.begin()
    return found


@pytest.fixture
def maria_tasks(maria: Database, lab: Lab, tmp_path: Path) -> Tasks:
    maria.sql("CREATE OR REPLACE TABLE shop.trace (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL)")
    return Tasks(
        "mysql_query",
        {"query": f"INSERT INTO shop.trace (n) SELECT 1 FROM (SELECT SLEEP({LONG})) AS slept", "timeout": 30},
        {"query": "SELECT COUNT(*) AS n FROM shop.trace"},
        mysql_bench.Bench(tmp_path, lab, maria.host).report,
    )


def _of_maria(maria: Database) -> int:
    """Return how many there are, once the server is done with the statement."""
    maria.shell(
        "for k in $(seq 400); do mariadb -NBe 'SHOW FULL PROCESSLIST' > /tmp/who 2> /dev/null && "
        "! grep -q 'INSERT INTO shop.trace' /tmp/who && exit 0; sleep .05; done; exit 1"
    )
    return int(maria.sql("SELECT COUNT(*) FROM shop.trace"))


@pytest.mark.parametrize(
    ("happens", "limit", "says"),
    [
        pytest.param('mariadb -e "KILL $id"', 30, "ended the conversation: (2013, 'Lost connection to MySQL server",
                     marks=pytest.mark.soak),
        ("systemctl kill -s KILL mariadb", 30, "ended the conversation: (2013, 'Lost connection to MySQL server"),
        ("true", 2, "the server gave no answer within 2 s; "),
    ],
    ids=["session killed", "server killed", "out of time"],
)  # fmt: skip
def test_mariadb_whoever_is_left_without_an_answer_says_that_the_outcome_is_open(
    maria: Database, maria_tasks: Tasks, happens: str, limit: int, says: str
) -> None:
    done = maria_tasks.interrupted(maria.shell, f"{_MARIA} {happens}", timeout=limit)
    write = done["tasks"][1]
    assert write["status"] == "failed"
    assert says in write["reason"], write["reason"]
    assert f"{OPEN}: INSERT INTO shop.trace (n) SELECT 1 FROM (SELECT SLEEP({LONG}))" in write["reason"]
    assert len(done["tasks"]) == 2, "nothing is tried after it"
    found = _of_maria(maria)
    assert found <= 1
    finished(maria_tasks.run(), found)
    assert _of_maria(maria) == 1


def test_mariadb_a_link_that_is_cut_leaves_one_trace_and_the_next_run_looks(
    maria: Database, maria_tasks: Tasks
) -> None:
    lost(maria_tasks.interrupted(maria.shell, f"{_MARIA} {CUT}"), maria.host)
    found = _of_maria(maria)
    assert found == 1, "MariaDB does not notice, and ends the statement"
    finished(maria_tasks.run(), found)
    assert _of_maria(maria) == 1


@pytest.mark.soak
def test_mariadb_a_transaction_that_is_cut_leaves_nothing_and_the_next_run_does_it(
    maria: Database, maria_tasks: Tasks
) -> None:
    both = {"query": ["INSERT INTO shop.trace (n) VALUES (1)", maria_tasks.insert["query"]], "single_transaction": True}
    cut = f"{_MARIA.replace('INSERT INTO shop.trace%', 'INSERT INTO shop.trace%SLEEP%')} {CUT}"
    lost(maria_tasks.interrupted(maria.shell, cut, **both), maria.host)
    # Not asked more often: InnoDB shows what it showed before where somebody has looked in the last 0.1 s.
    maria.shell(
        "for k in $(seq 100); do [ $(mariadb -NBe 'SELECT COUNT(*) FROM information_schema.innodb_trx') = 0 ] && "
        "exit 0; sleep .2; done; exit 1"
    )
    assert _of_maria(maria) == 0
    finished(maria_tasks.run(), 0)


@pytest.mark.soak
def test_mariadb_a_session_that_is_killed_in_between_is_opened_anew(
    maria: Database, maria_tasks: Tasks, lab: Lab
) -> None:
    number = {"mysql_query": {"query": "SELECT CONNECTION_ID() AS id", "reads": True}}
    kill = {"shell": "mariadb -e 'KILL {{ first.query_result[0][0].id }}'; sleep 0.3"}
    insert = {"mysql_query": {"query": "INSERT INTO shop.trace (n) VALUES (1)"}}
    done = maria_tasks.play({**number, "register": "first"}, kill, insert, number)
    assert [each["status"] for each in done["tasks"]] == ["ok", "changed", "changed", "ok"], done["tasks"]
    assert done["tasks"][3]["result"]["query_result"] != done["tasks"][0]["result"]["query_result"]
    assert _of_maria(maria) == 1


@pytest.fixture(scope="module")
def pg(lab: Lab, host_factory: HostFactory) -> postgres.Postgres:
    return postgres.Postgres.booted(lab, host_factory)


@pytest.fixture
def pg_bench(pg: postgres.Postgres, tmp_path: Path) -> postgres.Bench:
    return postgres.Bench(tmp_path, pg)


@pytest.fixture
def pg_tasks(pg: postgres.Postgres, pg_bench: postgres.Bench) -> Tasks:
    pg.sql("DROP TABLE IF EXISTS trace; CREATE TABLE trace (id serial, n int)")

    def play(*tasks: dict[str, Any]) -> dict[str, Any]:
        return dict(pg_bench.tasks(*tasks).report)

    insert = {"query": f"INSERT INTO trace (n) SELECT 1 FROM pg_sleep({LONG})"}
    return Tasks("postgresql_query", insert, {"query": "SELECT count(*) AS n FROM trace"}, play)


def _of_postgres(pg: postgres.Postgres) -> int:
    """Return how many there are, once the server is done with the statement."""
    pg.begin()
    pg.until("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO trace%' AND state = 'active'", "0")
    return int(pg.sql("SELECT count(*) FROM trace"))


@pytest.mark.parametrize(
    "happens",
    [pytest.param('psql "SELECT pg_terminate_backend($pid)"', marks=pytest.mark.soak), "kill -KILL $pid"],
    ids=["session ended", "backend killed"],
)
def test_postgres_whoever_is_left_without_an_answer_says_that_the_outcome_is_open(
    pg: postgres.Postgres, pg_tasks: Tasks, happens: str
) -> None:
    done = pg_tasks.interrupted(pg.shell, f"{_POSTGRES} {happens}")
    write = done["tasks"][1]
    assert write["status"] == "failed"
    assert "pg1: the server ended the session: " in write["reason"]
    assert f"{OPEN}: INSERT INTO trace (n) SELECT 1 FROM pg_sleep({LONG})" in write["reason"]
    assert len(done["tasks"]) == 2, "nothing is tried after it"
    assert _of_postgres(pg) == 0, "PostgreSQL takes it back"
    finished(pg_tasks.run(), 0)
    assert _of_postgres(pg) == 1


def test_postgres_a_link_that_is_cut_leaves_one_trace_and_the_next_run_looks(
    pg: postgres.Postgres, pg_tasks: Tasks
) -> None:
    lost(pg_tasks.interrupted(pg.shell, f"{_POSTGRES} {CUT}"), pg.host)
    found = _of_postgres(pg)
    assert found == 1, "PostgreSQL does not notice, and ends the statement"
    finished(pg_tasks.run(), found)
    assert _of_postgres(pg) == 1


@pytest.mark.soak
def test_postgres_an_index_that_was_being_built_is_found_and_not_built_again(
    pg: postgres.Postgres, pg_bench: postgres.Bench, pg_tasks: Tasks
) -> None:
    """CREATE INDEX CONCURRENTLY waits for a transaction; the link is cut; the server builds it to its end."""
    index = {"postgresql_index": {"idxname": "trace_n", "table": "trace", "columns": ["n"]}}
    waits = (
        'for k in $(seq 400); do runuser -u postgres -- psql -AtXc "SELECT 1 FROM pg_stat_activity WHERE '
        "wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX CONCURRENTLY%'\" | grep -q 1 && break; "
        f"sleep .05; done; {CUT}"
    )
    named = "SELECT count(*), bool_and(indisvalid) FROM pg_index WHERE indrelid = 'trace'::regclass"
    with pg.superuser("INSERT INTO trace (n) VALUES (2)", "postgres"), ThreadPoolExecutor() as pool:
        cutting = pool.submit(pg.shell, waits)
        done = pg_bench.tasks(index).report
        cutting.result(60)
    lost(done, pg.host)
    pg.until(named, "1|t")
    again = pg_bench.tasks(index).report["tasks"][0]
    assert (again["status"], again["result"]["valid"]) == ("ok", True)
    assert pg.sql(named) == "1|t"


@pytest.fixture(scope="module")
def redis_server(lab: Lab, host_factory: HostFactory) -> redis_host.Cache:
    host_factory("c1", role="cache")
    return redis_host.Cache(lab, "c1")


@pytest.fixture
def cache(redis_server: redis_host.Cache) -> redis_host.Cache:
    """Five keys that are on disk, too, and a server that puts off whatever writes."""
    redis_server.clean()
    redis_server.fill("shop:#", 5)
    redis_server.fill("other:#", 3)
    redis_server.cli("save")
    redis_server.cli("client", "pause", "60000", "write")
    return redis_server


@pytest.fixture
def bench(cache: redis_host.Cache, lab: Lab, tmp_path: Path) -> redis_host.Bench:
    return redis_host.Bench(tmp_path, lab, cache)


def _deleting(bench: redis_host.Bench, cache: redis_host.Cache, happens: str) -> dict[str, Any]:
    with ThreadPoolExecutor() as pool:
        happening = pool.submit(cache.shell, f"{_REDIS} {happens}")
        done = bench.tasks({"redis_keys": {"state": "absent", "pattern": "shop:*"}}).report
        happening.result(60)
    return done


def _unlinked(cache: redis_host.Cache) -> int:
    """Return how many keys the server was asked to unlink, and did."""
    said = cache.shell("redis-cli info commandstats | sed -n 's/^cmdstat_unlink:calls=\\([0-9]*\\).*/\\1/p'")
    return int(said or 0)


def test_redis_a_server_that_goes_says_that_the_outcome_is_open(
    bench: redis_host.Bench, cache: redis_host.Cache
) -> None:
    (task,) = _deleting(bench, cache, "systemctl kill -s KILL redis-server")["tasks"]
    assert task["status"] == "failed"
    assert task["reason"].startswith("1 of 1 items could not be taken; shop:*: ")
    assert "c1: the service at 127.0.0.1:6379 ended the conversation: " in task["reason"]
    assert f"; {OPEN}: UNLINK shop:" in task["reason"]
    cache.shell("for k in $(seq 400); do redis-cli ping | grep -q PONG && exit 0; sleep .05; done; exit 1")
    assert cache.keys("shop:*") == 5, "it came back with what it had saved"
    assert bench.one("redis_keys", state="absent", pattern="shop:*")["result"]["deleted"] == 5
    assert (cache.keys("shop:*"), cache.keys("other:*"), _unlinked(cache)) == (0, 3, 5)


def test_redis_a_link_that_is_cut_and_the_next_run_looks(bench: redis_host.Bench, cache: redis_host.Cache) -> None:
    lost(_deleting(bench, cache, CUT), "c1")
    cache.cli("client", "unpause")
    left, unlinked = cache.keys("shop:*"), _unlinked(cache)
    assert (left, unlinked) in ((5, 0), (0, 5)), "all in one flight, or none"
    task = bench.one("redis_keys", state="absent", pattern="shop:*")
    assert task["status"] == ("changed" if left else "ok")
    assert (cache.keys("shop:*"), cache.keys("other:*"), _unlinked(cache)) == (0, 3, 5)
