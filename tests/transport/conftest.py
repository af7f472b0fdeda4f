"""Real SSH servers on loopback: every test talks to a true sshd, started for it on a free port."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remedy.transport import Connector, Target, TargetDefaults

KEYGEN = ["ssh-keygen", "-q", "-N", ""]


def free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def generate(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)], check=True
    )
    return path


class Sshd:
    """One sshd: its folder, port and keys."""

    def __init__(self, folder: Path, client_key: Path, *options: str, host_key: Path | None = None) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self.host_key = host_key or generate(folder / "host_key")
        self.authorized = folder / "authorized_keys"
        self.authorized.write_text(Path(f"{client_key}.pub").read_text())
        self.log = folder / "log"
        config = folder / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    *options,
                    f"Port {self.port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {self.host_key}",
                    f"AuthorizedKeysFile {self.authorized}",
                    "PidFile none",
                    "StrictModes no",
                    "UseDNS no",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "PermitRootLogin prohibit-password",
                    "UsePAM no",
                    "LogLevel VERBOSE",
                ]
            )
            + "\n"
        )
        self._config = config
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-f", str(self._config), "-E", str(self.log)],
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.005)
        raise RuntimeError(self.log.read_text())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(5)

    @property
    def known_line(self) -> str:
        kind, key = Path(f"{self.host_key}.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"


class Place:
    """A folder with a client's key, its ssh_config and known_hosts, and the servers started in it."""

    def __init__(self, folder: Path, key: Path, host_key: Path) -> None:
        self.folder = folder
        self.key = key
        self.host_key = host_key
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.touch()
        self.config = folder / "ssh_config"
        self.write_config("")
        self._servers: list[Sshd] = []

    def write_config(self, text: str) -> None:
        """Write the client's configuration; what every host needs stands at its end, where it counts least."""
        self.config.write_text(
            f"{text}\nHost *\n  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile none\n"
            f"  IdentityFile {self.key}\n  IdentityAgent none\n  User root\n"
        )

    def sshd(self, *options: str, known: bool = True) -> Sshd:
        server = Sshd(self.folder / f"sshd{len(self._servers)}", self.key, *options, host_key=self.host_key)
        self._servers.append(server)
        if known:
            with self.known_hosts.open("a") as lines:
                lines.write(server.known_line)
        return server

    def target(self, server: Sshd | int | None = None, name: str = "web1", **variables: Any) -> Target:
        port = server.port if isinstance(server, Sshd) else server
        found = {"ansible_host": "127.0.0.1", **variables}
        if port is not None:
            found.setdefault("ansible_port", port)
        options = found.pop("options", "")
        found["ansible_ssh_common_args"] = f"-F {self.config} {options}"
        return Target.from_variables(name, found, TargetDefaults(timeout=10))

    def close(self) -> None:
        for server in self._servers:
            server.stop()


@pytest.fixture(scope="session", autouse=True)
def openssh() -> None:
    if not Path("/usr/sbin/sshd").exists() or shutil.which("ssh-keygen") is None:
        subprocess.run(["apt-get", "install", "-y", "openssh-server"], check=True, capture_output=True)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


@pytest.fixture(scope="session")
def session_keys(openssh: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return generate(folder / "client"), generate(folder / "host")


@pytest.fixture
def place(tmp_path: Path, session_keys: tuple[Path, Path]) -> Iterator[Place]:
    place = Place(tmp_path / "place", *session_keys) if (tmp_path / "place").mkdir() is None else None
    assert place is not None
    yield place
    place.close()


@pytest.fixture
def connector() -> Iterator[Connector]:
    with Connector() as connector:
        yield connector


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """No test may leave a thread behind, nor an open file."""
    before = set(threading.enumerate())
    files = open_files()
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]
        if not left and open_files() <= files:
            return
        time.sleep(0.01)
    assert not left, f"threads left behind: {left}"
    assert open_files() <= files


class Listener:
    """A TCP server that does what `handle` says with each connection."""

    def __init__(self, handle: Callable[[socket.socket], None]) -> None:
        self._handle = handle
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.lines: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            self.lines.append(line)
            self._handle(line)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)
        for line in self.lines:
            line.close()


class Relay(Listener):
    """A TCP proxy in front of a server, which can be cut, or frozen while the kernel still answers."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._running = threading.Event()
        self._running.set()
        self._pumps: list[threading.Thread] = []
        super().__init__(self._pair)

    def _pair(self, line: socket.socket) -> None:
        other = socket.create_connection(("127.0.0.1", self._target))
        self.lines.append(other)
        for source, sink in ((line, other), (other, line)):
            pump = threading.Thread(target=self._pump, args=(source, sink), daemon=True)
            self._pumps.append(pump)
            pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._running.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        self._running.clear()

    def cut(self) -> None:
        for line in self.lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._running.set()
        self.cut()
        super().close()
        for pump in self._pumps:
            pump.join(5)
