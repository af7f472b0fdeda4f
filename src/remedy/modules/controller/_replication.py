"""A replica's state in one shape, whichever server tells it: threads, errors, lag, positions, GTIDs, what holds it up.

Statements are chosen by the server's version; columns are looked for under their old and new names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._mysql import Asks, column, is_mariadb, number_of
from remedy.modules.controller._replicas import status_of

OLDEST = {True: (10, 3), False: (5, 7)}
"""Whether MariaDB → the first version that is known."""

_RENAMED = (8, 0, 22)  # MySQL: SLAVE became REPLICA, in statements and columns
_VARIABLES = (8, 0, 26)  # and in the names of variables
_LOCKED = re.compile(r"waiting for .*\block\b|waiting for .*metadata", re.IGNORECASE)
_SPACE = re.compile(
    r"free (enough )?(relay log |disk )?space|no space left|disk is full|table .* is full", re.IGNORECASE
)
_NO_SPACE = {1021, 1114, 3, 28}  # error numbers: disk full, table full, and the operating system's
_IO_ADVICE = {
    1236: "the source no longer has what this replica needs next: build the replica anew from a backup or a clone",
    2003: "the source does not answer: look at its service, the network and the firewall between them",
    2005: "the source's name is not known here: look at its address and at DNS",
    1045: "the source refuses the replication account: look at its user and password (CHANGE REPLICATION SOURCE, "
    "CHANGE MASTER)",
    1040: "the source has no connection free: remedy play mysql-connections there",
    1593: "source and replica have the same server_id or server_uuid: give this server its own",
    2061: "the replication account needs TLS or the source's public key (GET_SOURCE_PUBLIC_KEY = 1)",
    1130: "the source lets nobody in from this host: look at the host part of the replication account",
    13117: "source and replica do not go together (gtid_mode, or the same server_uuid): the error says which",
    13114: "the source no longer has what this replica needs next: build the replica anew from a backup or a clone",
}


@dataclass(frozen=True)
class Words:
    """What a server calls things."""

    mariadb: bool
    version: tuple[int, ...]

    @property
    def replica(self) -> str:
        """Return the noun of its statements."""
        return "SLAVE" if self.mariadb or self.version < _RENAMED else "REPLICA"

    def variable(self, name: str) -> str:
        """Return the name of a variable that is called replica_NAME today."""
        return f"{'slave' if self.mariadb or self.version < _VARIABLES else 'replica'}_{name}"

    @property
    def skip_counter(self) -> str:
        """Return the variable that skips events."""
        return f"sql_{self.variable('skip_counter')}"

    def statement(self, verb: str, channel: str, threads: Sequence[str] = ()) -> str:
        """Return START or STOP for a channel's threads, "io" and "sql"; both where none is named."""
        parts = ", ".join(f"{name.upper()}_THREAD" for name in threads)
        if self.mariadb:
            return f"{verb} SLAVE '{channel}' {parts}".rstrip()
        return f"{verb} {self.replica} {parts}".rstrip() + f" FOR CHANNEL '{channel}'"


