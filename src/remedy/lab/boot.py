"""Starting a host: the script that becomes it, and waiting until it answers."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from remedy.lab.cgroups import Cgroup
from remedy.lab.errors import LabError
from remedy.lab.inside import Inside
from remedy.lab.network import Network
from remedy.lab.roles import Role
from remedy.lab.spec import Disk, HostSpec, parse_size
from remedy.lab.tools import run

_REBOOT = 133  # exit code of systemd-nspawn --keep-unit when the host asks for a reboot
# Mounts, loop devices and links live in namespaces that only the host's processes hold: with the last
# of them the kernel takes everything back, however the host ended.
_APART = ("setsid", "--fork", "unshare", "--mount", "--net", "--propagation", "slave")
_PAUSE = 0.03
_PATIENCE = 3.0  # seconds until a host that does not greet is looked at
_UNBORN = 10.0  # seconds until a host's first process is there, where the disk is busy


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is needed to start one host."""

    spec: HostSpec
    role: Role
    trees: Sequence[Path]
    """Read-only layers of the root, the lowest first."""
    folder: Path
    """The host's own folder; `root/`, `disks/` and `changes/` in it are made anew at each start."""
    network: Network
    index: int
    cgroup: Cgroup

    @property
    def address(self) -> str:
        """Where its sshd listens."""
        return self.network.address(self.index)

    @property
    def console(self) -> Path:
        """What the host said while booting."""
        return self.folder / "console.log"


