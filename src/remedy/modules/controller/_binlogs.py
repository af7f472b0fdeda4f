"""Which binary logs may go: the server's list, judged by age, number, backups and replicas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from remedy.agent.kinds import Failed, Param
from remedy.modules.controller import _doors
from remedy.modules.controller._mysql import (
    FILES,
    LOGIN_PARAMS,
    LOGIN_VARIABLES,
    SOCKETS,
    Login,
    Session,
    is_mariadb,
    login_of,
)
from remedy.modules.controller._mysql_tls import tls_of
from remedy.modules.controller._replicas import (
    Answer,
    Replica,
    answer,
    find_replicas,
    forgotten,
    may_look,
)
from remedy.modules.controller._site import Site

LEAST = 64 << 10  # bytes that suffice for a purge once nobody else waits for space
_SKEW = 60.0  # seconds
_WAITING = re.compile(r"waiting for (someone to free|disk) space", re.IGNORECASE)
_COMMITTING = "waiting for handler commit"  # MySQL: the same, where it takes long
_LONG = 5  # seconds

PARAMS = (
    Param("keep", "duration", default=259200, help="Keep what was written to within this time (3 days)."),
    Param("keep_files", "int", default=3, help="Keep this many of the newest, with the one being written."),
    Param("replicas", "list", elements="str", help="Replicas that must have applied what goes, connected or not: "
          "names of the inventory, or HOST:PORT as seen from the server. Else the variable mysql_replicas."),
    Param("forget_replicas", "list", elements="str", help="Replicas that cannot be reached and will not come back: "
          "they keep nothing any more. Else the variable binlog_forget_replicas."),
    Param("backed_up_until", help="The first binary log that is not backed up, or a time (ISO 8601): nothing later "
          "goes. Else the variable binlog_backed_up_until."),
    Param("replica_user", help="The account on replicas that are not in the inventory; else login_user."),
    Param("replica_password", secret=True, help="Its password; else login_password."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = {
    "replicas": "mysql_replicas",
    "forget_replicas": "binlog_forget_replicas",
    "backed_up_until": "binlog_backed_up_until",
    **LOGIN_VARIABLES,
}


@dataclass(frozen=True)
class Binlog:
    """One binary log: its room on the disk and its length in bytes, the time of its last write."""

    name: str
    size: int
    length: int
    mtime: float | None


@dataclass(frozen=True)
class Verdict:
    """A binary log, and whether it may go, and why."""

    file: Binlog
    take: bool
    reason: str


@dataclass(frozen=True)
class Survey:
    """What was found: the verdicts from the oldest on, the disk, who reads, what the operator should know.

    `holds` are the bytes that each replica keeps from going, by its name; `waiting` the sessions that wait for space.
    """

    verdicts: tuple[Verdict, ...]
    disk: dict[str, Any]
    replicas: tuple[Replica, ...]
    notes: tuple[str, ...]
    holds: dict[str, int]
    waiting: tuple[dict[str, Any], ...]

    @property
    def taking(self) -> list[Binlog]:
        return [each.file for each in self.verdicts if each.take]

    def told(self) -> dict[str, Any]:
        """Return what a task returns of it."""
        rows = [
            (v.take, {"item": v.file.name, "size": v.file.size, "reason": v.reason}) for v in self.verdicts
        ]
        return {
            "takes": [row for take, row in rows if take],
            "kept": [row for take, row in rows if not take],
            "bytes": sum(file.size for file in self.taking),
            "total": sum(v.file.size for v in self.verdicts),
            "disk": self.disk,
            "replicas": [
                {
                    "name": each.name,
                    "needs": each.needs,
                    "why": each.why,
                    "reached": each.reached,
                    "holds": self.holds[each.name],
                }
                for each in self.replicas
            ],
            "waiting": list(self.waiting),
            "notes": list(self.notes),
        }


def check_params(params: dict[str, Any]) -> str | None:
    if isinstance(params["keep_files"], int) and params["keep_files"] < 1:
        return "keep_files must be 1 or more: the newest is being written"
    return None


def survey(site: Site, server: Session, login: Login, params: dict[str, Any]) -> Survey:
    """Look at everything that decides which binary logs may go; changes nothing."""
    if params["keep"] and site.clock_skew is not None and abs(site.clock_skew) > _SKEW:
        raise Failed(
            f"the host's clock is {abs(site.clock_skew):.0f} s off, and every binary log's age with it; "
            "set the clock first"
        )
    may_look(server)
    files, disk, now = listed(site, server)
    named = [str(name) for name in params["replicas"] or ()]

    def ask(host: str, port: int) -> Answer:
        other = site.other(host)
        if other is not None:
            return answer(host, other, login_of_other(other, params))
        return answer(host, site, _replica_login(login, params, host, port))

    everybody = find_replicas(server, server.version, server.server_id, named, ask)
    replicas, gone = forgotten(everybody, [str(name) for name in params["forget_replicas"] or ()])
    verdicts = judge(files, now, params, replicas)
    without = _freed(judge(files, now, params, ()))
    holds = {each.name: without - _freed(judge(files, now, params, [each])) for each in replicas}
    notes = [f"{each.name} is forgotten, as asked: {each.why}" for each in gone]
    notes += _notes(server, params, any(verdict.take for verdict in verdicts))
    return Survey(tuple(verdicts), disk, tuple(replicas), tuple(notes), holds, tuple(waiting(server)))


def listed(site: Site, server: Session) -> tuple[list[Binlog], dict[str, Any], float]:
    """Return the binary logs from the oldest on, their disk, and the host's time: read from the files."""
    where = server.rows("SELECT @@log_bin AS kept, @@log_bin_index AS binlogs, @@datadir AS datadir")[0]
    if not where["kept"] or not where["binlogs"]:
        raise Failed("the server writes no binary logs (log_bin is off)")
    told = site.ask(FILES, option_files=[], index=where["binlogs"], datadir=where["datadir"],
                    reached=server.reached)  # fmt: skip
    files = [Binlog(each["name"], each["size"], each["length"], each["mtime"]) for each in told["binlogs"]]
    return files, dict(told["disk"]), float(told["now"])


