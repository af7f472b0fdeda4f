"""What undo needs of files and folders: taken before a change, put back byte for byte after it."""

import os
import stat

from remedy.agent import atomic
from remedy.agent.files import describe
from remedy.agent.kinds import Failed, Irreversible
from remedy.agent.paths import failed, native, text
from remedy.modules.target import _steady
from remedy.modules.target._attributes import missing_folders, set_attributes

LIMIT = 1 << 20  # bytes of content
ENTRIES = 2000  # things in a folder


def keep(files, path, have, content=True):
    """Return what `restore` needs of a canonical path, or Irreversible; with `content` what it holds as well.

    {"state": `have`, "path", "entries": [state with "name" below the path, "xattrs", "content"],
    "made": [folders still to be made]}
    """
    seen = {}
    kept = {"state": have, "path": path, "entries": [], "made": missing_folders(files, path)}
    left = [LIMIT]
    try:
        reason = _keep(native(path), b"", content, kept["entries"], left, seen)
    except OSError as error:
        raise failed(error, "keep for undo", path)
    return kept if reason is None else Irreversible(reason)


def _keep(root, name, content, entries, left, seen):
    path = os.path.join(root, name) if name else root
    if not os.path.lexists(path):
        return None
    if len(entries) >= ENTRIES:
        return "more than %d files" % ENTRIES
    found = os.lstat(path)
    target = text(os.readlink(path)) if stat.S_ISLNK(found.st_mode) else None
    entry = describe(found, target)
    entry["name"] = text(name)
    entry["xattrs"] = atomic.xattrs(path)
    kind = entry["type"]
    if content and kind not in ("file", "directory", "link"):
        return "%s is a %s" % (text(path), kind)
    entries.append(entry)
    if content and kind == "file":
        first = seen.setdefault((found.st_dev, found.st_ino), entry["name"])
        if first != entry["name"]:
            entry["same_as"] = first  # a hard link
            return None
        left[0] -= found.st_size
        if left[0] >= 0:
            entry["content"] = _steady.read(path, found, LIMIT + 1)
            left[0] -= len(entry["content"]) - found.st_size  # it may be growing, or be a file of /proc
        if left[0] < 0:
            return "content larger than 1 MiB"
    if content and kind == "directory":
        for child in sorted(os.listdir(path)):
            reason = _keep(root, os.path.join(name, child), content, entries, left, seen)
            if reason is not None:
                return reason
    return None


def keep_undone(files, again, kept):
    """Return `again` (of `keep`) with all that goes when `restore(kept)` removes what a change had made."""
    if isinstance(again, Irreversible) or kept["entries"]:
        return again
    whole = keep(files, again["path"], again["state"])
    if isinstance(whole, Irreversible):
        return whole
    above = {}
    for folder in kept["made"]:
        if os.path.isdir(native(folder)):
            above[folder] = dict(describe(os.lstat(native(folder))), xattrs=atomic.xattrs(native(folder)))
    return dict(again, entries=whole["entries"], above=above)


def restore(files, kept):
    """Bring back what `keep` returned; raises Failed."""
    path = kept["path"]
    try:
        if kept["entries"]:
            for folder in missing_folders(files, path):
                os.mkdir(native(folder))
                if folder in kept.get("above", ()):
                    _dress(folder, kept["above"][folder])
            for entry in kept["entries"]:
                if "same_as" in entry:
                    _link(_below(path, entry["same_as"]), _below(path, entry["name"]))
                else:
                    _restore(_below(path, entry["name"]), entry)
            for entry in reversed(kept["entries"]):  # a folder's own mode last: it may not let us write
                if entry["type"] == "directory":
                    _dress(_below(path, entry["name"]), entry)
        else:
            _remove(path)
        for folder in reversed(kept["made"]):
            try:
                os.rmdir(native(folder))
            except OSError:
                break  # others use it by now, or it is gone
    except OSError as error:
        raise failed(error, "restore", path)


def _below(path, name):
    return os.path.join(path, name) if name else path


def _link(first, path):
    atomic.place(path, lambda beside: os.link(native(first), beside))


def _restore(path, entry):
    name = native(path)
    now = describe(os.lstat(name)) if os.path.lexists(name) else None
    if entry["type"] == "file" and "content" in entry:
        _make_way(name, now, "file")
        atomic.write(path, [entry["content"]], entry["mode"], entry["uid"], entry["gid"], entry["xattrs"])
    elif entry["type"] == "link":
        _make_way(name, now, "link")
        make_link(path, entry["target"], entry["uid"], entry["gid"])
    elif entry["type"] == "directory" and (now is None or now["type"] != "directory"):
        _make_way(name, now, "directory")
        os.mkdir(name, 0o700)
    else:
        _dress(path, entry)


def _make_way(name, now, kind):
    """A rename replaces files and links; a folder that came in their place goes only when it is empty."""
    if now is None or now["type"] == kind:
        return
    if now["type"] == "directory":
        os.rmdir(name)
    elif kind == "directory":
        os.unlink(name)


def _dress(path, entry):
    set_attributes(path, entry)
    if entry["type"] != "link":
        atomic.dress(native(path), entry["xattrs"])
    set_attributes(path, entry)  # an ACL brings a mask, which shows as the group's bits


def _remove(path):
    name = native(path)
    if not os.path.lexists(name):
        return
    if stat.S_ISDIR(os.lstat(name).st_mode):
        os.rmdir(name)
    else:
        os.unlink(name)
    atomic.sync(os.path.dirname(name))


def make_link(path, target, uid=-1, gid=-1):
    """Put a symbolic link at a path in one step; raises Failed."""

    def make(beside):
        os.symlink(native(target), beside)
        if uid != -1 or gid != -1:
            os.lchown(beside, uid, gid)

    try:
        atomic.place(path, make)
    except OSError as error:
        raise failed(error, "make the link", path)


def remove_tree(path):
    """Remove a folder and what is in it, by descriptors, so that no link put there meanwhile leads out of it.

    Raises Failed, also when something in it is a mount point.
    """
    name = native(path)
    inside = mounts_below(path)
    if inside:
        raise Failed("cannot remove %s: %s is mounted there; unmount it first" % (path, ", ".join(inside)))
    try:
        above, last = _steady.hold(path)
        try:
            opened = _folder(last, above)
            try:
                _empty(opened, os.fstat(opened).st_dev, path)
            finally:
                os.close(opened)
            os.rmdir(last, dir_fd=above)
        finally:
            os.close(above)
        atomic.sync(os.path.dirname(name))
    except OSError as error:
        raise failed(error, "remove", path)
    except RecursionError:
        raise Failed("cannot remove %s: its folders are nested too deeply; remove the deepest first" % path)


def _folder(name, above):
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)


def _empty(opened, device, path):
    for name in os.listdir(opened):
        found = os.stat(name, dir_fd=opened, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=opened)
            continue
        if found.st_dev != device:
            raise Failed("cannot remove %s: another file system is mounted in it; unmount it first" % path)
        below = _folder(name, opened)
        try:
            _empty(below, device, path)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=opened)


def mounts_below(path):
    """Return the mount points at or below a canonical path, bind mounts too."""
    try:
        with open("/proc/self/mountinfo", "rb") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return []
    points = [_plain(line.split()[4]) for line in lines]
    name = native(path)
    return [text(point) for point in points if point == name or point.startswith(name + b"/")]


def _plain(point):
    for escaped, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        point = point.replace(escaped, byte)
    return point
