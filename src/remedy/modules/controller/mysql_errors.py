"""Tell which errors of MySQL or MariaDB there were lately: 1040, 1062, 1146 and 2003, from the log and from probes.

Asked are the server's error log (its file, or its unit's journal), the counters of performance_schema (MySQL from
8.0), the replication status, its connections, and the addresses where clients look for it (`addresses`, as seen from
the host). Returns `errors`, a mapping from the number to count, last (seconds since 1970, None: now), evidence
(texts), tables, and replication (it is the replica's threads that report it), `log` (source, why: why it cannot be
read), `door` and `refused` (logins refused for want of a connection since the start).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.controller import _variables
from remedy.modules.controller._doors import FULL, NO_SERVICE, opened
from remedy.modules.controller._mysql import (
    LOGIN_PARAMS,
    LOGIN_VARIABLES,
    Session,
    column,
    is_mariadb,
    number_of,
)
from remedy.modules.controller._replicas import status_of

LOG = "remedy.modules.target._mysql_log"
PATTERNS = {
    "1040": r"Too many connections|\bMY-001040\b|[Ee]rror_code: (?:MY-00)?1040\b",
    "1062": r"Duplicate entry '|\bMY-001062\b|[Ee]rror_code: (?:MY-00)?1062\b",
    "1146": r"Table '[^']+' doesn't exist|\bMY-001146\b|[Ee]rror_code: (?:MY-00)?1146\b",
    "2003": r"Can't connect to (?:MySQL |MariaDB )?server|[Ee]rror_code: (?:MY-00)?2003\b"
    r"|error (?:re)?connecting to (?:master|source)",
}
_REPLICATION = re.compile(
    r"\b(Slave|Replica|Master|Source|relay log)\b.*\b(SQL|I/O|Worker|master|source)", re.IGNORECASE
)
_TABLE = re.compile(
    r"Table '([^']+)' doesn't exist|for key '([^'.]+)\.[^']+'|INSERT INTO `?([\w.`]+)`?", re.IGNORECASE
)
_SHOWN = 5

PARAMS = (
    Param("since", "duration", default=3600, help="Errors of so long ago and later."),
    Param("addresses", "list", elements="str", help="HOST:PORT, or paths of sockets, where clients of this host look "
          "for a server."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- mysql_errors: {since: 30m, addresses: ["db1:3306"]}
  register: seen
"""


def check_params(params: dict[str, Any]) -> str | None:
    for each in params["addresses"] or ():
        if not re.fullmatch(r"/.+|\[?[\w.:-]+\]?:\d{1,5}", str(each)):
            return f"address '{each}': expected HOST:PORT or the path of a socket"
    return None


def kind(params: dict[str, Any]) -> type[Probe]:
    return Errors


class Errors(Probe):
    """Collects them."""

    def read(self) -> dict[str, Any]:
        """Return what was found; a server that lets nobody in is found by that."""
        found = Found()
        log: dict[str, Any] = {"source": None, "why": "the server was not asked where it is"}
        told: dict[str, Any] = {"door": "", "refused": None}
        try:
            server = opened(self.host, self.params, looks=True)
        except Failed as failed:
            number = int(failed.result.get("mysql_error") or 0)
            if number not in (FULL, NO_SERVICE):
                raise
            found.add(str(number), failed.message)
        else:
            told = {"door": server.door, "refused": self._connections(server, found)}
            log = self._log(server, found)
            _counted(server, found, float(self.params["since"]))
            _replicating(server, found)
        for each in self.params["addresses"] or ():
            self._reached(str(each), found)
        return {"errors": found.told(), "log": {"source": log["source"], "why": log["why"]}, **told}

    def _connections(self, server: Session, found: Found) -> int | None:
        status = {str(row["Variable_name"]): int(row["Value"]) for row in server.rows(
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Connection_errors_max_connections')"
        )}  # fmt: skip
        allowed = int(server.rows("SELECT @@max_connections AS allowed")[0]["allowed"])
        used = status.get("Threads_connected", 1) - 1
        refused = status.get("Connection_errors_max_connections")
        if used >= allowed:
            found.add(
                "1040",
                f"{used} of {allowed} connections are used, {refused} logins were refused since the start",
            )
        return refused

    def _log(self, server: Session, found: Found) -> dict[str, Any]:
        row = server.rows("SELECT @@log_error AS path, @@datadir AS datadir")[0]
        elsewhere = _variables.host_of(self.host, server, str(row["datadir"]))["elsewhere"]
        if elsewhere is not None:
            return {"source": None, "why": f"{elsewhere}, so its log is none of this host's: play on its own host"}
        path = str(row["path"] or "")
        if path in ("", "stderr"):
            path = ""
        elif not path.startswith("/"):
            path = f"{str(row['datadir']).rstrip('/')}/{path.removeprefix('./')}"
        folder = str(row["datadir"]).rstrip("/")
        servers = self.host.ask("mysql_servers")["servers"]
        units = [
            each["unit"] for each in servers if each["unit"] and str(each["datadir"]).rstrip("/") == folder
        ]
        log: dict[str, Any] = self.host.ask(
            LOG,
            path=path or None,
            unit=units[0] if units else None,
            since=float(self.params["since"]),
            patterns=list(PATTERNS.values()),
        )
        for line in log["lines"]:
            for number in numbers(line["text"]):
                found.add(number, line["text"], last=line["time"])
        return log

    def _reached(self, address: str, found: Found) -> None:
        place: Any = address
        if not address.startswith("/"):
            host, _, port = address.rpartition(":")
            place = (host.strip("[]"), int(port))
        try:
            self.host.reach([place]).close()
        except Failed as failed:
            found.add("2003", f"{address}: {failed.message}")


