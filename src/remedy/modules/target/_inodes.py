"""Files and folders as `file` sees them: there or not, their owner, group, mode and times."""

import os

from remedy.agent.kinds import Failed, Irreversible
from remedy.agent.paths import failed, native, text
from remedy.modules.target import _foreseen, _undo
from remedy.modules.target._at_path import AtPath
from remedy.modules.target._attributes import (
    check_folder,
    looked_after,
    make_folder,
    missing_folders,
    new_state,
    set_attributes,
    with_attributes,
)

_TIMES = (("modification_time", "mtime"), ("access_time", "atime"))


class Existing(AtPath):
    """Whatever is at a path: its type, mode, uid, gid, owner, group, and the times that were asked for."""

    named = "path"
    default_time = "preserve"

    def __init__(self, params, host):
        AtPath.__init__(self, params, host)
        self.renewed = False

    def locate(self):
        return self.files.real(self.files.path(self.params["path"]), self.params.get("follow", True))

    def read(self):
        found = self.files.lstat(self.path)
        if found is None:
            return None
        state = looked_after(found)
        if "target" in found:
            state["target"] = found["target"]
        for name, time in self._times().items():
            if time != "now":
                state[name] = self._time(name)
        return state

    def wanted(self, have):
        if have is None:
            raise Failed("there is nothing at %s; say what to make with state" % self.path, path=self.path)
        return self.dressed(have)

    def dressed(self, state):
        """Return a state with the attributes and times asked for."""
        want = with_attributes(self.files, state, self.params)
        for name, time in self._times().items():
            if time != "now" or not self.renewed:
                want[name] = time
        return want

    def keep(self, have):
        kept = _undo.keep(self.files, self.path, have, content=False)
        if isinstance(kept, Irreversible) or have is None:
            return kept
        times = {name: have[name] for name in ("mtime", "atime") if name in have}
        return dict(kept, times=times) if times else kept

    def undo(self, kept):
        AtPath.undo(self, kept)
        if kept.get("times"):
            self._renew(kept["times"])

    def left(self, want):
        now = [name for _, name in _TIMES if want.get(name) == "now"]
        return {name: value for name, value in want.items() if name not in now}

    def write(self, have, want):
        if have is None:
            self.make(want)
        set_attributes(self.path, want)
        self._renew(want)

    def make(self, want):
        """Make what is missing."""
        raise NotImplementedError

    def predict(self, have, want):
        content = b"" if have is None and want["type"] == "file" else None
        plain = looked_after(want)
        if "target" in want:
            plain["target"] = want["target"]
        plain["size"] = (self.files.lstat(self.path) or {"size": 0})["size"]
        self.files.predict(self.path, plain, content)

    def returns(self, have, now):
        result = {self.named: self.path, "state": "absent" if now is None else now["type"]}
        for name in ("mode", "uid", "gid", "owner", "group"):
            if now is not None and name in now:
                result[name] = now[name]
        found = self.files.lstat(self.path)
        if found is not None:
            result["size"] = found["size"]
        return result

    def _times(self):
        """Return {"mtime": "now" or seconds, "atime": ...}, for those that shall change."""
        times = {}
        for param, name in _TIMES:
            written = self.params.get(param) or self.default_time
            if written != "preserve":
                times[name] = "now" if written == "now" else _moment(written, self.params[param + "_format"])
        return times

    def _time(self, name):
        try:
            return int(getattr(os.lstat(native(self.path)), "st_" + name))
        except OSError:
            return None  # predicted only

    def _renew(self, want):
        if "mtime" not in want and "atime" not in want:
            return
        import time

        now = time.time()
        try:
            found = os.lstat(native(self.path))
            both = [
                now if want.get(name) == "now" else want.get(name, getattr(found, "st_" + name))
                for name in ("atime", "mtime")
            ]
            os.utime(native(self.path), tuple(both), follow_symlinks=False)
        except OSError as error:
            raise failed(error, "set the times of", self.path)
        self.renewed = True


def _moment(written, form):
    import time

    try:
        return int(time.mktime(time.strptime(written, form)))
    except (ValueError, OverflowError):
        raise Failed(
            "'%s' is not a time in the format %s; expected such as 202601312359.00" % (written, form)
        )


