"""What is mounted, from /proc/self/mountinfo alone, and how full it is, without waiting for a dead mount."""

import os

from remedy.agent.kinds import Failed

# They hold no user's data, or have no size of their own.
PSEUDO = frozenset(
    "autofs bdev binder binfmt_misc bpf cgroup cgroup2 configfs cpuset debugfs devpts devtmpfs efivarfs"
    " fusectl fuse.gvfsd-fuse fuse.lxcfs fuse.portal fuse.sysboxfs hugetlbfs mqueue nfsd none nsfs pipefs"
    " proc pstore resctrl rootfs rpc_pipefs securityfs selinuxfs smackfs sockfs sysfs tracefs".split()
)
IMAGES = frozenset("squashfs iso9660 udf erofs cramfs romfs fuse.squashfuse fuse.snapfuse".split())
_NETWORK = tuple("nfs cifs smb 9p ceph fuse gluster lustre afs gfs ocfs virtiofs gpfs".split())
_OCTAL = r"\\([0-7]{3})"


def mounts(path="/proc/self/mountinfo"):
    """Return every mount that can be seen, in order, as dicts.

    id, parent, device ("8:1"), root, mount, options, type, source, super_options.
    """
    found = []
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.rstrip("\n").partition(" - ")
            fields = left.split(" ")
            kind, source, options = (right.split(" ", 2) + ["", ""])[:3]
            found.append(
                {
                    "id": int(fields[0]),
                    "parent": int(fields[1]),
                    "device": fields[2],
                    "root": _plain(fields[3]),
                    "mount": _plain(fields[4]),
                    "options": fields[5],
                    "type": kind,
                    "source": _plain(source),
                    "super_options": options,
                }
            )
    places = {entry["id"]: entry["mount"] for entry in found}
    covered = {entry["parent"] for entry in found if places.get(entry["parent"]) == entry["mount"]}
    return [entry for entry in found if entry["id"] not in covered]


def real(every):
    """Return the mounts of real file systems, each file system once: bind mounts are left out."""
    best = {}
    for entry in every:
        layered = entry["type"] in ("overlay", "aufs") and entry["mount"] != "/"
        if entry["type"] in PSEUDO or layered or entry["mount"].startswith(("/proc/", "/sys/")):
            continue
        # A subvolume of btrfs has a device number of its own; its source tells what it is part of.
        key = entry["source"] if entry["type"] in ("btrfs", "bcachefs") else entry["device"]
        rank = (entry["root"] != "/", len(entry["mount"]))
        if key not in best or rank < best[key][0]:
            best[key] = (rank, entry)
    chosen = {id(entry) for _, entry in best.values()}
    return [entry for entry in every if id(entry) in chosen]


def holding(every, path):
    """Return the mount that a resolved path is on."""
    fitting = [entry for entry in every if below(path, entry["mount"])]
    return max(fitting, key=lambda entry: len(entry["mount"])) if fitting else None


def named(every, path):
    """Return the mount at a path, the last one there, by the names alone; None where there is none."""
    name = path.rstrip("/") or "/"
    return next((entry for entry in reversed(every) if entry["mount"] == name), None)


def at(host, path, timeout=5):
    """Return the mount at a path, which may be a link to one; None where nothing is mounted there.

    What is in the table by that name is not touched: a dead mount holds nobody up. Raises Failed where the path itself
    does not answer in time.
    """
    every = mounts()
    found = named(every, path)
    if found is not None:
        return found
    try:
        return named(every, host.in_child(lambda: os.path.realpath(path), timeout))
    except Failed as error:
        raise Failed("%s cannot be asked: %s" % (path, error.message), error.cause)


def read_only(entry):
    """Say whether the mount, or the file system behind it, is read-only."""
    # Since Linux 6.15 an ext4 that found an error stays "rw" and says emergency_ro.
    options = entry["options"].split(",") + entry["super_options"].split(",")
    return "ro" in options or "emergency_ro" in options


def usage(host, entries, timeout):
    """Return [(entry, sizes)], with None for a mount that does not answer in time.

    sizes: os.statvfs as a dict, or {"error": text}. Local file systems are asked together, in one child;
    when one of them hangs, each is asked alone. After a mount that hung the others get a second each.
    """
    local = [entry for entry in entries if not entry["type"].startswith(_NETWORK)]
    answers = {}
    try:
        if local:
            answers.update(host.in_child(lambda: [[each["id"], _sizes(each)] for each in local], timeout))
    except Failed:
        pass
    for entry in entries:
        if entry["id"] not in answers:
            try:
                answers[entry["id"]] = host.in_child(lambda entry=entry: _sizes(entry), timeout)
            except Failed:
                answers[entry["id"]] = None
                timeout = min(timeout, 1)
    return [(entry, answers[entry["id"]]) for entry in entries]


def room(sizes):
    """Return of one mount's sizes its size, used, available (to ordinary users) and reserved bytes, and its percent."""
    unit = sizes["f_frsize"] or sizes["f_bsize"]
    size, free, available = (unit * sizes[name] for name in ("f_blocks", "f_bfree", "f_bavail"))
    used = size - free
    found = {"size": size, "used": used, "available": available, "reserved": max(0, free - available)}
    return dict(found, percent=percent(used, used + available))


def percent(part, whole):
    """Round up, as df does: 100 means that nothing is left, 99 that something is."""
    return -(-part * 100 // whole) if whole > 0 else 0


def silent(host, tops, timeout=5):
    """Return the mount points at, above or below the folders `tops` that do not answer: to touch one is to hang.

    Only what a server far away, or a program, stands behind is asked.
    """
    asked = [
        entry
        for entry in mounts()
        if entry["type"].startswith(_NETWORK)
        and any(below(entry["mount"], top) or below(top, entry["mount"]) for top in tops)
    ]
    return [entry["mount"] for entry, sizes in usage(host, asked, timeout) if sizes is None]


def below(path, top):
    """Say whether a path is the folder `top` or lies in it, by the names alone."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def _sizes(entry):
    try:
        device = os.stat(entry["mount"])
        sizes = os.statvfs(entry["mount"])
    except OSError as error:
        return {"error": error.strerror}
    number = "%d:%d" % (os.major(device.st_dev), os.minor(device.st_dev))
    if number != entry["device"] and entry["type"] not in ("btrfs", "bcachefs", "overlay", "nfs", "nfs4"):
        return {"error": "another mount hides it"}
    names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree")
    return dict({name: getattr(sizes, name) for name in names}, directory=os.path.isdir(entry["mount"]))


def _plain(text):
    if "\\" not in text:
        return text
    import re

    return re.sub(_OCTAL, lambda match: chr(int(match.group(1), 8)), text)
