"""The transaction at which a replica stopped: found in its relay log, and told word for word before it is skipped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from remedy.agent.kinds import Failed
from remedy.modules.controller._mysql import Asks
from remedy.modules.controller._replication import Channel, Words, domains, intervals

_ROWS = 500  # events asked for at once
_MOST = 100  # times that many are looked through
_FILES = 3  # relay logs, from the one where the server says it stopped
_SHOWN = 60  # events of the transaction that are told
_LONG = 2000  # letters of one event
_MYSQL_GTID = re.compile(r"'([0-9a-fA-F-]{36}(?::[a-z_][a-z0-9_]*)?:\d+)'")
_MARIADB_GTID = re.compile(r"\b(\d+-\d+-\d+)\b")
_END = re.compile(r"end_log_pos (\d+)")
_PLACE = re.compile(r"(?:source|master) log ([^\s,]+), end_log_pos (\d+)")
_QUERY = re.compile(r"Query: '(.*)'\s*$", re.DOTALL)
_STARTS = ("gtid", "gtid_tagged", "anonymous_gtid")


@dataclass(frozen=True)
class Event:
    """One event of a relay log, and where it ends in the source's binary log."""

    kind: str
    end: int
    text: str


@dataclass(frozen=True)
class Transaction:
    """A group of events that goes or stays as a whole. `gtid` is empty where it has none.

    `place` is where it begins in the relay log, `source` the source's binary log that it came from.
    """

    gtid: str
    place: str
    source: str
    events: tuple[Event, ...]

    def lines(self) -> list[str]:
        """Return what it does, an event a line."""
        shown = [f"{each.kind}: {each.text[:_LONG]}".rstrip(": ") for each in self.events[:_SHOWN]]
        left = len(self.events) - _SHOWN
        return [*shown, f"and {left} more events"] if left > 0 else shown


@dataclass(frozen=True)
class Failing:
    """What a replica stopped at. `found` is None where the relay log does not show it; `why` says why not."""

    number: int
    error: str
    gtid: str
    found: Transaction | None
    why: str = ""

    @property
    def name(self) -> str:
        """Return its GTID, else where it ends in the source's binary log; empty where neither is known."""
        if self.gtid or self.found is None:
            return self.gtid
        return f"{self.found.source}:{self.found.events[-1].end}" if self.found.source else ""

    def told(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "error": self.number,
            "text": self.error,
            "gtid": self.gtid,
            "place": self.found.place if self.found else "",
            "events": self.found.lines() if self.found else [],
            **({"note": self.why} if self.why else {}),
        }


def failing(server: Asks, words: Words, channel: Channel) -> Failing | None:
    """Return what a channel stopped at, None where it did not stop at an error."""
    number, text = channel.sql_error
    if not number:
        return None
    if not words.mariadb:
        text = _of_worker(server, channel, number) or text
    said = _MYSQL_GTID.search(text) if not words.mariadb else None
    gtid = said[1] if said else ""
    try:
        found = _find(_transactions(server, words, channel), words, channel, text, gtid)
    except Failed as failed:
        return Failing(number, text, gtid, None, f"the relay log cannot be shown: {failed.message}")
    if found is None:
        return Failing(number, text, gtid, None, "the relay log does not show the transaction that failed")
    return Failing(number, text, gtid or found.gtid, found)


def _of_worker(server: Asks, channel: Channel, number: int) -> str:
    """Return the words of the worker that failed: the status names it and says to look there."""
    try:
        rows = server.rows(
            "SELECT LAST_ERROR_MESSAGE AS said FROM performance_schema.replication_applier_status_by_worker "
            f"WHERE CHANNEL_NAME = '{channel.name}' AND LAST_ERROR_NUMBER = {number} "
            "ORDER BY LAST_ERROR_TIMESTAMP DESC LIMIT 1"
        )
    except Failed:
        return ""
    return str(rows[0]["said"] or "") if rows else ""


