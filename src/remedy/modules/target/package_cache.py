"""Remove downloaded packages from the caches of apt, dnf and yum.

They are only copies: what is installed stays installed, and a package that is needed again is downloaded
again. With `lists` also the package lists and what is computed from them: the next install then needs an
`apt-get update` first (dnf fetches them by itself). Nothing goes while a package manager is at work: its
locks are looked at before, and apt's and dpkg's are held for the moment of each removal. Works only as root.
Cannot be undone. Returns `files` and `managers` (those that have a cache here).
"""

import errno
import fcntl
import fnmatch
import os
import shlex
import stat
import struct

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.target import _folders, _mounts, _protected
from remedy.modules.target._holders import process
from remedy.modules.target._looking import READS, Listing

PARAMS = (
    Param("lists", "bool", default=False, help="The package lists and metadata, too."),
    READS,
)

EXAMPLES = """
- package_cache: {}
- package_cache: {lists: true}
"""

_DPKG_LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
_RPM_LOCKS = ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")
_PID_FILES = ("/var/cache/dnf/metadata_lock.pid", "/var/cache/dnf/download_lock.pid", "/run/yum.pid")
_RPM_CACHES = (("dnf", "/var/cache/dnf"), ("dnf", "/var/cache/libdnf5"), ("yum", "/var/cache/yum"))
_METADATA = ("*.solv", "*.solvx", "*.xml", "*.xml.*", "*.sqlite", "*.sqlite.*", "repomd.xml*")


def kind(params):
    return Look if params.get("reads") else PackageCache


class PackageCache(Sweep):
    deadline = 120
    _caches = None

    def key(self):
        return "package caches"

    def find(self):
        if os.geteuid() != 0:
            raise Failed("package caches are root's; add become: true", cause="permission")
        if self._caches is None:
            self._caches = self._known()
        every = _mounts.mounts()
        items = []
        for cache in self._caches:
            for folder, patterns in cache.folders:
                reason = _refused(folder, every) or cache.busy()
                for path, about in _files(folder, patterns):
                    size = about.st_blocks * 512
                    why = reason or ("it has %d names" % about.st_nlink if about.st_nlink > 1 else None)
                    items.append(Item(path, why is None, why or cache.what(path), size, _identity(about)))
        return items

    def drain(self, item):
        cache = next(
            each for each in self._caches if any(_below(item.id, folder) for folder, _ in each.folders)
        )
        try:
            folder = _folders.opened(os.path.dirname(item.id))
        except OSError as error:
            return "its folder changed: %s" % error.strerror.lower()
        held = []
        try:
            busy = cache.busy() or _take(cache.locks, held)
            if busy:
                return busy
            name = os.path.basename(item.id)
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if _identity(about) != list(item.identity) or not stat.S_ISREG(about.st_mode):
                return "it changed since it was looked at"
            os.unlink(name, dir_fd=folder)
            return about.st_blocks * 512
        except FileNotFoundError:
            return "it is gone already"
        finally:
            for descriptor in held + [folder]:
                os.close(descriptor)

    def returns(self, taken, kept):
        managers = {
            cache.name for cache in self._caches if any(os.path.isdir(each) for each, _ in cache.folders)
        }
        return {"files": [item.id for item in taken], "managers": sorted(managers)}

    def _known(self):
        caches = [self._apt()] if self.host.which("apt-get") else []
        for name, top in _RPM_CACHES:
            if os.path.isdir(top):
                patterns = ("*.rpm",) + (_METADATA if self.params["lists"] else ())
                folders = [(folder, patterns) for folder, _, _ in os.walk(os.path.realpath(top))]
                caches.append(_Cache(name, folders, _RPM_LOCKS, _PID_FILES))
        return caches

    def _apt(self):
        words = "C Dir::Cache/d A Dir::Cache::archives/d L Dir::State::lists/d".split()
        done = self.host.run(["apt-config", "shell"] + words, ok=None, timeout=10)
        text = done.stdout.decode("utf-8", "surrogateescape") if done.rc == 0 else ""
        known = dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)
        archives = os.path.realpath(known.get("A") or "/var/cache/apt/archives")
        folders = [(archives, ("*.deb",)), (os.path.join(archives, "partial"), ("*",))]
        locks = list(_DPKG_LOCKS) + [os.path.join(archives, "lock")]
        if self.params["lists"]:
            lists = os.path.realpath(known.get("L") or "/var/lib/apt/lists")
            folders += [
                (os.path.join(lists, each) if each else lists, ("*",)) for each in ("", "partial", "auxfiles")
            ]
            folders.append((os.path.realpath(known.get("C") or "/var/cache/apt"), ("*pkgcache.bin",)))
            locks.append(os.path.join(lists, "lock"))
        return _Cache("apt", folders, locks)


class Look(Listing):
    sweep = PackageCache


class _Cache(object):
    """One package manager's cache: [(folder, patterns)], the files it locks, those that name a process at work."""

    def __init__(self, name, folders, locks, pid_files=()):
        self.name = name
        self.folders = folders
        self.locks = locks
        self.pid_files = pid_files

    def busy(self):
        """Return who is at work, else None."""
        for path in self.locks:
            pid = _lock_holder(path)
            if pid is not None:
                return _busy(pid, path)
        for path in self.pid_files:
            try:
                with open(path) as file:
                    pid = file.read().strip()
            except OSError:
                continue
            if pid.isdigit() and os.path.isdir("/proc/" + pid):
                return _busy(pid, path)
        return None

    def what(self, path):
        package = path.endswith((".deb", ".rpm")) or path.endswith("/partial/" + os.path.basename(path))
        return (
            "%s downloads it again when needed" % self.name if package else "%s computes it again" % self.name
        )


def _busy(pid, path):
    return "%s is at work: it holds %s" % (process(pid) if int(pid) > 0 else "a process", path)


# struct flock as the kernel wants it on 64 bits; elsewhere the lock is still taken before anything goes.
_FLOCK = struct.Struct("@hhqqi4x")


def _lock_holder(path):
    """Return the process id of who has a lock on a file (0: it cannot be told), None where nobody has."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else max(pid, 0)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _take(paths, held):
    """Lock those of the files that are there; return why it cannot be, else None."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        except OSError as error:
            # On an overlay this copies the file, which a full disk has no room for. That nobody holds it was just seen.
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                continue
            raise
        held.append(descriptor)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return "a package manager has begun to work: it holds %s" % path
            raise
    return None


def _refused(folder, every):
    mount = _mounts.holding(every, folder)
    if mount is not None and mount["type"].startswith(("nfs", "cifs", "smb", "9p", "fuse", "ceph")):
        return "on a network file system: not this host's disk"
    return _protected.refusal(folder)


def _files(folder, patterns):
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if name != "lock" and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            try:
                about = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            if stat.S_ISREG(about.st_mode):
                yield os.path.join(folder, name), about


def _below(path, folder):
    return os.path.dirname(path) == folder


def _identity(about):
    return [about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns]
