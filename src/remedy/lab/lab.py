"""Disposable hosts on one Linux machine: started, reset and removed as a whole."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from remedy.errors import InputError
from remedy.lab import boot, faults
from remedy.lab.cgroups import Cgroup
from remedy.lab.door import Doors
from remedy.lab.errors import LabError
from remedy.lab.host import Host, load_host, names
from remedy.lab.identity import Identity, load_identity
from remedy.lab.inside import Inside
from remedy.lab.layers import LayerCache
from remedy.lab.lock import locked
from remedy.lab.login import openssh, write_known_hosts
from remedy.lab.network import FIRST, LAST, Network, raise_inotify, restore_inotify
from remedy.lab.roles import ROLES
from remedy.lab.seed import write_hosts, write_seed
from remedy.lab.spec import HostSpec, default_file, read_specs
from remedy.lab.tools import Say, each, quiet, require, require_root

_BOOT_SECONDS = 60.0

GUESTS = "guests"
"""The folder, in that of a lab, with the guests that remedy.lab.qemu keeps."""
GUEST = "guest.json"
"""What is remembered of a guest, in its folder there; one without it is no guest."""


def default_root() -> Path:
    """Return the folder of all labs: REMEDY_LAB_DIR, else /var/lib/remedy-lab."""
    root = Path(os.environ.get("REMEDY_LAB_DIR") or "/var/lib/remedy-lab").absolute()
    # These separate the parts of an overlay mount, and the shell's words.
    if set(str(root)) & set(":,\\'\"$ \t\n"):
        raise LabError(
            f"the lab's folder {root} has a character that mount(8) cannot take", hint="rename the folder"
        )
    return root


class Lab(Doors):
    """A set of hosts with its own network; labs with different numbers do not see each other.

    The number chooses bridge (remedyN), addresses (10.99.N.0/24) and cgroup; labs share root trees.
    """

    def __init__(self, number: int = 0, root: Path | None = None, say: Say = quiet) -> None:
        if not 0 <= number <= 255:
            raise LabError(f"a lab's number is 0 to 255, not {number}")
        self.number = number
        self.root = root if root is not None else default_root()
        self.folder = self.root / "labs" / str(number)
        self.network = Network(number)
        self._say = say
        self._cgroup = Cgroup(f"remedy-lab-{number}")
        self.layers = LayerCache(self.root / "layers", say)
        """The root trees of all labs."""

    @classmethod
    @contextmanager
    def for_tests(cls, say: Say = quiet) -> Iterator[Lab]:
        """Give a lab that no other session uses, clean at the start and gone at the end."""
        root = default_root()
        for number in range(1, 256):
            with ExitStack() as stack:
                try:
                    stack.enter_context(locked(root / "labs" / str(number) / "session", seconds=0))
                except LabError:  # another session has it
                    continue
                lab = cls(number, root, say)
                lab.down()  # what a killed session left
                stack.callback(lab.down)
                yield lab
                return
        raise LabError("all 255 test labs are in use", hint="end other test sessions")

    # Whole labs

    def up(self, specs: Iterable[HostSpec] | None = None) -> list[Host]:
        """Start hosts (by default those of the shipped lab.yml) unless they already run as specified."""
        wanted = list(specs) if specs is not None else list(read_specs(default_file()))
        for number, spec in enumerate(wanted):
            if any(spec.name == other.name for other in wanted[:number]):
                raise InputError(
                    f"the host {spec.name} is specified twice", hint="give each host its own name"
                )
        xfs = any(disk.fs == "xfs" for spec in wanted for disk in spec.disks.values())
        require(self._say, {"mkfs.xfs": "xfsprogs"} if xfs else None)
        for role in dict.fromkeys(spec.role for spec in wanted):
            self.layers.trees(ROLES[role])
        with self.hold():
            for spec in wanted:
                if (self.folder / GUESTS / spec.name / GUEST).exists():
                    raise InputError(
                        f"{spec.name} is a guest of this lab", hint=f"remedy lab down {spec.name}"
                    )
            self._prepare()
            have = {host.name: host for host in self.hosts()}
            taken = {host.index for host in have.values()}
            fresh: list[Host] = []
            for spec in wanted:
                old = have.get(spec.name)
                same = old is not None and old.spec == spec and old.layers == ROLES[spec.role].folders()
                if old is not None:
                    if same and self.running(spec.name):
                        continue
                    self._stop(old)
                index = old.index if old else self._free(taken)
                taken.add(index)
                fresh.append(old if old is not None and same else self._define(spec, index))
            self._write_known_hosts()
            self._start(fresh)
            self.wait(*(spec.name for spec in wanted))
            return [self.host(spec.name) for spec in wanted]

    def reset(self, *names: str) -> None:
        """Throw away everything that happened to these hosts (all by default) and start them again."""
        require(self._say)
        with self.hold():
            hosts = [self.host(name) for name in names] or self.hosts()
            each(self._stop, hosts)
            self._prepare()
            self._start(hosts)
            self.wait(*(host.name for host in hosts))

    def wait(self, *names: str, seconds: float = _BOOT_SECONDS) -> None:
        """Wait until these hosts (all by default) run and their sshd greets, as after a reboot."""
        stop = threading.Event()
        hosts = [self.host(name) for name in names] or self.hosts()
        each(lambda host: boot.wait(self._plan(host), seconds, stop), hosts, stop)

    def remove(self, *names: str) -> None:
        """End these hosts and forget them."""
        require_root()
        with self.hold():
            hosts = [self.host(name) for name in names]
            each(self._stop, hosts)
            for host in hosts:
                shutil.rmtree(host.folder)
            self._write_known_hosts()

    def down(self) -> None:
        """End every host and guest and leave nothing behind but root trees and keys; also after a killed `up`."""
        require_root()
        with self.hold():
            self.network.check(str(self.folder))
            # By membership, not by folder: so a host whose `up` was killed half-way ends too.
            self._cgroup.end()
            for index in range(FIRST, LAST + 1):
                if Path(f"/sys/class/net/{self.network.port(index)}").exists():
                    self.network.unlink(index)
            self.network.remove()
            for kept in ("hosts", GUESTS):
                shutil.rmtree(self.folder / kept, ignore_errors=True)
            self.known_hosts.unlink(missing_ok=True)
            self.layers.clean()
            with locked(self.root / "lock"):
                if not any(Path("/sys/class/net").glob("remedy[0-9]*")):
                    restore_inotify(self.root / "inotify.json")

    def hold(self) -> AbstractContextManager[None]:
        """Keep other lab commands from changing this lab meanwhile."""
        return locked(self.folder / "lock", self._say)

    # One host

    def names(self) -> list[str]:
        """Return the names of all hosts of this lab."""
        return names(self.folder / "hosts")

    def hosts(self) -> list[Host]:
        """Return all hosts of this lab by address, running or not."""
        found = [self.host(name) for name in self.names()]
        return sorted(found, key=lambda host: host.index)

    def host(self, name: str) -> Host:
        """Return one host."""
        return load_host(self.folder / "hosts", name, self.network)

    def cgroup(self, name: str) -> Cgroup:
        """Return the cgroup of one host: all that it is made of ends with it."""
        return Cgroup(f"{self._cgroup.name}/{name}")

    def running(self, name: str) -> bool:
        """Tell whether a host runs."""
        return self.inside(name).first_process() is not None

    def inside(self, name: str) -> Inside:
        """Return the door into a host that needs no sshd."""
        return Inside(name, self.cgroup(name))

    # Faults

    def fill(self, name: str, path: str) -> None:
        """Fill the filesystem of `path` to the last byte, for root too."""
        self._refuse_machine(name, path)
        faults.fill(self.inside(name), path)

    def fill_inodes(self, name: str, path: str) -> None:
        """Use up the inodes of the filesystem of `path`."""
        self._refuse_machine(name, path)
        faults.fill_inodes(self.inside(name), path)

    def unfill(self, name: str, path: str) -> None:
        """Remove what `fill` and `fill_inodes` wrote."""
        faults.unfill(self.inside(name), path)

    def read_only(self, name: str, path: str = "/") -> None:
        """Make the filesystem mounted on `path` read-only."""
        faults.read_only(self.inside(name), path)

    def hang_mount(self, name: str, path: str) -> None:
        """Mount a filesystem on `path` that never answers: who touches it hangs, beyond SIGKILL."""
        faults.hang_mount(self.inside(name), path)

    def fs_error(self, name: str, path: str) -> None:
        """Let the ext4 filesystem of a disk find an error: it becomes read-only while files are open."""
        faults.fs_error(self.inside(name), path)

    def revive_mount(self, name: str, path: str) -> None:
        """End a mount that `hang_mount` made, and with it everybody's waiting."""
        faults.revive_mount(self.inside(name), path)

    # Logging in

    @property
    def identity(self) -> Identity:
        """The client key and the passwords of this lab."""
        require_root()
        return load_identity(self.folder)

    @property
    def known_hosts(self) -> Path:
        """The file with the hosts' keys."""
        return self.folder / "known_hosts"

    def password(self, user: str) -> str:
        """Return the password of an account, the same on all hosts of this lab."""
        return self.identity.passwords[user]

    def ssh(self, name: str, *command: str, user: str = "root") -> list[str]:
        """Return the command line of OpenSSH that logs in to a host."""
        return openssh(self.identity.key, self.known_hosts, self.host(name).address, 22, user, command)

    # Steps

    def _refuse_machine(self, name: str, path: str) -> None:
        """Refuse to fill a root whose changes lie on the disk of the machine itself."""
        mounted = self.run(name, ["findmnt", "-n", "-o", "TARGET", "--target", path]).stdout.strip()
        if mounted == "/" and self.host(name).spec.root_size is None:
            raise LabError(
                f"{path} lies on the root of the host, and that would fill this machine's own disk",
                host=name,
                hint='give the host a root of its own: HostSpec(..., root_size="64M")',
            )

    def _prepare(self) -> None:
        with locked(self.root / "lock"):
            raise_inotify(self.root / "inotify.json")
            self.network.create(str(self.folder))

    def _free(self, taken: set[int]) -> int:
        for index in range(FIRST, LAST + 1):
            if index not in taken:
                return index
        raise LabError(
            f"the lab has no address left: {LAST - FIRST + 1} hosts are the most", hint="remedy lab down"
        )

    def _define(self, spec: HostSpec, index: int) -> Host:
        """Write the folder of a new host."""
        folder = self.folder / "hosts" / spec.name
        shutil.rmtree(folder, ignore_errors=True)
        role = ROLES[spec.role]
        key = write_seed(folder / "seed", self.layers.trees(role), spec, self.identity)
        host = Host(spec, index, self.network.address(index), key, role.folders(), folder)
        host.save()
        return host

    def _plan(self, host: Host) -> boot.Plan:
        role = ROLES[host.spec.role]
        trees = self.layers.trees(role)
        cgroup = self.cgroup(host.name)
        return boot.Plan(host.spec, role, trees, host.folder, self.network, host.index, cgroup)

    def _start(self, hosts: Sequence[Host]) -> None:
        addresses = {host.name: host.address for host in self.hosts()}

        def start(host: Host) -> None:
            write_hosts(host.folder / "seed", host.name, addresses)
            boot.start(self._plan(host))

        each(start, hosts)

    def _stop(self, host: Host) -> None:
        self.cgroup(host.name).end()
        self.network.unlink(host.index)
        for name in ("root", "disks", "changes"):
            shutil.rmtree(host.folder / name, ignore_errors=True)

    def _write_known_hosts(self) -> None:
        keys = [(f"{host.address},{host.name}", host.host_key) for host in self.hosts()]
        write_known_hosts(self.known_hosts, keys)
