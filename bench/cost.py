"""What remedy costs besides time: CPU of a mere --help, memory of the controller, memory of the agent."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from .hosts import Host
from .measure import Failed, run
from .tools import HERE, Tool, make, settle, target_python

DEADLINE = 300


@dataclass(frozen=True)
class Memory:
    """MiB; PSS is a fair share, smaller where other Pythons run; `private` is shared with nobody."""

    pss: float
    private: float


def help_cpu(tool: Tool, work: Path) -> float:
    """CPU seconds of `remedy --help`, the least of five: what anyone pays who only starts it."""
    return min(run([tool.argv[0], "--help"], work, {}, DEADLINE).cpu for _ in range(5))


def controller_rss(tool: Tool, hosts: list[Host], inventory: Path, work: Path) -> float:
    """Peak MiB of the control process while it works through play.yml on clean hosts."""
    for host in hosts:
        host.clean()
    try:
        return run(tool.command(inventory), work, tool.env, DEADLINE).rss_mib
    finally:
        settle(work.parent)


def agent_memory(host: Host, inventory: Path, work: Path, name: str = "remedy") -> Memory:
    """All Python processes of the host together while a task sleeps there."""
    tool, stop, seen = make(name, work.parent, HERE / "sleep.yml"), threading.Event(), []

    def watch() -> None:
        while not stop.wait(0.2):
            try:
                seen[:] = python_memory(host) or seen
            except (OSError, KeyError):
                pass  # it ended while we looked

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(tool.command(inventory), work, tool.env, DEADLINE)
    finally:
        stop.set()
        watcher.join()
        settle(work.parent)
    if not seen:
        raise Failed(f"{name}: no Python process was seen on {host.name} while the task slept")
    return Memory(sum(each.pss for each in seen), sum(each.private for each in seen))


def python_memory(host: Host) -> list[Memory]:
    """The Python processes of a host on which something sleeps; [] while nothing does."""
    names = {}
    for pid in host.pids():
        try:
            names[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            pass
    if "sleep" not in names.values():
        return []
    return [memory(pid) for pid, name in names.items() if name.startswith("python")]


def memory(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    mib = {key: int(rest.split()[0]) / 1024 for key, _, rest in (line.partition(":") for line in lines)}
    return Memory(mib["Pss"], mib["Private_Clean"] + mib["Private_Dirty"])


def idle_python() -> Memory:
    """The floor for an agent: the hosts' Python with nothing loaded."""
    child = subprocess.Popen(
        [target_python(), "-I", "-B", "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        child.stdout.readline()
        return memory(child.pid)
    finally:
        child.communicate(b"\n", timeout=10)
