"""The disk that guests boot from: made once of the lab's root trees, then copied for each guest."""

from __future__ import annotations

import platform
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remedy.lab.errors import LabError
from remedy.lab.layers import LayerCache
from remedy.lab.lock import locked, unless_locked
from remedy.lab.roles import ROLES, Layer, Role
from remedy.lab.spec import parse_size
from remedy.lab.tools import APART, Say, quiet, run

NEEDED = {"qemu-system-x86_64": "qemu-system-x86", "sgdisk": "gdisk"}
"""Program → the Debian package that brings it, beside those that every lab needs."""

_BUILD_SECONDS = 600
_START = 1 << 20  # bytes before the root's partition
_END = 1 << 20  # bytes behind it, for the second table of GPT
_IMAGE, _KERNEL, _INITRD = "root.img", "vmlinuz", "initrd.img"

MACHINE = Layer(
    "machine",
    packages=(
        *("linux-image-cloud-amd64", "initramfs-tools", "udev", "kmod", "zstd"),
        *("lvm2", "xfsprogs", "btrfs-progs", "cloud-guest-utils", "gdisk", "fdisk", "parted"),
    ),
    files={
        "/etc/fstab": "/dev/vda1 / ext4 defaults 0 1\n",
        # Only what leads to the root: a second of boot for each megabyte that need not be unpacked.
        "/etc/initramfs-tools/conf.d/lab": "MODULES=list\nCOMPRESS=zstd\nRESUME=none\n",
        "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
        "/etc/systemd/system/lab-network.service": """[Unit]
Description=The address that QEMU gives
DefaultDependencies=no
Wants=network.target
After=systemd-udevd.service local-fs.target
Before=network.target shutdown.target
Conflicts=shutdown.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'modprobe virtio_net; \\
  until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ip link set lo up; \\
  ip address add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2'
TimeoutStartSec=60
[Install]
WantedBy=sysinit.target
""",
        # On a busy machine an emulated one takes its time, and must not give up on itself.
        "/etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStartSec=15min\n"
        "DefaultTimeoutStopSec=5min\nDefaultDeviceTimeoutSec=15min\n",
        # A greeting means that every account can log in: nobody is turned away because the guest still boots.
        "/etc/systemd/system/ssh.service.d/lab.conf": "[Unit]\nAfter=systemd-user-sessions.service\n",
    },
    script="""
systemctl enable -q lab-network
# Nothing of a test asks for these, and each costs an emulated machine a tenth of a second or more.
systemctl mask -q systemd-binfmt.service proc-sys-fs-binfmt_misc.automount dev-hugepages.mount \\
  sys-kernel-tracing.mount sys-kernel-debug.mount serial-getty@ttyS0.service systemd-update-utmp-runlevel.service
update-initramfs -u
rm -f /boot/*.old*
""",
)
"""What makes a tree a machine: a kernel, and the tools of its disks."""


@dataclass(frozen=True, slots=True)
class Image:
    """A disk with a root, and what boots it."""

    disk: Path
    kernel: Path
    initrd: Path
    trees: Sequence[Path]
    """What it was made of, the lowest first."""

    @classmethod
    def of(cls, folder: Path, trees: Sequence[Path] = ()) -> Image:
        """Return the image kept in a folder."""
        return cls(folder / _IMAGE, folder / _KERNEL, folder / _INITRD, trees)


def machine(role: str) -> Role:
    """Return a role's trees with those that make it a machine."""
    return replace(ROLES[role], layers=(*ROLES[role].layers, MACHINE))


@dataclass(frozen=True, slots=True)
class ImageCache:
    """Images under one folder; an image is there whole or not at all."""

    folder: Path
    layers: LayerCache
    say: Say = quiet

    def image(self, role: str, size: str) -> Image:
        """Return the image of a role whose disk has a size, building it the first time."""
        trees = self.layers.trees(machine(role))
        final = self.folder / f"{trees[-1].name}-{size}"
        if not final.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / "lock", self.say):
                self._remove_leftovers()
                if not final.is_dir():
                    self._build(trees, parse_size(size), final)
        return Image.of(final, trees)

    def clean(self) -> None:
        """Remove what a killed build left, unless another build is at work."""
        if self.folder.is_dir():
            unless_locked(self.folder / "lock", self._remove_leftovers)

    def _remove_leftovers(self) -> None:
        for leftover in self.folder.glob(".building-*"):
            shutil.rmtree(leftover)

    def _build(self, trees: Sequence[Path], size: int, final: Path) -> None:
        started = time.monotonic()
        self.say(f"building the image of a guest (once; it is kept in {self.folder})")
        work = self.folder / f".building-{final.name}"
        (work / "tree").mkdir(parents=True)
        image = work / _IMAGE
        with image.open("wb") as file:
            file.truncate(size)
        lower = ":".join(str(tree) for tree in reversed(trees))
        # The guest's kernel need not fill in what could be written here, in the background of every test.
        extended = f"offset={_START},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
        make = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-L", "root", "-E", extended]
        make += ["-d", str(work / "tree"), str(image), f"{(size - _START - _END) >> 10}K"]
        lines = [
            f"mount -t overlay overlay -o ro,lowerdir={lower} {work}/tree",
            f"cp -L {work}/tree/boot/vmlinuz-* {work}/{_KERNEL}",
            f"cp -L {work}/tree/boot/initrd.img-* {work}/{_INITRD}",
            f"sgdisk --clear --new=1:{_START >> 9}:{((size - _END) >> 9) - 1} --typecode=1:8300 {image} > /dev/null",
            shlex.join(make),
            f"sync --file-system {work}",
        ]
        try:
            run([*APART, "sh", "-eu", "-c", "\n".join(lines)], timeout=_BUILD_SECONDS)
        except LabError as error:
            raise LabError(f"the image of a guest cannot be built: {error.message}", hint=error.hint) from error
        (work / "tree").rmdir()
        work.rename(final)
        self.say(f"built the image in {time.monotonic() - started:.0f} s")


def copy_image(image: Image, seed: Path, disk: Path, place: Path) -> None:
    """Copy an image for one guest to `disk` and lay its `seed` over the root; `place` is an empty folder."""
    end = image.disk.stat().st_size - _END
    lines = [
        shlex.join(["cp", "--sparse=always", "--reflink=auto", str(image.disk), str(disk)]),
        f"mount -o loop,offset={_START},sizelimit={end - _START} {disk} {place}",
        f"cp -a {seed}/. {place}/",
        f"umount {place}",
    ]
    run([*APART, "sh", "-eu", "-c", "\n".join(lines)], timeout=_BUILD_SECONDS)


def check_machine() -> None:
    """Refuse where the guests' kernel has no emulator."""
    if platform.machine() != "x86_64":
        raise LabError(
            f"guests of the lab are x86-64 machines, and this is {platform.machine()}",
            hint="use the lab's booted hosts (without --provider qemu) here",
        )
