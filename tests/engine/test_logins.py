"""Logins that were refused: each is tried once in a run, by whoever comes with it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from remedy.agent.kinds import Failed
from remedy.engine.logins import Logins
from remedy.modules.controller._accounts import changed
from remedy.modules.controller._site import NotLetIn

LOGIN = ("db1", ("app", "wrong"))
ONCE = "Access denied; one attempt was made, and this run makes no other"


class Server:
    """Counts who comes; `says` is what it raises."""

    def __init__(self, says: Exception) -> None:
        self.says = says
        self.asked = 0

    def log_in(self) -> None:
        self.asked += 1
        raise self.says


def refused(*, wholly: bool = True) -> NotLetIn:
    return NotLetIn("Access denied", wholly=wholly, mysql_error=1045)


def test_a_refused_login_is_not_tried_again_and_says_the_same() -> None:
    logins, server = Logins(), Server(refused())
    for who in ("root", "root", "postgres"):
        with pytest.raises(Failed) as told, logins.attempt(LOGIN, who):
            server.log_in()
        assert (told.value.message, told.value.result) == (ONCE, {"mysql_error": 1045})
    assert server.asked == 1


@pytest.mark.parametrize(
    "other", [("db2", ("app", "wrong")), ("db1", ("app", "right")), ("db1", ("shop", "wrong"))]
)
def test_another_host_password_or_account_is_another_login(other: tuple[str, tuple[str, str]]) -> None:
    logins, server = Logins(), Server(refused())
    for login in (LOGIN, other):
        with pytest.raises(Failed), logins.attempt(login, "root"):
            server.log_in()
    assert server.asked == 2


def test_where_a_refusal_hangs_on_who_comes_another_one_may_try() -> None:
    logins, server = Logins(), Server(refused(wholly=False))
    for who in ("root", "root", "postgres", "postgres"):
        with pytest.raises(Failed), logins.attempt(LOGIN, who):
            server.log_in()
    assert server.asked == 2


def test_where_accounts_were_changed_each_login_is_tried_once_more() -> None:
    logins, server, elsewhere = Logins(), Server(refused()), Server(refused())
    for _ in range(2):
        for _ in range(2):
            for asked, host in ((server, "db1"), (elsewhere, "db2")):
                with pytest.raises(Failed), logins.attempt((host, LOGIN[1]), "root"):
                    asked.log_in()
        logins.forget("db1")
    assert (server.asked, elsewhere.asked) == (2, 1)


def test_a_server_that_is_full_has_refused_nobody() -> None:
    logins, server = Logins(), Server(Failed("Too many connections", mysql_error=1040))
    for _ in range(3):
        with pytest.raises(Failed, match=r"Too many connections$"), logins.attempt(LOGIN, "root"):
            server.log_in()
    assert server.asked == 3
    with logins.attempt(LOGIN, "root"):
        pass


def test_two_at_once_make_one_attempt() -> None:
    logins, server = Logins(), Server(refused())
    within, others, go = threading.Event(), threading.Barrier(3), threading.Event()

    def first() -> str:
        with pytest.raises(Failed) as told, logins.attempt(LOGIN, "root"):
            slowly()
        return str(told.value)

    def slowly() -> None:
        within.set()
        assert go.wait(10)
        server.log_in()

    def later() -> str:
        assert within.wait(10)
        others.wait(10)
        with pytest.raises(Failed) as told, logins.attempt(LOGIN, "root"):
            server.log_in()
        return str(told.value)

    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(first), pool.submit(later), pool.submit(later)]
        others.wait(10)
        with logins.attempt(("db2", LOGIN[1]), "root"):  # who waits holds up nobody else
            pass
        assert server.asked == 0
        go.set()
        assert {each.result(10) for each in found} == {str(refused())}
    assert server.asked == 1


def test_what_is_forgotten_while_somebody_tries_is_not_remembered_afterwards() -> None:
    logins = Logins()

    class Meanwhile(Server):
        def log_in(self) -> None:
            logins.forget("db1")  # another task has made the account
            super().log_in()

    server = Meanwhile(refused())
    with pytest.raises(Failed), logins.attempt(LOGIN, "root"):
        server.log_in()
    with logins.attempt(LOGIN, "root"):
        pass


@pytest.mark.parametrize("statement", [
    "DROP USER ''@localhost", "REVOKE ALL ON *.* FROM app", "FLUSH NO_WRITE_TO_BINLOG PRIVILEGES",
    "CREATE /* ours */ USER app", "UPDATE mysql.user SET plugin = ''", "INSTALL SONAME 'auth_pam'",
    "SELECT pg_reload_conf()",
])  # fmt: skip
def test_statements_after_which_a_login_may_succeed(statement: str) -> None:
    told = []
    changed(SimpleNamespace(mended=lambda: told.append(1)), [statement])  # type: ignore[arg-type]
    changed(SimpleNamespace(mended=lambda: told.append(2)), ["SELECT 1", "INSERT INTO user VALUES (1)"])  # type: ignore[arg-type]
    assert told == [1]
