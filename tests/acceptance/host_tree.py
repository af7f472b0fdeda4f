"""All that stands in a host's file systems, so that what changed between two looks can be told."""

from __future__ import annotations

import json
from collections.abc import Mapping

from remedy.lab import Lab

Tree = Mapping[str, object]
"""Path → what is known of it: mode, owner, size, mtime, ctime, a small file's hash."""

_LOOK = r"""
import hashlib, json, os, stat
tree = {}
def look(path):
    try:
        known = os.lstat(path)
        seen = [known.st_mode, known.st_uid, known.st_gid, known.st_size, known.st_mtime_ns, known.st_ctime_ns]
        if stat.S_ISREG(known.st_mode) and 0 < known.st_size <= 8192 and not path.startswith("/usr/share/"):
            with open(path, "rb") as stream:
                seen.append(hashlib.md5(stream.read()).hexdigest())
    except FileNotFoundError:
        return
    if stat.S_ISDIR(known.st_mode):
        seen[3] = 0
    tree[path] = seen
# The kernel's own views are no files, a terminal's times are its use, and journald writes whatever happens.
APART = {"/proc", "/sys", "/dev/pts", "/var/log/journal", "/run/log/journal"}
pending = ["/"]
while pending:
    folder = pending.pop()
    look(folder)
    for entry in os.scandir(folder):
        if entry.path in APART:
            continue
        if entry.is_dir(follow_symlinks=False):
            pending.append(entry.path)
        else:
            look(entry.path)
print(json.dumps(tree))
"""


def look(lab: Lab, name: str) -> Tree:
    """Return all paths of a host but those of kernel and journal; atimes are left out."""
    tree: dict[str, object] = json.loads(lab.run(name, ["python3", "-I", "-B", "-c", _LOOK]).stdout)
    return tree


def changed(before: Tree, after: Tree) -> set[str]:
    """Return the paths that came, went, or look different."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
