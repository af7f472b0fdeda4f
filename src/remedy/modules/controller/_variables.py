"""Global variables of a server: live, for the next start, and what their values may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._mysql import HOST, Asks, Session, is_mariadb, number_of
from remedy.modules.controller._site import Site

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_WORDS = {"true": "ON", "yes": "ON", "on": "ON", "false": "OFF", "no": "OFF", "off": "OFF"}
_READ_ONLY = "READ_ONLY"


@dataclass(frozen=True)
class Found:
    """A variable: live, and what the next start reads (None: nothing sets it).

    `by_server`: the server keeps values itself, and `kept` is what SET PERSIST has of it; else option files of the
    host do. `here`: its process is seen on the host, whose `memory` is bounded then; else that is 0.
    """

    live: str
    persistent: str | None
    kept: str | None
    where: str | None
    by_server: bool
    read_only: bool
    datadir: str
    here: bool
    memory: int

    def told(self) -> dict[str, Any]:
        """Return what a task returns of it."""
        drift = self.persistent is not None and not same(self.live, self.persistent)
        return {
            "msg": self.live,
            "live": self.live,
            "persistent": self.persistent,
            "where": self.where,
            "drift": drift,
        }


def persists(version: str) -> bool:
    """Say whether a server keeps values itself (SET PERSIST)."""
    return not is_mariadb(version) and number_of(version) >= (8, 0)


def found(site: Site, server: Session, name: str) -> Found:
    """Return a variable; raises Failed for one that the server does not have."""
    live = values(server, [name]).get(name)
    if live is None:
        close = [row["Variable_name"] for row in server.rows(
            "SHOW GLOBAL VARIABLES LIKE %s", args=(f"%{name.split('_')[0]}%",)
        )]  # fmt: skip
        hint = f"; it has {', '.join(close[:8])}" if close else ""
        raise Failed(f"this server ({server.version}) has no global variable '{name}'{hint}")
    datadir = str(server.rows("SELECT @@datadir AS datadir")[0]["datadir"])
    host = host_of(site, server, datadir, [name])
    by_server = persists(server.version)
    kept = persisted(server, [name]).get(name) if by_server else None
    persistent, where = host["options"].get(name), host["sets"].get(name)
    if kept is not None:
        persistent, where = kept, "SET PERSIST"  # it is read after every option file
    text = None if persistent is None else plain(persistent)
    here = host["pid"] is not None
    memory = int(host["memory"]["total"]) if here else 0
    return Found(live, text, kept, where, by_server, _read_only(server, name), datadir, here, memory)


def host_of(site: Site, server: Session, datadir: str, options: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the host knows of the server that a session leads to (see `_mysql_host`), and of these options."""
    return site.ask(HOST, datadir=datadir, options=list(options), reached=server.reached)


def values(server: Asks, names: list[str]) -> dict[str, str]:
    """Return the live values of global variables, without those that the server does not have."""
    wanted = ", ".join(f"'{name}'" for name in names)  # checked names: letters, digits, _ and a dot
    rows = server.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({wanted})")
    return {str(row["Variable_name"]).lower(): plain(row["Value"]) for row in rows}


def persisted(server: Asks, names: list[str]) -> dict[str, str]:
    """Return what SET PERSIST keeps of some variables."""
    rows = server.rows(
        "SELECT VARIABLE_NAME AS name, VARIABLE_VALUE AS value FROM performance_schema.persisted_variables"
    )
    return {
        str(row["name"]).lower(): plain(row["value"]) for row in rows if str(row["name"]).lower() in names
    }


def out_of_range(server: Session, name: str, value: str) -> str | None:
    """Return why the server would not take a value as it is, as far as it says what it takes (MySQL 5.7 does not)."""
    with suppress(Failed):  # an account that may not look there: the server itself decides
        for row in _limits(server, name):
            least, most = (str(row.get(part) or "") for part in ("least", "most"))
            number = _number(value)
            allowed = str(row.get("allowed") or "")
            if number is not None and least and most and Decimal(most) > Decimal(least):
                if not Decimal(least) <= number <= Decimal(most):
                    return f"{name} cannot be {value}: expected {least} to {most}"
            elif number is None and least and most and not allowed and Decimal(most) > Decimal(least):
                return f"{name} cannot be '{value}': expected a number from {least} to {most}"
            elif (
                allowed
                and number is None
                and str(row.get("type")).upper() in ("ENUM", "BOOLEAN")
                and value.upper() not in allowed.upper().split(",")
            ):
                return f"{name} cannot be '{value}': expected one of {allowed}"
    return None


def _limits(server: Session, name: str) -> list[dict[str, Any]]:
    if is_mariadb(server.version):
        return server.rows(
            "SELECT NUMERIC_MIN_VALUE AS least, NUMERIC_MAX_VALUE AS most, ENUM_VALUE_LIST AS allowed, "
            "VARIABLE_TYPE AS type FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = %s",
            args=(name,),
        )
    if number_of(server.version) >= (8, 0):
        return server.rows(
            "SELECT MIN_VALUE AS least, MAX_VALUE AS most FROM performance_schema.variables_info "
            "WHERE VARIABLE_NAME = %s",
            args=(name,),
        )
    return []


def _read_only(server: Session, name: str) -> bool:
    """Say whether a variable can only be set at start, as far as the server tells."""
    if not is_mariadb(server.version):
        return False  # MySQL says it in the error of SET, before anything has changed
    rows = server.rows(
        "SELECT READ_ONLY AS only_read FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = %s",
        args=(name,),
    )
    return any(str(row["only_read"]).upper() == "YES" for row in rows)


def plain(value: object) -> str:
    """Return a value as the server shows it: true is ON, 64M is 67108864, 10.000000 is 10."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    text = str(value).strip()
    known = re.fullmatch(r"([+-]?\d+)([KMGT]?)", text, re.IGNORECASE)
    if known:
        return str(int(known[1]) << _UNITS[known[2].upper()])
    if re.fullmatch(r"-?\d+\.\d+", text):
        return text.rstrip("0").rstrip(".")
    return _WORDS.get(text.lower(), text)


def same(one: str | None, other: str | None) -> bool:
    """Say whether two values mean the same: 1 is ON where the other is a word."""
    if one is None or other is None:
        return one is other
    words = {"1": "ON", "0": "OFF"}
    if {one, other} & {"ON", "OFF"}:
        return words.get(one, one) == words.get(other, other)
    return plain(one) == plain(other)


def literal(value: str) -> tuple[str, tuple[str, ...] | None]:
    """Return (what stands in SET, its arguments)."""
    if _number(value) is not None or value in ("ON", "OFF"):
        return value, None
    return "%s", (value,)


def _number(value: str) -> Decimal | None:
    # What Python takes beside (1e5, 1_000) an option file does not: the server would not start with it.
    return Decimal(value) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", value) else None
