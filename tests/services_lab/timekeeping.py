"""A lab host or guest with remedy in it, which keeps the time; a host can be powered off and on with its disk kept."""

from __future__ import annotations

import compileall
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from remedy.lab import Lab, boot
from remedy.lab.door import Doors

ROOT = Path(__file__).parents[2]
STATE = "/var/lib/remedy"
PROJECT = "/srv/ops"
MARK = """\
- hosts: all
  gather_facts: false
  tasks:
    - lineinfile: {path: /srv/times, create: true, line: "{{ lookup('pipe', 'date +%s') }}"}
"""
_PROGRAM = """\
#!/usr/bin/python3
import os, sys
# As in all tests: no process that fills the history after each run.
os.environ["REMEDY_HISTORY_FILL"] = "later"
sys.path[:0] = ["/opt/remedy/src", "/opt/remedy/lib"]
from remedy.cli import main
main()
"""


class Station:
    """A machine with remedy and a project in it, whose systemd or daemon starts schedules."""

    def __init__(self, doors: Doors, name: str) -> None:
        self.doors = doors
        self.name = name

    def install(self, hosts: dict[str, Any]) -> None:
        """Put remedy and a project with these hosts into it; both programs and project are admin's to use."""
        found = self.run("python3", "-c", "import sys; print(*sys.version_info[:2])").split()
        # The wheels of this environment are for its own Python.
        assert tuple(map(int, found)) == sys.version_info[:2], "the lab's Python is another one than this"
        self.run("mkdir", "-p", "/opt/remedy", STATE, f"{PROJECT}/schedules")
        self.unpack(_packed())
        self.put("/usr/bin/remedy", _PROGRAM, 0o755)
        self.put(f"{PROJECT}/inventory/hosts.yml", yaml.safe_dump({"all": {"hosts": hosts}}))
        self.run("chown", "-R", "admin:admin", STATE, PROJECT)

    def unpack(self, packed: bytes) -> None:
        """Unpack remedy, a compressed tar file, below /opt/remedy."""
        self.doors.run(self.name, ["tar", "-C", "/opt/remedy", "-xz"], stdin=packed, timeout=600)

    def run(self, *argv: str, user: str = "root", ok: tuple[int, ...] | None = (0,)) -> str:
        """Run a program in it and return what it printed."""
        return self.doors.run(self.name, argv, user=user, ok=ok, timeout=300).stdout

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in it."""
        self.doors.put(self.name, path, text.encode(), mode)

    def remedy(
        self, *words: str, user: str = "root", ok: tuple[int, ...] | None = (0,), project: str = PROJECT
    ) -> Any:
        """Run remedy in a project of its."""
        argv = ["sh", "-c", f'cd {project} && REMEDY_STATE={STATE} exec remedy "$@"', "remedy", *words]
        return self.doors.run(self.name, argv, user=user, ok=ok, timeout=300)

    def past(self, schedule: str, project: str = PROJECT) -> list[dict[str, Any]]:
        """Return what became of the due times of a schedule, newest first."""
        done = self.remedy(
            "schedule", "show", schedule, "-n", "50", "--format", "json", user="admin", ok=None, project=project
        )
        return list(json.loads(done.stdout)["last"])

    def start_daemon(self, *words: str, project: str = PROJECT) -> None:
        """Start the daemon as a unit, and wait until it is at work."""
        self.run("systemd-run", "-q", "--unit=remedy-scheduler", "--uid=admin", f"--working-directory={project}",
                 "-E", f"REMEDY_STATE={STATE}", "/usr/bin/remedy", "scheduler", *words)  # fmt: skip
        self.until("a daemon at work", lambda: "at work as" in self.daemon(), 300)

    def daemon(self) -> str:
        """Return what the daemon and its runs have said."""
        return self.run("journalctl", "-q", "-o", "cat", "-u", "remedy-scheduler")

    def idle(self) -> bool:
        """Say whether no turn is at work: a timer whose service is at work hears nothing of the clock."""
        at_work = self.run("systemctl", "list-units", "-q", "--state=activating,deactivating", "remedy-*")
        return not at_work.strip() and not self.run("pgrep", "-f", "[b]in/remedy schedule run", ok=(0, 1))

    def until(self, what: str, true: Callable[[], Any], seconds: float) -> Any:
        """Wait until something is true and return it; what the units said is told where it does not become so."""
        deadline = time.monotonic() + seconds
        while not (found := true()):
            if time.monotonic() > deadline:
                said = self.run("journalctl", "-q", "-o", "cat", "-n", "60", "-u", "remedy-*")
                raise AssertionError(f"{what}: not within {seconds:g} s; the units said:\n{said}")
            time.sleep(1)
        return found


class Keeper(Station):
    """The host that keeps the time; `targets` are the hosts that its schedules play on."""

    def __init__(self, lab: Lab, name: str, targets: tuple[str, ...]) -> None:
        super().__init__(lab, name)
        self.lab = lab
        self._targets = targets

    def furnish(self) -> None:
        """Put remedy, a project and the key of the lab into it."""
        login = {"ansible_user": "admin", "ansible_become": True}
        self.install({name: {"ansible_host": self.lab.host(name).address, **login} for name in self._targets})
        self.put("/root/lab_key", self.lab.identity.key.read_text(), 0o600)
        self.put("/home/admin/.ssh/known_hosts", self.lab.known_hosts.read_text())
        self.run("chown", "-R", "admin:admin", "/home/admin/.ssh")

    def power_off(self) -> None:
        """Switch it off, as `poweroff` does."""
        self.lab.run(self.name, ["systemctl", "poweroff"], ok=None)
        deadline = time.monotonic() + 60
        while self.lab.cgroup(self.name).members():
            assert time.monotonic() < deadline, "it does not go off"
            time.sleep(0.2)

    def power_on(self) -> None:
        """Switch it on again, with the disk that it had."""
        host = self.lab.host(self.name)
        plan = self.lab._plan(host)
        script = (plan.folder / "start.sh").read_text()
        again = plan.folder / "again.sh"
        again.write_text(re.sub(r"^mkdir (?=.*/upper)", "mkdir -p ", script, flags=re.MULTILINE))
        shutil.rmtree(plan.folder / "changes" / "work")  # a volatile overlay refuses the one it had
        plan.cgroup.create()
        with plan.console.open("ab") as console:
            argv = [*boot._APART, "sh", "-eu", str(again)]
            subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, check=True, timeout=60
            )
        self.lab.wait(self.name)


def _packed() -> bytes:
    """Return remedy and all that it needs as a compressed tar file, with its bytecode: nobody there may write that."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=3) as tar, TemporaryDirectory() as made:
        for name in ("playbooks", "tasks"):
            tar.add(ROOT / name, name, filter=_plain)
        source = Path(made) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        assert compileall.compile_dir(source, stripdir=made, prependdir="/opt/remedy", quiet=1)
        tar.add(source, "src", filter=_plain)
        for package in _needed("remedy", set()):
            for file in distribution(package).files or ():
                if ".." not in file.parts and file.locate().is_file():
                    tar.add(str(file.locate()), f"lib/{file}")
    return packed.getvalue()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    return info


def _needed(package: str, seen: set[str]) -> Iterator[str]:
    for wanted in distribution(package).requires or ():
        name = re.split(r"[^A-Za-z0-9_.-]", wanted, maxsplit=1)[0].lower().replace("_", "-")
        extras = re.match(r"[A-Za-z0-9_.-]+\[(.*?)\]", wanted)
        if "extra ==" in wanted and not (package == "psycopg" and "binary" in wanted):
            continue
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution(name)
        except PackageNotFoundError:
            continue  # for another platform or an older Python
        assert extras is None or extras[1] == "binary"
        yield name
        yield from _needed(name, seen)
