"""Logging in to PostgreSQL through each kind of tunnel, and what is said where it lets nobody in."""

from __future__ import annotations

import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.conftest_lab import HostFactory
from tests.services_lab.postgres import LOG, MAJOR, UNIT, Bench, Postgres

pytestmark = pytest.mark.lab

WHO = (
    "SELECT current_user AS who, inet_server_port() AS port, "
    "(SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls"
)


@pytest.fixture(scope="module")
def server(lab: Lab, host_factory: HostFactory) -> Postgres:
    found = Postgres.booted(lab, host_factory)
    found.account()
    return found


@pytest.fixture
def bench(server: Postgres, tmp_path: Path) -> Bench:
    return Bench(tmp_path, server)


def ask(bench: Bench, query: str = WHO, **params: Any) -> dict[str, Any]:
    done = bench.one("postgresql_query", query=query, reads=True, **params)
    assert done["status"] == "ok", done["reason"]
    (row,) = done["result"]["query_result"]
    return dict(row)


@pytest.mark.parametrize(
    "variables", [{}, {"ansible_become_user": "postgres"}, {"ansible_become": False, "ansible_user": "root"}]
)
def test_root_and_postgres_come_in_by_the_socket_without_a_password(
    server: Postgres, tmp_path: Path, variables: dict[str, Any]
) -> None:
    assert ask(Bench(tmp_path, server, **variables)) == {"who": "postgres", "port": None, "tls": False}


def test_a_password_comes_by_tcp_and_is_in_no_output(bench: Bench) -> None:
    login = {"login_user": "app", "login_password": "app secret", "login_db": "app"}
    assert ask(bench, **login) == {"who": "app", "port": 5432, "tls": False}
    assert ask(bench, **login, login_host="127.0.0.1")["port"] == 5432
    written = b"".join(path.read_bytes() for path in bench.operator.state.rglob("*") if path.is_file())
    assert b"app secret" not in written


def test_a_pgpass_of_either_side_logs_in(
    bench: Bench, server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"login_user": "app", "login_host": "127.0.0.1", "login_db": "app"}
    here = tmp_path / "pgpass"
    here.write_text("# mine\nelse:5432:*:app:wrong\npg1:*:app:app:app secret\n")
    here.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(here))
    assert ask(bench, **login)["who"] == "app"
    here.chmod(0o644)
    refused = bench.one("postgresql_query", query=WHO, reads=True, **login)
    assert "password" in refused["reason"]
    assert ".pgpass; one attempt was made" in refused["reason"]
    server.shell("printf '127.0.0.1:5432:app:app:app secret\\n' > /root/.pgpass; chmod 600 /root/.pgpass")
    try:
        assert ask(bench, **login)["who"] == "app"
    finally:
        server.shell("rm /root/.pgpass")


def test_a_wrong_password_is_tried_once(bench: Bench, server: Postgres) -> None:
    log = f"grep -c 'password authentication failed for user' {LOG} || true"
    before = int(server.shell(log))
    done = bench.one("postgresql_query", query=WHO, login_user="app", login_password="wrong secret")
    assert done["status"] == "failed"
    assert "PostgreSQL lets app at 127.0.0.1:5432 of pg1 not in: password authentication failed" in done["reason"]
    assert "one attempt was made" in done["reason"]
    assert done["result"]["sqlstate"] == "28P01"
    assert "wrong secret" not in json.dumps(done)
    assert int(server.shell(log)) == before + 1


def test_who_is_not_let_in_is_told_why(bench: Bench, server: Postgres, tmp_path: Path) -> None:
    plain = Bench(tmp_path / "plain", server, ansible_become=False)
    reason = plain.one("postgresql_query", query=WHO)["reason"]
    assert "Peer authentication failed" in reason
    assert "add become: true" in reason
    reason = bench.one("postgresql_query", query=WHO, login_db="nowhere")["reason"]
    assert 'database "nowhere" does not exist' in reason
    reason = bench.one("postgresql_query", query=WHO, login_port=5433)["reason"]
    assert "no service answers on" in reason
    assert "/var/run/postgresql/.s.PGSQL.5433: No such file or directory" in reason


