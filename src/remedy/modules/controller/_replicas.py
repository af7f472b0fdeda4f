"""Who still needs a server's binary logs: its replicas, each asked what it has applied, and everybody else who reads.

The union of what the server says (SHOW REPLICAS, dump threads) and of what the inventory says: a replica that is
away is known to nobody but the inventory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._mysql import Asks, Login, Session, column, is_mariadb, number_of
from remedy.modules.controller._site import Site

_PORT = 3306


@dataclass(frozen=True)
class Replica:
    """Somebody who reads the binary logs. `needs` is the first file it has not applied, None: unknown, so all."""

    name: str
    needs: str | None
    why: str
    server_id: int | None = None
    reached: bool = False


@dataclass(frozen=True)
class Answer:
    """What a server that was asked said: who it is, and its replication status."""

    name: str
    server_id: int
    version: str
    status: list[dict[str, Any]]


Ask = Callable[[str, int], "Answer"]
"""Asks a server by its name or address and port; raises Failed where it cannot be asked."""


def listing(version: str) -> str:
    """Return the statement that lists connected replicas."""
    new = not is_mariadb(version) and number_of(version) >= (8, 0, 22)
    return "SHOW REPLICAS" if new else "SHOW SLAVE HOSTS"


def status_of(version: str) -> str:
    """Return the statement by which a replica tells where it is."""
    if is_mariadb(version):
        return "SHOW ALL SLAVES STATUS"
    return "SHOW REPLICA STATUS" if number_of(version) >= (8, 0, 22) else "SHOW SLAVE STATUS"


def may_look(server: Asks) -> None:
    """Raise Failed where the account would not see other sessions, and so no reader at all."""
    grants = " ".join(str(value) for row in server.rows("SHOW GRANTS") for value in row.values())
    if "ALL PRIVILEGES ON *.*" not in grants and "PROCESS" not in grants:
        raise Failed(
            "the account may not see who reads the binary logs: GRANT PROCESS ON *.* TO it",
            cause="permission",
        )


def find_replicas(
    server: Asks, version: str, server_id: int, named: Sequence[str], ask: Ask
) -> list[Replica]:
    """Return everybody who reads this server's binary logs, each asked what it applied."""
    found: list[Replica] = []
    known: set[int] = set()
    places: set[str] = set()
    for name in named:
        host, port = _parted(name)
        replica = _asked(name, host, port, ask, server_id)
        found.append(replica)
        if replica.server_id is not None:
            known.add(replica.server_id)
            places.add(host)
    for row in server.rows(listing(version)):
        number = int(column(row, "Server_id", "Server_Id") or 0)
        host, port = str(column(row, "Host") or ""), int(column(row, "Port") or _PORT)
        if number in known:
            continue
        called = f"{host or 'a replica'} (server id {number})"
        if not host:
            continue  # it must be behind one of the dump threads; they come next
        replica = _asked(called, host, port, ask, server_id)
        if replica.server_id not in (None, number):
            replica = Replica(called, None, f"another server answers at {host}:{port}", number)
        found.append(replica)
        known.add(number)
        places.add(host)
    for place in dict.fromkeys(_reading(server)):
        if place in places:
            continue
        replica = _asked(f"the reader at {place}", place, _PORT, ask, server_id)
        if replica.server_id is None or replica.server_id not in known:
            found.append(replica)
        if replica.server_id is not None:
            known.add(replica.server_id)
    for row in server.rows(listing(version)):
        number = int(column(row, "Server_id", "Server_Id") or 0)
        if number not in known:
            why = "it told the server no address (report_host): name it in mysql_replicas"
            found.append(Replica(f"the replica with server id {number}", None, why, number))
    return found


def forgotten(replicas: Sequence[Replica], names: Sequence[str]) -> tuple[list[Replica], list[Replica]]:
    """Return (who still counts, who cannot be reached and is named to be forgotten)."""
    gone = [each for each in replicas if not each.reached and _is_named(each, names)]
    return [each for each in replicas if each not in gone], gone


def answer(name: str, site: Site, login: Login) -> Answer:
    """Ask a server who it is and what it applied."""
    session = Session(site, login)
    try:
        status = session.rows(status_of(session.version))
        return Answer(name, session.server_id, session.version, status)
    finally:
        session.close()


def position(said: Answer, server_id: int) -> tuple[str | None, str]:
    """Return (the first file that a replica has not applied wholly, why it is no further)."""
    rows = [row for row in said.status if int(column(row, *_SOURCE_ID) or 0) in (0, server_id)]
    if not said.status:
        return None, "it is no replica (any more): it has no replication status"
    if not rows:
        return None, "it replicates from another server"
    files = [str(column(row, "Relay_Master_Log_File", "Relay_Source_Log_File") or "") for row in rows]
    if not all(files):
        return None, "it does not say what it applied"
    stopped = [
        part
        for row in rows
        for part, names in (("IO", _IO), ("SQL", _SQL))
        if str(column(row, *names)).lower() != "yes"
    ]
    errors = [str(column(row, "Last_SQL_Error") or column(row, "Last_IO_Error") or "") for row in rows]
    why = f"its {' and '.join(dict.fromkeys(stopped))} thread is stopped" if stopped else "it has come so far"
    said_error = next((error for error in errors if error), "")
    return min(files), f"{why}: {said_error[:200]}" if said_error else why


_SOURCE_ID = ("Master_Server_Id", "Source_Server_Id")
_IO = ("Slave_IO_Running", "Replica_IO_Running")
_SQL = ("Slave_SQL_Running", "Replica_SQL_Running")


def _asked(name: str, host: str, port: int, ask: Ask, server_id: int) -> Replica:
    try:
        said = ask(host, port)
    except Failed as failed:
        return Replica(name, None, f"it cannot be asked: {failed.message}")
    needs, why = position(said, server_id)
    return Replica(name, needs, why, said.server_id, reached=True)


def _reading(server: Asks) -> list[str]:
    """Return the addresses of the dump threads: replicas, backups, change-data readers."""
    rows = server.rows("SHOW FULL PROCESSLIST")
    return [
        str(row.get("Host") or "").rpartition(":")[0] or str(row.get("Host"))
        for row in rows
        if str(row.get("Command") or "").startswith("Binlog Dump")
    ]


def _parted(name: str) -> tuple[str, int]:
    host, colon, port = name.rpartition(":")
    return (host, int(port)) if colon and port.isdigit() and ":" not in host else (name, _PORT)


def _is_named(replica: Replica, names: Sequence[str]) -> bool:
    wanted = {str(name) for name in names}
    words = {replica.name, replica.name.removeprefix("the reader at "), _parted(replica.name)[0]}
    words.add(replica.name.partition(" (")[0])
    return bool(wanted & words) or (replica.server_id is not None and str(replica.server_id) in wanted)