def start(plan: Plan) -> None:
    """Make the host's filesystems and start it; return without waiting for it to answer."""
    for name in ("root", "disks", "changes"):
        (plan.folder / name).mkdir()
    script = plan.folder / "start.sh"
    script.write_text(_script(plan))
    plan.cgroup.create()
    memory = plan.spec.memory
    plan.cgroup.limit(parse_size(memory) if memory else None, plan.spec.pids)
    with plan.console.open("wb") as console:
        subprocess.run(
            [*_APART, "sh", "-eu", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={"PATH": os.environ.get("PATH", os.defpath), **plan.role.environment},
            check=True,
        )


def wait(plan: Plan, seconds: float, stop: threading.Event) -> None:
    """Return when the host's sshd greets or `stop` is set; a LabError shows what the host said."""
    started = time.monotonic()
    inside = Inside(plan.spec.name, plan.cgroup)
    lived = False
    while not stop.wait(_PAUSE):
        if greets(plan.address):
            return
        waited = time.monotonic() - started
        alive = bool(plan.cgroup.members())
        lived = lived or alive
        if not alive and (lived or waited > _UNBORN):
            said = plan.console.read_text(errors="replace")
            raise failure(plan.spec.name, plan.console, "the host ended while booting", said)
        if waited > seconds or (waited > _PATIENCE and _sshd_failed(inside)):
            what = f"the host has no answering sshd after {waited:.0f} s"
            said = _journal(inside) or plan.console.read_text(errors="replace")
            raise failure(plan.spec.name, plan.console, what, said)


def failure(name: str, console: Path, what: str, said: str) -> LabError:
    """Return what to say of a host that does not boot: `what` happened, and what it said last."""
    lines = "".join(f"\n    {line}" for line in said.strip().splitlines()[-25:])
    return LabError(
        f"{what}; the last it said:{lines or ' nothing'}",
        host=name,
        hint=f"its console is kept in {console}; start it again: remedy lab reset {name}",
    )


def _sshd_failed(inside: Inside) -> bool:
    try:
        return inside.run(["systemctl", "is-failed", "--quiet", "ssh"], ok=None, timeout=5).code == 0
    except LabError:
        return False


def _journal(inside: Inside) -> str:
    """Return what a running host's sshd has to say for itself."""
    try:
        return inside.run(["journalctl", "--quiet", "-u", "ssh", "-o", "cat", "-n", "25"], timeout=5).stdout
    except LabError:
        return ""


def greets(address: str, port: int = 22, seconds: float = 2) -> bool:
    """Tell whether an sshd answers within a time."""
    try:
        with socket.create_connection((address, port), timeout=1) as link:
            link.settimeout(seconds)
            return link.recv(8).startswith(b"SSH-2.0")
    except OSError:
        return False


def _script(plan: Plan) -> str:
    lines = ["# Becomes the lab host; runs in mount and network namespaces of its own."]
    lines += [f"echo $$ > {path}" for path in plan.cgroup.joins()]
    return "\n".join([*lines, *_link(plan), *_root(plan), *_disks(plan), *_machine(plan), ""])


def _link(plan: Plan) -> list[str]:
    network, index = plan.network, plan.index
    outside = ["nsenter", f"--net=/proc/{os.getpid()}/ns/net", "ip", "link", "add", network.port(index)]
    outside += ["master", network.bridge, "up", "type", "veth", "peer", "name", "eth0"]
    return [
        f"{shlex.join(outside)} address {network.mac(index)} netns $$",
        "ip link set lo up",
        f"ip address add {plan.address}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {network.gateway}",
    ]


def _root(plan: Plan) -> list[str]:
    lines = []
    options = "volatile"  # no sync: what is in here is thrown away
    if plan.spec.root_size is not None:
        disk = Disk(plan.spec.root_size, inodes=plan.spec.root_inodes)
        lines = [_mount(_image(plan, "root", disk), plan.folder / "changes")]
        options = "xino=off"
    lower = ":".join(str(path) for path in (plan.folder / "seed", *reversed(plan.trees)))
    changes = f"upperdir={plan.folder}/changes/upper,workdir={plan.folder}/changes/work"
    return [
        *lines,
        f"mkdir {plan.folder}/changes/upper {plan.folder}/changes/work",
        f"mount -t overlay overlay -o lowerdir={lower},{changes},{options} {plan.folder}/root",
    ]


def _disks(plan: Plan) -> list[str]:
    lines = []
    every = {mount: Disk(size) for mount, size in plan.role.disks.items()} | dict(plan.spec.disks)
    for number, (mount, disk) in enumerate(sorted(every.items())):
        target, stage = f"{plan.folder}/root{mount}", f"{plan.folder}/disks/{number}"
        lines += [
            f"mkdir -p {target} {stage}",
            _mount(_image(plan, f"disk{number}", disk), Path(stage)),
            # A disk too small for what the role has there is what was asked for.
            f"cp -a {target}/. {stage}/ || :",
            f"mount --move {stage} {target}",
        ]
    return lines


def _machine(plan: Plan) -> list[str]:
    name = plan.spec.name
    command = ["systemd-nspawn", "--quiet", "--boot", "--keep-unit", "--register=no", "--console=pipe"]
    command += [
        f"--directory={plan.folder}/root",
        f"--machine={name}",
        f"--hostname={name}",
        *plan.role.nspawn,
    ]
    return [
        "while :; do",
        "  code=0",
        f"  {shlex.join(command)} --network-namespace-path=/proc/$$/ns/net || code=$?",
        f'  [ "$code" = {_REBOOT} ] || exit "$code"',
        "done",
    ]


def _mount(image: Path, target: Path) -> str:
    return f"mount -o loop {image} {target}"


def _image(plan: Plan, name: str, disk: Disk) -> Path:
    """Make the image of a disk; it takes no more room than what is written to it."""
    image = plan.folder / "disks" / f"{name}.img"
    with image.open("wb") as file:
        file.truncate(parse_size(disk.size))
    if disk.fs == "xfs":
        run(["mkfs.xfs", "-q", str(image)])
        return image
    inodes = ["-N", str(disk.inodes)] if disk.inodes is not None else []
    # Small images would get 1 KiB blocks, which no server has.
    run(["mkfs.ext4", "-q", "-b", "4096", "-m", str(disk.reserved), *inodes, str(image)])
    return image
