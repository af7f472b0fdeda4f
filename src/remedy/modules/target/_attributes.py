"""Owner, group and mode, as the file modules take them from their parameters."""

import errno
import os
import re
import stat

from remedy.agent import atomic
from remedy.agent.files import group_name, user_name
from remedy.agent.kinds import Failed, Param
from remedy.agent.paths import failed, native
from remedy.modules.target import _steady

OWNERSHIP = (
    Param("owner", help="name or number of the user the file shall belong to"),
    Param("group", help="name or number of the group the file shall belong to"),
)
MODE = Param("mode", "mode", help="permissions, such as '0644' or u=rw,go=r; as they are when not given")
UNSAFE = Param(
    "unsafe_writes", "bool", default=False, help="overwrite in place a file that cannot be replaced (a mount)"
)
ATTRIBUTES = OWNERSHIP + (MODE, UNSAFE)

_CLAUSE = r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)"
_STEP = r"([-+=])([rwxXst]*|[ugo])(?=[-+=]|$)"
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SPECIAL = {"u": ("s", stat.S_ISUID), "g": ("s", stat.S_ISGID), "o": ("t", stat.S_ISVTX)}


def mode_for(written, have, directory=False):
    """Return the mode ("0644") that a written one (octal or symbolic) means for what has the mode `have`."""
    if written is None:
        return have
    if isinstance(written, int):
        return "%04o" % written
    if written.isdigit():
        return "%04o" % int(written, 8)
    mode = int(have, 8)
    executable = directory or bool(mode & 0o111)
    for clause in written.split(","):
        found = re.match(_CLAUSE, clause)
        if found is None or found.end() != len(clause):
            raise Failed("'%s' is not a mode; expected '0644' or u=rw,g=r,o=r" % written)
        for step in re.finditer(_STEP, found.group(2)):
            mode = _step(mode, found.group(1), step.group(1), step.group(2), executable)
    return "%04o" % mode


def _step(mode, who, sign, what, executable):
    people = "ugo" if who == "" or "a" in who else who
    change = 0
    reach = 0
    for person in people:
        if what in _SHIFT:
            bits = mode >> _SHIFT[what] & 7
        else:
            bits = sum(_BITS[letter] for letter in set(what) & set("rwx"))
            bits |= 1 if "X" in what and executable else 0
            change |= _SPECIAL[person][1] if _SPECIAL[person][0] in what else 0
        change |= bits << _SHIFT[person]
        reach |= 7 << _SHIFT[person] | _SPECIAL[person][1]
    if not who:
        change &= ~atomic.umask() | 0o7000
    if sign == "+":
        return mode | change
    if sign == "-":
        return mode & ~change
    return mode & ~reach | change


def new_state(files, path, kind):
    """Return the state that a file or directory made at a path would have."""
    above = files.stat(os.path.dirname(path)) or {}
    setgid = bool(int(above.get("mode", "0"), 8) & stat.S_ISGID)
    gid = above["gid"] if setgid else os.getegid()
    mode = (0o777 if kind == "directory" else 0o666) & ~atomic.umask()
    if kind == "directory" and setgid:
        mode |= stat.S_ISGID
    uid = os.geteuid()
    return {
        "type": kind,
        "mode": "%04o" % mode,
        "uid": uid,
        "gid": gid,
        "owner": user_name(uid),
        "group": group_name(gid),
    }


def with_attributes(files, state, params, mode=None):
    """Return a state with the owner, group and mode that the parameters ask for."""
    state = dict(state)
    uid = files.uid(params.get("owner"))
    gid = files.gid(params.get("group"))
    if uid is not None:
        state.update(uid=uid, owner=user_name(uid))
    if gid is not None:
        state.update(gid=gid, group=group_name(gid))
    written = params.get("mode") if mode is None else mode
    if written not in (None, "preserve") and state["type"] != "link":
        state["mode"] = mode_for(written, state["mode"], state["type"] == "directory")
    return state


def looked_after(state):
    """Return what of a state the attributes are: what a module compares, without what changes by itself."""
    names = ("type", "mode", "uid", "gid", "owner", "group")
    return {name: state[name] for name in names if name in state}


def set_attributes(path, want):
    """Give what is at a canonical path the owner, group and mode of a state; raises Failed."""
    try:
        folder, name = _steady.hold(path)
        try:
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if (now.st_uid, now.st_gid) != (want["uid"], want["gid"]):
                os.chown(name, want["uid"], want["gid"], dir_fd=folder, follow_symlinks=False)
                now = os.stat(
                    name, dir_fd=folder, follow_symlinks=False
                )  # setuid may have gone with the owner
            if not stat.S_ISLNK(now.st_mode) and stat.S_IMODE(now.st_mode) != int(want["mode"], 8):
                _steady.set_mode(folder, name, int(want["mode"], 8))
        finally:
            os.close(folder)
    except OSError as error:
        raise failed(error, "set owner and mode of", path)


def check_folder(files, path):
    """Raise Failed where something new at a path would have no folder to be in."""
    folder = os.path.dirname(path)
    above = files.stat(folder)
    if above is None:
        raise Failed(
            "the folder %s does not exist; make it first (file: state=directory)" % folder, path=path
        )
    if above["type"] != "directory":
        raise Failed("%s is a %s, not a folder; choose another path" % (folder, above["type"]), path=path)


def missing_folders(files, path):
    """Return the folders above a path that do not exist, the outermost first."""
    missing = []
    folder = os.path.dirname(path)
    while folder != "/" and files.stat(folder) is None:
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    return missing


def make_folder(path, want):
    """Make a folder with the attributes of a state; one that is there already is left alone."""
    try:
        os.mkdir(native(path))
    except OSError as error:
        if error.errno == errno.EEXIST:
            return
        raise failed(error, "make the directory", path)
    set_attributes(path, want)