class Found:
    """Errors by their numbers."""

    def __init__(self) -> None:
        self._by: dict[str, dict[str, Any]] = {}

    def add(
        self,
        number: str,
        text: str,
        *,
        count: int = 1,
        last: float | None = None,
        tables: Sequence[str] = (),
        replication: bool = False,
    ) -> None:
        """Take note of one; `last` None is now."""
        each = self._by.setdefault(
            number, {"count": 0, "last": 0.0, "evidence": [], "tables": [], "replication": False}
        )
        each["count"] += count
        each["last"] = None if last is None or each["last"] is None else max(each["last"], last)
        each["evidence"].append(text)
        each["tables"] = list(dict.fromkeys([*each["tables"], *tables, *tables_of(text)]))
        each["replication"] = each["replication"] or replication or bool(_REPLICATION.search(text))

    def told(self) -> dict[str, Any]:
        """Return them, each with the newest texts."""
        return {
            number: {**each, "evidence": each["evidence"][-_SHOWN:]}
            for number, each in sorted(self._by.items())
        }


def numbers(line: str) -> list[str]:
    """Return the errors that a line of the log tells of."""
    return [number for number, pattern in PATTERNS.items() if re.search(pattern, line)]


def tables_of(text: str) -> list[str]:
    """Return the tables that a text names."""
    return [next(filter(None, each)).replace("`", "") for each in _TABLE.findall(text)]


def _counted(server: Session, found: Found, since: float) -> None:
    """Take the counters of performance_schema, which MySQL has from 8.0 on."""
    if is_mariadb(server.version) or number_of(server.version) < (8, 0):
        return
    with suppress(Failed):  # switched off, or not for this account: the log counts
        rows = server.rows(
            "SELECT ERROR_NUMBER AS number, SUM_ERROR_RAISED AS times, UNIX_TIMESTAMP(LAST_SEEN) AS last "
            "FROM performance_schema.events_errors_summary_global_by_error "
            f"WHERE ERROR_NUMBER IN (1040, 1062, 1146) AND LAST_SEEN > NOW() - INTERVAL {int(since)} SECOND"
        )
        for row in rows:
            text = f"raised {row['times']} times since the start, last at {_clock(float(row['last']))}"
            found.add(str(row["number"]), text, count=int(row["times"]), last=float(row["last"]))


def _replicating(server: Session, found: Found) -> None:
    """Take what a replica's threads stopped at."""
    for row in server.rows(status_of(server.version)):
        for part in ("IO", "SQL"):
            number = int(column(row, f"Last_{part}_Errno") or 0)
            text = str(column(row, f"Last_{part}_Error") or "")
            if number and (str(number) in PATTERNS or numbers(text)):
                for each in {str(number) if str(number) in PATTERNS else "", *numbers(text)} - {""}:
                    found.add(each, f"replication ({part}): {text}", replication=True)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
