"""Starting a guest: the command line of QEMU, and waiting until the guest answers."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from remedy.lab.boot import failure, greets
from remedy.lab.cgroups import Cgroup
from remedy.lab.errors import LabError
from remedy.lab.qemu.guest import Guest
from remedy.lab.qemu.image import Image
from remedy.lab.qemu.qmp import SOCKET
from remedy.lab.qemu.spec import ROOT
from remedy.lab.spec import parse_size

_PAUSE = 0.1
_ENDED = 1.0  # seconds until a QEMU must have joined its cgroup
_GREETING = 10.0  # seconds: QEMU takes the connection at once, an emulated sshd answers later
_CONSOLE = 256 << 20

_KERNEL = (
    "root=/dev/vda1 rw rootfstype=ext4 console=ttyS0 net.ifnames=0 panic=10 "
    # An emulated processor leaks nothing by speculation; what works against that costs a third of its speed.
    "mitigations=off no_timer_check audit=0 apparmor=0 quiet systemd.show_status=1 cryptomgr.notests "
    # What udev would load for such a processor and board, and nothing here uses: a third of the time of a boot.
    "modprobe.blacklist=kvm_amd,kvm_intel,aesni_intel,crct10dif_pclmul,crc32_pclmul,ghash_clmulni_intel,"
    "sha1_ssse3,sha256_ssse3,sha512_ssse3,powernow_k8,ata_piix,ata_generic,serio_raw,psmouse"
)


def make_disk(file: Path, size: str) -> None:
    """Make an empty disk; it takes no more room than what is written to it."""
    with file.open("xb") as image:
        image.truncate(parse_size(size))


def node(serial: str) -> str:
    """Return the name of a disk inside QEMU: one there must begin with a letter."""
    return f"disk-{serial}"


def backend(guest: Guest, serial: str) -> dict[str, object]:
    """Return QEMU's words for the file behind a disk (blockdev-add)."""
    file = {
        "driver": "file",
        "filename": str(guest.disk(serial).relative_to(guest.folder)),
        "discard": "unmap",
        # Losing power takes QEMU away, not this machine's page cache: flushing that would only cost time.
        "cache": {"no-flush": True},
    }
    return {"node-name": node(serial), "driver": "raw", "discard": "unmap", "file": file}


def device(serial: str) -> dict[str, object]:
    """Return QEMU's words for the device that a guest sees (device_add)."""
    return {
        "driver": "virtio-blk-pci",
        "id": f"{node(serial)}-device",
        "drive": node(serial),
        "serial": serial,
    }


def start(guest: Guest, image: Image, cgroup: Cgroup, clock: datetime | None = None) -> None:
    """Switch a guest on, its clock at `clock` or now; return without waiting for it to answer."""
    (guest.folder / SOCKET).unlink(missing_ok=True)
    if guest.console.exists() and guest.console.stat().st_size > _CONSOLE:
        guest.console.unlink()
    script = guest.folder / "start.sh"
    lines = ["# Becomes the guest."]
    lines += [f"echo $$ > {path}" for path in cgroup.joins()]
    lines += [f"exec {shlex.join(_command(guest, image, clock))}"]
    script.write_text("\n".join([*lines, ""]))
    cgroup.create()
    with guest.console.open("ab") as console:
        subprocess.run(
            ["setsid", "--fork", "sh", "-eu", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd=guest.folder,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            check=True,
        )


def wait(guest: Guest, cgroup: Cgroup, seconds: float, stop: threading.Event) -> None:
    """Return when the guest's sshd greets or `stop` is set; a LabError shows the end of its console."""
    started = time.monotonic()
    while not stop.wait(_PAUSE):
        if greets(guest.address, guest.port, _GREETING):
            return
        waited = time.monotonic() - started
        if waited > _ENDED and not cgroup.members():
            raise _failure(guest, "the guest ended while booting")
        if waited > seconds:
            raise _failure(guest, f"the guest has no answering sshd after {waited:.0f} s")


def _command(guest: Guest, image: Image, clock: datetime | None) -> list[str]:
    spec = guest.spec
    base = "utc" if clock is None else clock.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    words = ["qemu-system-x86_64", "-name", spec.name, "-machine", "pc", "-cpu", "max", "-smp", str(spec.cpus)]
    # Emulated wherever it runs: a machine's own virtualisation is often there and does not work (nested, no rights).
    words += ["-accel", "tcg,thread=multi,tb-size=256"]
    words += ["-m", str(parse_size(spec.memory) >> 20), "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-rtc", f"base={base},clock=vm"]
    words += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    words += ["-qmp", f"unix:{SOCKET},server=on,wait=off"]
    # Nothing leads out of the guest; one port leads in.
    forward = f"hostfwd=tcp:{guest.address}:{guest.port}-:22"
    words += ["-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net,romfile="]
    words += ["-device", "virtio-rng-pci"]
    words += ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", _KERNEL]
    for serial in (ROOT, *spec.disks):
        words += ["-blockdev", _option(backend(guest, serial)), "-device", _option(device(serial))]
    return words


def _option(words: object) -> str:
    return json.dumps(words)


def _failure(guest: Guest, what: str) -> LabError:
    said = guest.console.read_text(errors="replace") if guest.console.exists() else ""
    return failure(guest.name, guest.console, what, said)
