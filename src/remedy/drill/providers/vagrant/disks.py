"""Filesystems of a size of their own on machines that have only a root: images, mounted by loop devices."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from remedy.lab import Disk

# The image is not sparse: a root that is full later does not take a disk its blocks.
_SCRIPT = r"""set -eu
mount_image() { # image, folder; in a container the device may have no node yet, and another one be faster
    tries=50
    until
        loop=$(losetup -f)
        [ -e "$loop" ] || mknod "$loop" b 7 "${loop#/dev/loop}"
        mount -o "loop=$loop" "$1" "$2" 2>/dev/null
    do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { mount -o loop "$1" "$2"; return; }
        sleep 0.1
    done
}
units() { # those with open files below a folder
    pids=$(find /proc/[0-9]*/fd -lname "$1/*" 2>/dev/null | cut -d/ -f3 | sort -u | paste -sd,)
    [ -z "$pids" ] || ps -o unit= -p "$pids" | grep '\.service$' | sort -u
}
disk() { # folder, size, then the command that makes the filesystem
    folder=$1 size=$2
    shift 2
    image=/var/lib/remedy-disks/$(echo "${folder#/}" | tr / -).img
    mkdir -p /var/lib/remedy-disks /run/remedy-disk "$folder"
    fallocate -l "$size" "$image"
    "$@" "$image"
    # journald, which nobody can stop for long, writes to /run meanwhile.
    journalctl --relinquish-var
    users=$(units "$folder")
    [ -z "$users" ] || systemctl stop $users
    mount_image "$image" /run/remedy-disk
    # A disk too small for what is there is what was asked for.
    cp -a "$folder/." /run/remedy-disk/ || :
    umount /run/remedy-disk
    mount_image "$image" "$folder"
    echo "$image $folder auto loop,nofail 0 0" >> /etc/fstab
    [ -z "$users" ] || systemctl restart $users
    journalctl --flush
}
"""


def script(disks: Mapping[str, Disk]) -> str:
    """Return the shell script, for root, that gives a machine these disks (mount point → disk, all ext4)."""
    calls = [shlex.join(["disk", mount, disk.size, *_mkfs(disk)]) for mount, disk in sorted(disks.items())]
    return _SCRIPT + "\n".join([*calls, ""])


def _mkfs(disk: Disk) -> list[str]:
    inodes = ["-N", str(disk.inodes)] if disk.inodes is not None else []
    return ["mkfs.ext4", "-q", "-b", "4096", "-m", str(disk.reserved), *inodes]
