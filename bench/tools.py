"""The tools that are measured: where each is installed, how it is called, what it reads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .hosts import USER, BenchError, Host

HERE = Path(__file__).resolve().parent
NAMES = ("remedy", "ansible", "pyinfra", "bare")
PACKAGES = {
    "ansible": ("ansible-core",),
    "pyinfra": ("pyinfra",),
    "bare": ("paramiko",),
    "bare_databases": ("paramiko", "PyMySQL"),
}
INSTALL = 900  # seconds, for one tool


@dataclass(frozen=True)
class Tool:
    """A command line that ends with the inventory's path in the place of INVENTORY."""

    name: str
    version: str
    argv: tuple[str, ...]
    inventory: str  # the file it reads, of those that `inventories` writes
    env: dict[str, str] = field(default_factory=dict)
    freeze: tuple[str, ...] = ()

    def command(self, inventories: Path) -> list[str]:
        return [part.replace("INVENTORY", str(inventories / self.inventory)) for part in self.argv]


def cache() -> Path:
    chosen = os.environ.get("REMEDY_BENCH_DIR")
    return Path(chosen).resolve() if chosen else Path.home() / ".cache/remedy-bench"


def pinned(package: str) -> str:
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if line.startswith(package + "=="):
            return line.strip()
    raise BenchError(f"bench/requirements.txt does not pin {package}")


def venv(name: str) -> Path:
    """The virtual environment of a tool, made on first use; another pin or Python gets another one."""
    pins = [pinned(package) for package in PACKAGES[name]]
    requirement = " ".join(pins)
    key = hashlib.sha256(f"{requirement} {sys.version} {sys.base_prefix}".encode()).hexdigest()[:12]
    folder = cache() / f"{name}-{key}"
    if (folder / ".ready").exists():
        return folder
    print(f"installing {requirement} …", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)  # a half-made one
    pip = [folder / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for argv in ([sys.executable, "-m", "venv", folder], [*pip, *pins]):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL)
        if done.returncode:
            raise BenchError(f"{requirement} cannot be installed:\n{done.stderr[-2000:]}")
    (folder / ".ready").touch()
    return folder


def frozen(python: Path) -> tuple[str, ...]:
    argv = [python, "-m", "pip", "freeze", "--disable-pip-version-check"]
    return tuple(subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout.split("\n")[:-1])


def make(name: str, work: Path, play: Path) -> Tool:
    """The tool, installed; its private files go below `work`."""
    if name == "remedy":
        program = remedy()
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
        argv = (str(program), "play", str(play), "-i", "INVENTORY", "--yes")
        return Tool(name, said.stdout.strip().removeprefix("remedy, version "), argv, "inventory.yml")
    folder = venv(name)
    freeze, version = frozen(folder / "bin/python"), pinned(PACKAGES[name][0]).partition("==")[2]
    if name.startswith("bare"):
        argv = (str(folder / "bin/python"), str(HERE / f"{name}.py"), "INVENTORY")
        return Tool(name, f"paramiko {version}", argv, "inventory.yml", {}, freeze)
    if name == "pyinfra":
        argv = (str(folder / "bin/pyinfra"), "-y", "INVENTORY", str(HERE / "pyinfra_deploy.py"))
        return Tool(name, version, argv, "inventory.py", {}, freeze)
    sockets, config = work / "cp", work / "ansible.cfg"
    sockets.mkdir(exist_ok=True)
    config.touch()
    env = {
        "ANSIBLE_CONFIG": str(config),  # empty: not what this machine's owner likes
        "ANSIBLE_HOME": str(work / "ansible"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_FORKS": "50",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
    }
    argv = (str(folder / "bin/ansible-playbook"), "-i", "INVENTORY", str(play))
    return Tool(name, version, argv, "inventory.yml", env, freeze)


def remedy() -> Path:
    """The remedy of the interpreter that runs the bench, else the project's."""
    for program in (Path(sys.prefix) / "bin/remedy", HERE.parent / ".venv/bin/remedy"):
        if program.exists():
            return program
    raise BenchError("remedy is not installed: run `make venv`, or leave it out with --tools")


def settle(work: Path) -> None:
    """End ansible's shared connections: each run starts from nothing, as the others do."""
    for path in (work / "cp").glob("*"):
        argv = ["ssh", "-o", f"ControlPath={path}", "-O", "exit", "bench"]
        subprocess.run(argv, capture_output=True, timeout=30)


def target_python() -> str:
    """Named for all tools alike, so that none of them spends time on looking for it."""
    found = shutil.which("python3", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise BenchError("no python3 in the system's own folders: the hosts need one (Debian: python3)")
    return found


def inventories(folder: Path, key: Path, hosts: Iterable[tuple[Host, int]]) -> Path:
    """One inventory for remedy, ansible and bare, one for pyinfra: the same hosts at the given ports."""
    folder.mkdir(parents=True)
    pairs, known = list(hosts), folder / "known_hosts"
    known.write_text("".join(f"[127.0.0.1]:{port} {host.public_key}\n" for host, port in pairs))
    common = {
        "ansible_user": USER.pw_name,
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes",
        "ansible_python_interpreter": target_python(),
    }
    each = {
        host.name: {"ansible_host": "127.0.0.1", "ansible_port": port, "root": host.root}
        for host, port in pairs
    }
    # JSON is YAML, and bare.py reads it with the standard library.
    (folder / "inventory.yml").write_text(json.dumps({"all": {"vars": common, "hosts": each}}, indent=1))
    ssh = {
        "ssh_hostname": "127.0.0.1",
        "ssh_user": USER.pw_name,
        "ssh_key": str(key),
        "ssh_known_hosts_file": str(known),
        "ssh_strict_host_key_checking": "yes",
    }
    listed = [(host.name, {**ssh, "ssh_port": port, "root": host.root}) for host, port in pairs]
    (folder / "inventory.py").write_text(f"hosts = {listed!r}\n")
    return folder
