"""Who holds a lease or a due time, by name: a process, which can be asked after where it ran."""

from __future__ import annotations

import os
import re
import secrets as random
import time
from datetime import datetime
from hashlib import sha256
from pathlib import Path

# Without the machine: of a remedy that did not name it yet, or of a machine that cannot be told from others.
_NAME = re.compile(
    r"process (?P<pid>[0-9]{1,19}) \((?:(?P<machine>[0-9a-f]+)\.)?"
    r"(?P<world>[0-9a-f]+-[0-9a-f]+)-(?P<born>[0-9]{1,19})-[0-9a-f]+\)$"
)
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SPACE = Path("/proc/self/ns/pid")
_ID = Path("/etc/machine-id")
_CARDS = Path("/sys/class/net")
_FIRST_SPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of Linux: the PID namespace of the machine itself
_BY_CHANCE = "1"  # NET_ADDR_RANDOM: the card has another address after each boot


def process_name() -> str:
    """Return a name for this process that no other one has, on any machine, at any time."""
    pid, machine = os.getpid(), _machine()
    where = f"{machine}." if machine else ""
    return f"process {pid} ({where}{_world()}-{born(pid)}-{random.token_hex(2)})"


def surely_dead(holder: str) -> bool:
    """Say whether a holder was a process of this very boot and PID namespace that is no more; else False."""
    found = _here(holder)
    return found is not None and born(int(found["pid"])) != int(found["born"])


def surely_alive(holder: str) -> bool:
    """Say whether a holder is a process of this very boot and PID namespace that is at work; else False."""
    found = _here(holder)
    return found is not None and born(int(found["pid"])) == int(found["born"])


def of_an_earlier_boot(holder: str, seen: datetime) -> bool:
    """Say whether a holder was a process of this machine, which has been booted since; `seen`: its last sign of life.

    False where that is not sure: in a container, whose image many machines may share, and where the sign of life came
    after our boot, so that there are two machines of one identity.
    """
    found, mine = _NAME.search(holder), _machine()
    if found is None or not mine or found["machine"] != mine or found["world"] == _world():
        return False
    return seen.timestamp() < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _here(holder: str) -> re.Match[str] | None:
    found = _NAME.search(holder)
    return found if found is not None and found["world"] == _world() else None


def _world() -> str:
    """Return this boot and this PID namespace: the same number means the same process only within both."""
    try:
        return f"{_BOOT.read_text()[:8]}-{_SPACE.stat().st_ino:x}"
    except OSError:
        return f"{random.token_hex(4)}-0"  # nobody else's


def _machine() -> str:
    """Return what names this machine over its boots, "" where nothing surely does.

    Machines made of one image may have its /etc/machine-id in common, so the host's name and its network cards count,
    too. A container has the one of its image, and cards that are none.
    """
    try:
        if _SPACE.stat().st_ino != _FIRST_SPACE or not _BOOT.read_text().strip():
            return ""
        id = _ID.read_text(encoding="ascii").strip()
        cards = sorted(
            (card / "address").read_text(encoding="ascii").strip()
            for card in _CARDS.iterdir()
            if (card / "device").exists() and (card / "addr_assign_type").read_text().strip() != _BY_CHANCE
        )
    except (OSError, ValueError):
        return ""
    if len(id) != 32 or not cards:
        return ""
    return sha256("\n".join([id, os.uname().nodename, *cards]).encode()).hexdigest()[:12]


def born(pid: int) -> int:
    """Return when a process began, in the kernel's ticks since the boot; 0 where there is none."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return 0 if told[0] in "ZX" else int(told[19])
    except (OSError, ValueError, IndexError):
        return 0
