"""Before and after of each file system: from the first look of diagnose and the last one after it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from remedy.events import Event, RunEnded, RunStarted
from remedy.report import Console, JsonReport
from tests.report import night

MIB = 1 << 20


def look(section: str, *, host: str = "db1", lacks: tuple[str, ...] = ("bytes",), **mounts: int) -> Event:
    """Return one look: mount (without its slash) and the percent in use."""
    entries: list[dict[str, Any]] = [
        {
            "mount": f"/{name}", "device": "/dev/x", "size": 100 * MIB, "used": percent * MIB,
            "available": (100 - percent) * MIB, "percent": percent, "inode_percent": percent // 2,
        }
        for name, percent in mounts.items()
    ]  # fmt: skip
    full = [{**each, "lacks": list(lacks)} for each in entries if each["percent"] > 85]
    result = {"filesystems": entries, "full": full, "changed": False}
    return night.done(host, "How full", "ok", 1, section=section, module="disk_usage", result=result)


def run(*events: Event, mode: str = "apply", hosts: Iterable[str] = ("db1",)) -> list[Event]:
    started = RunStarted(
        run="r", playbook="p", inventory="i", mode=mode, user="u", hosts=list(hosts), arguments=[]
    )
    return [started, *events, RunEnded(run="r", outcome="ok", exit_code=0, seconds=1.0)]


def document(events: list[Event]) -> dict[str, Any]:
    report = JsonReport()
    for event in events:
        report(event)
    return report.document()["hosts"]


def console(events: list[Event]) -> str:
    paper = io.StringIO()
    sink = Console(paper, color=False, width=100, progress=False)
    for event in events:
        sink(event)
    told, _, rest = paper.getvalue().partition("FILE SYSTEMS")[2].partition("\n\n")
    assert rest or not told
    return told


def freed(host: str, size: int, *, predicted: bool = False) -> Event:
    return night.change(host, "t", "old files", bytes_freed=size, predicted=predicted)


HEALED = (
    look("diagnose", log=100, mysql=99, root=40),
    look("diagnose", log=98, mysql=99, root=41),
    freed("db1", 60 * MIB),
    freed("db1", 9 * MIB),
    look("tasks", log=93),
    look("verify", log=31, mysql=88, root=42),
)


def test_the_first_look_and_the_last_are_told() -> None:
    told = document(run(*HEALED))["db1"]
    assert told["bytes_freed"] == 69 * MIB
    rooms = {
        each["mount"]: (each["before"]["percent"], each["after"]["percent"]) for each in told["filesystems"]
    }
    assert rooms == {"/log": (100, 31), "/mysql": (99, 88), "/root": (40, 42)}
    assert told["filesystems"][0]["after"] == {
        "size": 100 * MIB, "used": 31 * MIB, "available": 69 * MIB, "percent": 31, "inode_percent": 15,
    }  # fmt: skip


def test_the_console_tells_of_those_that_were_full() -> None:
    assert console(run(*HEALED)).splitlines() == [
        ": 2",
        "  db1: 69.0 MiB freed",
        "    /log    100% -> 31%, 69.0 MiB available",
        "    /mysql  99% -> 88%, 12.0 MiB available",
    ]
    lacking = look("diagnose", lacks=("inodes",), tmp=90), look("verify", tmp=10)
    assert "    /tmp  inodes 45% -> 5%, 90.0 MiB available" in console(run(*lacking))


def test_where_nobody_looked_again_there_is_no_after() -> None:
    cut_off = run(look("diagnose", log=100))
    assert document(cut_off)["db1"]["filesystems"][0]["after"] is None
    assert console(cut_off) == ""


def test_a_check_foresees_bytes_and_changes_no_disk() -> None:
    check = run(
        look("diagnose", log=100), freed("db1", MIB, predicted=True), look("tasks", log=100), mode="check"
    )
    assert document(check)["db1"]["bytes_freed"] == MIB
    assert document(check)["db1"]["filesystems"][0]["after"] is None
    assert console(check) == ""


def test_many_hosts_are_cut_short() -> None:
    names = [f"web{number}" for number in range(20)]
    events = [look(section, host=name, log=percent) for name in names for section, percent in
              (("diagnose", 95), ("verify", 10))]  # fmt: skip
    told = console(run(*events, hosts=names)).splitlines()
    assert told[0] == ": 20"
    assert told[-1] == "  ... and 8 more hosts (-v shows more)"


def test_what_is_hidden_or_shaped_otherwise_is_left_out() -> None:
    hidden = night.done(
        "db1", "How full", "ok", 1, section="diagnose", module="disk_usage", result={"censored": "x"}
    )
    assert document(run(hidden))["db1"]["filesystems"] == []