class Plain(Existing):
    """A file, which must be there."""

    def wanted(self, have):
        what = "absent" if have is None else have["type"]
        if what != "file" and what != "link":
            raise Failed(
                "there is no file at %s, it is %s; state: touch makes one" % (self.path, what), path=self.path
            )
        return self.dressed(have)


class Touched(Existing):
    """A file that is there; times are renewed unless they are to be preserved."""

    named = "dest"
    default_time = "now"

    def wanted(self, have):
        if have is not None:
            return self.dressed(have)
        check_folder(self.files, self.path)
        return self.dressed(new_state(self.files, self.path, "file"))

    def make(self, want):
        self.files.write(self.path, [b""], follow=False)


class Directory(Existing):
    """A folder, made with its parents. With recurse the state has what in it is "unlike" the attributes."""

    deadline = 300

    def read(self):
        state = Existing.read(self)
        if state is not None and state["type"] == "directory" and self.params.get("recurse"):
            state["unlike"] = self._unlike()
        return state

    def wanted(self, have):
        if have is None:
            above = os.path.dirname((missing_folders(self.files, self.path) or [self.path])[0])
            if (self.files.stat(above) or {}).get("type") != "directory":
                raise Failed("cannot make %s: %s is not a folder" % (self.path, above), path=self.path)
            want = self.dressed(new_state(self.files, self.path, "directory"))
        elif have["type"] != "directory":
            raise Failed("%s is there already, as a %s" % (self.path, have["type"]), path=self.path)
        else:
            want = self.dressed(have)
        if self.params.get("recurse"):
            want["unlike"] = {}
        return want

    def keep(self, have):
        kept = Existing.keep(self, have)
        unlike = (have or {}).get("unlike")
        if isinstance(kept, Irreversible) or not unlike:
            return kept
        if len(unlike) > _undo.ENTRIES:
            return Irreversible("more than %d files below it" % _undo.ENTRIES)
        return dict(kept, unlike=unlike)

    def keep_undone(self, have, kept):
        again = Existing.keep_undone(self, have, kept)
        if isinstance(again, Irreversible) or not kept.get("unlike"):
            return again
        states = {name: self.files.lstat(os.path.join(self.path, name)) for name in kept["unlike"]}
        unlike = {name: looked_after(state) for name, state in states.items() if state is not None}
        return dict(again, unlike=unlike)

    def undo(self, kept):
        for name, state in sorted((kept.get("unlike") or {}).items()):
            path = os.path.join(self.path, name)
            if os.path.lexists(native(path)):  # what has gone since is nobody's loss
                set_attributes(path, state)
        Existing.undo(self, kept)

    def make(self, want):
        for folder in missing_folders(self.files, self.path):
            make_folder(folder, want)
        make_folder(self.path, want)

    def write(self, have, want):
        Existing.write(self, have, want)
        for name, state in sorted((have or {}).get("unlike", {}).items()):
            set_attributes(os.path.join(self.path, name), with_attributes(self.files, state, self.params))

    def predict(self, have, want):
        for folder in missing_folders(self.files, self.path):
            self.files.predict(folder, dict(looked_after(want), size=0))
        Existing.predict(self, have, want)
        for name in (have or {}).get("unlike", {}):
            path = os.path.join(self.path, name)
            self.files.predict(path, with_attributes(self.files, self.files.lstat(path), self.params))

    def _unlike(self):
        """Return {path below: state} of what does not have the attributes asked for."""
        found = {}
        waiting = [b""]
        root = native(self.path)
        while waiting:
            folder = waiting.pop()
            try:
                names = _foreseen.names(self.host, os.path.join(root, folder))
            except OSError as error:
                raise failed(error, "list", os.path.join(root, folder))
            for name in names:
                below = os.path.join(folder, name)
                path = os.path.join(root, below)
                state = self.files.lstat(text(path))
                if state is None:
                    continue
                plain = looked_after(state)
                if with_attributes(self.files, plain, self.params) != plain:
                    found[text(below)] = plain
                if state["type"] == "directory":
                    waiting.append(below)
        return found
