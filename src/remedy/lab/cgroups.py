"""The cgroups of lab hosts: who belongs to a host, its limits, and its end."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from remedy.lab.errors import LabError

_ROOT = Path("/sys/fs/cgroup")
_KILL_SECONDS = 15.0
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One cgroup, by its path below the root of every hierarchy of version 1, version 2 or both."""

    name: str

    def folders(self) -> list[Path]:
        """Return the folder of this cgroup in every hierarchy, whether or not it exists."""
        return [root / self.name for root in _hierarchies()]

    def create(self) -> None:
        """Make the cgroup in every hierarchy."""
        for root in _hierarchies():
            folder = root
            for part in Path(self.name).parts:
                _delegate(folder)
                folder = folder / part
                folder.mkdir(exist_ok=True)
                _cpuset(folder)

    def limit(self, memory: int | None, pids: int | None) -> None:
        """Limit the memory (bytes) and the number of processes of all members together."""
        wanted = {"memory.limit_in_bytes": memory, "memory.max": memory, "pids.max": pids}
        for file, value in wanted.items():
            if value is None:
                continue
            for folder in self.folders():
                if (folder / file).exists():
                    (folder / file).write_text(str(value))

    def joins(self) -> list[str]:
        """Return the files that a process writes its id into to become a member."""
        return [str(folder / "cgroup.procs") for folder in self.folders()]

    def members(self) -> set[int]:
        """Return the ids of all living members, those of nested cgroups too."""
        found: set[int] = set()
        for folder in self.folders():
            # os.walk passes over nested cgroups that end meanwhile; Path.rglob does not.
            for nested, _, _ in os.walk(folder):
                try:
                    found.update(int(line) for line in (Path(nested) / "cgroup.procs").read_text().split())
                except OSError:
                    pass
        # Process 0 is one of another PID namespace: not ours to see, so not ours to kill.
        return {pid for pid in found if pid and not _dead(pid)}

    def kill(self) -> None:
        """Kill all members and wait until they are gone."""
        deadline = time.monotonic() + _KILL_SECONDS
        while members := self.members():
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.monotonic() > deadline:
                names = ", ".join(f"{pid} ({_command(pid)})" for pid in sorted(members))
                raise LabError(
                    f"processes do not die within {_KILL_SECONDS:g} s: {names}",
                    hint="they wait for a filesystem that does not answer: unmount it, then try again",
                )
            time.sleep(_PAUSE)

    def end(self) -> None:
        """Kill all members and remove the cgroup with those below it."""
        self.kill()
        deadline = time.monotonic() + _KILL_SECONDS
        for top in self.folders():
            while top.is_dir():
                try:
                    for folder in sorted(top.rglob("*/"), reverse=True):
                        folder.rmdir()
                    top.rmdir()
                except OSError as error:  # dead members stay for a moment, and one may just have joined
                    if time.monotonic() > deadline:
                        raise LabError(f"the cgroup {top} cannot be removed: {error.strerror}") from error
                    self.kill()
                    time.sleep(_PAUSE)


def _hierarchies() -> list[Path]:
    """Return the root of every mounted hierarchy; version 1 has one for each controller."""
    if (_ROOT / "cgroup.procs").exists():
        return [_ROOT]
    return sorted(
        path for path in _ROOT.glob("*/") if (path / "cgroup.procs").exists() and not path.is_symlink()
    )


def _delegate(folder: Path) -> None:
    """Let cgroups below a version 2 folder have limits."""
    available = folder / "cgroup.controllers"
    if available.exists():
        for controller in available.read_text().split():
            try:
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
            except OSError:  # some controllers cannot be handed down; only limits depend on them
                pass


def _cpuset(folder: Path) -> None:
    """Give a version 1 cpuset its parent's processors and memory; an empty one takes no members."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (folder / file).exists() and (folder / "cgroup.clone_children").exists():
            (folder / file).write_text((folder.parent / file).read_text())


def _dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except (OSError, IndexError):
        return True


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"
