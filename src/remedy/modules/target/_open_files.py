"""Who has a file open, mapped or otherwise in use: one look through /proc, and the kernel's own word."""

import errno
import fcntl
import os
import signal


def in_use(wanted):
    """Return ({(device, inode): text} for those of `wanted` that something uses, [processes not to be seen]).

    `wanted`: {(device, inode): path}. Only descriptors whose name fits a wanted file are asked what they are: a
    stat of a descriptor on a dead mount would not come back.
    """
    by_name = {}
    for identity, path in wanted.items():
        by_name.setdefault(os.path.basename(path), []).append(identity)
    inodes = {identity[1]: identity for identity in wanted}
    found, unseen = {}, []
    for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
        try:
            for identity in _descriptors("/proc/%s/fd" % pid, by_name):
                found.setdefault(identity, "open in %s" % _process(pid))
            for identity in _mapped("/proc/%s/maps" % pid, inodes, wanted):
                found.setdefault(identity, "mapped by %s" % _process(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
        except PermissionError:
            unseen.append(_process(pid))
    for path, use in _kernel():
        for identity, name in wanted.items():
            if name == path:
                found.setdefault(identity, use)
    return found, unseen


def alone(name, folder):
    """Ask the kernel whether nobody else has a file open or mapped; `folder` is a descriptor. None: it cannot tell.

    A write lease is granted only on a file that is open once (fcntl(2)), whoever and in whatever namespace the
    others are. Not every file system has leases, and not every kernel counts readers: that is tried out first.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    first = os.open(name, flags, dir_fd=folder)
    try:
        second = os.open(name, flags, dir_fd=folder)
        try:
            counts = _leased(first) is False
        finally:
            os.close(second)
        answer = _leased(first)
        return answer if counts or answer is False else None
    finally:
        os.close(first)


def _leased(descriptor):
    """Take a write lease and give it back: True, False where the file is open elsewhere, None without leases."""
    # Who opens the file meanwhile breaks the lease: the signal for it must not end us, as SIGIO would.
    fcntl.fcntl(descriptor, _SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        return False if error.errno == errno.EAGAIN else None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True


_SETSIG = getattr(fcntl, "F_SETSIG", 10)


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
