"""TLS to a real MariaDB through the tunnel: proved before the password goes, refused where it proves too little."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.lab import Lab
from tests.conftest_lab import NEWER, HostFactory
from tests.modules.mariadb import Database, spec
from tests.services_lab.mysql_bench import Bench

pytestmark = pytest.mark.lab

NAME = "db.example"
OPTIONS = "/etc/mysql/mariadb.conf.d/70-tls.cnf"
SECRET = "tls secret 1"
CIPHER = {"query": "SHOW STATUS LIKE 'Ssl_cipher'", "reads": True}
# MariaDB 11 says itself that TLS is required, 10.11 that access is denied.
HOW = "(3159); set ca_cert" if os.environ.get(NEWER) else "where that is required, set ca_cert"
ACCOUNTS = {"plain": "", "safe": "REQUIRE SSL", "known": "REQUIRE X509"}


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, what it signed for the server, for a client and long ago, and an authority of somebody else."""
    made = tmp_path_factory.mktemp("authority")
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("right", "wrong"):
        openssl("req", "-x509", *ec, "-days", "9", "-subj", f"/CN={name}", "-keyout", made / f"{name}.key",
                "-out", made / f"{name}.crt")  # fmt: skip
    (made / "names").write_text(f"subjectAltName=DNS:{NAME}")
    for name, days in (("server", "9"), ("client", "9"), ("expired", "-1")):
        openssl("req", *ec, "-subj", f"/CN={name}", "-keyout", made / f"{name}.key", "-out", made / "csr")
        openssl("x509", "-req", "-in", made / "csr", "-CA", made / "right.crt", "-CAkey", made / "right.key",
                "-CAcreateserial", "-days", days, "-extfile", made / "names", "-out", made / f"{name}.crt")  # fmt: skip
    return made


@pytest.fixture(scope="module")
def db(lab: Lab, host_factory: HostFactory, folder: Path) -> Database:
    made = spec("db1")
    host_factory(made.name, role=made.role, disks=made.disks)
    server = Database(lab, made.name)
    server.begin()
    for name, requires in ACCOUNTS.items():
        for host in ("localhost", "127.0.0.1", "%"):
            server.sql(f"CREATE USER {name}@'{host}' IDENTIFIED BY '{SECRET}' {requires}")
            server.sql(f"GRANT SUPER, PROCESS ON *.* TO {name}@'{host}'")
    server.shell(f"grep -q {NAME} /etc/hosts || echo 127.0.0.1 {NAME} >> /etc/hosts")
    for each in ("right.crt", "server.crt", "server.key", "expired.crt", "expired.key"):
        put = "cat > $1; chown mysql $1; chmod 600 $1"
        lab.run(made.name, ["sh", "-c", put, "sh", f"/etc/mysql/{each}"], stdin=(folder / each).read_bytes())
    serve(server, "server")
    return server


def serve(db: Database, name: str | None) -> None:
    """Let the server show a certificate, or offer no TLS."""
    text = "[mysqld]\nskip-ssl\n" if name is None else (
        f"[mysqld]\nssl_ca=/etc/mysql/right.crt\nssl_cert=/etc/mysql/{name}.crt\nssl_key=/etc/mysql/{name}.key\n"
    )  # fmt: skip
    db.lab.inside(db.host).put(OPTIONS, text.encode())
    db.lab.run(db.host, ["systemctl", "restart", "mariadb"])


