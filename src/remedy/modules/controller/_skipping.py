"""Letting a replica go past one transaction, in the way its server allows."""

from __future__ import annotations

from typing import Any, NoReturn

from remedy.agent.kinds import Action, Failed, Unknown
from remedy.modules.controller import _workers
from remedy.modules.controller._failing import Failing, failing
from remedy.modules.controller._guard import beside
from remedy.modules.controller._mysql import Session
from remedy.modules.controller._replication import Channel, Words, domains, place
from remedy.modules.controller._site import Site
from remedy.modules.controller._threads import Replica

_STATEMENT = 160  # letters of a transaction in one line
_COUNTER_REFUSED = 1966  # MariaDB: parallel workers, GTID and several domains
GROUP = ("group_replication_applier", "group_replication_recovery")


def way(words: Words, stop: Failing) -> str:
    """Return how a transaction is passed by: "empty" (an empty transaction with its GTID) or "counter"."""
    return "empty" if not words.mariadb and stop.gtid else "counter"


def objection(replica: Replica, channel: Channel, stop: Failing) -> str | None:
    """Return why a transaction must not be passed by blindly; None: it is known what would go."""
    if channel.name in GROUP:
        return "it is a channel of group replication: the group decides what is applied"
    if stop.found is None and not (stop.gtid and stop.error):
        return f"{stop.why}, and nothing is skipped that was not seen"
    if way(replica.words, stop) == "counter" and not replica.words.mariadb:
        live = _workers.live(replica.session, replica.words)
        count = live.get(replica.words.variable("parallel_workers"), "0")
        order = replica.words.variable("preserve_commit_order")
        if int(count) > 1 and live.get(order) != "ON":
            return (
                f"{count} workers apply without GTID and with {order} off: there may be gaps before the transaction, "
                "and the skip counter would take another one. START REPLICA UNTIL SQL_AFTER_MTS_GAPS shows whether "
                "there are; then turn the order on"
            )
    return None


def skip(site: Site, replica: Replica, channel: Channel, stop: Failing) -> str:
    """Pass by the transaction, start the SQL thread, and return how it was done."""
    # A session of its own: what it sets for itself must not stay with the run's.
    own = beside(site, replica.login(), "a transaction is skipped in a session of its own")
    try:
        if way(replica.words, stop) == "empty":
            return _empty(own, replica, channel, stop)
        return _counted(own, replica, channel, stop)
    finally:
        own.close()


def _empty(own: Session, replica: Replica, channel: Channel, stop: Failing) -> str:
    own.rows(f"SET gtid_next = '{stop.gtid}'")
    own.rows("BEGIN")
    own.rows("COMMIT")
    own.rows("SET gtid_next = 'AUTOMATIC'")
    done = own.rows(f"SELECT GTID_SUBSET('{stop.gtid}', @@global.gtid_executed) AS done")[0]["done"]
    if not int(done):
        raise Failed(f"the empty transaction {stop.gtid} was not taken")
    replica.start(channel.name, ["sql"])
    return f"an empty transaction with the GTID {stop.gtid}"


def _counted(own: Session, replica: Replica, channel: Channel, stop: Failing) -> str:
    counter = replica.words.skip_counter
    if replica.words.mariadb:
        own.rows(f"SET default_master_connection = '{channel.name}'")
    try:
        own.rows(f"SET GLOBAL {counter} = 1")
    except Failed as failed:
        if failed.result.get("mysql_error") != _COUNTER_REFUSED or not stop.gtid:
            raise
        return _moved(replica, channel, stop)
    try:
        replica.start(channel.name, ["sql"])
    except Failed:
        own.rows(f"SET GLOBAL {counter} = 0")  # or it would take something else later
        raise
    return f"{counter} = 1"


def _moved(replica: Replica, channel: Channel, stop: Failing) -> str:
    """Set gtid_slave_pos past the transaction: all channels share it, so all of them stand still for it."""
    ran = replica.running()
    then = {**ran, channel.name: [*(["io"] if channel.io != "no" else []), "sql"]}
    with replica.halted(ran, "Nothing was skipped", then):
        # Read with everything stopped: workers may have gone on in other domains.
        now = str(replica.session.rows("SELECT @@global.gtid_slave_pos AS pos")[0]["pos"])
        position = domains(now)
        domain, server, sequence = (int(part) for part in stop.gtid.split("-"))
        if position.get(domain, (0, 0))[1] >= sequence:
            raise Failed(f"the replica is past {stop.gtid} already: it is at {now}")
        position[domain] = (server, sequence)
        past = ",".join(f"{number}-{at[0]}-{at[1]}" for number, at in sorted(position.items()))
        replica.session.rows(f"SET GLOBAL gtid_slave_pos = '{past}'")
    return f"gtid_slave_pos = '{past}'"


