"""What stat and find say about a file."""

import grp
import os
import pwd
import stat

from remedy.agent.paths import native, text

TYPES = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "link": stat.S_IFLNK,
    "socket": stat.S_IFSOCK,
    "fifo": stat.S_IFIFO,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}
_KINDS = (
    ("isdir", stat.S_ISDIR),
    ("ischr", stat.S_ISCHR),
    ("isblk", stat.S_ISBLK),
    ("isreg", stat.S_ISREG),
    ("isfifo", stat.S_ISFIFO),
    ("islnk", stat.S_ISLNK),
    ("issock", stat.S_ISSOCK),
)
_PERMISSIONS = tuple(
    (letter + who, getattr(stat, "S_I%s%s" % (letter.upper(), short)))
    for who, short in (("usr", "USR"), ("grp", "GRP"), ("oth", "OTH"))
    for letter in "rwx"
)


def from_mode(mode):
    """Return the fields that the type and mode bits give: mode, isdir..., rusr..., isuid, isgid."""
    fields = {"mode": "%04o" % stat.S_IMODE(mode)}
    fields.update((name, is_kind(mode)) for name, is_kind in _KINDS)
    fields.update((name, bool(mode & bit)) for name, bit in _PERMISSIONS)
    fields.update(isuid=bool(mode & stat.S_ISUID), isgid=bool(mode & stat.S_ISGID))
    return fields


def from_stat(found):
    """Return the fields of an os.stat_result that stat and find share; times are seconds since the epoch."""
    fields = from_mode(found.st_mode)
    fields.update(
        uid=found.st_uid,
        gid=found.st_gid,
        size=found.st_size,
        inode=found.st_ino,
        dev=found.st_dev,
        nlink=found.st_nlink,
        atime=found.st_atime,
        mtime=found.st_mtime,
        ctime=found.st_ctime,
    )
    fields.update(names(found.st_uid, found.st_gid))
    return fields


def names(uid, gid):
    """Return pw_name and gr_name, without those that are not known."""
    found = {}
    try:
        found["pw_name"] = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        pass
    try:
        found["gr_name"] = grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        pass
    return found


def access(path):
    """Return readable, writeable and executable, for the identity that asks."""
    name = native(path)
    return {
        "readable": os.access(name, os.R_OK),
        "writeable": os.access(name, os.W_OK),
        "executable": os.access(name, os.X_OK),
    }


def link(path):
    """Return lnk_source, where the link leads in the end, and lnk_target, what it says."""
    name = native(path)
    return {"lnk_source": text(os.path.realpath(name)), "lnk_target": text(os.readlink(name))}