@pytest.fixture(scope="module")
def authority(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's certificate says pg.example; return the folder of its authority."""
    folder = tmp_path_factory.mktemp("authority")
    for name in ("right", "wrong"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=pg.example",
             "-addext", "subjectAltName=DNS:pg.example", "-keyout", folder / f"{name}.key",
             "-out", folder / f"{name}.crt"], check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    for name, place in (("right.crt", "server.crt"), ("right.key", "server.key")):
        put = "cat > $1; chown postgres $1; chmod 600 $1"
        server.lab.run("pg1", ["sh", "-c", put, "sh", f"/etc/postgresql/{place}"], stdin=(folder / name).read_bytes())
    server.sql(
        "ALTER SYSTEM SET ssl_cert_file = '/etc/postgresql/server.crt'; "
        "ALTER SYSTEM SET ssl_key_file = '/etc/postgresql/server.key'; SELECT pg_reload_conf()"
    )
    return folder


def test_verify_full_takes_the_right_certificate_and_refuses_any_other(bench: Bench, authority: Path) -> None:
    login = {"login_user": "app", "login_password": "app secret", "login_db": "app", "login_host": "pg.example"}
    bench.servers[0].shell("grep -q pg.example /etc/hosts || echo 127.0.0.1 pg.example >> /etc/hosts")
    full = {**login, "ssl_mode": "verify-full"}
    assert ask(bench, **full, ca_cert=str(authority / "right.crt")) == {"who": "app", "port": 5432, "tls": True}
    done = bench.one("postgresql_query", query=WHO, **full, ca_cert=str(authority / "wrong.crt"))
    assert "certificate verify failed" in done["reason"]
    # The right authority, and another name than the one that is asked for.
    done = bench.one("postgresql_query", query=WHO, **{**full, "login_host": "127.0.0.1"},
                     ca_cert=str(authority / "right.crt"))  # fmt: skip
    assert re.search('server certificate for "pg.example".* does not match host name', done["reason"])
    assert ask(bench, **login, ssl_mode="require")["tls"]
    assert not ask(bench, **login)["tls"]


def test_a_server_that_stops_answering_is_left_in_time(bench: Bench, server: Postgres) -> None:
    began = time.monotonic()
    endless = "SELECT count(*) FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 100000) b"
    done = bench.tasks({"postgresql_query": {"query": endless, "reads": True}, "timeout": 2})
    assert time.monotonic() - began < 10
    (found,) = done.report["tasks"]
    assert found["status"] == "failed"
    assert "the server ended the statement after " in found["reason"]


def test_a_frozen_server_does_not_hang_the_run(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remedy.modules.controller._postgres._GRACE", 1.0)
    bench = Bench(tmp_path, server)
    freeze = "postgresql_query", {"query": "SELECT 1 AS x, pg_backend_pid() AS pid", "reads": True}
    tasks = [
        {freeze[0]: freeze[1], "register": "first"},
        {"shell": "kill -STOP {{ first.query_result[0].pid }}"},
        {"postgresql_query": {"query": "SELECT 2 AS x", "reads": True}, "timeout": 3},
    ]
    began = time.monotonic()
    try:
        done = bench.tasks(*tasks)
    finally:
        server.shell("pkill -CONT -u postgres postgres; true")
    assert time.monotonic() - began < 45
    assert "gave no answer within" in done.report["tasks"][-1]["reason"]


def test_a_session_that_is_ended_in_between_is_opened_anew(bench: Bench) -> None:
    tasks = [
        {"postgresql_query": {"query": "SELECT pg_backend_pid() AS pid", "reads": True}, "register": "first"},
        {"postgresql_query": {"query": "SELECT pg_backend_pid() AS pid", "reads": True}, "register": "again"},
        {"shell": "kill -TERM {{ first.query_result[0].pid }}; sleep 0.3"},
        {"postgresql_query": {"query": "SELECT pg_backend_pid() AS pid", "reads": True}},
    ]
    done = bench.tasks(*tasks)
    first, again, _, last = [each["result"].get("query_result") for each in done.report["tasks"]]
    assert first == again
    assert last != first


def test_statements_tell_whether_they_changed_something(bench: Bench) -> None:
    def run(query: str, **more: Any) -> dict[str, Any]:
        done = bench.one("postgresql_query", query=query, login_db="app", **more)
        assert done["status"] != "failed", done["reason"]
        return done

    assert run("CREATE TABLE numbers (n int, note text)")["status"] == "changed"
    done = run("INSERT INTO numbers VALUES (%s, %s)", positional_args=[7, "100%"])
    assert (done["status"], done["result"]["rowcount"]) == ("changed", 1)
    assert run("UPDATE numbers SET n = 8 WHERE n = 9")["status"] == "ok"
    found = run("SELECT note, now() AS at, 1.50 AS price FROM numbers WHERE note LIKE '100%'")
    assert found["status"] == "ok"
    assert found["result"]["query_result"][0]["price"] == 1.5
    failed = bench.one("postgresql_query", query="SELECT * FROM nowhere")
    assert 'relation "nowhere" does not exist (42P01)' in failed["reason"]


def test_a_role_and_a_path_are_for_one_task(bench: Bench, server: Postgres) -> None:
    server.sql("CREATE ROLE lender; CREATE SCHEMA lent AUTHORIZATION lender; CREATE TABLE lent.book (n int); "
               "INSERT INTO lent.book VALUES (7); ALTER TABLE lent.book OWNER TO lender", "app")  # fmt: skip
    asked = {"query": "SELECT current_user AS who, n FROM book", "session_role": "lender", "search_path": ["lent"]}
    here = {"login_db": "app"}
    plain = {"postgresql_query": {"query": "SELECT current_user AS who, to_regclass('book') AS found", **here}}
    done = bench.tasks(
        {"postgresql_query": {**asked, **here, "reads": True}},
        plain,
        {"postgresql_query": {**asked, **here, "autocommit": True}},
        plain,
        {"postgresql_query": {**asked, **here, "query": "BEGIN; DROP TABLE nowhere"}, "ignore_errors": True},
        plain,
        {"postgresql_query": {**asked, **here, "session_role": "nobody"}, "ignore_errors": True},
        plain,
    )
    rows = [(each["result"].get("query_result") or [None])[0] for each in done.report["tasks"]]
    itself = {"who": "postgres", "found": None}
    assert rows == [*[{"who": "lender", "n": 7}, itself] * 2, *[None, itself] * 2], done.report["tasks"]
    assert 'role "nobody" does not exist' in done.report["tasks"][-2]["reason"]
    # It drops, in a task of a role of the database's, what that role may, and nothing else.
    refused = bench.one("postgresql_query", query="DROP DATABASE app", session_role="lender", login_db="postgres")
    assert "must be owner of database app" in refused["reason"]


def test_what_only_reads_can_do_nothing_else(bench: Bench) -> None:
    for query in ("DELETE FROM numbers", "SELECT 1; DELETE FROM numbers", "EXPLAIN ANALYZE SELECT 1",
                  "SELECT pg_terminate_backend(1)"):  # fmt: skip
        done = bench.tasks({"postgresql_query": {"query": query, "reads": True}})
        assert done.code == 5, query
        assert "does not only read" in done.stderr
    make = "CREATE FUNCTION add_one() RETURNS void LANGUAGE sql AS 'CREATE TABLE bad (n int)'"
    bench.tasks({"postgresql_query": {"query": make}})
    done = bench.one("postgresql_query", query="SELECT add_one()", reads=True)
    assert "read-only transaction (25006)" in done["reason"]


def test_info_tells_who_is_connected(bench: Bench, server: Postgres) -> None:
    with server.held(3):
        found = bench.one("postgresql_info", settings=["max_connections"])["result"]
    assert found["version"]["major"] == MAJOR
    assert found["connections"]["by_user"]["app"] == 3
    assert found["connections"]["max"] == 20
    assert found["settings"]["max_connections"]["setting"] == "20"
    assert found["databases"]["app"]["owner"] == "app"


def test_a_server_that_ends_in_the_middle_is_told(bench: Bench, server: Postgres) -> None:
    stop = (
        "for k in $(seq 200); do runuser -u postgres -- psql -AtXc \"SELECT 1 FROM pg_stat_activity "
        "WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(31)%'\" | grep -q 1 && "
        f"break; sleep .05; done; systemctl restart {UNIT}"
    )
    tasks = [{"postgresql_query": {"query": "SELECT pg_sleep(31)"}, "ignore_errors": True},
             {"postgresql_query": {"query": "SELECT 1 AS one", "reads": True}, "register": "again",
              "until": "again is not failed", "retries": 20, "delay": 1}]  # fmt: skip
    with ThreadPoolExecutor() as pool:
        stopping = pool.submit(server.shell, stop)
        done = bench.tasks(*tasks)
        stopping.result(60)
    first, second = done.report["tasks"]
    assert "whether it took effect is not known: SELECT pg_sleep(31)" in first["reason"]
    assert "terminating connection due to administrator command" in first["reason"]
    assert second["status"] == "ok"
