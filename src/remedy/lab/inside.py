"""Working inside a host from outside, through its namespaces: it works however sick the host is."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from remedy.lab.cgroups import Cgroup
from remedy.lab.door import Door
from remedy.lab.errors import LabError

_LOOK = 0.5  # seconds between two looks at a command that runs
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Inside(Door):
    """The inside of one host on this machine's kernel; needs no sshd."""

    name: str
    cgroup: Cgroup

    def first_process(self) -> int | None:
        """Return the id of the host's process 1 as the control machine counts, None where it does not run."""
        for pid in sorted(self.cgroup.members()):
            # Its ids are listed from our PID namespace inwards; it is number 1 in the one below ours.
            if len(ids := _ids(pid)) == 2 and ids[1] == 1 and not _is_nspawn(pid):
                return pid
        return None

    def argv(self, argv: Sequence[str], user: str = "root") -> list[str]:
        """Return the command line that runs `argv` in the host as seen from outside."""
        first = self.first_process()
        if first is None:
            raise LabError("the host is not running", host=self.name, hint="start it: remedy lab up")
        home = "/root" if user == "root" else f"/home/{user}"
        enter = ["nsenter", f"--target={first}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        environment = ["env", "-i", f"PATH={_PATH}", f"HOME={home}", f"USER={user}", "LANG=C.UTF-8"]
        return [*enter, *environment, *become, *argv]

    def _execute(
        self, argv: Sequence[str], user: str, stdin: bytes, timeout: float
    ) -> tuple[int, bytes, bytes]:
        process = subprocess.Popen(
            self.argv(argv, user),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        ended = threading.Event()
        threading.Thread(target=_watch, args=(process.pid, ended), daemon=True).start()
        try:
            out, err = process.communicate(stdin, timeout=timeout)
            return process.returncode, out, err
        except subprocess.TimeoutExpired as error:
            raise LabError(f"no end after {timeout:g} s: {shlex.join(argv)}", host=self.name) from error
        finally:
            ended.set()
            _end(process)


def _watch(pid: int, ended: threading.Event) -> None:
    """Continue a stopped nsenter: it stops with its child, as when a host that shuts down stops everybody."""
    while not ended.wait(_LOOK):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                os.kill(pid, signal.SIGCONT)
        except OSError:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a command; what hangs on a dead mount is left to the end of the host."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None and not stream.closed:
            try:
                stream.close()
            except BrokenPipeError:
                pass
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(timeout=10)


def _ids(pid: int) -> list[int]:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    return next(
        ([int(part) for part in line.split()[1:]] for line in status.splitlines() if line[:6] == "NSpid:"), []
    )


def _is_nspawn(pid: int) -> bool:
    """Tell whether a first process is still building the host and has not become its init."""
    try:
        return Path(f"/proc/{pid}/exe").readlink().name == "systemd-nspawn"
    except OSError:
        return True
