"""The causes that fill the disks of the lab host `shop`: what each is made of, and what its healing may touch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from remedy.lab import Lab
from tests.acceptance import causes
from tests.acceptance.causes import BALLAST, aged_disk, line_afterwards, sh, write_log
from tests.acceptance.healing import percent

MB = 1 << 20
SHOP = "shop"


@dataclass(frozen=True)
class Case:
    """One cause on the host `shop`."""

    findings: set[str]
    make: str = ""
    """Run as root; what the disk holds beside it is `ballast`."""
    mount: str = "/var/log"
    spare: int = 0
    """Bytes that the ballast leaves free for the cause, before the last byte is filled, too."""
    logs: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Logs that services write: unit → path and bytes."""
    after: str = ""
    """Run when the logs are written."""
    gone: set[str] = field(default_factory=set)
    """Paths that go."""
    differ: set[str] = field(default_factory=set)
    """Paths that look different afterwards."""
    aged: dict[str, int] = field(default_factory=dict)
    """Old files on a disk of their own on /tmp."""
    inodes: int | None = None
    crowd: str = ""
    """The folder whose many files use up the inodes."""
    fill: bool = True


RULE = """
cat > /etc/logrotate.d/shop << 'END'
/var/log/shop/ruled.log {
    rotate 3
    compress
    delaycompress
    postrotate
        systemctl kill -s HUP ruled
    endscript
}
END
"""

MANY = {f"sess/s{number:04}": 1 for number in range(1800)}
TEMPORARY = {"upload-1": 9 * MB, "job/a": 4 * MB, "young": 100}

CASES = {
    "old logs": Case(
        {"old-logs"},
        causes.OLD_LOGS,
        spare=26 * MB,
        gone=causes.OLD,
        differ={"/var/log/shop"},
    ),
    "a big log without a rule": Case(
        {"big-logs"},
        spare=24 * MB,
        logs={"writer": ("/var/log/shop/big.log", 20 * MB)},
        differ={"/var/log/shop/big.log"},
    ),
    "a big log with a rule": Case(
        {"big-logs"},
        RULE,
        spare=26 * MB,
        logs={"ruled": ("/var/log/shop/ruled.log", 20 * MB)},
        differ={
            *("/var/log/shop", "/var/log/shop/ruled.log", "/var/log/shop/ruled.log.1"),
            *("/var/lib", "/var/lib/logrotate", "/var/lib/logrotate/status"),
        },
    ),
    "a deleted log": Case(
        {"deleted-logs"},
        spare=24 * MB,
        logs={"writer": ("/var/log/shop/gone.log", 20 * MB)},
        after="rm /var/log/shop/gone.log",
    ),
    "journals": Case({"journals"}, causes.JOURNALS, spare=42 * MB),
    "packages on a full root": Case(
        {"package-cache"},
        causes.PACKAGES,
        mount="/",
        spare=16 * MB,
        gone=causes.DEBS,
        # An overlay copies a file that is locked.
        differ={
            *("/var/cache/apt/archives", "/var/lib", "/var/lib/dpkg"),
            *("/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend"),
        },
    ),
    "temporary files": Case(
        {"temporary-files"},
        mount="/tmp",
        aged=TEMPORARY,
        gone={"/tmp/upload-1", "/tmp/job/a"},
        differ={"/tmp", "/tmp/job"},
    ),
    "inodes, by temporary files": Case(
        {"temporary-files"},
        mount="/tmp",
        aged=MANY,
        inodes=1900,
        crowd="/tmp/sess",
        fill=False,
        gone={f"/tmp/{path}" for path in MANY},
        differ={"/tmp/sess"},
    ),
    "inodes, by old logs": Case(
        {"old-logs"}, causes.MANY_OLD_LOGS, fill=False, crowd="/var/log/jobs", differ={"/var/log/jobs"}
    ),
}


def make_sick(lab: Lab, case: Case, folder: Path, name: str = SHOP) -> None:
    """Bring a cause onto a host, whose disk is full then."""
    sh(lab, name, causes.QUIET)
    if case.spare:
        sh(lab, name, BALLAST + f"ballast {case.mount} {case.spare}")
    sh(lab, name, case.make)
    for unit, (path, size) in case.logs.items():
        write_log(lab, name, unit, path, size)
    sh(lab, name, case.after)
    if case.aged:
        aged_disk(lab, name, folder / "aged", case.aged, inodes=case.inodes, young={"young"})
    if case.fill:
        lab.fill(name, case.mount)


# The big log is emptied only where all the rest was not enough.
EVERYTHING = Case(
    {"old-logs", "big-logs", "deleted-logs", "journals", "package-cache", "temporary-files"},
    # Afterwards journald leaves the disk alone: its next 8 MiB would count against whoever healed it.
    causes.JOURNALS.replace("$(seq 8)", "1")
    + "rm /var/log/journal/*/system.journal\n"
    + causes.QUIET
    + causes.OLD_LOGS.replace("5M", "400K")
    + BALLAST
    + "ballast /var/log 29000000\nballast / 16000000\n"
    + causes.PACKAGES,
    logs={"writer": ("/var/log/shop/big.log", 20 * MB), "gone": ("/var/log/shop/gone.log", 2 * MB)},
    after="rm /var/log/shop/gone.log",
    gone={*causes.OLD, *causes.DEBS, "/tmp/upload-1", "/tmp/job/a"},
    aged=TEMPORARY,
)


def everything(lab: Lab, folder: Path, name: str = SHOP) -> None:
    """Fill three disks of a host with all there is."""
    make_sick(lab, EVERYTHING, folder, name)
    for mount in ("/", "/tmp"):
        lab.fill(name, mount)


def well(lab: Lab, name: str = SHOP) -> None:
    """See that all these disks have room, and that the services write."""
    for mount in ("/", "/tmp", "/var/log"):
        assert percent(lab, name, mount) <= 85
    for unit in EVERYTHING.logs:
        assert line_afterwards(lab, name, unit) == "a line afterwards\n"
    words = "logger a word afterwards; journalctl --sync; journalctl -q -o cat | grep -q 'a word afterwards'"
    sh(lab, name, words)
