"""Look at MySQL's and MariaDB's replication, start and stop it, give it workers, or skip one transaction with guards.

`mode: getreplica` and `mode: getprimary` only read; with `lag` the first waits until the replica has caught up, and
tells every ten seconds how far it is. `startreplica` and `stopreplica` start and stop threads and wait until they run,
or the error that stopped them is known; `restartreplica` stops and starts those that run. `workers` sets how many
workers apply what was received, keeping the order of commits: live, and on MySQL 8 and later for the next start too
(SET PERSIST); elsewhere it returns the `options` that mysql_option writes into a file. Its SQL threads stop for a
moment, for the server wants it so. A MariaDB that applies by position and knows several GTID domains gets no first
workers.

A STOP waits for what is being applied, and cannot be taken back. So it runs in a second session; where none can be had,
nothing is stopped. Threads that do not stop within `timeout` are started again, nothing else is done, and the failure
says which run; only with `stopreplica` they stay on their way to stand still.

`skipevent` passes by the one transaction at which the SQL thread stopped, and only where its error is one of `errors`.
The transaction is looked up in the relay log first, and told in the report before it goes: on MySQL with GTID an empty
transaction takes its place, elsewhere the skip counter does, or on MariaDB with parallel domains gtid_slave_pos. Source
and replica differ from then on: compare their tables.

Returns for a replica `is_replica` and `channels`, each with source, io, sql (threads), lag (seconds, None: not known),
late (the lag beyond a delay that is set), missing (transactions received and not applied), read and applied (positions
in the source's binary logs), retrieved and executed (GTIDs), io_error and sql_error (number, text), held_up_by
(nothing, stopped, error, connection, space, delay, lock, load) with `why`, and `failing`: the transaction it stopped at
(error, text, gtid, place, events). Further `workers` (workers, type, commit_order, settings) and `server`. For a
primary file, position, gtid, is_primary and replicas.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from remedy.agent.kinds import Action, Failed, Module, Param, Probe, Resource
from remedy.modules.controller import _skipping, _workers
from remedy.modules.controller._failing import failing
from remedy.modules.controller._mysql import (
    LOGIN_PARAMS,
    LOGIN_VARIABLES,
    column,
    is_mariadb,
    number_of,
)
from remedy.modules.controller._replicas import listing
from remedy.modules.controller._replication import server_of
from remedy.modules.controller._threads import Replica, running

SKIPPABLE = (1062, 1032)
_THREADS = ("io", "sql")
_MODES = ("getreplica", "getprimary", "startreplica", "stopreplica", "restartreplica", "workers", "skipevent")
_MOST_WORKERS = 1024
_LOOK, _TELL = 0.5, 10.0  # seconds between two looks, between two words on how far it is

PARAMS = (
    Param("mode", default="getreplica", choices=_MODES, help="What to do."),
    Param("channel", aliases=("connection_name",), help="The channel (MariaDB: connection) that is meant; else all, "
          "and for skipevent the one that stopped."),
    Param("threads", "list", elements="str", default=list(_THREADS), help="The threads to start or stop: io, sql."),
    Param("workers", "int", help="With mode: workers: how many apply at the same time; 1 to 1024."),
    Param("parallel_mode", choices=("conservative", "optimistic", "aggressive", "minimal", "none"),
          help="With mode: workers: MariaDB's slave_parallel_mode; else it stays, unless it forbids workers."),
    Param("errors", "list", elements="int", help="With mode: skipevent: the error numbers that may be skipped, of "
          "1062 (the row is there already) and 1032 (the row is not there)."),
    Param("lag", "int", help="With mode: getreplica: wait until every channel is at most so many seconds late, or one "
          "is held up by what does not go away by itself; for `timeout` at most."),
    Param("timeout", "duration", default=60, help="How long threads may take to stop, or until they run."),
    *LOGIN_PARAMS,
)  # fmt: skip
VARIABLES = LOGIN_VARIABLES
EXAMPLES = """
- mysql_replication:
  register: replication
