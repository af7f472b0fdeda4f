"""Ways to make a lab host sick that need the machine around it or a filled filesystem."""

from __future__ import annotations

import os
import select
import subprocess
from importlib.resources import files
from pathlib import Path

from remedy.lab.errors import LabError
from remedy.lab.inside import Inside

_FILL = r"""
import errno, os, sys
# In the mount's own folder; big pieces first, then single blocks until there is really nothing left.
file = os.open(os.path.join(sys.argv[1], ".lab-fill"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
size, piece = os.fstat(file).st_size, 1 << 40
while piece >= 4096:
    try:
        os.posix_fallocate(file, size, piece)
        size += piece
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG):
            raise
        piece //= 2
try:
    while True:
        os.write(file, bytes(4096))
except OSError as error:
    if error.errno != errno.ENOSPC:
        raise
os.fsync(file)
"""

_FILL_INODES = r"""
import errno, os, sys
folder = os.path.join(sys.argv[1], ".lab-inodes")
try:
    os.makedirs(folder, exist_ok=True)
    number = len(os.listdir(folder))
    while True:
        os.close(os.open("%s/%d" % (folder, number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        number += 1
except OSError as error:
    if error.errno != errno.ENOSPC:
        raise
"""

_MOUNT_SECONDS = 10.0


def fill(inside: Inside, path: str) -> None:
    """Fill the filesystem of a folder until not even root can write a byte."""
    inside.run(["python3", "-I", "-c", _FILL, path])


def fill_inodes(inside: Inside, path: str) -> None:
    """Make empty files in a folder until its filesystem has no inode left."""
    inside.run(["python3", "-I", "-c", _FILL_INODES, path], timeout=120)


def unfill(inside: Inside, path: str) -> None:
    """Remove what `fill` and `fill_inodes` wrote in a folder."""
    inside.run(["rm", "-rf", f"{path}/.lab-fill", f"{path}/.lab-inodes"])


def read_only(inside: Inside, path: str) -> None:
    """Remount a filesystem read-only."""
    # The journal's open files would keep the filesystem busy; from here on it writes to /run.
    inside.run(["journalctl", "--relinquish-var"])
    try:
        inside.run(["mount", "-o", "remount,ro", path])
    except LabError as error:
        raise LabError(
            error.message,
            host=inside.name,
            hint="stop the services that write there, or use fs_error, which open files do not keep away",
        ) from error


def fs_error(inside: Inside, path: str) -> None:
    """Let the kernel find an ext4 error on a disk: it goes read-only at once, whoever writes."""
    device = Path(
        inside.run(["findmnt", "-n", "-o", "SOURCE", "-t", "ext4", "--mountpoint", path]).stdout.strip()
    )
    inside.run(["mount", "-o", "remount,errors=remount-ro", path])
    Path(f"/sys/fs/ext4/{device.name}/trigger_fs_error").write_text("remedy lab\n")


def hang_mount(inside: Inside, path: str) -> None:
    """Mount a filesystem whose server takes requests and never answers."""
    program = (files("remedy.lab") / "dead_mount.py").read_text()
    inside.run(["mkdir", "-p", path])
    reader, writer = os.pipe()
    try:
        # The device is opened out here, because a host has none; it is closed out here too, so that the
        # end of the server alone ends the connection and wakes everybody who waits.
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        os.close(reader)
        os.close(writer)
        raise LabError(
            f"/dev/fuse cannot be opened: {error.strerror}", hint="load it: modprobe fuse"
        ) from error
    try:
        subprocess.run(
            ["setsid", "--fork", *inside.argv(["python3", "-I", "-c", program, path, str(device)])],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            pass_fds=(device,),
            check=True,
        )
        os.close(writer)
        writer = -1
        ready = select.select([reader], [], [], _MOUNT_SECONDS)[0]
        said = os.read(reader, 4096).decode(errors="replace") if ready else "nothing"
        if said != "ready\n":
            raise LabError(f"the dead mount on {path} does not start; it said: {said}", host=inside.name)
    finally:
        os.close(device)
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def revive_mount(inside: Inside, path: str) -> None:
    """End the server of a dead mount: who waited gets an error, and the mount goes."""
    inside.run(["pkill", "-KILL", "-f", f"^python3 -I -c .*[ \n]{path} [0-9]+$"])
    inside.run(["umount", "-l", path])
