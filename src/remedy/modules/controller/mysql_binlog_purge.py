"""Purge binary logs of MySQL and MariaDB that nobody needs any more.

Always by SQL, never by removing files. A binary log goes only when every replica has applied it: those that are
connected, whoever else reads, and those that mysql_replicas names. Each is asked; one that cannot be asked keeps
everything, and is named. At least `keep_files` and everything younger than `keep` stay. Ages and sizes are read from
the files, so a login that leads to a server of a container, of another host or behind a proxy is refused.

On a full disk PURGE itself hangs, and every COMMIT behind it. So a second session is opened first; where no connection
is free for it, nor gets free by `end_writers`, nothing is purged. It ends the statement with KILL QUERY after
`deadline`, waits until it is gone, and looks again. With less than 16 MiB free the module refuses, unless it may end
the sessions that wait for space (`end_writers`); where not even 64 KiB are free, it may also lend what ext4 keeps back
for root (`lend_reserve`), and puts it back; where the module is killed or the link is cut, the host does. Check mode
lists what would go all the same, with a warning: tasks before it may free room, or a connection. Returns what
mysql_binlogs returns, and `ended` (sessions), `warnings`, `free_before` and `free_after` (bytes).

Where there is room nobody is ended: a session that waited for space writes again within a minute. On MySQL nobody is
ended at all: a server that cannot write an event would take itself down (binlog_error_action), and its PURGE needs
no more than room for a few bytes.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.controller import _binlogs
from remedy.modules.controller._doors import is_full
from remedy.modules.controller._guard import PATIENCE, Guard
from remedy.modules.controller._mysql import Login, Session, is_mariadb, texts
from remedy.modules.controller._replicas import listing

_ENOUGH = 16 << 20  # bytes: with less a PURGE may hang (measured on MariaDB 10.11)
_LOOK = 0.2
_SLOT = 5.0  # seconds until the connection of a writer that was ended is free
_LENT = 60.0  # seconds beyond the deadline after which the host takes back by itself what is lent
_AGAIN = (0.5, 1.0, 1.5, 0.0)  # seconds between two tries, where the server leaves a file without a word

PARAMS = (
    *_binlogs.PARAMS,
    Param("deadline", "duration", default=30, help="How long the PURGE may take before it is ended."),
    Param("end_writers", "bool", default=False, help="With less than 16 MiB free, end the sessions that wait for "
          "space; their transactions are rolled back."),
    Param("lend_reserve", "bool", default=False, help="With nothing free, lend ext4's reserved blocks for the time "
          "of the purge; needs end_writers."),
)  # fmt: skip
VARIABLES = _binlogs.VARIABLES
EXAMPLES = """
- mysql_binlog_purge: {keep: 3d, keep_files: 2}
- mysql_binlog_purge:
    keep: 12h
    replicas: [db2, db3]
    end_writers: true
    lend_reserve: true
