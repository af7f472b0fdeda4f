"""A copy of a file or folder of the same host (`copy` with remote_src)."""

import os

from remedy.agent.kinds import Failed, Irreversible, Resource
from remedy.agent.paths import failed, text
from remedy.modules.target import _foreseen, _undo
from remedy.modules.target._content import Content
from remedy.modules.target._inodes import Directory
from remedy.modules.target._links import Link
from remedy.modules.target._sent import check_sum, destination


class HostFile(Content):
    """A file made from another one of the same host."""

    def __init__(self, params, host, src, path):
        Content.__init__(self, params, host)
        self.src = src
        self._path = path

    def new(self, have):
        if have is not None and not self.params["force"]:
            self.why_not = "it is there, and force is false"
            return None
        sha1 = self.files.sha1(self.src)
        check_sum(self.params, sha1)
        return sha1, self.files.stat(self.src)["size"]

    def chunks(self, want):
        return self.files.chunks(self.src)

    def origin(self, want):
        return self.files.read(self.src)


class HostCopy(Resource):
    """A file, or a folder as {path below: state of each thing in it}; what else is in the folder stays."""

    deadline = 600

    def __init__(self, params, host):
        Resource.__init__(self, params, host)
        self.files = host.files
        self._parts = None

    @property
    def parts(self):
        """What is copied, as {path below: Resource}; of a file the path is empty."""
        if self._parts is None:
            self._parts = dict(self._find())
        return self._parts

    @property
    def single(self):
        return self.parts[""] if isinstance(self.parts[""], HostFile) else None

    def _find(self):
        src = self.files.path(self.params["src"])
        found = self.files.stat(src)
        if found is None:
            raise Failed("src %s does not exist on the host; with remote_src it must" % src, src=src)
        if found["type"] == "file":
            path = destination(self.files, self.params["dest"], os.path.basename(src), self.params["follow"])
            yield "", self._file(src, path, found, self.params["dest"].endswith("/"))
            return
        if found["type"] != "directory":
            raise Failed("src %s is a %s; only files and folders are copied" % (src, found["type"]), src=src)
        root = self.files.path(self.params["dest"])
        if not self.params["src"].endswith("/"):
            root = os.path.join(root, os.path.basename(src))
        real = self.files.real(src)
        if self.files.real(root).startswith(real + "/"):
            raise Failed("dest %s is within src %s; copy it elsewhere" % (root, src), src=src)
        yield "", self._folder(root, found)
        waiting = [""]
        while waiting:
            folder = waiting.pop(0)
            for name in self._names(os.path.join(real, folder) if folder else real):
                below = os.path.join(folder, text(name))
                here = os.path.join(real, below)
                there = os.path.join(root, below)
                state = self.files.lstat(here)
                if state["type"] == "link" and self.params["local_follow"] and self._is_file(here):
                    state = self.files.stat(here)
                if state["type"] == "directory":
                    waiting.append(below)
                    yield below, self._folder(there, state)
                elif state["type"] == "link":
                    yield below, self._link(there, state)
                elif state["type"] == "file":
                    yield below, self._file(here, self.files.real(there, self.params["follow"]), state)
                else:
                    self.host.warn("%s is a %s, and not copied" % (here, state["type"]))

    def _names(self, folder):
        try:
            return _foreseen.names(self.host, folder)
        except OSError as error:
            raise failed(error, "list", folder)

    def _is_file(self, path):
        return (self.files.stat(path) or {}).get("type") == "file"

    def _file(self, src, path, found, makes_folders=True):
        mode = found["mode"] if self.params["mode"] == "preserve" else self.params["mode"]
        part = HostFile(dict(self.params, mode=mode), self.host, src, path)
        part.makes_folders = makes_folders
        return part

    def _folder(self, path, found):
        mode = self.params["directory_mode"]
        if mode == "preserve" or (mode is None and self.params["mode"] == "preserve"):
            mode = found["mode"]
        return Directory(dict(self.params, path=path, mode=mode, follow=True), self.host)

    def _link(self, path, found):
        params = dict(self.params, path=path, src=found["target"], mode=None, follow=False, force=True)
        link = Link(params, self.host)
        link.needs_folder = False  # it comes with the copy
        return link

    def key(self):
        return self.parts[""].key()

    def read(self):
        if self.single is not None:
            return self.single.read()
        have = {name: part.read() for name, part in self.parts.items()}
        return have if have[""] is not None else None

    def wanted(self, have):
        if self.single is not None:
            return self.single.wanted(have)
        return {name: part.wanted((have or {}).get(name)) for name, part in self.parts.items()}

    def keep(self, have):
        if self.single is not None:
            return self.single.keep(have)
        kept = []
        left = _undo.LIMIT
        undoing = self.wanted(have) == have
        for name, part in self.parts.items():
            before = (have or {}).get(name)
            if part.wanted(before) == before and not undoing:
                continue
            one = part.keep(before)
            if isinstance(one, Irreversible):
                return Irreversible("%s: %s" % (part.path, one.reason))
            left -= sum(len(entry.get("content", b"")) for entry in one["entries"])
            if left < 0:
                return Irreversible("content larger than 1 MiB")
            kept.append([name, one])
        return {"state": have, "parts": kept}

    def undo(self, kept):
        if "parts" not in kept:
            _undo.restore(self.files, kept)
            return
        for name, one in reversed(kept["parts"]):
            part = self.parts.get(name)
            if part is None:
                _undo.restore(self.files, one)
            else:
                part.undo(one)

    def write(self, have, want):
        if self.single is not None:
            self.single.write(have, want)
            return
        for name, part in self.parts.items():
            before = (have or {}).get(name)
            if want[name] != before:
                part.write(before, want[name])

    def diff(self, have, want):
        return self.single.diff(have, want) if self.single is not None else None

    def why(self, have):
        return self.single.why(have) if self.single is not None else Resource.why(self, have)

    def predict(self, have, want):
        if self.single is not None:
            self.single.predict(have, want)
            return
        for name, part in self.parts.items():
            before = (have or {}).get(name)
            if want[name] != before:
                part.predict(before, want[name])

    def returns(self, have, now):
        if self.single is not None:
            result = self.single.returns(have, now)
        else:
            result = self.parts[""].returns((have or {}).get(""), (now or {}).get(""))
            result["dest"] = result.pop("path")
        return dict(result, src=self.params["src"])