@pytest.fixture
def bench(db: Database, lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """The operator's; whatever comes out, the password is in no file of his."""
    bench = Bench(tmp_path, lab, "db1")
    yield bench
    written = b"".join(path.read_bytes() for path in bench.operator.state.rglob("*") if path.is_file())
    assert SECRET.encode() not in written


def login(user: str, **more: Any) -> dict[str, Any]:
    return {"login_user": user, "login_password": SECRET, "login_host": NAME, **more}


def cipher(bench: Bench, **how: Any) -> str:
    done = bench.task("mysql_query", **CIPHER, **how)
    assert done["status"] == "ok", done["reason"]
    return str(done["result"]["query_result"][0][0]["Value"])


def refused(bench: Bench, **how: Any) -> str:
    done = bench.task("mysql_query", **CIPHER, **how)
    assert done["status"] == "failed", done
    assert "Traceback" not in json.dumps(done)
    assert SECRET not in json.dumps(done)
    return str(done["reason"])


def test_the_right_server_is_spoken_with_by_tls_and_only_where_asked(bench: Bench, folder: Path) -> None:
    right = str(folder / "right.crt")
    assert cipher(bench, **login("plain")) == ""
    assert cipher(bench, **login("plain"), ca_cert=right).startswith("TLS_")
    assert cipher(bench, **login("plain"), ssl_ca=right) != ""
    # Its own socket needs no name; root comes without a password still.
    assert cipher(bench, ca_cert=right) != ""
    # More than a record of TLS, both ways.
    long = "x" * 200_000
    done = bench.task("mysql_query", query="SELECT %s AS said", positional_args=[long], **login("plain"), ca_cert=right)
    assert done["result"]["query_result"][0][0]["said"] == long
    # By the inventory, a whole runbook, whose verify logs in as the application.
    variables = {"mysql_ca_cert": right, "mysql_app_user": "safe", "mysql_app_password": SECRET, "mysql_app_host": NAME,
                 **{f"mysql_{name}": value for name, value in login("safe").items()}}  # fmt: skip
    play = bench.runbook("mysql-connections", "-e", json.dumps(variables))
    assert play.code == 0, play.stdout + play.stderr


def test_its_deadline_and_its_end_are_seen_through_it(bench: Bench, folder: Path) -> None:
    safe = login("safe", ca_cert=str(folder / "right.crt"))
    mine = {"mysql_query": {"query": "SELECT CONNECTION_ID() AS id", "reads": True, **safe}}
    first, ended, again, late = bench.tasks(
        {**mine, "register": "first"},
        {"shell": "mariadb -e 'KILL {{ first.query_result[0][0].id }}'; sleep 0.3"},
        mine,
        {"mysql_query": {"query": "SELECT SLEEP(30)", "timeout": 1, **safe}},
    )
    assert (ended["status"], again["status"]) == ("changed", "ok"), again["reason"]
    assert first["result"]["query_result"] != again["result"]["query_result"]
    assert "gave no answer within" in late["reason"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"ca_cert": "wrong.crt"}, "self-signed certificate in certificate chain; ca_cert names"),
        ({"login_host": "127.0.0.1"}, "not valid for '127.0.0.1'; login_host is what"),
        ({"login_host": "localhost", "login_unix_socket": "/run/mysqld/mysqld.sock"},
         "certificate is not valid for 'localhost'; login_host is the name"),
    ],
)  # fmt: skip
def test_what_proves_too_little_is_refused(bench: Bench, folder: Path, how: dict[str, Any], why: str) -> None:
    asked = {**login("plain"), **how, "ca_cert": str(folder / how.get("ca_cert", "right.crt"))}
    found = refused(bench, **asked)
    assert why in found
    assert "; the password was not sent" in found
    if "login_host" in how:  # its name alone was not good
        assert cipher(bench, **asked, check_hostname=False) != ""


def test_an_account_that_requires_it_is_told_how(bench: Bench, folder: Path, db: Database) -> None:
    right = {"ca_cert": str(folder / "right.crt")}
    mine = {"client_cert": str(folder / "client.crt"), "client_key": str(folder / "client.key")}
    assert "it offers TLS: where that is required, set ca_cert" in refused(bench, **login("safe"))
    assert cipher(bench, **login("safe"), **right) != ""
    assert "an account that requires a certificate needs client_cert" in refused(bench, **login("known"), **right)
    assert cipher(bench, **login("known"), **right, **mine) != ""
    for name in ("wrong.crt", "wrong.key"):
        mine["client_cert" if name.endswith("crt") else "client_key"] = str(folder / name)
    assert "does the server trust who has signed client_cert?" in refused(bench, **login("known"), **right, **mine)
    locked = folder / "locked.key"
    openssl("ec", "-in", folder / "client.key", "-aes128", "-passout", "pass:locked", "-out", locked)
    mine = {"client_cert": str(folder / "client.crt"), "client_key": str(locked)}
    assert "has a passphrase; expected one without" in refused(bench, **login("known"), **right, **mine)
    db.sql("SET GLOBAL require_secure_transport = ON")
    try:
        assert HOW in refused(bench, **login("plain"))
        assert cipher(bench, **login("plain"), **right) != ""
    finally:
        db.sql("SET GLOBAL require_secure_transport = OFF")


def test_a_server_that_has_none_or_an_old_one_is_refused(bench: Bench, folder: Path, db: Database) -> None:
    right = {"ca_cert": str(folder / "right.crt"), "check_hostname": False}
    try:
        serve(db, "expired")
        assert "certificate has expired; it must be renewed on the server" in refused(bench, **login("plain"), **right)
        serve(db, None)
        found = refused(bench, **login("plain"), **right)
        assert "it offers no TLS, which ca_cert asks for; the password was not sent" in found
        assert cipher(bench, **login("plain")) == ""
        finding = bench.diagnose("mysql-connections", "-e", json.dumps(
            {f"mysql_{name}": value for name, value in {**login("plain"), **right}.items()}))  # fmt: skip
        assert "it offers no TLS" in json.dumps(finding["mysql-unknown"])
    finally:
        serve(db, "server")