- mysql_replication: {mode: startreplica, threads: [sql]}
- mysql_replication: {mode: workers, workers: 4}
- mysql_replication: {mode: skipevent, errors: [1062]}
"""


def check_params(params: dict[str, Any]) -> str | None:
    mode, workers, errors = params["mode"], params["workers"], params["errors"]
    if mode == "workers" and workers is None:
        return "mode: workers needs workers, their number"
    if isinstance(workers, int) and not 1 <= workers <= _MOST_WORKERS:
        return f"workers is {workers}: expected 1 to {_MOST_WORKERS}"
    if mode == "skipevent" and not errors:
        return "mode: skipevent needs errors, the numbers that may be skipped, such as [1062]"
    for number in errors if isinstance(errors, list) else ():
        if isinstance(number, int) and number not in SKIPPABLE:
            return f"errors has {number}: only 1062 and 1032 say that a row differs, others are mended at their cause"
    if isinstance(params["threads"], list) and set(map(str, params["threads"])) - set(_THREADS):
        return f"threads is {params['threads']}: expected io, sql or both"
    if isinstance(params["lag"], int) and params["lag"] < 0:
        return f"lag is {params['lag']}: expected seconds from 0"
    channel = params["channel"]
    if isinstance(channel, str) and any(letter in channel for letter in "'\\\n"):
        return f"channel {channel!r}: quotes and backslashes are in no channel's name"
    return None


def kind(params: dict[str, Any]) -> type[Module]:
    return {
        "getreplica": Look if params.get("lag") is None else CatchUp,
        "getprimary": LookPrimary,
        "startreplica": Start,
        "stopreplica": Stop,
        "restartreplica": Restart,
        "workers": Workers,
        "skipevent": _skipping.Skip,
    }[params["mode"]]


class Look(Probe):
    def read(self) -> dict[str, Any]:
        """Return what a replica says of itself."""
        replica = Replica(self.host, self.params)
        found = replica.channels()
        told = []
        for each in found:
            stopped = failing(replica.session, replica.words, each)
            told.append({**each.told(), "failing": stopped.told() if stopped else None})
        return {
            "is_replica": bool(found),
            "channels": told,
            "workers": _workers.told(replica.words, _workers.live(replica.session, replica.words)),
            "server": {"version": replica.session.version, **server_of(replica.session)},
        }


class CatchUp(Look):
    """Looks until the replica is in time."""

    deadline = 86400

    def read(self) -> dict[str, Any]:
        """Return what it says in the end."""
        replica = Replica(self.host, self.params)
        until = time.monotonic() + replica.seconds
        told = time.monotonic()
        while True:
            found = replica.channels()
            late = [each for each in found if each.late is None or each.late > self.params["lag"]]
            stuck = [each for each in found if each.cause()[0] in ("stopped", "error", "connection", "space")]
            if not late or stuck or time.monotonic() >= until or self.host.stopping():
                return super().read()
            if time.monotonic() - told >= _TELL:
                told = time.monotonic()
                for each in late:
                    left = "" if each.missing is None else f", {each.missing} transactions to apply"
                    self.host.warn(
                        f"{each.lag} s behind {each.source}{left}; {until - told:.0f} s of patience left"
                    )
            threading.Event().wait(_LOOK)


class LookPrimary(Probe):
    def read(self) -> dict[str, Any]:
        """Return where a server's binary log is, and who reads it."""
        server = Replica(self.host, self.params).session
        new = not is_mariadb(server.version) and number_of(server.version) >= (8, 2)
        rows = server.rows("SHOW BINARY LOG STATUS" if new else "SHOW MASTER STATUS")
        gtid = "gtid_binlog_pos" if is_mariadb(server.version) else "gtid_executed"
        told = server.rows(f"SELECT @@global.{gtid} AS gtid")[0]["gtid"]
        return {
            "is_primary": bool(rows),
            "file": rows[0]["File"] if rows else None,
            "position": int(rows[0]["Position"]) if rows else None,
            "gtid": str(told or "").replace("\n", ""),
            "replicas": [
                {
                    "server_id": int(column(row, "Server_id", "Server_Id") or 0),
                    "host": column(row, "Host") or "",
                    "port": int(column(row, "Port") or 0),
                }
                for row in server.rows(listing(server.version))
            ],
            "server": {"version": server.version, **server_of(server)},
        }