def lendable(site: Site, disk: dict[str, Any]) -> tuple[int, str]:
    """Return how many bytes ext4 keeps back for root, which could be lent; and why none can."""
    try:
        kept = site.ask("remedy.modules.target._ext4", path=disk["folder"])
    except Failed as failed:
        return 0, failed.message
    size = kept["blocks"] * kept["block_size"]
    return size, "" if size >= LEAST else f"{kept['device']} keeps nothing back for root"


def waiting(server: Session) -> list[dict[str, Any]]:
    """Return the sessions that wait for space on the disk: id, user, host, seconds."""
    return [
        {"id": int(row["Id"]), "user": row["User"], "host": row["Host"], "seconds": row["Time"]}
        for row in server.processes()
        if _WAITING.search(state := str(row.get("State") or ""))
        or (state == _COMMITTING and int(row["Time"] or 0) >= _LONG and not is_mariadb(server.version))
    ]


def judge(
    files: Sequence[Binlog], now: float, params: dict[str, Any], replicas: Sequence[Replica]
) -> list[Verdict]:
    """Return a verdict for each binary log; PURGE goes in order, so the first that is kept keeps all after it."""
    verdicts: list[Verdict] = []
    names = [file.name for file in files]
    for place, file in enumerate(files):
        reason = _keeping(place, files, now, params, replicas, names)
        if reason is None and verdicts and not verdicts[-1].take:
            reason = f"{verdicts[-1].file.name} before it is kept"
        if reason is not None:
            verdicts.append(Verdict(file, False, reason))
            continue
        applied = f"applied by {', '.join(each.name for each in replicas)}" if replicas else "no replica"
        verdicts.append(
            Verdict(file, True, f"last written {_span(now - (file.mtime or now))} ago, {applied}")
        )
    return verdicts


def _keeping(
    place: int,
    files: Sequence[Binlog],
    now: float,
    params: dict[str, Any],
    replicas: Sequence[Replica],
    names: Sequence[str],
) -> str | None:
    file = files[place]
    if place == len(files) - 1:
        return "it is being written"
    for replica in replicas:
        if replica.needs is None:
            return f"{replica.name} may need it: {replica.why}"
        if replica.needs not in names:
            return f"{replica.name} may need it: it is at {replica.needs}, which this server does not have"
        if names.index(replica.needs) <= place:
            return f"{replica.name} has not applied it: it is at {replica.needs}; {replica.why}"
    if place >= len(files) - params["keep_files"]:
        return f"among the newest {params['keep_files']}"
    if file.mtime is None:
        return "its file is not there"
    if now - file.mtime < params["keep"]:
        return f"written to {_span(max(0.0, now - file.mtime))} ago"
    until = str(params["backed_up_until"] or "")
    if until and not _backed_up(file, place, until, names):
        return f"not backed up yet (until {until})"
    return None


def _backed_up(file: Binlog, place: int, until: str, names: Sequence[str]) -> bool:
    if until in names:
        return place < names.index(until)
    try:
        when = datetime.fromisoformat(until)
    except ValueError:
        raise Failed(
            f"backed_up_until is '{until}', which is neither a binary log of this server nor a time (ISO 8601)"
        ) from None
    return (file.mtime or 0) <= (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _notes(server: Session, params: dict[str, Any], taking: bool) -> list[str]:
    notes = []
    if taking and not params["backed_up_until"]:
        notes.append(
            "point-in-time recovery ends here: without binlog_backed_up_until nobody knows what is backed up"
        )
    for row in server.rows("SHOW GLOBAL VARIABLES LIKE 'slave_connections_needed_for_purge'"):
        if int(row["Value"] or 0):
            notes.append(
                f"slave_connections_needed_for_purge is {row['Value']}: the server purges nothing by itself while "
                "fewer replicas are connected"
            )
    return notes


def login_of_other(other: Site, params: dict[str, Any]) -> Login:
    """Return how to log in on a replica of the inventory: like here, by its own sockets and its own user."""
    user = params.get("replica_user") or params.get("login_user") or other.user or "root"
    password = params.get("replica_password") or params.get("login_password") or ""
    path = params.get("login_unix_socket")
    addresses = (str(path),) if path else SOCKETS
    return Login(str(user), str(password), addresses, tls=tls_of(params, ""))


def _replica_login(login: Login, params: dict[str, Any], host: str, port: int) -> Login:
    user = params.get("replica_user") or login.user
    password = params.get("replica_password") or ""
    if not params.get("replica_user"):
        # Where a replica is, the server says; what a file of this machine holds is for the server it was named for.
        own = params.get("login_password") if params.get("local_config_file") else login.password
        password = password or own or ""
    tls = replace(login.tls, name=host) if login.tls else None
    return Login(str(user), str(password), ((host, port),), tls=tls)


def opened(site: Site, params: dict[str, Any], *, looks: bool = False) -> tuple[Login, Session]:
    """Return how to log in, and the run's session, by whatever door: a full disk lets connections pile up."""
    login = login_of(site, params)
    return login, _doors.opened(site, params, looks=looks, login=login)


def _freed(verdicts: Sequence[Verdict]) -> int:
    return sum(verdict.file.size for verdict in verdicts if verdict.take)


def _span(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"
