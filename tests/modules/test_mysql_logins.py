"""How MySQL's modules log in: the task's parameters, an option file of the control machine, one of the host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from remedy.agent.kinds import Failed
from remedy.modules.controller._binlogs import _replica_login, login_of_other
from remedy.modules.controller._mysql import SOCKETS, Login, login_of
from remedy.modules.controller._mysql_tls import Tls

FILE = '[client]\nuser = remedy\npassword = "of my own"\nhost = db.elsewhere\nport = 3399\nsocket = /tmp/mine.sock\n'


class Site:
    """The host of a step; `theirs`: its ~/.my.cnf; `places`: where the server on the port asked for listens."""

    name, user = "db1", "admin"

    def __init__(self, theirs: str = "", places: Sequence[Any] = ()) -> None:
        self.theirs = theirs
        self.places = places
        self.hidden: list[object] = []

    def ask(self, module: str, **params: Any) -> dict[str, Any]:
        files = {"/home/admin/.my.cnf": self.theirs} if params["option_files"] else {}
        return {"options": files, "places": self.places}

    def hide(self, secret: object) -> None:
        self.hidden.append(secret)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An option file of this machine, where the client programs look for it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".my.cnf"
    path.write_text(FILE)
    path.chmod(0o600)
    return path


def login(site: Site, **params: Any) -> Any:
    return login_of(site, {"config_file": "~/.my.cnf", "login_port": 3306, **params})  # type: ignore[arg-type]


def test_a_file_of_this_machine_is_not_read_unasked(mine: Path) -> None:
    found = login(Site())
    assert (found.user, found.password, found.addresses) == ("admin", "", SOCKETS)


def test_only_user_and_password_are_taken_from_it_and_the_password_is_masked(mine: Path) -> None:
    site = Site()
    found = login(site, local_config_file="~/.my.cnf")
    assert (found.user, found.password, found.addresses) == ("remedy", "of my own", SOCKETS)
    assert "of my own" in site.hidden
    assert "of my own" not in repr(found)


def test_accounts_of_two_files_are_not_mixed(mine: Path) -> None:
    mine.write_text("[client]\nuser = remedy\n")
    found = login(Site("[client]\nuser=root\npassword=theirs\nhost=127.0.0.1\nport=3307\n"),
                  local_config_file=str(mine))  # fmt: skip
    assert (found.user, found.password, found.addresses) == ("remedy", "", (("127.0.0.1", 3307),))


def test_the_tasks_own_parameters_come_first(mine: Path) -> None:
    theirs = "[client]\nhost=127.0.0.1\nport=3307\n"
    found = login(Site(theirs), local_config_file=str(mine), login_password="said", login_port=3308)
    assert (found.user, found.password, found.addresses) == ("remedy", "said", (("127.0.0.1", 3308),))


def test_a_port_alone_names_the_server_that_listens_there_and_never_the_usual_socket(mine: Path) -> None:
    theirs = "[client]\nsocket=/run/mysqld/mysqld.sock\n"
    site = Site(theirs, places=["/run/mysqld/second.sock", ["127.0.0.1", 3307]])
    assert login(site, login_port=3307).addresses == ("/run/mysqld/second.sock", ("127.0.0.1", 3307))
    assert login(site, login_port=3307, config_file=None).addresses[0] == "/run/mysqld/second.sock"
    assert login(Site(theirs), login_port=3307).addresses == (("127.0.0.1", 3307),)
    assert login(site, login_port=3307, login_host="localhost").addresses[0] == "/run/mysqld/second.sock"
    assert login(Site(theirs), login_port=3307, login_host="localhost").addresses == (("127.0.0.1", 3307),)
    assert login(site, login_port=3307, login_host="db2").addresses == (("db2", 3307),)
    assert login(site, login_port=3307, login_unix_socket="/srv/own.sock").addresses == ("/srv/own.sock",)
    assert login(site).addresses == ("/run/mysqld/mysqld.sock",)


def test_one_that_others_may_read_is_refused(mine: Path) -> None:
    for mode in (0o640, 0o604):
        mine.chmod(mode)
        with pytest.raises(Failed, match=f"others may read {mine} of this machine: chmod 600 {mine}"):
            login(Site(), local_config_file=str(mine))


def test_one_that_is_missing_or_says_nothing_is_an_error(mine: Path) -> None:
    with pytest.raises(Failed, match=r"other\.cnf of this machine cannot be read: No such file or directory"):
        login(Site(), local_config_file=str(mine.with_name("other.cnf")))
    mine.write_text("[mysqld]\nuser = mysql\npassword = x\n")
    with pytest.raises(Failed, match="neither user nor password in \\[client\\]"):
        login(Site(), local_config_file=str(mine))


def test_tls_is_asked_for_by_ca_cert_and_names_the_host_that_the_operator_names(mine: Path) -> None:
    assert login(Site()).tls is None
    found = login(Site(), ca_cert="~/ca.pem", login_host="db.example", check_hostname=True)
    assert found.tls == Tls(str(mine.with_name("ca.pem")), "db.example")
    found = login(Site(), ca_cert="/ca.pem", check_hostname=False, client_cert="/c.pem", client_key="/k.pem")
    assert found.tls == Tls("/ca.pem", "", False, "/c.pem", "/k.pem")
    assert login(Site("[client]\nhost=db.example\n"), ca_cert="/ca.pem").tls.name == "db.example"
    with pytest.raises(Failed, match="client_cert is for TLS: expected ca_cert, too"):
        login(Site(), client_cert="/c.pem")


def test_a_replica_is_not_spoken_with_in_clear_where_tls_is_asked_for() -> None:
    asked = Tls("/ca.pem", "db.example")
    found = _replica_login(Login("remedy", "secret", tls=asked), {}, "10.0.0.8", 3306)
    assert (found.addresses, found.tls) == ((("10.0.0.8", 3306),), Tls("/ca.pem", "10.0.0.8"))
    other: Any = Site()
    assert login_of_other(other, {"ca_cert": "/ca.pem", "login_host": "db.example"}).tls == Tls("/ca.pem")
    assert login_of_other(other, {}).tls is None