"""


def check_params(params: dict[str, Any]) -> str | None:
    if params["lend_reserve"] and not params["end_writers"]:
        return "lend_reserve needs end_writers: whoever waits for space would take what is lent"
    return _binlogs.check_params(params)


def kind(params: dict[str, Any]) -> type[Sweep]:
    return UrgentPurge if params.get("end_writers") else Purge


class Purge(Sweep):
    """The sweep; one PURGE takes all items when the first is drained, for it goes in order anyway."""

    interruptible = False
    deadline = 600

    _sessions: tuple[Login, Session] | None = None
    _guard: Guard | None = None
    _full: Failed | None = None
    _survey: _binlogs.Survey | None = None
    _approved: list[_binlogs.Binlog] | None = None
    _left: dict[str, str] | None = None
    """What the PURGE left, and why; from the first item on."""
    _broken: Failed | None = None
    _ending = False
    """Whether sessions that wait for space are ended: there is no room, and it may be."""

    def key(self) -> str:
        """Return what is swept."""
        return "binary logs of MySQL"

    def find(self) -> list[Item]:
        """Return the binary logs; raises Failed where a purge would hang."""
        login, watch = self._open()
        found = _binlogs.survey(self.host, watch, login, self.params)
        first = self._survey is None
        self._survey = found
        if first:
            self._told: dict[str, Any] = {"free_before": found.disk["free"], "free_after": found.disk["free"]}
            self._told["notes"] = list(found.notes)
            self._approved = found.taking
            for note in found.notes:
                self.host.warn(note)
            objection = (self._objection(found) or self._unguarded(found)) if found.taking else None
            if objection is not None and not self.host.check:
                raise objection
            if objection is not None:
                self.host.warn(objection.message)
        return [
            Item(each.file.name, each.take, each.reason, each.file.size, [each.file.name, each.file.length])
            for each in found.verdicts
        ]

    def drain(self, item: Item) -> int | str:
        """Return the bytes of a file that is gone, or why it is not."""
        if self._left is None:
            self._left = {file.name: "it was not purged" for file in self._approved or ()}
            try:
                self._left = self._purge()
            except Failed as failed:
                self._broken = failed
            finally:
                if self._guard is not None:
                    self._guard.close()
        left = self._left.get(item.id)
        if left is None:
            return int(item.size)
        if self._broken is not None:
            raise self._broken
        return left

    def returns(self, taken: list[Item], kept: list[Item]) -> dict[str, Any]:
        """Return what is there now."""
        told = {} if self._survey is None else self._survey.told()
        return {**told, **self._told}

    def _open(self) -> tuple[Login, Session]:
        """Open both sessions, the watching one first; the second may be missing where every connection is taken."""
        if self._sessions is None:
            self._sessions = _binlogs.opened(self.host, self.params)
            self._full = self._second()
        return self._sessions

    def _second(self) -> Failed | None:
        """Open the session that purges; return what to say where every connection is taken."""
        login, watch = self._open()
        try:
            self._guard = Guard(self.host, login, watch, "PURGE BINARY LOGS")
        except Failed as failed:
            if not is_full(failed):
                raise
            return failed
        return None

    def _unguarded(self, found: _binlogs.Survey) -> Failed | None:
        """Return why nothing is purged without the second session, unless the writers that end make room for it."""
        if self._urgent(found.disk) and found.waiting and is_mariadb(self._open()[1].version):
            return None
        return self._full

    def _urgent(self, disk: dict[str, Any]) -> bool:
        return bool(disk["free"] < _ENOUGH and self.params["end_writers"])

    def _objection(self, found: _binlogs.Survey) -> Failed | None:
        """Return why a purge must not be tried with the room there is."""
        free = found.disk["free"]
        if free >= _ENOUGH:
            return None
        where = f"{found.disk['mount']} has {_size(free)} free, and a PURGE hangs there with less than {_size(_ENOUGH)}"
        if not self.params["end_writers"]:
            way = (
                "free room with what needs no database first (logs, packages), "
                "or set end_writers to end the sessions that wait for space"
            )
        elif free >= _binlogs.LEAST:
            return None
        elif not self.params["lend_reserve"]:
            where += ", also without writers"
            way = (
                f"remove something else from {found.disk['mount']}, grow it, or set "
                "lend_reserve to lend what the file system keeps back for root"
            )
        else:
            size, why = _binlogs.lendable(self.host, found.disk)
            if size >= _binlogs.LEAST:
                return None
            where += f", and nothing can be lent: {why}"
            way = f"remove something else from {found.disk['mount']}, or grow it"
        told = found.told()
        return Failed(
            f"{where}: {way}; {_size(told['bytes'])} of binary logs wait to be purged",
            cause="disk_full",
            **told,
        )

    def _purge(self) -> dict[str, str]:
        """Purge what was approved, with room made first; return what is left of it, each with the reason."""
        _, watch = self._open()
        approved = self._approved or []
        moved = self._moved(watch, approved)
        if moved is not None:
            return dict.fromkeys((file.name for file in approved), moved)
        files, disk, _ = _binlogs.listed(self.host, watch)
        upto = files[len(approved)].name
        lent = None
        urgent = self._urgent(disk)
        # MySQL, unlike MariaDB, takes itself down when a session ends that could not write its event
        # (binlog_error_action), and does not come up again without room. Nor must it: its PURGE waits for no writer.
        self._ending = urgent and is_mariadb(watch.version)
        try:
            if urgent:
                # Room first: a session that is ended leaves a last event to MariaDB's own thread, which nobody can
                # end, and which without room would hold up every COMMIT for a minute.
                if disk["free"] < _binlogs.LEAST and self.params["lend_reserve"]:
                    lent = self._reserve()["blocks"]
                    seconds = float(self.params["deadline"]) + _LENT
                    self.host.ask("ext4_reserve", lent=seconds, path=disk["folder"], blocks=0)
                if self._ending:
                    self._end_writers(watch)
            until = time.monotonic() + _SLOT
            while self._guard is None and (full := self._second()) is not None:
                if time.monotonic() > until:
                    raise full
                threading.Event().wait(_LOOK)
            said, left = self._until_gone(watch, upto)
        finally:
            if lent is not None:
                back = self.host.ask("ext4_reserve", path=disk["folder"], blocks=lent, finishing=True)
                if lent and not back["changed"]:
                    self.host.warn("the host took back what was lent before the purge had ended: its time was over")
        self._told["free_after"] = _binlogs.listed(self.host, watch)[1]["free"]
        if left and said is not None:
            text = f"{said}; {len(left)} of {len(approved)} binary logs are still there"
            self._broken = Failed(text, cause="timeout")
        warned = "; ".join(self._told.get("warnings", ())) or "an unfinished transaction or a reader needs it"
        return dict.fromkeys(left, f"the server left it in place: {warned}")

    def _until_gone(self, watch: Session, upto: str) -> tuple[str | None, set[str]]:
        """Purge, and again where the server left files without a word; return what went wrong, and what is left.

        MariaDB leaves a file whose transactions InnoDB has not written out yet, which it does once a second.
        """
        approved = {file.name for file in self._approved or ()}
        for pause in _AGAIN:
            said = self._under_watch(f"PURGE BINARY LOGS TO '{upto}'")
            now, _, _ = _binlogs.listed(self.host, watch)
            left = approved & {file.name for file in now}
            if not left or said is not None or self._told.get("warnings") or self.host.stopping():
                break
            threading.Event().wait(pause)
        return said, left

    def _moved(self, watch: Session, approved: list[_binlogs.Binlog]) -> str | None:
        """Return why the list no longer holds: other files, or a replica that came since."""
        files, _, _ = _binlogs.listed(self.host, watch)
        head = [(file.name, file.length) for file in files[: len(approved)]]
        if head != [(file.name, file.length) for file in approved] or len(files) <= len(approved):
            return "the binary logs changed since they were looked at"
        known = {each.server_id for each in self._survey.replicas} if self._survey else set()
        came = [
            row for row in watch.rows(listing(watch.version)) if int(next(iter(row.values()))) not in known
        ]
        if came:
            return f"a replica came since (server id {next(iter(came[0].values()))})"
        return None

    def _under_watch(self, sql: str) -> str | None:
        """Run a statement in one session and watch it from the other; return what went wrong, None: nothing."""
        guard = self._guard
        if guard is None:
            raise Failed("there is no second session")

        def meanwhile() -> None:
            if self._ending:
                self._end_writers(guard.watch, but=guard.work.id)

        try:
            why = guard.run(sql, float(self.params["deadline"]), meanwhile)
            if not why:
                self._told["warnings"] = texts(guard.work.rows("SHOW WARNINGS"))
                return None
        except Failed as failed:
            return f"the PURGE failed: {failed.message}"
        id = guard.work.id
        self.host.warn(f"{sql} {why}: it is ended by KILL QUERY {id}")
        self._told["purge_ended"] = guard.end()
        if self._told["purge_ended"]:
            return f"the PURGE {why} and was ended by KILL QUERY, the server goes on"
        return (
            f"the PURGE {why}, and is still there {PATIENCE:g} s after KILL QUERY {id}: look at the server's sessions"
        )

    def _end_writers(self, watch: Session, but: int = 0) -> None:
        """End the sessions that wait for space, until none is left; each is named before it goes."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            waiting = [
                who
                for who in _binlogs.waiting(watch)
                if who["id"] not in (but, watch.id) and who["user"] not in ("system user", "event_scheduler")
            ]
            if not waiting:
                return
            for who in waiting:
                if who["id"] not in [each["id"] for each in self._told.setdefault("ended", [])]:
                    self.host.warn(f"ending session {who['id']} of {who['user']}: it waits for space")
                    self._told["ended"].append(who)
                watch.end(who["id"], query=False)
            threading.Event().wait(_LOOK)

    def _reserve(self) -> dict[str, Any]:
        """Return what the file system keeps back for root now."""
        folder = (self._survey.disk if self._survey else {})["folder"]
        found: dict[str, Any] = self.host.ask("remedy.modules.target._ext4", path=folder)
        return found


class UrgentPurge(Purge):
    """The sweep that may end sessions."""

    disruptive = True

    def key(self) -> str:
        """Return what is swept, and what it may interrupt: approval shows this."""
        return "binary logs of MySQL (may end sessions that wait for space)"


def _size(count: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"
