"""The host's files: how they are now, how check mode expects them to be, and the one way to write one."""

import errno
import grp
import os
import pwd
import stat

from remedy.agent import atomic
from remedy.agent.kinds import Failed, Unknown
from remedy.agent.paths import failed, native, text

CHUNK = 256 << 10
_HOPS = 40
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


def digest(chunks, algorithm="sha1"):
    """Return the hex digest of an iterable of bytes."""
    made = hasher(algorithm)
    for chunk in chunks:
        made.update(chunk)
    return made.hexdigest()


def hasher(algorithm):
    """Return an object with update and hexdigest; raises ValueError for an algorithm Python does not know."""
    # hashlib maps OpenSSL into memory: 3.5 MB on a host that may have none to spare
    for module in {"sha1": ("_sha1",), "sha256": ("_sha2", "_sha256"), "md5": ("_md5",)}.get(algorithm, ()):
        try:
            return getattr(__import__(module), algorithm)()
        except (ImportError, AttributeError):
            pass
    import hashlib

    return hashlib.new(algorithm)


def user_name(uid):
    """Return a user's name, or the number as text."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def group_name(gid):
    """Return a group's name, or the number as text."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def describe(found, target=None):
    """Return a stat as plain data: type, mode ("0644"), uid, gid, owner, group, size, a link's target."""
    state = {
        "type": _TYPES.get(stat.S_IFMT(found.st_mode), "file"),
        "mode": "%04o" % stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "owner": user_name(found.st_uid),
        "group": group_name(found.st_gid),
        "size": found.st_size,
    }
    if target is not None:
        state["target"] = target
    return state


class Files(object):
    """The files of a host as a task sees them: in check mode with what earlier tasks would have done.

    Paths are absolute text. A state is None (absent) or what `describe` returns. Outside of check mode only what
    is on disk counts, whatever a check pass before has predicted.
    """

    def __init__(self, host):
        self._host = host
        self._predicted = {}  # canonical path: {"state", "content", "fresh"}

    def path(self, written):
        """Return the absolute path for what a user wrote: ~ and $NAME resolved, no trailing slash."""
        return text(os.path.abspath(os.path.expanduser(os.path.expandvars(native(written)))))

    def real(self, path, follow=True):
        """Return the canonical path: no link in its folders, and with `follow` none at its end."""
        done = "/"
        waiting = [part for part in reversed(path.split("/")) if part]
        hops = 0
        while waiting:
            part = waiting.pop()
            if part in (".", ".."):
                done = done if part == "." else os.path.dirname(done)
                continue
            here = os.path.join(done, part)
            target = self._target(here) if waiting or follow else None
            if target is None:
                done = here
                continue
            hops += 1
            if hops > _HOPS:
                raise Failed("cannot resolve %s: too many symbolic links, perhaps in a circle" % path)
            done = "/" if target.startswith("/") else done
            waiting.extend(piece for piece in reversed(target.split("/")) if piece)
        return done

    def _target(self, path):
        if self.predicted(path):
            return (self._predicted[path]["state"] or {}).get("target")
        try:
            return text(os.readlink(native(path)))
        except OSError:
            return None

    def lstat(self, path):
        """Return the state of what is at a path, a link being a link; raises Failed if it cannot be seen."""
        return self._state(self.real(path, follow=False))

    def stat(self, path):
        """Return the state of what a path leads to; None also for a link that leads nowhere."""
        return self._state(self.real(path))

    def _state(self, path):
        if self.predicted(path):
            return self._predicted[path]["state"]
        if self._hidden(path):
            return None
        name = native(path)
        try:
            found = os.lstat(name)
            target = text(os.readlink(name)) if stat.S_ISLNK(found.st_mode) else None
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise failed(error, "look at", path)
        return describe(found, target)

    def _hidden(self, path):
        """Say whether what is on disk at a path counts for nothing, by a prediction about a folder above."""
        folder = os.path.dirname(path) if self._predicted and self._host.check else "/"
        while folder != "/":
            above = self._predicted.get(folder)
            if above is not None and (above["fresh"] or (above["state"] or {}).get("type") != "directory"):
                return True
            folder = os.path.dirname(folder)
        return False

    def sha1(self, path):
        """Return the hex SHA-1 of a file's content, None where there is no file."""
        state = self.stat(path)
        if state is None or state["type"] != "file":
            return None
        if "sha1" in state:
            return state["sha1"]
        return digest(self.chunks(path))

    def read(self, path):
        """Return a file's content; raises Failed."""
        return b"".join(self.chunks(path))

    def chunks(self, path):
        """Yield a file's content piece by piece; raises Failed."""
        real = self.real(path)
        content = self._predicted[real]["content"] if self.predicted(real) else None
        if content is not None:
            return iter([content]) if isinstance(content, bytes) else self._host.content(content)
        return _disk(path)

    def predict(self, path, state, content=None):
        """Tell the tasks that follow in check mode what would be at a path.

        `content` is bytes, or the id of a source; without it a file keeps the content it had.
        """
        path = self.real(path, follow=False)
        before = self._predicted.get(path)
        fresh = before is not None and (before["state"] is None or before["fresh"])
        if state is None:
            inside = path + "/"
            self._predicted = {p: kept for p, kept in self._predicted.items() if not p.startswith(inside)}
        elif content is None and before is not None and state.get("type") == "file":
            content = before["content"]
        if state is not None:
            state = dict({"size": 0}, **state)
        self._predicted[path] = {"state": state, "content": content, "fresh": fresh}

    def predicted(self, path):
        """Say whether what is at a canonical path is a prediction."""
        return self._host.check and path in self._predicted

    def forget(self):
        """Drop all predictions: another check pass begins."""
        self._predicted = {}

    def predictions(self):
        """Return what was predicted, as a message can carry it."""
        return dict(self._predicted)

    def learn(self, predicted):
        """Take over what `predictions` returned elsewhere."""
        self._predicted.update(predicted)

    def uid(self, owner):
        """Return the number of a user given by name or number; raises Failed, in check mode Unknown."""
        return self._number(owner, "user", lambda name: pwd.getpwnam(name).pw_uid)

    def gid(self, group):
        """Return the number of a group given by name or number; raises Failed, in check mode Unknown."""
        return self._number(group, "group", lambda name: grp.getgrnam(name).gr_gid)

    def _number(self, given, what, find):
        if given is None or isinstance(given, int):
            return given
        if given.isdigit():
            return int(given)
        try:
            return find(given)
        except (KeyError, UnicodeError):
            if self._host.check:
                raise Unknown("the host has no %s '%s': an earlier task may make it" % (what, given))
            raise Failed("the host has no %s '%s'; create it first, or correct the name" % (what, given))

    def write(
        self,
        path,
        chunks,
        mode=None,
        owner=None,
        group=None,
        unsafe=False,
        follow=True,
        xattrs=None,
        proof=None,
    ):
        """Replace a file's content in one step: then it is the whole new one, or the old one byte for byte.

        What is not given (mode "0644", owner, group, xattrs) stays as the old file has it. `proof(path)` may
        look at the new file before it takes its place, and raise. `unsafe` overwrites in place where a file
        cannot be replaced. Raises Failed.
        """
        path = self.real(path, follow)
        atomic.write(path, chunks, mode, self.uid(owner), self.gid(group), xattrs, unsafe, proof)


def _disk(path):
    try:
        with open(native(path), "rb", buffering=0) as stream:
            while True:
                chunk = stream.read(CHUNK)
                if not chunk:
                    return
                yield chunk
    except OSError as error:
        raise failed(error, "read", path)
