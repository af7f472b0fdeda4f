"""Who has a file open, mapped or otherwise in use: one look through /proc."""

import os

from remedy.agent.kinds import Failed


def in_use(wanted):
    """Return {(device, inode): text} for those of `wanted` that something uses.

    `wanted`: {(device, inode): path}. Only descriptors whose name fits a wanted file are asked what they
    are: a stat of a descriptor on a dead mount would not come back. Raises Failed where open files cannot
    be seen.
    """
    by_name = {}
    for identity, path in wanted.items():
        by_name.setdefault(os.path.basename(path), []).append(identity)
    inodes = {identity[1]: identity for identity in wanted}
    found = {}
    for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
        try:
            for identity in _descriptors("/proc/%s/fd" % pid, by_name):
                found.setdefault(identity, "open in %s" % _process(pid))
            for identity in _mapped("/proc/%s/maps" % pid, inodes, wanted):
                found.setdefault(identity, "mapped by %s" % _process(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
        except PermissionError:
            raise Failed(
                "the files that %s has open cannot be seen: nothing is swept unless all can; run as root,"
                " outside of a container that hides them" % _process(pid),
                cause="permission",
            )
    for path, use in _kernel():
        for identity, name in wanted.items():
            if name == path:
                found.setdefault(identity, use)
    return found


def _descriptors(folder, by_name):
    for number in os.listdir(folder):
        place = os.path.join(folder, number)
        try:
            name = os.path.basename(os.readlink(place))
        except FileNotFoundError:
            continue
        if name.endswith(" (deleted)") and name not in by_name:
            name = name[: -len(" (deleted)")]
        if name in by_name:
            try:
                about = os.stat(place)
            except FileNotFoundError:
                continue
            if (about.st_dev, about.st_ino) in by_name[name]:
                yield about.st_dev, about.st_ino


def _mapped(path, inodes, wanted):
    with open(path, "rb") as file:
        for line in file:
            fields = line.split(None, 5)
            # The device that maps shows is another one than stat's on btrfs and overlays: the name decides.
            if len(fields) == 6 and int(fields[4]) in inodes:
                identity = inodes[int(fields[4])]
                name = os.fsdecode(fields[5].strip())
                if os.path.basename(name) == os.path.basename(wanted[identity]):
                    yield identity


def _kernel():
    """Yield (path, text) of what the kernel itself uses: swap files and the images of loop devices."""
    try:
        with open("/proc/swaps") as file:
            for line in file.readlines()[1:]:
                yield line.split()[0].encode("ascii", "ignore").decode("unicode_escape"), "a swap file"
    except OSError:
        pass
    try:
        devices = [name for name in os.listdir("/sys/block") if name.startswith("loop")]
    except OSError:
        devices = []
    for device in devices:
        try:
            with open("/sys/block/%s/loop/backing_file" % device) as file:
                yield file.read().rstrip("\n"), "the image of /dev/%s" % device
        except OSError:
            continue


def _process(pid):
    try:
        with open("/proc/%s/comm" % pid, errors="replace") as file:
            return "%s (pid %s)" % (file.read().strip(), pid)
    except OSError:
        return "pid %s" % pid