def _find(
    transactions: Iterable[Transaction], words: Words, channel: Channel, error: str, gtid: str
) -> Transaction | None:
    """Return the transaction that the error means.

    Workers may have gone on with others, and MySQL's positions are those of its last checkpoint, before which all is
    applied and after which some may be. So it is the one that MySQL names, by its GTID or its place in the source's
    binary log; only where it names none, the first from where the server stands. For MariaDB it is the first of a
    domain that is not applied, and of several domains the one whose words or position the error quotes.
    """
    if gtid:
        return next((each for each in transactions if each.gtid.lower() == gtid.lower()), None)
    if not words.mariadb:
        done, at = intervals(channel.executed), _PLACE.search(error)
        left = (each for each in transactions if not _executed(each.gtid, done))
        return next((each for each in left if at is None or _ends(each, at[1], int(at[2]))), None)
    applied = domains(channel.executed)
    first: dict[int, Transaction] = {}
    for each in transactions:
        if not each.gtid:
            return each
        domain, _, sequence = (int(part) for part in each.gtid.split("-"))
        if sequence > applied.get(domain, (0, 0))[1] and domain not in first:
            first[domain] = each
            if len(applied) < 2 or _quoted(each, error):
                return each
    return next(iter(first.values())) if len(first) == 1 else None


def _executed(gtid: str, done: dict[str, list[tuple[int, int]]]) -> bool:
    owner, _, number = gtid.rpartition(":")
    return bool(owner) and any(first <= int(number) <= last for first, last in done.get(owner, ()))


def _ends(transaction: Transaction, source: str, end: int) -> bool:
    """Say whether an event of a transaction ends at a place of the source's binary log."""
    return transaction.source == source and any(each.end == end for each in transaction.events)


def _quoted(transaction: Transaction, error: str) -> bool:
    """Say whether an error means a transaction: it quotes its statement, or where one of its events ends."""
    end, query = _END.search(error), _QUERY.search(error)
    if end is not None:
        return any(each.end == int(end[1]) for each in transaction.events)
    return query is not None and any(query[1] and query[1] in each.text for each in transaction.events)


def _transactions(server: Asks, words: Words, channel: Channel) -> Iterator[Transaction]:
    """Yield the transactions of the relay log from where the server stands."""
    source = began = channel.applied[0]
    relay = channel.relay[0].rpartition(".")[0]
    gtid, place, events = "", "", list[Event]()
    for file, row in _rows(server, words, channel):
        kind, text = str(row["Event_type"]), str(row["Info"] or "")
        if kind.lower() in _STARTS:
            if events:
                yield Transaction(gtid, place, began, tuple(events))
            gtid, place, began, events = _gtid_of(text, words), f"{file}:{row['Pos']}", source, []
        elif kind.lower() == "rotate":
            name = text.partition(";")[0]
            if name.rpartition(".")[0] != relay:  # else it is the relay log's own, maybe within a transaction
                source = name
        elif place and kind.lower() not in ("format_desc", "heartbeat"):
            events.append(Event(kind, int(row["End_log_pos"] or 0), text))
    if events:
        yield Transaction(gtid, place, began, tuple(events))


def _rows(server: Asks, words: Words, channel: Channel) -> Iterator[tuple[str, dict[str, Any]]]:
    file, position = channel.relay
    left = _MOST
    for number in range(_FILES):
        while left:
            left -= 1
            try:
                rows = server.rows(_show(words, channel.name, file, position), seconds=30)
            except Failed as failed:
                if number and failed.result.get("mysql_error") == 1220:
                    return  # there is no later file
                raise
            # The last of a full answer comes again with the next: the server takes a position, not a number.
            whole = len(rows) < _ROWS
            for row in rows if whole else rows[:-1]:
                yield file, row
            if whole:
                break
            position = int(rows[-1]["Pos"])
        stem, dot, digits = file.rpartition(".")
        if not digits.isdigit():
            return
        file, position = f"{stem}{dot}{int(digits) + 1:0{len(digits)}d}", 4


def _show(words: Words, channel: str, file: str, position: int) -> str:
    log = f"IN '{file}' FROM {position} LIMIT {_ROWS}"
    if words.mariadb:
        return f"SHOW RELAYLOG '{channel}' EVENTS {log}"
    return f"SHOW RELAYLOG EVENTS {log} FOR CHANNEL '{channel}'"


def _gtid_of(text: str, words: Words) -> str:
    found = (_MARIADB_GTID if words.mariadb else _MYSQL_GTID).search(text)
    return found[1] if found else ""
