"""Guests on one Linux machine: started, grown, cut off, reset and removed as a whole."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from remedy.errors import InputError
from remedy.lab.cgroups import Cgroup
from remedy.lab.door import Doors
from remedy.lab.errors import LabError
from remedy.lab.lab import GUESTS, Lab
from remedy.lab.login import openssh, write_known_hosts
from remedy.lab.qemu import boot
from remedy.lab.qemu.guest import Guest, address, load_guest, names
from remedy.lab.qemu.image import NEEDED, Image, ImageCache, check_machine, copy_image
from remedy.lab.qemu.qmp import execute
from remedy.lab.qemu.shell import Shell
from remedy.lab.qemu.spec import ROOT, GuestSpec, check_serial
from remedy.lab.seed import write_hosts, write_seed
from remedy.lab.spec import parse_size
from remedy.lab.tools import Say, each, quiet, require, require_root

_BOOT_SECONDS = 800.0  # it takes 25 s, and a large multiple of it on a machine that is busy with other things
_FIRST, _LAST = 1, 250
_PAUSE = 0.05


class Guests(Doors):
    """The guests of a lab: machines of their own, with a kernel, disks and a clock that no other host shares.

    They share the lab's root trees, accounts and keys, and end with it (`Lab.down`). Everything that happens to a
    guest's disks stays until `reset` or `remove`, also when its power is cut.
    """

    def __init__(self, lab: Lab, say: Say = quiet) -> None:
        self.lab = lab
        self.folder = lab.folder / GUESTS
        self._say = say
        self._images = ImageCache(lab.root / "images", lab.layers, say)

    # All or some of them

    def up(self, specs: Iterable[GuestSpec]) -> list[Guest]:
        """Switch guests on, unless they run as specified; one whose specification changed is made anew.

        A guest that is off, and specified as before, boots from the disks that it had.
        """
        wanted = list(specs)
        for number, spec in enumerate(wanted):
            if any(spec.name == other.name for other in wanted[:number]):
                raise InputError(f"the guest {spec.name} is specified twice", hint="give each its own name")
        check_machine()
        require(self._say, NEEDED)
        images = {spec.name: self._images.image(spec.role, spec.root_size) for spec in wanted}
        with self.lab.hold():
            hosts = self.lab.names()
            have = {guest.name: guest for guest in self.guests()}
            taken = {guest.index for guest in have.values()}
            off: list[Guest] = []
            for spec in wanted:
                if spec.name in hosts:
                    raise InputError(
                        f"{spec.name} is a booted host of this lab", hint=f"remedy lab down {spec.name}"
                    )
                old = have.get(spec.name)
                same = (
                    old is not None and old.declared == spec and old.image == images[spec.name].disk.parent
                )
                if old is not None and same:
                    off += [] if self.running(spec.name) else [old]
                    continue
                if old is not None:
                    self._end(old)
                index = old.index if old is not None else self._free(taken)
                taken.add(index)
                off.append(self._define(spec, index, images[spec.name]))
            self._write_known_hosts()
            each(self._start, off)
            self.wait(*(spec.name for spec in wanted))
            return [self.guest(spec.name) for spec in wanted]

    def reset(self, *chosen: str) -> None:
        """Throw away everything that happened to these guests (all by default) and boot them as declared."""
        check_machine()
        require(self._say, NEEDED)
        guests = [self.guest(name) for name in chosen] or self.guests()
        images = {
            guest.name: self._images.image(guest.declared.role, guest.declared.root_size) for guest in guests
        }
        with self.lab.hold():
            each(self._end, guests)
            fresh = [self._define(old.declared, old.index, images[old.name]) for old in guests]
            self._write_known_hosts()
            each(self._start, fresh)
            self.wait(*(guest.name for guest in fresh))

    def wait(self, *chosen: str, seconds: float = _BOOT_SECONDS) -> None:
        """Wait until these guests (all by default) run and their sshd greets, as after a reboot."""
        stop = threading.Event()
        guests = [self.guest(name) for name in chosen] or self.guests()
        each(lambda guest: boot.wait(guest, self._cgroup(guest.name), seconds, stop), guests, stop)

    def remove(self, *chosen: str) -> None:
        """End these guests and forget them: no process, file or socket of theirs stays."""
        require_root()
        with self.lab.hold():
            each(self._end, [self.guest(name) for name in chosen])
            self._write_known_hosts()
            if not self.guests():
                shutil.rmtree(self.folder, ignore_errors=True)

    def down(self) -> None:
        """End every guest and every host of the lab, and leave nothing behind but images, root trees and keys."""
        self.lab.down()
        self._images.clean()

    # One of them

    def names(self) -> list[str]:
        """Return the names of all guests of this lab."""
        return names(self.folder)

    def guests(self) -> list[Guest]:
        """Return all guests of this lab by address, running or not."""
        return sorted(
            (self.guest(name) for name in self.names()),
            key=lambda guest: guest.index,
        )

    def guest(self, name: str) -> Guest:
        """Return one guest."""
        return load_guest(self.folder, name, self.lab.number)

    def running(self, name: str) -> bool:
        """Tell whether a guest is switched on."""
        return bool(self._cgroup(name).members())

    def process(self, name: str) -> int | None:
        """Return the id of the process that is the guest, None where it is off."""
        return min(self._cgroup(name).members(), default=None)

    def cut(self, name: str) -> None:
        """Cut the power: what the guest had not written to its disks is lost."""
        self._cgroup(self.guest(name).name).kill()

    def boot(self, name: str, clock: datetime | None = None) -> None:
        """Switch a guest on that is off, from the disks that it has, its clock at `clock` or now; wait for it."""
        guest = self.guest(name)
        with self.lab.hold():
            if self.running(name):
                raise LabError("the guest is switched on already", host=name)
            self._start(guest, clock)
            self.wait(name)

    def reboot(self, name: str, seconds: float = _BOOT_SECONDS) -> None:
        """Let a guest restart itself, in order, and wait for it."""
        before = self.get(name, "/proc/sys/kernel/random/boot_id")
        self.run(name, ["systemctl", "reboot"], ok=None)
        deadline = time.monotonic() + seconds
        while True:
            self.wait(name, seconds=max(1.0, deadline - time.monotonic()))
            try:
                if self.get(name, "/proc/sys/kernel/random/boot_id") != before:
                    return
            except LabError:
                pass  # it was just going down
            if time.monotonic() > deadline:
                raise LabError(f"the guest has not restarted after {seconds:g} s", host=name)
            time.sleep(_PAUSE)

    # Disks

    def add_disk(self, name: str, serial: str, size: str) -> None:
        """Plug an empty disk into a running guest: /dev/disk/by-id/virtio-SERIAL."""
        check_serial(serial)
        with self.lab.hold():
            guest = self.guest(name)
            if serial in guest.spec.disks:
                raise LabError(f"the guest has a disk {serial!r} already", host=name)
            self._must_run(name)
            guest = guest.with_disk(serial, size)
            boot.make_disk(guest.disk(serial), size)
            execute(guest.folder, name, "blockdev-add", **boot.backend(guest, serial))
            execute(guest.folder, name, "device_add", **boot.device(serial))
            guest.save()

    def grow(self, name: str, serial: str, size: str) -> None:
        """Make a disk larger, seen at once by a running guest; `root` is the disk that it booted from."""
        with self.lab.hold():
            guest = self.guest(name)
            file = guest.disk(serial)
            now, wanted = file.stat().st_size, parse_size(size)
            if wanted < now:
                raise LabError(f"the disk {serial} has {now} bytes, and {size} would shrink it", host=name)
            if self.running(name):
                execute(guest.folder, name, "block_resize", **{"node-name": boot.node(serial), "size": wanted})
            else:
                with file.open("r+b") as image:
                    image.truncate(wanted)
            guest.with_disk(serial, size).save()

    # Clock

    def clock(self, name: str) -> datetime:
        """Return what time a guest has."""
        return datetime.fromtimestamp(float(self.run(name, ["date", "+%s.%N"]).stdout), UTC)

    def set_clock(self, name: str, when: datetime) -> None:
        """Set a running guest's clock, and what it keeps the time with; no other host's clock changes."""
        if when.tzinfo is None:
            raise InputError(f"the time {when} names no time zone")
        script = 'date -s "@$1" > /dev/null && { ! command -v hwclock > /dev/null || hwclock -w -u; }'
        self.run(name, ["sh", "-c", script, "clock", f"{when.timestamp():.3f}"])

    # Inside

    def inside(self, name: str) -> Shell:
        """Return the door into a guest: ssh, the only one there is."""
        return Shell(name, partial(self.ssh, name))

    @property
    def known_hosts(self) -> Path:
        """The file with the guests' keys."""
        return self.folder / "known_hosts"

    def ssh(self, name: str, *command: str, user: str = "root") -> list[str]:
        """Return the command line of OpenSSH that logs in to a guest."""
        guest = self.guest(name)
        return openssh(self.lab.identity.key, self.known_hosts, guest.address, guest.port, user, command)

    # Steps

    def _cgroup(self, name: str) -> Cgroup:
        # No host can have this name: a point is not allowed there.
        return self.lab.cgroup(f"{name}.guest")

    def _free(self, taken: set[int]) -> int:
        for index in range(_FIRST, _LAST + 1):
            if index not in taken:
                return index
        raise LabError("the lab has no address left for a guest", hint="remedy lab down")

    def _must_run(self, name: str) -> None:
        if not self.running(name):
            raise LabError("the guest is switched off", host=name, hint="remedy lab up --provider qemu")

    def _define(self, spec: GuestSpec, index: int, image: Image) -> Guest:
        """Write the folder of a new guest, with its disks."""
        folder = self.folder / spec.name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "disks").mkdir(parents=True)
        seed = folder / "seed"
        key = write_seed(seed, image.trees, spec.host(), self.lab.identity)
        write_hosts(seed, spec.name, {})
        where = address(self.lab.number, index)
        guest = Guest(spec, spec, index, where, key, image.disk.parent, folder)
        (folder / "root").mkdir()
        copy_image(image, seed, guest.disk(ROOT), folder / "root")
        (folder / "root").rmdir()
        for serial, size in spec.disks.items():
            boot.make_disk(guest.disk(serial), size)
        guest.save()
        return guest

    def _start(self, guest: Guest, clock: datetime | None = None) -> None:
        boot.start(guest, Image.of(guest.image), self._cgroup(guest.name), clock)

    def _end(self, guest: Guest) -> None:
        """End a guest and remove what it kept."""
        self._cgroup(guest.name).end()
        shutil.rmtree(guest.folder)

    def _write_known_hosts(self) -> None:
        guests = self.guests()
        if guests:
            keys = [(f"[{guest.address}]:{guest.port}", guest.host_key) for guest in guests]
            write_known_hosts(self.known_hosts, keys)
