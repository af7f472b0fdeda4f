"""Disks of lab hosts that are short of what lies below them, and the operator who lets them grow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remedy.lab import Lab
from remedy.lab.door import Doors
from tests.acceptance.operator import Operator, Result
from tests.modules.running import in_lab, step

# A program that takes its time: it says that it has begun, waits, and then does what it always does.
_SLOW = """#!/bin/sh
echo $$ > /run/slow; {when_first}
exec {program} "$@"
"""


@dataclass(frozen=True)
class Machine:
    """A lab host or a guest with disks of its own; `seconds` is what a script may take in it."""

    lab: Doors
    name: str
    seconds: float = 120

    def shell(self, script: str, *words: str) -> str:
        return self.lab.run(
            self.name, ["sh", "-euc", script, "sh", *words], timeout=self.seconds
        ).stdout.strip()

    def one(self, module: str, *, in_check: bool = False, **params: Any) -> dict[str, Any]:
        """Run one module; return its `result` frame."""
        [frame] = in_lab(self.lab, self.name, step(module, in_check=in_check, **params), timeout=self.seconds)
        return dict(frame)

    def short(self, path: str = "/data", **params: Any) -> dict[str, Any]:
        """Make a disk that is short; return what it is."""
        name = path.strip("/").replace("/", "-")
        frame = self.one("fault_disk_short", path=path, name=name, folder="/srv/disks", **params)
        assert frame["status"] == "changed", frame
        return dict(frame["result"])

    def clean(self) -> None:
        """Remove all such disks, and what made programs slow."""
        self.shell(
            "rm -f /usr/local/sbin/* /usr/local/bin/slow-* /run/slow /usr/local/bin/sfdisk /usr/local/bin/partx"
        )
        for path in self.shell("cd /srv/disks; ls -d remedy-drill-*.img 2> /dev/null || true").split():
            name = path[len("remedy-drill-") : -len(".img")]
            where = "/" + name
            frame = self.one("fault_disk_short", path=where, name=name, folder="/srv/disks", state="absent")
            assert frame["status"] in ("ok", "changed"), frame

    def slow(self, name: str, seconds: int = 3) -> None:
        """Let a program begin late."""
        program = self.shell(f"command -v {name}")
        text = _SLOW.format(when_first=f"sleep {seconds}", program=program)
        self.lab.put(self.name, f"/usr/local/sbin/{name}", text.encode(), 0o755)

    def begun(self) -> None:
        """Wait until the slow program has begun."""
        self.shell("for k in $(seq 400); do [ -s /run/slow ] && exit 0; sleep .05; done; exit 1")

    def ended(self) -> None:
        """Wait until nothing that makes something grow runs any more."""
        busy = (
            "pgrep -x 'sfdisk|partx|pvresize|lvextend|resize2fs|e2fsck|xfs_growfs|btrfs|slow-.*' > /dev/null"
        )
        self.shell(f"for k in $(seq 400); do {busy} || exit 0; sleep .05; done; ps ax; exit 1")

    def chain(self, mount: str = "/data", **params: Any) -> dict[str, Any]:
        frame = self.one("block_chain", mount=mount, **params)
        assert frame["status"] == "ok", frame
        return dict(frame["result"]["chains"][0])

    def about(self, mount: str) -> str:
        """All that must not change of a disk that is not meant."""
        script = """
        d=$(findmnt -no SOURCE "$1"); lsblk -bno SIZE "$d"; df -B1 "$1"; mount | grep " $1 "
        case $d in *[0-9]p1) sfdisk -d "${d%p1}";; esac"""  # not /dev/loop1
        return self.shell(script, mount)


class Bench:
    """The operator of one host."""

    def __init__(self, folder: Path, lab: Lab, machine: Machine) -> None:
        self.operator = Operator(folder, lab, lab.host(machine.name), ansible_become=True)

    def play(self, *flags: str, **values: Any) -> Result:
        return self.operator.here("play", *words(*flags, **values))


def words(*flags: str, **values: Any) -> tuple[str, ...]:
    """Return what is played: disk-grow for /data, or another mount."""
    return ("disk-grow", "--yes", "-e", json.dumps({"mount": "/data", **values}), *flags)


def objects(result: Result) -> list[str]:
    """Return the kinds of the objects that changed, in order."""
    return [change["object"].partition(":")[0] for change in result.report["changes"]]


def said(result: Result) -> str:
    """Return what findings and failed tasks say."""
    findings = [each["title"] for each in result.report["findings"]]
    return "; ".join(
        findings + [each["reason"] for each in result.report["tasks"] if each["status"] == "failed"]
    )
