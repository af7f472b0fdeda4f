"""A small tree that a play changes in twenty places, and how to compare what became of it.

Standard library only: the file is imported here, and run on lab hosts as `python3 - COMMAND ROOT`.
"""

import hashlib
import json
import os
import shutil
import struct
import sys
from pathlib import Path

_ACL = "system.posix_acl_access"


def build(root):
    """Make the tree anew."""
    root = Path(root)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    _file(root / "lines.conf", b"one = 1\ntwo = 2\nthree = 3\n", 0o640, 2001)
    os.setxattr(root / "lines.conf", "user.origin", b"a vendor's package")
    os.setxattr(root / "lines.conf", _ACL, _acl(2005))
    _file(root / "odd.conf", b"no newline, no UTF-8: \xff\xfe\r\nlast", 0o604)
    _file(root / "copied.bin", bytes(range(256)) * 40, 0o4711, 2005)
    os.setxattr(root / "copied.bin", _ACL, _acl(2003))
    _file(root / "greeting", b"hello\n", 0o644, 2001)
    _file(root / "private", b"x" * 5000, 0o644)
    _file(root / "owned", b"mine\n", 0o600)
    _file(root / "stale.lock", b"4711\n", 0o666, 2002)
    os.setxattr(root / "stale.lock", "user.why", b"nobody knows")
    _file(root / "replaced", b"a file before it is a link\n", 0o751, 2001)
    for release in ("1", "2"):
        _file(root / "releases" / release / "app", release.encode(), 0o755)
    (root / "current").symlink_to("releases/1")
    os.lchown(root / "current", 2001, 2001)
    _file(root / "old/deep/er/file", b"deep\n", 0o600, 2003)
    _file(root / "old/other", b"", 0o000)
    (root / "old/dangling").symlink_to("/nowhere")
    (root / "old/another").hardlink_to(root / "old/other")
    (root / "old/deep").chmod(0o2775)
    _file(root / "spool/in/mail", b"dear\n", 0o640, 2002)
    (root / "spool").chmod(0o1777)
    for number in range(3):
        _file(root / f"made/{number}.old", b"old\n", 0o640 + number)


def look(root):
    """Return {path below the root: everything about it but its times}."""
    found = {"": _one(Path(root))}
    for folder, below, plain in os.walk(root):
        for name in below + plain:
            path = Path(folder, name)
            found[str(path.relative_to(root))] = _one(path)
    return found


def _file(path, content, mode, owner=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.chown(path, owner, owner)
    path.chmod(mode)


def _acl(user):
    """Return an access ACL in which one more user may read."""
    entries = [(1, 6, -1), (2, 4, user), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


def _one(path):
    found = path.lstat()
    about = [oct(found.st_mode), found.st_uid, found.st_gid]
    if path.is_symlink():
        about.append(str(path.readlink()))
    elif path.is_file():
        about += [hashlib.sha256(path.read_bytes()).hexdigest(), found.st_size, found.st_nlink]
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return about + [[name, os.getxattr(path, name, follow_symlinks=False).hex()] for name in names]


if __name__ == "__main__":
    if sys.argv[1] == "build":
        build(sys.argv[2])
    print(json.dumps(look(sys.argv[2])))