class Skip(Action):
    """Passes by one transaction."""

    happened = "skipped"
    destructive = True
    attended = True
    interruptible = False

    _replica: Replica | None = None
    _channel: Channel | None = None
    _failing: Failing | None = None

    def key(self) -> str:
        """Return the transaction that would go: approval shows this."""
        self._look()
        if self._failing is None:
            return "a transaction of MySQL replication"
        return (
            f"replicated transaction {self._failing.name or place(self._at.applied)}: {_line(self._failing)}"
        )

    def ready(self) -> str | None:
        """Say whether the replica stopped at an error that may be skipped, and at what."""
        if self._failing is None:
            return "replication did not stop at an error, so there is nothing to skip"
        number = self._failing.number
        if number not in self.params["errors"]:
            listed = ", ".join(str(each) for each in self.params["errors"])
            raise self._refused(f"error {number} is not listed (errors: {listed})")
        why = objection(self._mine, self._at, self._failing)
        if why is not None:
            raise self._refused(why)
        if self.host.check:
            self._foresee(self._failing)
        return None

    def _foresee(self, failing: Failing) -> None:
        """Raise Unknown where an earlier step of this pass would skip the transaction: what fails then shows then."""
        mark = f"skip:{self._at.name}:{failing.name or place(self._at.applied)}"
        if mark in self.host.foreseen:
            raise Unknown(
                "once the one before is skipped, the next that fails with a listed error: which one that is shows "
                "only then"
            )
        self.host.foreseen[mark] = True

    def state(self) -> dict[str, Any]:
        """Return the transaction: so it is in the journal before it is passed by."""
        stopped = self._failing.told() if self._failing else {}
        return {"stopped_at": stopped, "applied": place(self._at.applied), "executed": self._at.executed}

    def do(self) -> dict[str, Any]:
        """Look once more whether it is the same, and pass it by."""
        known = self._failing
        self._look()
        if known is None or self._failing is None or self._failing.told() != known.told():
            raise Failed("the replica has moved since it was looked at: nothing was skipped; play again")
        how = skip(self.host, self._mine, self._at, self._failing)
        advice = (
            "source and replica differ now: compare them (CHECKSUM TABLE, pt-table-checksum) and mend the rows, or "
            "build the replica anew"
        )
        self.host.warn(f"skipped once, by {how}; {advice}")
        return {"skipped": self._failing.told(), "by": how, "advice": advice}

    def proof(self, before: dict[str, Any]) -> dict[str, Any]:
        """Return where replication is once it really runs; raise Failed where it stops at the next."""
        try:
            now = self._mine.settled(self._at.name, ["sql"])
        except Failed as failed:
            raise Failed(
                f"the transaction was skipped, but replication does not run: {failed.message}"
            ) from None
        return {"stopped_at": None, "applied": place(now.applied), "executed": now.executed}

    @property
    def _mine(self) -> Replica:
        if self._replica is None:
            self._replica = Replica(self.host, self.params)
        return self._replica

    @property
    def _at(self) -> Channel:
        if self._channel is None:
            raise Failed("the server is no replica: it has no replication status")
        return self._channel

    def _look(self) -> None:
        found = self._mine.channels()
        if not found:
            raise Failed("the server is no replica: it has no replication status")
        broken = [each for each in found if each.sql_error[0]]
        if len(broken) > 1:
            names = ", ".join(repr(each.name) for each in broken)
            raise Failed(f"several channels stopped at an error ({names}): name one in channel")
        self._channel = (broken or found)[0]
        self._failing = failing(self._mine.session, self._mine.words, broken[0]) if broken else None

    def _refused(self, why: str) -> NoReturn:
        told = self._failing.told() if self._failing else {}
        raise Failed(f"not skipped: {why}. {_line(self._failing)}", failing=told)


def _line(failing: Failing | None) -> str:
    """Return a transaction in one line: what it does, and why it failed."""
    if failing is None:
        return ""
    events = " | ".join(failing.found.lines()) if failing.found else ""
    text = events if len(events) <= _STATEMENT else events[: _STATEMENT - 3] + "..."
    return f"{text + '; ' if text else ''}error {failing.number}: {failing.error}"
