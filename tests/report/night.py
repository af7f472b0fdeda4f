"""A night to tell of: realistic events for tests, and for looking at: `python tests/report/night.py --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from remedy.events import (
    Changed,
    Event,
    FindingRaised,
    FindingResolved,
    HostConnected,
    HostLeftOut,
    Intent,
    Message,
    PlayStarted,
    RoundTrips,
    RunEnded,
    RunStarted,
    SectionStarted,
    TaskDone,
    TaskStarted,
    Warned,
)

RUN = "20250314-031512-7f3a"
PLAY = "Disk full"
BOOK = "playbooks/disk-full.yml"
GIB = 1 << 30
START = 1741922112.0
WEB = [f"web{number}.example.org" for number in range(1, 13)]
DB = ["db1.example.org", "db2.example.org"]
OUT = ["old-batch-worker.internal.example.org", "db3.example.org"]
HOSTS = [*DB, *WEB, *OUT]


def done(host: str, task: str, status: str, line: int, **given: Any) -> TaskDone:
    about: dict[str, Any] = {
        "host": host,
        "play": PLAY,
        "section": "tasks",
        "task": task,
        "position": f"{BOOK}:{line}:5",
        "module": "command",
        "reason": "",
        "seconds": 0.21,
        "result": {"changed": status == "changed"},
    }
    return TaskDone(**{**about, "status": status, **given})


def change(host: str, task: str, object: str, **given: Any) -> Changed:
    about: dict[str, Any] = {
        "host": host,
        "change": "1.1",
        "play": PLAY,
        "section": "tasks",
        "task": task,
        "module": "copy",
        "kind": "resource",
        "object": object,
        "before": None,
        "after": None,
        "diff": "",
        "reversible": True,
        "reason": "",
        "seconds": 0.3,
    }
    return Changed(**{**about, **given})


def filesystem(mount: str, percent: int, size: int) -> dict[str, Any]:
    return {
        "mount": mount,
        "device": f"/dev/mapper/vg0-{mount.strip('/').replace('/', '-') or 'root'}",
        "type": "ext4",
        "state": "rw",
        "size": size * GIB,
        "used": size * GIB * percent // 100,
        "available": size * GIB * (100 - percent) // 100,
        "reserved": 0,
        "percent": percent,
        "inodes": 3276800,
        "inodes_used": 183311,
        "inodes_free": 3093489,
        "inode_percent": 6,
        "image": False,
        "lacks": ["bytes"],
    }


DIFF = """--- /etc/logrotate.d/app
+++ templates/logrotate.j2
@@ -1,4 +1,4 @@
 /var/log/app/*.log {
-    monthly
-    rotate 24
+    daily
+    rotate 7
 }
"""
STATE = {"type": "file", "mode": "0644", "uid": 0, "gid": 0, "owner": "root", "group": "root", "size": 1204}


def tell(mode: str = "apply") -> Iterator[Event]:
    """Yield the events of one night in the mode apply, check or diagnose."""
    yield RunStarted(
        time=START, run=RUN, playbook=BOOK, inventory="prod", mode=mode, user="ada", hosts=HOSTS, arguments=[]
    )
    yield PlayStarted(time=START, play=PLAY, hosts=HOSTS, runbook=True)
    yield HostLeftOut(
        time=START + 1,
        host=OUT[0],
        reason="timeout",
        message=f"host {OUT[0]}: no answer from 10.3.0.17 port 22 within 10 s\n  is the host up? try: ssh {OUT[0]}",
    )
    yield HostLeftOut(
        time=START + 1,
        host=OUT[1],
        reason="locked",
        message=f"host {OUT[1]}: another run is changing this host: remedy 20250314-031001-aa, bob@ops1, since 03:10"
        "\n  wait for it, or stop it where it was started; diagnose needs no lock",
        refused=True,
    )
    hosts = [*DB, *WEB]
    for host in hosts:
        hello = {"python": "3.9.2", "user": "root", "hostname": host.split(".")[0], "pid": 4242, "uid": 0}
        yield HostConnected(time=START + 1, host=host, hello=hello, seconds=0.4)
        yield SectionStarted(time=START + 1, host=host, play=PLAY, section="diagnose")
        yield TaskStarted(time=START + 1, host=host, task="How full is it?", module="disk_usage")
        yield done(host, "How full is it?", "ok", 8, section="diagnose", module="disk_usage", time=START + 2)
        yield done(host, "Ask the RAID", "ok", 11, section="diagnose", reads=True, time=START + 2)
    yield from _findings()
    if mode == "diagnose":
        yield from _end(hosts, 10, "findings")
        return
    yield from _work(mode)
    if mode == "apply":
        for host in WEB:
            yield FindingResolved(time=START + 40, host=host, play=PLAY, id="logs")
        yield FindingResolved(time=START + 40, host=DB[0], play=PLAY, id="disk-full")
    yield Warned(time=START + 40, message="the clock is +93 s off: nothing is swept by age", host=WEB[3])
    yield Warned(time=START + 40, message="inventory/prod.yml:14: group 'dbs' is empty\n  did you mean 'db'?")
    yield from _end(hosts, 4, "unreachable")


def _findings() -> Iterator[Event]:
    rows = [filesystem("/var", 99, 50), filesystem("/", 91, 20)]
    for host, evidence in ((DB[0], rows[:1]), (DB[1], rows)):
        yield FindingRaised(
            time=START + 2,
            host=host,
            play=PLAY,
            id="disk-full",
            severity="P1",
            title=f"{', '.join(row['mount'] for row in evidence)} above 85%",
            evidence=evidence,
            advice=None,
        )
    for host in WEB:
        yield FindingRaised(
            time=START + 2,
            host=host,
            play=PLAY,
            id="logs",
            severity="P3",
            title="application logs are kept for two years",
            evidence={"rotate": 24, "folder": "/var/log/app", "bytes": 3 * GIB},
            advice="Ask the owners of the application whether a week is enough; see group_vars/web.yml.",
        )
    yield FindingRaised(
        time=START + 2,
        host=DB[1],
        play=PLAY,
        id="raid",
        severity="P0",
        title="a disk of the RAID has failed",
        evidence=[f"md{number}: degraded [U_]" for number in range(14)],
        advice="Replace the disk; remedy cannot.",
    )


def _work(mode: str) -> Iterator[Event]:
    check = mode == "check"
    for host in WEB:
        yield Intent(
            time=START + 5, host=host, change="1.1", play=PLAY, section="tasks", task="Rotate daily",
            position=f"{BOOK}:30:5", module="template", kind="resource", object="file:/etc/logrotate.d/app",
            before=None, want=None, kept=None, irreversible=None, params={}, become={}, notify=[],
        )  # fmt: skip
        yield change(
            host,
            "Rotate daily",
            "file:/etc/logrotate.d/app",
            module="template",
            before={**STATE, "sha1": "a"},
            after={**STATE, "sha1": "b", "mode": "0600", "size": 1180},
            diff=DIFF,
            predicted=check,
        )
        yield done(host, "Rotate daily", "changed", 30, module="template", time=START + 6)
        yield done(
            host, "Restart the app", "unknown" if check else "skipped", 36, reason="hangs on 'Install it'"
        )
    for host, items in ((DB[0], 214), (DB[1], 7)):
        yield change(
            host,
            "Purge old files",
            "old files in /var/tmp",
            module="purge_files",
            kind="sweep",
            before={"items": items, "bytes": items * 240_000_000},
            after={"items": 0, "bytes": 0},
            reversible=False,
            reason="what is swept away is not kept",
            bytes_freed=items * 240_000_000,
            items=[
                {"item": f"/var/tmp/dump-{n}.sql", "reason": f"{n + 3} d old", "size": 240_000_000}
                for n in range(items)
            ],
            predicted=check,
        )
        kept = [{"item": f"/var/tmp/mysql-{n}.sock", "reason": "in use by mariadbd"} for n in range(9)]
        kept += [{"item": "/var/tmp/.dump.sql", "reason": "younger than 3 d"}]
        yield done(host, "Purge old files", "changed", 42, module="purge_files", kept=kept, time=START + 9)
    yield change(
        DB[0], "A limit", "file:/etc/mysql/conf.d/r.cnf", after={**STATE, "sha1": "c"}, predicted=check
    )
    yield Message(time=START + 10, host=DB[0], task="Say it", message={"freed": "48 GiB", "left": [1, 2]})
    if check:
        return
    yield TaskStarted(time=START + 10, host=DB[1], task="Restart MariaDB", module="service")
    yield done(
        DB[1],
        "Restart MariaDB",
        "failed",
        51,
        module="service",
        reason="unit mariadb.service did not start: exit-code",
        result={
            "failed": True,
            "msg": "unit mariadb.service did not start: exit-code",
            "rc": 1,
            "stderr": "\n".join(f"mariadbd[{n}]: \x1b[31mInnoDB: error {n}\x1b[0m" for n in range(30)),
            "cause": "disk_full",
        },
        time=START + 38,
    )
    for task in ("Wait for it", "Tell the balancer"):
        yield done(DB[1], task, "not_run", 60, reason="an earlier task failed")


def _end(hosts: list[str], exit_code: int, outcome: str) -> Iterator[Event]:
    for host in hosts:
        yield RoundTrips(time=START + 42, host=host, setup_trips=3, round_trips=2)
    yield RunEnded(time=START + 42, run=RUN, outcome=outcome, exit_code=exit_code, seconds=42.4)


def main() -> None:
    parser = argparse.ArgumentParser(description="Replay a night through the console.")
    parser.add_argument("mode", nargs="?", default="apply", choices=["apply", "check", "diagnose"])
    parser.add_argument("-v", action="count", default=0)
    parser.add_argument("--diff", action="store_true")
    parser.add_argument("--width", type=int)
    parser.add_argument("--color", action="store_true", default=None)
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds between events, to see the live lines"
    )
    given = parser.parse_args()
    from remedy.report import Console

    console = Console(
        sys.stdout, color=given.color, verbosity=given.v, diff=given.diff, width=given.width, progress=True
    )
    for event in tell(given.mode):
        if given.pause:
            time.sleep(given.pause)
            event = replace(event, time=time.time())
        console(event)


if __name__ == "__main__":
    main()