class _Threads(Resource):
    """The threads of the channels that are meant: {channel: {thread: whether it runs}}."""

    _replica: Replica | None = None
    _runs = True

    @property
    def replica(self) -> Replica:
        if self._replica is None:
            self._replica = Replica(self.host, self.params)
        return self._replica

    def key(self) -> str:
        """Return what is started or stopped."""
        channel = self.params["channel"]
        return "MySQL replication" + (f", channel {channel!r}" if channel else "")

    def read(self) -> dict[str, Any]:
        """Return which threads run."""
        found = self.replica.channels()
        if not found:
            raise Failed("the server is no replica: it has no replication status")
        return {each.name: {name: name in running(each) for name in _THREADS} for each in found}

    def wanted(self, have: dict[str, Any]) -> dict[str, Any]:
        """Return which should run."""
        chosen = dict.fromkeys(self.params["threads"], self._runs)
        return {name: {**threads, **chosen} for name, threads in have.items()}

    def write(self, have: dict[str, Any], want: dict[str, Any]) -> None:
        """Start or stop what differs."""
        stop, start = (
            {
                name: [
                    each
                    for each in _THREADS
                    if threads[each] is runs and bool(have.get(name, {}).get(each)) is not runs
                ]
                for name, threads in want.items()
            }
            for runs in (False, True)
        )
        self.replica.stop(stop)
        for name, threads in start.items():
            self.replica.start(name, threads)
            if threads:
                self.replica.settled(name, threads)

    def why(self, have: dict[str, Any]) -> str:
        """Return why nothing is to be done."""
        return f"the threads {' and '.join(self.params['threads'])} {'run' if self._runs else 'are stopped'}"


class Start(_Threads):
    """Starts threads."""


class Stop(_Threads):
    """Stops threads."""

    _runs = False
    disruptive = True


class Restart(Action):
    """Stops and starts the threads that run."""

    happened = "restarted"
    disruptive = True

    def key(self) -> str:
        """Return what is restarted."""
        return f"the threads {' and '.join(self.params['threads'])} of MySQL replication"

    def ready(self) -> str | None:
        """Say whether there is anything to restart."""
        self._replica = Replica(self.host, self.params)
        self._found = self._replica.channels()
        if not self._found:
            raise Failed("the server is no replica: it has no replication status")
        self._chosen = {
            each.name: [name for name in running(each) if name in self.params["threads"]]
            for each in self._found
        }
        return None if any(self._chosen.values()) else "no such thread runs: mode: startreplica starts it"

    def state(self) -> dict[str, Any]:
        """Return the server's numbers of the threads, which no two threads share."""
        own = [row for row in self._replica.session.processes() if row["User"] in ("system user", "")]
        return {"sessions": sorted(int(row["Id"]) for row in own)}

    def do(self) -> dict[str, Any]:
        """Stop and start them."""
        with self._replica.halted(self._chosen, "Nothing was restarted"):
            return {}

    def proof(self, before: dict[str, Any]) -> dict[str, Any]:
        """Return the new threads' numbers, once they run."""
        for name, threads in self._chosen.items():
            if threads:
                self._replica.settled(name, threads)
        now = self.state()
        if now == before:
            raise Failed("the server reports success, and the same threads still run")
        return now