@dataclass(frozen=True)
class Channel:
    """One source that a replica follows; `missing` counts what it has received and not applied, None: not known."""

    name: str
    source: str
    source_id: int
    io: str
    sql: bool
    lag: int | None
    delay: int
    io_error: tuple[int, str]
    sql_error: tuple[int, str]
    gtid: bool
    retrieved: str
    executed: str
    missing: int | None
    read: tuple[str, int]
    applied: tuple[str, int]
    relay: tuple[str, int]
    doing: tuple[str, str]
    rows: dict[str, Any] = field(repr=False)

    @property
    def behind(self) -> bool:
        """Say whether something is received that is not applied."""
        return bool(self.missing) if self.missing is not None else self.read != self.applied

    @property
    def late(self) -> int | None:
        """Return the lag beyond the delay that is set."""
        return None if self.lag is None else max(0, self.lag - self.delay)

    def cause(self) -> tuple[str, str]:
        """Return what holds it up (a word, see mysql_replication) and a sentence on it."""
        told = "; ".join(text for text in (self.sql_error[1], self.io_error[1], *self.doing) if text)
        numbers = {self.sql_error[0], self.io_error[0]}
        if numbers & _NO_SPACE or _SPACE.search(told):
            return "space", "it has no room on its disk: remedy play disk-full there"
        if self.sql_error[0] or self.sql_error[1]:
            return "error", self.sql_error[1] or f"error {self.sql_error[0]}"
        if self.io_error[0] or self.io == "connecting":
            advice = _IO_ADVICE.get(self.io_error[0], "the source cannot be reached or refuses")
            return "connection", advice
        if self.io == "no" or not self.sql:
            stopped = [name for name, runs in (("IO", self.io != "no"), ("SQL", self.sql)) if not runs]
            return "stopped", f"its {' and '.join(stopped)} thread is stopped"
        if self.delay:
            return "delay", f"it is told to stay {self.delay} s behind (a delayed replica)"
        if self.behind and _LOCKED.search(self.doing[1]):
            return "lock", f"it waits for a lock: {self.doing[1]}"
        if self.behind:
            return "load", "it receives faster than it applies"
        return "nothing", "it has applied all it has received"

    def told(self) -> dict[str, Any]:
        """Return it as plain data."""
        cause, why = self.cause()
        return {
            "channel": self.name,
            "source": self.source,
            "io": self.io,
            "sql": "yes" if self.sql else "no",
            "lag": self.lag,
            "delay": self.delay,
            "late": self.late,
            "io_error": {"number": self.io_error[0], "text": self.io_error[1]},
            "sql_error": {"number": self.sql_error[0], "text": self.sql_error[1]},
            "gtid": self.gtid,
            "retrieved": self.retrieved,
            "executed": self.executed,
            "missing": self.missing,
            "read": place(self.read),
            "applied": place(self.applied),
            "io_state": self.doing[0],
            "sql_state": self.doing[1],
            "held_up_by": cause,
            "why": why,
        }


def words_of(version: str) -> Words:
    """Return a server's words; raises Failed for one that is too old to be known."""
    mariadb, numbers = is_mariadb(version), number_of(version)
    if numbers < OLDEST[mariadb]:
        first = ".".join(str(part) for part in OLDEST[mariadb])
        name = "MariaDB" if mariadb else "MySQL"
        raise Failed(f"{name} {version} is older than {first}, the oldest whose replication is known here")
    return Words(mariadb, numbers)


def place(at: tuple[str, int]) -> str:
    """Return a position as people write it."""
    return f"{at[0]}:{at[1]}" if at[0] else ""


def channels(server: Asks, version: str, only: str | None = None) -> list[Channel]:
    """Return the sources that a server follows, none where it is no replica; `only` names one."""
    words = words_of(version)
    rows = server.rows(status_of(version))
    found = [_channel(row, words) for row in rows]
    if only is None:
        return found
    chosen = [each for each in found if each.name == only]
    if found and not chosen:
        names = ", ".join(repr(each.name) for each in found)
        raise Failed(f"the replica has no channel {only!r}; it has: {names}")
    return chosen


