"""Disposable hosts on one Linux machine: started, reset and removed as a whole."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from remedy.lab import boot, faults
from remedy.lab.cgroups import Cgroup
from remedy.lab.errors import LabError
from remedy.lab.identity import Identity, load_identity
from remedy.lab.inside import Inside, Output
from remedy.lab.layers import LayerCache
from remedy.lab.lock import locked
from remedy.lab.network import FIRST, LAST, Network, raise_inotify, restore_inotify
from remedy.lab.roles import ROLES
from remedy.lab.seed import write_hosts, write_seed
from remedy.lab.spec import Disk, HostSpec, default_file, read_specs
from remedy.lab.tools import Say, quiet, require

_BOOT_SECONDS = 60.0


def default_root() -> Path:
    """Return the folder of all labs: REMEDY_LAB_DIR, else /var/lib/remedy-lab."""
    root = Path(os.environ.get("REMEDY_LAB_DIR") or "/var/lib/remedy-lab").absolute()
    # These separate the parts of an overlay mount, and the shell's words.
    if set(str(root)) & set(":,\\'\"$ \t\n"):
        raise LabError(
            f"the lab's folder {root} has a character that mount(8) cannot take", hint="rename the folder"
        )
    return root


@dataclass(frozen=True, slots=True)
class Host:
    """One host of a lab, running or not."""

    spec: HostSpec
    index: int
    address: str
    host_key: str
    folder: Path

    @property
    def name(self) -> str:
        """Its name in the lab and its inventory."""
        return self.spec.name


class Lab:
    """A set of hosts with its own network; labs with different numbers do not see each other.

    The number chooses the bridge (remedyN), the addresses (10.99.N.0/24) and the cgroup; root trees are shared.
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
        """Start the given hosts (those of the shipped lab.yml by default) unless they already run as specified."""
        wanted = list(specs) if specs is not None else list(read_specs(default_file()))
        require(self._say)
        cache = LayerCache(self.root / "layers", self._say)
        for role in dict.fromkeys(spec.role for spec in wanted):
            cache.trees(ROLES[role])
        with self._locked():
            self._prepare()
            have = {host.name: host for host in self.hosts()}
            names = {spec.name for spec in wanted}
            taken = {host.index for host in have.values() if host.name not in names}
            fresh: list[Host] = []
            for spec in wanted:
                old = have.get(spec.name)
                if old is not None:
                    taken.add(old.index)
                    if old.spec == spec and self.running(spec.name):
                        continue
                    self._stop(old)
                fresh.append(self._define(spec, old.index if old else self._free(taken), cache))
                taken.add(fresh[-1].index)
            self._write_known_hosts()
            self._start(fresh)
            return [self.host(spec.name) for spec in wanted]

    def reset(self, *names: str) -> None:
        """Throw away everything that happened to these hosts (all by default) and start them again."""
        require(self._say)
        with self._locked():
            hosts = [self.host(name) for name in names] or self.hosts()
            with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
                list(pool.map(self._stop, hosts))
            self._prepare()
            self._start(hosts)

    def remove(self, *names: str) -> None:
        """End these hosts and forget them."""
        with self._locked():
            hosts = [self.host(name) for name in names]
            with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
                list(pool.map(self._stop, hosts))
            for host in hosts:
                shutil.rmtree(host.folder)
            self._write_known_hosts()

    def down(self) -> None:
        """End every host of this lab and leave nothing behind but root trees and keys; also after a killed `up`."""
        if not self.folder.exists():
            return
        with self._locked():
            # Members of the cgroup are all there is: a host whose folder was never finished is found here too.
            self._cgroup.kill()
            for index in range(FIRST, LAST + 1):
                if Path(f"/sys/class/net/{self.network.port(index)}").exists():
                    self.network.unlink(index)
            self._cgroup.remove()
            self.network.remove()
            shutil.rmtree(self.folder / "hosts", ignore_errors=True)
            (self.folder / "known_hosts").unlink(missing_ok=True)
            with locked(self.root / "lock"):
                if not any(Path("/sys/class/net").glob("remedy[0-9]*")):
                    restore_inotify(self.root / "inotify.json")

    # One host

    def hosts(self) -> list[Host]:
        """Return all hosts of this lab by address, running or not."""
        found = [self.host(path.parent.name) for path in (self.folder / "hosts").glob("*/host.json")]
        return sorted(found, key=lambda host: host.index)

    def host(self, name: str) -> Host:
        """Return one host."""
        folder = self.folder / "hosts" / name
        try:
            kept = json.loads((folder / "host.json").read_text())
        except OSError as error:
            known = sorted(path.parent.name for path in (self.folder / "hosts").glob("*/host.json"))
            hint = (
                f"running or stopped here: {', '.join(known)}"
                if known
                else "start the lab first: remedy lab up"
            )
            raise LabError(f"the lab has no host {name!r}", hint=hint) from error
        spec = kept["spec"]
        disks = {mount: Disk(**disk) for mount, disk in spec.pop("disks").items()}
        return Host(
            HostSpec(**spec, disks=disks),
            kept["index"],
            self.network.address(kept["index"]),
            kept["host_key"],
            folder,
        )

    def running(self, name: str) -> bool:
        """Tell whether a host runs."""
        return self.inside(name).first_process() is not None

    def inside(self, name: str) -> Inside:
        """Return the door into a host that needs no sshd."""
        return Inside(name, self._host_cgroup(name))

    def run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        user: str = "root",
        ok: Sequence[int] | None = (0,),
        timeout: float = 60,
    ) -> Output:
        """Run a program in a host, without ssh; an exit code not in `ok` is a LabError, None allows all."""
        return self.inside(name).run(argv, stdin=stdin, user=user, ok=ok, timeout=timeout)

    def put(self, name: str, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file in a host."""
        self.inside(name).put(path, content, mode)

    def get(self, name: str, path: str) -> bytes:
        """Read a file of a host."""
        return self.inside(name).get(path)

    # Faults

    def fill(self, name: str, path: str) -> None:
        """Fill the filesystem of `path` to the last byte, for root too."""
        faults.fill(self.inside(name), path)

    def fill_inodes(self, name: str, path: str) -> None:
        """Use up the inodes of the filesystem of `path`."""
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

    def revive_mount(self, name: str, path: str) -> None:
        """End a mount that `hang_mount` made, and with it everybody's waiting."""
        faults.revive_mount(self.inside(name), path)

    # Logging in

    @property
    def identity(self) -> Identity:
        """The client key and the passwords of this lab."""
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
        options = [
            f"IdentityFile={self.identity.key}",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={self.known_hosts}",
        ]
        options += ["GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes"]
        flags = [part for option in options for part in ("-o", option)]
        return ["ssh", "-F", "/dev/null", *flags, f"{user}@{self.host(name).address}", *command]

    # Steps

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.folder / "lock", self._say)

    def _host_cgroup(self, name: str) -> Cgroup:
        return Cgroup(f"{self._cgroup.name}/{name}")

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

    def _define(self, spec: HostSpec, index: int, cache: LayerCache) -> Host:
        """Write the folder of a new host; `host.json` comes last, a folder without it is no host."""
        folder = self.folder / "hosts" / spec.name
        shutil.rmtree(folder, ignore_errors=True)
        key = write_seed(folder / "seed", cache.trees(ROLES[spec.role]), spec, self.identity)
        kept = {"index": index, "host_key": key, "spec": asdict(spec)}
        (folder / "host.json").write_text(json.dumps(kept, indent=1))
        return self.host(spec.name)

    def _plan(self, host: Host) -> boot.Plan:
        role = ROLES[host.spec.role]
        trees = LayerCache(self.root / "layers", self._say).trees(role)
        return boot.Plan(
            host.spec, role, trees, host.folder, self.network, host.index, self._host_cgroup(host.name)
        )

    def _start(self, hosts: Sequence[Host]) -> None:
        addresses = {host.name: host.address for host in self.hosts()}
        stop = threading.Event()

        def one(host: Host) -> None:
            write_hosts(host.folder / "seed", host.name, addresses)
            plan = self._plan(host)
            boot.start(plan)
            boot.wait(plan, _BOOT_SECONDS, stop)

        with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
            try:
                for done in [pool.submit(one, host) for host in hosts]:
                    done.result()
            except BaseException:
                stop.set()
                raise

    def _stop(self, host: Host) -> None:
        cgroup = self._host_cgroup(host.name)
        cgroup.kill()
        self.network.unlink(host.index)
        cgroup.remove()
        for name in ("root", "disks", "changes"):
            shutil.rmtree(host.folder / name, ignore_errors=True)

    def _write_known_hosts(self) -> None:
        lines = [
            f"{host.address},{host.name} {' '.join(host.host_key.split()[:2])}\n" for host in self.hosts()
        ]
        fresh = self.known_hosts.with_suffix(".new")
        fresh.write_text("".join(lines))
        fresh.rename(self.known_hosts)
