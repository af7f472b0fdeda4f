"""Getting in: the usual login, and where every connection is taken, whatever other door the server has.

The first is the session that servers keep for administrators (SUPER, CONNECTION ADMIN): the usual login has it where
it may. Then comes what the server listens on beside: `admin_port` (MySQL from 8.0.14), `extra_port` (MariaDB).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from remedy.agent.kinds import Failed, Unknown
from remedy.agent.relay import shown
from remedy.modules.controller._kept_slot import admitted
from remedy.modules.controller._mysql import HOST, SOCKETS, Login, Session, is_mariadb, login_of, number_of
from remedy.modules.controller._site import Site
from remedy.transport.reach import Address

FULL = 1040
NO_SERVICE = 2003
_OLDEST = {True: (10, 3), False: (5, 7)}
_NOT_SQL = (33060,)  # MySQL's X protocol


def opened(
    site: Site, params: dict[str, Any], *, looks: bool = False, login: Login | None = None
) -> Session:
    """Return the run's session on the server; raises Failed with `mysql_error` 1040 where no door is free.

    In check mode that is Unknown, for an earlier task may free a slot, unless the module only `looks`. `login` is
    what `params` say, where the caller knows it.
    """
    login = login or login_of(site, params)
    try:
        found = site.held(login, lambda: enter(site, login))
    except Failed as failed:
        if site.check and not looks and is_full(failed):
            raise Unknown(f"every connection is taken, so nobody could look: {failed.message}") from None
        raise
    found.site = site
    return found


def enter(site: Site, login: Login) -> Session:
    """Log in by the usual way, else by another door of the same server; raises Failed, where all is taken with `taken`:
    ordinary (the account is none for which a session is kept), else all.
    """
    asked = False

    def log_in() -> Session:
        nonlocal asked
        try:
            return usual(site, login)
        except Failed as failed:
            # A server that has no session left at all says so to whoever comes. One that asks first who that is had
            # the kept one free, and gives it to no account without the privilege.
            asked = asked or bool(is_full(failed) and failed.result.get("greeted"))
            raise

    try:
        return supported(admitted(log_in, is_full))
    except Failed as failed:
        if _nobody(failed):
            failed.result["mysql_error"] = NO_SERVICE
        if not is_full(failed):
            raise
        said = failed
    tried = []
    for address in doors(site, said.result.get("address", "")):
        try:
            session = supported(Session(site, replace(login, addresses=(address,))))
        except Failed as failed:
            tried.append(f"{shown(address)}: {failed.message}")
            continue
        session.door = shown(address)
        return session
    beside = f"; beside it: {'; '.join(tried)}" if tried else ", and the server listens nowhere else"
    whose = (
        f"{login.user} has neither SUPER nor CONNECTION ADMIN, for which a session is kept (or a proxy in between has "
        "none left)"
        if asked
        else "the session kept for administrators is taken, too"
    )
    raise Failed(
        f"{said.message}: {whose}{beside}",
        mysql_error=FULL,
        address=said.result.get("address"),
        taken="ordinary" if asked else "all",
    )


def usual(site: Site, login: Login) -> Session:
    """Log in by the usual way: at the usual places, or where the host's only server listens if it does elsewhere."""
    try:
        return Session(site, login)
    except Failed as failed:
        if not _nobody(failed) or login.addresses != SOCKETS:
            raise
        elsewhere, other = _listening(site)
        if other:
            raise Failed(f"{failed.message}; {other}", **failed.result) from None
        if not elsewhere:
            raise
    return Session(site, replace(login, addresses=elsewhere))


def _nobody(failed: Failed) -> bool:
    """Say whether a login failed because nobody takes connections there."""
    return "mysql_error" not in failed.result and "no service answers" in failed.message


def is_full(failed: Failed) -> bool:
    """Say whether a login failed because every connection is taken."""
    return bool(failed.result.get("mysql_error") == FULL)


def doors(site: Site, reached: str) -> list[Address]:
    """Return where else the server listens that was asked at `reached`: TCP alone, for an account with a password.

    Of another host's server none is known: the host's own may have the same port.
    """
    with suppress(Failed):  # nobody may look there: then there is no other door
        pid = site.ask(HOST, datadir=None, options=[], reached=reached)["pid"] if reached else None
        for server in site.ask("mysql_servers")["servers"] if pid is not None else ():
            places = [each if isinstance(each, str) else (each[0], each[1]) for each in server["listens"]]
            if server["container"] or server["pid"] != pid:
                continue
            other = [_inside(place) for place in places if not isinstance(place, str)]
            return [
                place
                for place in other
                if shown(place).rpartition(":")[2] != reached.rpartition(":")[2] and place[1] not in _NOT_SQL
            ]
    return []


def _listening(site: Site) -> tuple[tuple[Address, ...], str]:
    """Return where the host's only server listens, its sockets first, and nothing where there are several; or why the
    only one that runs is not the one that is meant.
    """
    with suppress(Failed):
        about = site.ask("mysql_servers")
        servers = [each for each in about["servers"] if not each["container"]]
        if len(servers) == 1:
            own, units = servers[0]["unit"], about["units"]
            down = [f"{each['name']} is {each['state']}" for each in units if each["down"] and each["name"] != own]
            if down and own in [each["name"] for each in units]:
                return (), f"{', '.join(down)}, and {own} is another server: name it by its port if it is meant"
            places = servers[0]["listens"]
            found = [each for each in places if isinstance(each, str)]
            return (*found, *(_inside((each[0], each[1])) for each in places if not isinstance(each, str))), ""
    return (), ""


def supported(session: Session) -> Session:
    """Return the session; raises Failed for a server that is older than what this was made for."""
    mariadb = is_mariadb(session.version)
    if number_of(session.version) >= _OLDEST[mariadb]:
        return session
    session.close()
    raise Failed(
        f"the server is {session.version}; expected MySQL 5.7 or newer, or MariaDB 10.3 or newer: nothing was changed"
    )


def _inside(place: tuple[str, int]) -> tuple[str, int]:
    return ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(place[0], place[0]), place[1])
