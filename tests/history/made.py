"""Runs for the history: journals with all that its tables keep, and what stands in the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from remedy.events import Event, FindingRaised, FindingResolved, HostLeftOut
from remedy.history import Database, tables
from tests.journal import telling

TABLES = (tables.runs, tables.run_hosts, tables.findings, tables.changes, tables.measures)


def disk(used: int, mount: str = "/var", **given: Any) -> dict[str, Any]:
    """Return what disk_usage tells of one mount of 1000 bytes."""
    numbers = {"size": 1000, "used": used, "available": 1000 - used, "inodes": 100, "inodes_used": 7}
    return {"mount": mount, "image": False, "percent": used // 10, "inode_percent": 7, **numbers, **given}


def looked(host: str, used: int, *, section: str = "diagnose", time: float = 100.0, **given: Any) -> Event:
    """Return a look at a host's disk."""
    result = {"filesystems": [disk(used), disk(9, "/snap", image=True)], "full": []}
    about = {"module": "disk_usage", "status": "ok", "result": result, **given}
    return telling.done(host=host, section=section, time=time, **about)


def found(host: str, id: str = "disk-full", *, again: bool = False, title: str = "/var above 85 %") -> Event:
    about = {"play": "Disk full", "severity": "P1", "evidence": [1], "advice": None, "time": 101.0}
    return FindingRaised(host=host, id=id, title=title, again=again, **about)  # type: ignore[arg-type]


def resolved(host: str, id: str = "disk-full") -> Event:
    return FindingResolved(host=host, play="Disk full", id=id)


def healed(host: str) -> list[Event]:
    """Return what healing a host tells: found, one change, resolved; a disk that was 900 full and is 300."""
    return [
        looked(host, 900),
        found(host),
        telling.intent(host=host),
        telling.changed(host=host, bytes_freed=600, time=102.0),
        telling.done(host=host, time=102.0),
        looked(host, 300, section="verify", time=103.0),
        resolved(host),
    ]


def away(host: str, *, refused: bool = False) -> Event:
    return HostLeftOut(host=host, reason="locked" if refused else "timeout", message="no answer", refused=refused)


def fleet(state: Path, run: str, hosts: int, **about: Any) -> Path:
    """Write a run that heals many hosts, each with thirty more tasks."""
    names = [f"db{number}" for number in range(hosts)]
    events: list[Event] = []
    for name in names:
        events += healed(name)
        events += [telling.done(host=name, task=f"Look {number}", status="ok") for number in range(30)]
    return telling.write(state, run, events, hosts=names, **about)


def content(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return what the tables hold, by run and without the runs' numbers, in no order that matters."""
    with database.reading() as connection:
        names = {row.id: row.run for row in connection.execute(select(tables.runs.c.id, tables.runs.c.run))}
        held = {}
        for table in TABLES:
            rows = connection.execute(select(table)).mappings()
            number = "id" if table is tables.runs else "run_id"
            told = [
                (names[row[number]], *(value for name, value in row.items() if name != number)) for row in rows
            ]
            held[table.name] = sorted(told, key=repr)
    return held
