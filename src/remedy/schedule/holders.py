"""Who holds a lease or a due time, by name: a process, which can be asked after where it ran."""

from __future__ import annotations

import os
import re
import secrets as random
from pathlib import Path

_NAME = re.compile(r"process (?P<pid>[0-9]{1,19}) \((?P<world>[0-9a-f]+-[0-9a-f]+)-(?P<born>[0-9]{1,19})-[0-9a-f]+\)$")


def process_name() -> str:
    """Return a name for this process that no other one has, on any machine, at any time."""
    pid = os.getpid()
    return f"process {pid} ({_world()}-{born(pid)}-{random.token_hex(2)})"


def surely_dead(holder: str) -> bool:
    """Say whether a holder was a process of this very boot and PID namespace that is no more; else False."""
    found = _NAME.search(holder)
    return found is not None and found["world"] == _world() and born(int(found["pid"])) != int(found["born"])


def _world() -> str:
    """Return this boot and this PID namespace: the same number means the same process only within both."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino:x}"
    except OSError:
        return f"{random.token_hex(4)}-0"  # nobody else's


def born(pid: int) -> int:
    """Return when a process began, in the kernel's ticks since the boot; 0 where there is none."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return 0 if told[0] in "ZX" else int(told[19])
    except (OSError, ValueError, IndexError):
        return 0
