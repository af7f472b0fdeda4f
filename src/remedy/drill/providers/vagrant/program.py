"""Running vagrant: the hosts of one set, apart from those that the user has up for himself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from remedy.lab import LabError

_HINT = "install Vagrant (Debian: apt-get install vagrant), and VirtualBox, libvirt or Docker"
_DOCKER = "the images of the Docker hosts are made by root: scripts/vagrant/images"
_PROVIDERS = "install VirtualBox or libvirt, or set VAGRANT_DEFAULT_PROVIDER=docker; docs/vagrant.md tells the rest"
_NO_PROVIDER = "No usable default provider could be found"
_BUSY = ("another process is already executing an action", "because it is locked")
_TAIL = 20
_PAUSE = 0.5
_CLEANUP = 30.0


@dataclass(frozen=True, slots=True)
class Program:
    """Vagrant in the folder of a Vagrantfile, with its data in a folder of their own."""

    folder: Path
    data: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, seconds: float, environment: Mapping[str, str] | None = None) -> str:
        """Run a command of vagrant and return its stdout; a LabError has the last lines of what went wrong.

        Where another vagrant is at work on a machine (that of a process that was killed goes on), it waits.
        """
        deadline = time.monotonic() + seconds
        while True:
            code, out, err = self._once(words, deadline, environment or {})
            if code == 0:
                return out
            if _NO_PROVIDER in out + err:
                raise LabError("Vagrant finds no provider here to make machines with", hint=_PROVIDERS)
            if not any(text in err for text in _BUSY) or time.monotonic() + _PAUSE > deadline:
                last = _last(err, out)
                hint = _DOCKER if "remedy/" in last and "docker" in last else None
                raise LabError(f"exit code {code} from: {_shown(words)}{last}", hint=hint)
            time.sleep(_PAUSE)

    def _once(self, words: Sequence[str], deadline: float, more: Mapping[str, str]) -> tuple[int, str, str]:
        """Run a command and return its exit code and what it printed."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._start(words, more, out, err)
            try:
                code: int | None = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end(process)
                self._process.unlink(missing_ok=True)
            said, complained = _read(out), _read(err)
        if code is None:
            raise LabError(f"vagrant did not end in time: {_shown(words)}{_last(said, complained)}")
        return code, said, complained

    def settle(self, *, seconds: float) -> None:
        """Return when no vagrant is at work here: that of a killed process goes on, and makes machines.

        After `seconds` it returns all the same; vagrant's own locks come next.
        """
        try:
            pid = int(self._process.read_text())
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + seconds
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        self._process.unlink(missing_ok=True)

    def machines(self) -> dict[str, str]:
        """Return the machines of the Vagrantfile, in its order, and the provider that each has or would get."""
        found: dict[str, str] = {}
        for target, kind, data in _records(self.run("status", "--machine-readable", seconds=60)):
            if kind == "metadata" and data[:1] == ["provider"] and target:
                found[target] = data[1]
        if not found:
            raise LabError(
                f"{self.folder / 'Vagrantfile'} defines no machine", hint="expected: db1, app1, ..."
            )
        return found

    def existing(self) -> list[str]:
        """Return the machines that exist, running or not, by what vagrant keeps of each."""
        return sorted({path.parts[-3] for path in self.data.glob("machines/*/*/id")})

    def id(self, machine: str, provider: str) -> str:
        """Return the provider's own name of a machine."""
        return (self.data / "machines" / machine / provider / "id").read_text().strip()

    def _start(
        self, words: Sequence[str], more: Mapping[str, str], out: IO[bytes], err: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        own = {
            "VAGRANT_CWD": str(self.folder),
            "VAGRANT_DOTFILE_PATH": str(self.data),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_NO_COLOR": "1",
        }
        if shutil.which("vagrant") is None:
            raise LabError("the program vagrant is not installed here", hint=_HINT)
        self._process.parent.mkdir(parents=True, exist_ok=True)
        # A session of its own: Ctrl-C reaches remedy, and remedy ends vagrant in order.
        return subprocess.Popen(
            ["sh", "-c", 'echo $$ > "$0" && exec vagrant "$@"', str(self._process), *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **own, **self.environment, **more},
            start_new_session=True,
        )

    @property
    def _process(self) -> Path:
        """Where the id of the vagrant that runs is kept, for whoever comes after a kill."""
        return self.data.parent / "vagrant.pid"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return not Path("/proc/self").exists()  # without /proc the signal was the answer


def _records(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (machine, kind, data) of each line that --machine-readable prints."""
    for line in text.splitlines():
        _, _, rest = line.partition(",")
        target, _, rest = rest.partition(",")
        kind, _, rest = rest.partition(",")
        if kind:
            yield target, kind, rest.split(",")


def _shown(words: Sequence[str]) -> str:
    return " ".join(("vagrant", *words))


def _read(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _last(*texts: str) -> str:
    """Return the last lines of the first text that has any, for an error."""
    for text in texts:
        lines = text.strip().splitlines()
        if lines:
            return "".join(f"\n    {line}" for line in lines[-_TAIL:])
    return "\n    nothing was printed"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a vagrant that still runs: first as Ctrl-C does, so that it writes down what it has made."""
    for number, patience in ((signal.SIGINT, _CLEANUP), (signal.SIGKILL, 10.0)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
