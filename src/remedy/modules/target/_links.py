"""Symbolic and hard links, as `file` makes them."""

import os

from remedy.agent import atomic
from remedy.agent.kinds import Failed, Irreversible
from remedy.agent.paths import failed, native
from remedy.modules.target import _foreseen, _undo
from remedy.modules.target._attributes import (
    check_folder,
    looked_after,
    new_state,
    set_attributes,
    with_attributes,
)
from remedy.modules.target._inodes import Existing


class Link(Existing):
    """A symbolic link; with follow, the attributes asked for are those of what it leads to."""

    named = "dest"
    needs_folder = True

    def locate(self):
        return self.files.real(self.files.path(self.params["path"]), follow=False)

    def read(self):
        found = self.files.lstat(self.path)
        if found is None:
            return None
        state = {"type": found["type"]}
        if found["type"] == "link":
            state["target"] = found["target"]
        if self._asked() and not self.params["follow"]:
            state = dict(looked_after(found), **state)
        leads_to = self.files.stat(self.path) if self._asked() and self.params["follow"] else None
        if leads_to is not None:
            state["leads_to"] = looked_after(leads_to)
        return state

    def _asked(self):
        return any(self.params.get(name) is not None for name in ("owner", "group", "mode"))

    def wanted(self, have):
        src = self.params["src"]
        if src is None:
            if have is None or have["type"] != "link":
                raise Failed("%s is no link yet: a link needs src, what it leads to" % self.path)
            src = have["target"]
        leads = src if src.startswith("/") else os.path.join(os.path.dirname(self.path), src)
        there = self.files.stat(leads)
        if there is None and not self.params["force"]:
            raise Failed(
                "src %s does not exist; with force: true the link is made all the same" % leads,
                path=self.path,
                src=src,
            )
        if have is None and self.needs_folder:
            check_folder(self.files, self.path)
        elif have is not None and have["type"] != "link":
            self._check_replaced(have)
        want = {"type": "link", "target": src}
        if self._asked() and not self.params["follow"]:
            base = have if have is not None and have["type"] == "link" else None
            base = base or dict(new_state(self.files, self.path, "file"), type="link", mode="0777")
            want = dict(with_attributes(self.files, base, self.params), target=src)
        elif self._asked() and there is not None:
            want["leads_to"] = with_attributes(self.files, looked_after(there), self.params)
        elif self._asked():
            self.host.warn("%s leads nowhere: nothing there to give owner, group or mode to" % self.path)
        return want

    def _check_replaced(self, have):
        if not self.params["force"]:
            raise Failed(
                "%s is there already, as a %s; with force: true a link takes its place"
                % (self.path, have["type"]),
                path=self.path,
            )
        if have["type"] == "directory" and _foreseen.names(self.host, self.path):
            raise Failed("the folder %s is not empty, so no link takes its place" % self.path, path=self.path)

    def keep(self, have):
        kept = _undo.keep(self.files, self.path, have)
        src = self.params["src"] or (have or {}).get("target", "")
        return _with_leads(self.files, kept, os.path.join(os.path.dirname(self.path), src), self._asked())

    def undo(self, kept):
        _undo.restore(self.files, kept)
        _undo_leads(kept)

    def write(self, have, want):
        if have is not None and have["type"] == "directory":
            try:
                os.rmdir(native(self.path))
            except OSError as error:
                raise failed(error, "remove the folder", self.path)
            have = None
        if have is None or have["type"] != "link" or have["target"] != want["target"]:
            _undo.make_link(self.path, want["target"], want.get("uid", -1), want.get("gid", -1))
        elif "uid" in want:
            set_attributes(self.path, want)
        if "leads_to" in want:
            set_attributes(self.files.real(self.path), want["leads_to"])

    def predict(self, have, want):
        state = dict(new_state(self.files, self.path, "file"), mode="0777", size=len(native(want["target"])))
        state.update({name: value for name, value in want.items() if name != "leads_to"})
        self.files.predict(self.path, state)
        there = self.files.stat(self.path)
        if "leads_to" in want and there is not None:
            self.files.predict(self.files.real(self.path), dict(there, **want["leads_to"]))

    def returns(self, have, now):
        src = self.params["src"] or (now or {}).get("target")
        return dict(Existing.returns(self, have, now), src=src)


class Hard(Existing):
    """A further name of a file. Its state says whether it is one: "linked"."""

    named = "dest"

    def locate(self):
        path = self.files.path(self.params["path"])
        if (self.files.stat(path) or {}).get("type") == "directory":
            path = os.path.join(path, os.path.basename(self.params["src"]))
        return self.files.real(path, follow=False)

    @property
    def src(self):
        return self.files.real(self.files.path(self.params["src"]))

    def read(self):
        state = Existing.read(self)
        if state is not None:
            state["linked"] = self._linked()
        return state

    def _linked(self):
        if self.path == self.src:
            return True
        if self.files.predicted(self.path):
            return (self.files.lstat(self.path) or {}).get("hard") == self.src
        try:
            return os.path.samestat(os.lstat(native(self.path)), os.lstat(native(self.src)))
        except OSError:
            return False

    def wanted(self, have):
        there = self.files.stat(self.src)
        if there is None:
            raise Failed("src %s does not exist; a hard link needs it" % self.src, path=self.path)
        if have is None:
            check_folder(self.files, self.path)
        elif not have["linked"] and not self.params["force"]:
            raise Failed(
                "%s is there already, as another %s; with force: true the link takes its place"
                % (self.path, have["type"]),
                path=self.path,
            )
        if have is not None and have["type"] == "directory":
            raise Failed("%s is a folder; choose another path for the link" % self.path, path=self.path)
        return dict(self.dressed(looked_after(there)), linked=True)

    def keep(self, have):
        # another name of the file shares what it holds: only its attributes need to be kept
        kept = _undo.keep(self.files, self.path, have, content=have is None or not have["linked"])
        return _with_leads(self.files, kept, self.src, True)

    def undo(self, kept):
        if (kept["state"] or {}).get("linked"):
            self.write(self.read(), kept["state"])
        else:
            _undo.restore(self.files, kept)
        _undo_leads(kept)

    def write(self, have, want):
        if have is None or not have["linked"]:
            try:
                atomic.place(self.path, lambda beside: os.link(native(self.src), beside))
            except OSError as error:
                raise failed(error, "make the link", self.path)
        set_attributes(self.path, want)

    def predict(self, have, want):
        there = self.files.stat(self.src)
        plain = {name: value for name, value in want.items() if name != "linked"}
        plain["hard"] = self.src
        self.files.predict(self.path, dict(there, **plain), self.files.read(self.src))

    def returns(self, have, now):
        return dict(Existing.returns(self, have, now), src=self.params["src"], state="hard")


def _with_leads(files, kept, path, asked):
    """Keep the attributes of what a link leads to as well: they are changed through it."""
    there = files.stat(path) if asked else None
    if there is None or isinstance(kept, Irreversible):
        return kept
    return dict(kept, leads_to=[files.real(path), looked_after(there)])


def _undo_leads(kept):
    if "leads_to" in kept:
        path, state = kept["leads_to"]
        set_attributes(path, state)
