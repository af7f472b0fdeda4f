"""Many hosts on one machine: each a real sshd with namespaces, a machine id, /run, /tmp and home of its own.

Processes and mounts live in private namespaces below one process a host: when that one is killed, or
this program dies in whatever way, the kernel takes all of it away.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

PORTS = range(20000, 32000)  # below the ports that the kernel hands to outgoing connections
START = 20  # seconds for all of them
USER = pwd.getpwuid(os.getuid())

SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /run/bench/host_key
AuthorizedKeysFile /run/bench/authorized_keys
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile none
LogLevel ERROR
Subsystem sftp internal-sftp
"""


class BenchError(Exception):
    """The bench cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class Host:
    """One target; `directory` is outside, `root` is what its tasks see."""

    name: str
    port: int
    directory: Path
    process: subprocess.Popen

    @property
    def root(self) -> str:
        return f"/tmp/{self.name}"

    @property
    def tree(self) -> Path:
        return self.directory / "tmp" / self.name

    @property
    def public_key(self) -> str:
        return (self.directory / "run/bench/host_key.pub").read_text().rsplit(" ", 1)[0]

    def clean(self) -> None:
        """As new: the folders stay, for they are mounted."""
        for folder in (self.directory / "tmp", self.directory / "home"):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def init_pid(self) -> int | None:
        """The sshd that is process 1 of the host, by its number out here."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            return None
        return int(children.split()[0]) if children.split() else None

    def pids(self) -> list[int]:
        """Every process of the host, by its number out here."""
        init = self.init_pid()
        if init is None:
            return []
        here, found = os.readlink(f"/proc/{init}/ns/pid"), []
        for entry in os.scandir("/proc"):
            try:
                if entry.name.isdigit() and os.readlink(f"/proc/{entry.name}/ns/pid") == here:
                    found.append(int(entry.name))
            except OSError:
                pass  # ended meanwhile
        return found


def tree(host: Host, times: bool = False) -> dict[str, tuple]:
    """What the tasks left: path → mode and content; with `times` also what a rewrite would change."""
    found = {}
    for path in (host.tree, *sorted(host.tree.rglob("*"))):
        have = path.lstat()
        if stat.S_ISLNK(have.st_mode):
            content = str(path.readlink())
        else:
            content = sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(have.st_mode) else "folder"
        touched = (have.st_mtime_ns, have.st_ino) if times else ()
        found[str(path.relative_to(host.tree))] = (oct(have.st_mode), content, *touched)
    return found


def needs() -> list[str]:
    """What is missing on this machine, in words."""
    programs = ("unshare", "setpriv", "mount", "ssh", "ssh-keygen")
    missing = [f"the program {name}" for name in programs if not shutil.which(name)]
    if sshd() is None:
        missing.append("the program sshd (Debian: openssh-server)")
    if os.getuid() != 0:
        missing.append("root: the hosts need namespaces of their own")
    return missing


def sshd() -> str | None:
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@contextmanager
def fleet(count: int, work: Path) -> Iterator[list[Host]]:
    """`count` running hosts below `work`; work/id is the key that opens them."""
    keygen(work / "id")
    authorized = (work / "id.pub").read_text()
    hosts: list[Host] = []
    try:
        for number, port in enumerate(free_ports(count), 1):
            hosts.append(start(f"h{number:02d}", port, work / "hosts" / f"h{number:02d}", authorized))
        deadline = time.monotonic() + START
        for host in hosts:
            wait_for_banner(host, deadline)
        yield hosts
    finally:
        stop(hosts)


def start(name: str, port: int, directory: Path, authorized: str) -> Host:
    for folder in ("run/bench", "run/sshd", "tmp", "home"):
        (directory / folder).mkdir(parents=True)
    (directory / "tmp").chmod(0o1777)
    (directory / "machine-id").write_text(uuid.uuid4().hex + "\n")
    keygen(directory / "run/bench/host_key")
    (directory / "run/bench/authorized_keys").write_text(authorized)
    (directory / "run/bench/sshd_config").write_text(SSHD_CONFIG.format(port=port))
    own = {"run": "/run", "home": USER.pw_dir, "tmp": "/tmp", "machine-id": "/etc/machine-id"}
    binds = [(directory / name, Path(place)) for name, place in own.items() if Path(place).exists()]
    binds.sort(key=lambda bind: directory.is_relative_to(bind[1]))  # last the one that hides the others
    mounts = "".join(f'mount --bind "{source}" "{target}" && ' for source, target in binds)
    daemon = f'exec "{sshd()}" -D -E /run/bench/log -f /run/bench/sshd_config'
    # unshare ignores TERM, and without --pdeathsig it would outlive a killed bench.
    outer = "setpriv --pdeathsig KILL -- unshare --pid --fork --kill-child --mount --mount-proc --uts"
    process = subprocess.Popen(
        [*outer.split(), "--", "sh", "-c", f"hostname {name} && {mounts}cd / && {daemon}"],
        stdin=subprocess.DEVNULL,
        stdout=(directory / "log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for the bench, which then ends them
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
    )
    return Host(name, port, directory, process)


def stop(hosts: list[Host]) -> None:
    """End process 1 of each host; with it the kernel ends its namespace, and unshare reaps it and goes."""
    for host in hosts:
        init = host.init_pid()
        if init is None:
            host.process.kill()
        else:
            with suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)
    for host in hosts:
        try:
            host.process.wait(10)
        except subprocess.TimeoutExpired:
            host.process.kill()
            host.process.wait()


def wait_for_banner(host: Host, deadline: float) -> None:
    while time.monotonic() < deadline and host.process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", host.port), 1) as probe:
                probe.settimeout(5)
                if probe.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)
    logs = [host.directory / "log", host.directory / "run/bench/log"]
    said = " ".join(path.read_text(errors="replace").strip() for path in logs if path.exists())
    raise BenchError(f"{host.name}: sshd on port {host.port} did not answer: {said or 'it said nothing'}")


def keygen(path: Path) -> None:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", path]
    subprocess.run(argv, check=True, timeout=30)


def free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise BenchError(f"no {count} free ports between {PORTS.start} and {PORTS.stop}")