def _channel(row: dict[str, Any], words: Words) -> Channel:
    def told(*names: str) -> str:
        value = column(row, *names)
        return "" if value is None else str(value)

    def number(*names: str) -> int:
        return int(told(*names) or 0)

    lag = column(row, "Seconds_Behind_Source", "Seconds_Behind_Master")
    if words.mariadb:
        gtid = told("Using_Gtid").lower() not in ("", "no")
        retrieved, executed = told("Gtid_IO_Pos"), told("Gtid_Slave_Pos")
        # Without GTID in use the received position is not kept up.
        missing = behind_by(retrieved, executed) if gtid else None
    else:
        gtid = told("Auto_Position") == "1" or bool(told("Retrieved_Gtid_Set"))
        retrieved, executed = told("Retrieved_Gtid_Set"), told("Executed_Gtid_Set")
        missing = lacking(retrieved, executed) if gtid else None
    return Channel(
        name=told("Channel_Name", "Connection_name"),
        source=f"{told('Source_Host', 'Master_Host')}:{told('Source_Port', 'Master_Port')}",
        source_id=number("Source_Server_Id", "Master_Server_Id"),
        io=_running(told("Replica_IO_Running", "Slave_IO_Running")),
        sql=told("Replica_SQL_Running", "Slave_SQL_Running").lower() == "yes",
        lag=None if lag is None else int(lag),
        delay=number("SQL_Delay"),
        io_error=(number("Last_IO_Errno"), told("Last_IO_Error")),
        sql_error=(number("Last_SQL_Errno"), told("Last_SQL_Error")),
        gtid=gtid,
        retrieved=_one_line(retrieved),
        executed=_one_line(executed),
        missing=missing,
        read=(
            told("Source_Log_File", "Master_Log_File"),
            number("Read_Source_Log_Pos", "Read_Master_Log_Pos"),
        ),
        applied=(
            told("Relay_Source_Log_File", "Relay_Master_Log_File"),
            number("Exec_Source_Log_Pos", "Exec_Master_Log_Pos"),
        ),
        relay=(told("Relay_Log_File"), number("Relay_Log_Pos")),
        doing=(
            told("Replica_IO_State", "Slave_IO_State"),
            told("Replica_SQL_Running_State", "Slave_SQL_Running_State"),
        ),
        rows=row,
    )


def _running(said: str) -> str:
    said = said.lower()
    return said if said in ("yes", "connecting") else "no"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", "", text)


def intervals(gtids: str) -> dict[str, list[tuple[int, int]]]:
    """Return MySQL's GTID set as {uuid or uuid:tag: [(first, last), ...]}."""
    found: dict[str, list[tuple[int, int]]] = {}
    for part in filter(None, _one_line(gtids).split(",")):
        uuid, *rest = part.split(":")
        owner = uuid
        for each in rest:
            if not each[:1].isdigit():  # a tag (MySQL 8.3)
                owner = f"{uuid}:{each}"
                continue
            first, _, last = each.partition("-")
            found.setdefault(owner, []).append((int(first), int(last or first)))
    return found


def lacking(retrieved: str, executed: str) -> int:
    """Return how many transactions of one of MySQL's GTID sets are not in the other."""
    have = intervals(executed)
    count = 0
    for owner, spans in intervals(retrieved).items():
        for first, last in spans:
            count += last - first + 1
            for start, end in have.get(owner, ()):
                count -= max(0, min(last, end) - max(first, start) + 1)
    return count


def domains(gtids: str) -> dict[int, tuple[int, int]]:
    """Return MariaDB's GTID position as {domain: (server, sequence number)}."""
    found = {}
    for part in filter(None, _one_line(gtids).split(",")):
        domain, server, sequence = part.split("-")
        found[int(domain)] = (int(server), int(sequence))
    return found


def behind_by(retrieved: str, executed: str) -> int:
    """Return by how many sequence numbers one of MariaDB's positions is ahead of the other, over all domains."""
    have = domains(executed)
    return sum(
        max(0, sequence - have.get(domain, (0, 0))[1]) for domain, (_, sequence) in domains(retrieved).items()
    )


def variables(server: Asks, names: Sequence[str]) -> dict[str, str]:
    """Return global variables, those that the server has."""
    listed = ", ".join(f"'{name}'" for name in names)
    rows = server.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({listed})")
    return {str(row["Variable_name"]): str(row["Value"]) for row in rows}


def server_of(server: Asks) -> dict[str, str]:
    """Return what of a server's own settings matters for its replicas and as one."""
    return variables(
        server,
        ("server_id", "read_only", "super_read_only", "gtid_mode", "gtid_strict_mode", "log_bin",
         "log_slave_updates", "log_replica_updates", "binlog_format"),
    )  # fmt: skip
