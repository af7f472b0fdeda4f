"""The provider `vagrant`: which machine plays which host of a drill, and how each is as new between drills."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from remedy.drill.providers.base import Need, Stage
from remedy.drill.providers.vagrant import disks, logins, wishes
from remedy.drill.providers.vagrant.program import Program
from remedy.drill.providers.vagrant.sets import Set
from remedy.errors import InputError
from remedy.lab import LabError
from remedy.lab.tools import Say, quiet, run
from remedy.project import Project

_UP = 1800.0  # a first start fetches a box and installs packages
_DOWN = 180.0
_SNAPSHOT = 300.0
_DISK = 120.0
_BOOT = 300.0
_CLEAN = "remedy-clean"
_DOCKER = "docker"


class Vagrant:
    """Machines of the project's Vagrantfile (or remedy's own), in a set that only this `remedy drill` has.

    Virtual machines go back to a snapshot between drills; containers, which have none, get a new root.
    VAGRANT_DEFAULT_PROVIDER chooses between VirtualBox, libvirt and Docker, as always with Vagrant.
    """

    name = "vagrant"
    renews = True

    def __init__(self, vagrantfile: Path, say: Say = quiet) -> None:
        self._vagrantfile = vagrantfile
        self._say = say
        self._open = ExitStack()
        self._folder = Path()
        self._set: Set | None = None
        self._machines: dict[str, str] = {}
        """Name of each machine → virtualbox, libvirt or docker."""
        self._playing: dict[str, str] = {}
        """The drill's name of a host → its machine."""
        self._logins: dict[str, logins.Login] = {}
        """The machines that are up."""
        self._sizes: dict[str, str] = {}
        """Root sizes that containers were made with; without one it is the Vagrantfile's."""
        self._used: set[str] = set()

    def open(self, folder: Path) -> None:
        """Take a set of machines, and destroy what a killed drill left of it."""
        self._folder = folder
        self._take(Set.free(self._open))
        self._machines = self._program.machines()
        if _DOCKER in self._machines.values():
            _load_images(self._say)

    def remember(self) -> dict[str, Any]:
        """Return the number of the set, and where the Vagrantfile is."""
        return {"set": self._taken.number, "vagrantfile": str(self._vagrantfile)}

    def acquire(self, needs: Sequence[Need]) -> Stage:
        """Bring the machines up as new, with the disks that the drill asks for."""
        self._playing = wishes.cast(needs, list(self._machines))
        wanted = {self._playing[need.name]: wishes.read(need) for need in needs}
        self._renew(wanted)
        self._up(wanted)
        self._used.update(wanted)
        known_hosts = self._folder / "known_hosts"
        known_hosts.mkdir(parents=True, exist_ok=True)

        def prepare(machine: str) -> None:
            login, known = self._logins[machine], known_hosts / machine
            known.unlink(missing_ok=True)
            if login.proxy is None:
                # Vagrant waits when it starts a machine, not after a snapshot or our restart of a container.
                logins.wait(login, seconds=_BOOT)
            text = disks.script(wanted[machine].disks)
            logins.ssh(login, known, ["sudo", "-n", "sh", "-s"], text, seconds=_DISK)

        with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
            for done in [pool.submit(prepare, machine) for machine in wanted]:
                done.result()
        inventory = self._folder / "vagrant.yml"
        groups: dict[str, list[str]] = {}
        for need in needs:
            groups.setdefault(need.role, []).append(self._playing[need.name])
        text = logins.inventory([self._logins[machine] for machine in wanted], known_hosts, groups)
        inventory.write_text(text, encoding="utf-8")
        facts = {name: self._facts(self._logins[machine]) for name, machine in self._playing.items()}
        return Stage(inventory=inventory, hosts=dict(self._playing), facts=facts)

    def reset(self, names: Sequence[str]) -> None:
        """Throw away what happened to these hosts: back to the snapshot, or a container's root made anew."""
        self._renew([self._playing[name] for name in names])

    def close(self) -> None:
        """Destroy every machine of the set, and give the set back."""
        with self._open:
            if self._set is not None:
                self._destroy(self._left())
                self._set.clear()
                self._set = None

    @classmethod
    def resume(cls, remembered: Mapping[str, Any]) -> Vagrant | None:
        """Return a provider whose `close` destroys what a killed process left; None where nothing is left."""
        provider = cls(Path(remembered["vagrantfile"]))
        found = Set.again(provider._open, remembered["set"])
        if found is None:
            return None
        provider._set = found
        if provider._left():
            return provider
        provider.close()
        return None

    # Steps

    @property
    def _taken(self) -> Set:
        if self._set is None:
            raise LabError("the provider of Vagrant's machines is not open")
        return self._set

    @property
    def _program(self) -> Program:
        return Program(self._vagrantfile.parent, self._taken.data, self._taken.environment)

    def _take(self, found: Set) -> None:
        self._set = found
        if left := self._left():
            self._say(f"destroying what a killed drill left: {', '.join(left)}")
            self._destroy(left)
        found.clear()

    def _left(self) -> list[str]:
        """Return the machines of the set that exist, once nobody makes any more of them."""
        self._program.settle(seconds=_DOWN)
        return self._program.existing()

    def _up(self, wanted: Mapping[str, wishes.Wish]) -> None:
        """Start the machines that are not there yet, or have a root of another size."""
        sizes = {
            machine: wish.root_size
            for machine, wish in wanted.items()
            if wish.root_size is not None and self._machines[machine] == _DOCKER
        }
        self._destroy(
            [name for name in wanted if name in self._logins and self._sizes.get(name) != sizes.get(name)]
        )
        new = [machine for machine in wanted if machine not in self._logins]
        if not new:
            return
        # What an earlier `vagrant up` that failed has left is not as new.
        self._destroy([machine for machine in self._program.existing() if machine in new])
        self._say(f"vagrant up {' '.join(new)}")
        told = {f"REMEDY_ROOT_SIZE_{machine.upper()}": size for machine, size in sizes.items()}
        self._program.run("up", *new, seconds=_UP, environment=told)
        for machine in new:
            if self._machines[machine] != _DOCKER:
                self._program.run("snapshot", "save", machine, _CLEAN, seconds=_SNAPSHOT)
        self._logins |= logins.parse(self._program.run("ssh-config", *new, seconds=60))
        self._sizes |= sizes

    def _renew(self, machines: Iterable[str]) -> None:
        used = [machine for machine in machines if machine in self._used]
        containers = [machine for machine in used if self._machines[machine] == _DOCKER]
        for machine in used:
            if machine not in containers:
                words = ("snapshot", "restore", "--no-provision", machine, _CLEAN)
                self._program.run(*words, seconds=_SNAPSHOT)
        if containers:
            # Its root is made at each start, and nothing in it is worth a farewell.
            ids = [self._program.id(machine, _DOCKER) for machine in containers]
            run(["docker", "restart", "--time", "0", *ids], timeout=_DOWN)
        self._used.difference_update(used)

    def _destroy(self, machines: Sequence[str]) -> None:
        if machines:
            self._program.run("destroy", "--force", *machines, seconds=_DOWN)
        for machine in machines:
            self._logins.pop(machine, None)
            self._sizes.pop(machine, None)
            self._used.discard(machine)

    def _facts(self, login: logins.Login) -> dict[str, Any]:
        engine = self._machines[login.name]
        return {"machine": login.name, "engine": engine, "address": f"{login.address}:{login.port}"}


def find_vagrantfile(project: Project) -> Path:
    """Return the project's Vagrantfile, else remedy's own."""
    candidates = [folder / "Vagrantfile" for folder in (project.root, project.library)]
    for path in candidates:
        if path.is_file():
            return path
    looked = ", ".join(str(path.parent) for path in candidates)
    raise InputError("no Vagrantfile", hint=f"copy remedy's into the project; looked in {looked}")


def _load_images(say: Say) -> None:
    """Bring the Docker hosts' images up to date where that can be done: they are made of root trees, by root."""
    if os.geteuid() == 0 and shutil.which("mmdebstrap") is not None:
        from remedy.lab.image import load_images
        from remedy.lab.vagrant import images

        load_images(images(), say)
