"""The largest directories and files of one file system, within a budget of time and in the idle I/O class."""

import heapq
import os
import pwd
import time

from remedy.agent.kinds import Failed

_ONE_CHILD = 0.9  # a directory that one directory in it fills to this share says nothing new


def largest(host, top, every, count, budget, by_entries=False):
    """Return ({"directories", "files", "complete"}, seconds taken) for the file system mounted at `top`.

    directories: path, bytes, entries (with all below) and owner; files: path, bytes and owner. Bytes are those
    on disk, a file with several names counts once. `by_entries` sorts directories by what lies directly in
    them (inodes).
    """
    begun = time.monotonic()
    ionice = host.which("ionice")
    skip = {entry["mount"] for entry in every if entry["mount"] != top}

    def search():
        if ionice:
            os.spawnv(os.P_WAIT, ionice, ["ionice", "-c3", "-p", str(os.getpid())])
        os.nice(19)
        return _Walk(top, skip, count, begun + budget, by_entries).run()

    try:
        found = host.in_child(search, budget + 5)
    except Failed:
        found = {"directories": [], "files": [], "complete": False}
    return found, time.monotonic() - begun


class _Walk(object):
    def __init__(self, top, skip, count, end, by_entries):
        self.top = top
        self.skip = skip
        self.count = count
        self.end = end
        self.by_entries = by_entries
        self.directories = []
        self.files = []
        self.linked = set()
        self.complete = True

    def run(self):
        """Walk depth first and keep only the best so far: memory follows the depth, not the tree's size."""
        about = os.lstat(self.top)
        device = about.st_dev
        stack = [_Folder(self.top, self._open(self.top), about.st_uid)]
        while stack:
            folder = stack[-1]
            entry = next(folder.entries, None) if time.monotonic() < self.end else None
            if entry is None:
                if time.monotonic() >= self.end:
                    self.complete = False
                stack.pop()
                self._leave(folder, stack[-1] if stack else None)
                continue
            try:
                self._enter(entry, folder, stack, device)
            except OSError:
                self.complete = False
        directories = sorted(self.directories, reverse=True)
        return {
            "directories": [
                {"path": path, "bytes": b, "entries": n, "owner": _owner(uid)}
                for _, path, b, n, uid in directories
            ],
            "files": [
                {"path": path, "bytes": b, "owner": _owner(uid)}
                for _, path, b, uid in sorted(self.files, reverse=True)
            ],
            "complete": self.complete,
        }

    def _enter(self, entry, folder, stack, device):
        path = entry.path
        if path in self.skip:  # never even stat another mount: it may be dead
            return
        folder.direct += 1
        about = entry.stat(follow_symlinks=False)
        if about.st_dev != device:
            return
        size = about.st_blocks * 512
        if entry.is_dir(follow_symlinks=False):
            stack.append(_Folder(path, self._open(path), about.st_uid, size))
            return
        folder.count += 1
        if about.st_nlink > 1:
            if about.st_ino in self.linked:
                return
            self.linked.add(about.st_ino)
        folder.bytes += size
        if size:
            self._keep(self.files, (size, path, size, about.st_uid))

    def _open(self, path):
        try:
            return os.scandir(path)
        except OSError:
            self.complete = False
            return iter(())

    def _leave(self, folder, parent):
        if hasattr(folder.entries, "close"):
            folder.entries.close()
        if parent is not None:
            parent.bytes += folder.bytes
            parent.count += folder.count + 1
            parent.biggest = max(parent.biggest, folder.bytes)
        elif not self.by_entries:
            return  # that all of it lies below its top is no news
        value = folder.direct if self.by_entries else folder.bytes
        if self.by_entries or folder.biggest < _ONE_CHILD * folder.bytes:
            self._keep(self.directories, (value, folder.path, folder.bytes, folder.count, folder.uid))

    def _keep(self, heap, candidate):
        if len(heap) < self.count:
            heapq.heappush(heap, candidate)
        elif candidate > heap[0]:
            heapq.heapreplace(heap, candidate)


def _owner(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class _Folder(object):
    def __init__(self, path, entries, uid, size=0):
        self.path = path
        self.uid = uid
        self.entries = entries
        self.bytes = size
        self.count = 0
        self.direct = 0
        self.biggest = 0
