"""Folders and files as the tasks before would leave them: what a search sees in check mode."""

import os
import time

from remedy.agent.paths import native, text
from remedy.modules.target._facts import TYPES


class Foreseen(object):
    """What `os.lstat` would tell of a file; what nobody knows yet is 0."""

    def __init__(self, state):
        self.st_mode = TYPES[state["type"]] | int(state["mode"], 8)
        self.st_uid, self.st_gid, self.st_size = state["uid"], state["gid"], state["size"]
        self.st_mtime = self.st_atime = self.st_ctime = time.time()
        self.st_ino = self.st_dev = 0
        self.st_nlink = 1


def names(host, folder):
    """Return the names in a folder, sorted, as bytes; raises OSError."""
    if not host.check or not host.predictions:
        return sorted(os.listdir(native(folder)))
    files = host.files
    path = files.real(text(folder))
    try:
        found = {text(name) for name in os.listdir(native(path))}
    except OSError:
        if (files.stat(path) or {}).get("type") != "directory":
            raise
        found = set()
    found.update(os.path.basename(known) for known in host.predictions if os.path.dirname(known) == path)
    return sorted(native(name) for name in found if files.lstat(os.path.join(path, name)) is not None)


def look(host, path):
    """Return what `os.lstat` tells of a path, or would tell; raises OSError."""
    real = host.files.real(text(path), follow=False) if host.check and host.predictions else None
    if real is None or not host.files.predicted(real):
        return os.lstat(native(path))
    return Foreseen(host.files.lstat(real))


def is_folder(host, path):
    """Say whether a path leads to a folder."""
    if not host.check or not host.predictions:
        return os.path.isdir(native(path))
    return (host.files.stat(text(path)) or {}).get("type") == "directory"