class Workers(Resource):
    """The workers' number and order: live, kept for the next start where the server can, and really at work."""

    disruptive = True
    _replica: Replica | None = None

    @property
    def replica(self) -> Replica:
        if self._replica is None:
            self._replica = Replica(self.host, self.params)
        return self._replica

    def key(self) -> str:
        """Return what is set."""
        return "MySQL replication's workers"

    def read(self) -> dict[str, Any]:
        """Return the settings, what is kept of them, and how many workers each running channel has."""
        server, words = self.replica.session, self.replica.words
        acting = {
            each.name: _workers.acting(server, words, each.name)
            for each in self.replica.channels()
            if each.sql
        }
        return {
            "live": _workers.live(server, words),
            "kept": _workers.persisted(server, words),
            "acting": {name: count for name, count in acting.items() if count is not None},
        }

    def wanted(self, have: dict[str, Any]) -> dict[str, Any]:
        """Return them as they should be."""
        count, words = self.params["workers"], self.replica.words
        against = _workers.objection(self.replica.session, words, self.replica.channels(), have["live"])
        if against:
            raise Failed(f"no workers: {against}")
        live = _workers.wanted(
            words, have["live"], count, self.params["parallel_mode"], server_of(self.replica.session)
        )
        kept = {name: live[name] for name in have["kept"]}
        return {"live": live, "kept": kept, "acting": dict.fromkeys(have["acting"], count)}

    def write(self, have: dict[str, Any], want: dict[str, Any]) -> None:
        """Set them while the SQL threads stand still, and let those that ran go on."""
        session = self.replica.session
        found = self.replica.channels()
        # MariaDB sets the pool's size only while both threads of every connection are stopped.
        threads = list(_THREADS) if self.replica.words.mariadb else ["sql"]
        before = {each.name: [name for name in running(each) if name in threads] for each in found}
        away = {each.name for each in found if each.io == "connecting"}  # its source was away before
        with self.replica.halted(before, "The workers stay as they were"):
            try:
                for name, value in want["live"].items():
                    if name not in want["kept"] and have["live"].get(name) != value:
                        session.rows(f"SET GLOBAL {name} = {_workers.literal(value)}")
                for name, kept in want["kept"].items():
                    self._keep(name, kept, have, want)
            except Failed as failed:
                raise self._half(failed, have) from None
        for name, chosen in before.items():
            if known := [each for each in chosen if each == "sql" or name not in away]:
                try:
                    self.replica.settled(name, known)
                except Failed as failed:
                    raise self._half(failed, have) from None

    def _half(self, failed: Failed, have: dict[str, Any]) -> Failed:
        """Return a failure that says what is set by now."""
        try:
            now = _workers.live(self.replica.session, self.replica.words)
        except Failed as error:
            told = f"what is set is not known ({error.message})"
        else:
            new = [
                f"{name} is {value} (was {have['live'].get(name)})"
                for name, value in now.items()
                if value != have["live"].get(name)
            ]
            told = ", ".join(new) if new else "the workers are as they were"
        return Failed(f"{failed.message}; {told}", failed.cause, **failed.result)

    def _keep(self, name: str, kept: str | None, have: dict[str, Any], want: dict[str, Any]) -> None:
        """Bring one variable's kept value, and its live one, to what they should be."""
        session, live = self.replica.session, want["live"][name]
        if kept is None:
            if have["kept"].get(name) is not None:
                session.rows(f"RESET PERSIST {name}")
        elif have["kept"].get(name) != kept:
            session.rows(f"SET PERSIST {name} = {_workers.literal(kept)}")
        if _workers.live(session, self.replica.words).get(name) != live:
            session.rows(f"SET GLOBAL {name} = {_workers.literal(live)}")

    def returns(self, have: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
        """Return the settings, and those that a file must keep."""
        words = self.replica.words
        options = (
            [] if _workers.persists(words) else [{"option": n, "value": v} for n, v in now["live"].items()]
        )
        return {
            **_workers.told(words, now["live"]),
            "options": [] if not self.replica.channels() else options,
        }

    def why(self, have: dict[str, Any]) -> str:
        """Return why nothing is to be done."""
        return f"{self.params['workers']} workers already" + (
            ", kept for the next start" if have["kept"] else ""
        )
