"""What copy, template and lineinfile share: one file with its content, owner, group and mode."""

import os
import time

from remedy.agent import atomic
from remedy.agent.files import digest, hasher
from remedy.agent.kinds import Failed, Param, Unknown
from remedy.agent.paths import native
from remedy.modules.target import _undo
from remedy.modules.target._at_path import AtPath
from remedy.modules.target._attributes import (
    looked_after,
    make_folder,
    missing_folders,
    new_state,
    set_attributes,
    with_attributes,
)

DIFF_LIMIT = 100 << 10

BACKUP = Param(
    "backup", "bool", default=False, help="keep the old file beside the new one, with the time in its name"
)
VALIDATE = Param(
    "validate", help="a command that must succeed on the new file before it is used; %s is its path"
)


class Content(AtPath):
    """One file. A subclass says where it is (`locate`) and what it shall hold (`new`, `chunks`).

    Its state is type, mode, uid, gid, owner, group, size and sha1.
    """

    deadline = 300
    makes_folders = False
    why_not = "already as wanted"

    def __init__(self, params, host):
        AtPath.__init__(self, params, host)
        self.backup_file = None

    def new(self, have):
        """Return (sha1, size) of the content that should be; None to leave the file alone."""
        raise NotImplementedError

    def chunks(self, want):
        """Return the wanted content, piece by piece."""
        raise NotImplementedError

    def origin(self, want):
        """Return the wanted content for check mode: bytes, or the id of a source."""
        raise NotImplementedError

    def read(self):
        found = self.files.lstat(self.path)
        if found is None:
            return None
        if found["type"] == "link":
            return dict(looked_after(found), target=found["target"])
        state = looked_after(found)
        if found["type"] == "file":
            state["size"] = found["size"]
            state["sha1"] = self.files.sha1(self.path)
        return state

    def wanted(self, have):
        if have is not None and have["type"] not in ("file", "link"):
            raise Failed("%s is a %s, not a file; choose another path" % (self.path, have["type"]))
        new = self.new(have)
        if new is None:
            return have
        base = have
        if have is None or have["type"] != "file":
            self._check_folder()
            base = new_state(self.files, self.path, "file")
        return dict(with_attributes(self.files, base, self.params), sha1=new[0], size=new[1])

    def _check_folder(self):
        folder = os.path.dirname(self.path)
        above = self.files.stat(folder)
        if above is None and not self.makes_folders:
            raise Failed(
                "the folder %s does not exist; make it first (file: state=directory)" % folder, dest=self.path
            )
        if above is None:
            folder = os.path.dirname(missing_folders(self.files, self.path)[0])
            above = self.files.stat(folder)
        if above is not None and above["type"] != "directory":
            raise Failed("%s is a %s, not a folder; choose another path" % (folder, above["type"]))

    def keep(self, have):
        return _undo.keep(self.files, self.path, have, content=not self._only_attributes(have))

    def _only_attributes(self, have):
        try:
            want = self.wanted(have)
        except (Failed, Unknown):  # asked before an undo, when what was wanted counts no more
            return False
        return have is not None and want != have and have.get("sha1") == want["sha1"]

    def write(self, have, want):
        if want == have or want is None:
            return
        if have is not None and have.get("sha1") == want["sha1"]:
            set_attributes(self.path, want)
            return
        for folder in missing_folders(self.files, self.path):
            make_folder(folder, self._folder_state(folder))
        if have is not None and self.params.get("backup"):
            self._back_up()
        self.files.write(
            self.path,
            self._checked(want),
            mode=want["mode"],
            owner=want["uid"],
            group=want["gid"],
            unsafe=self.params.get("unsafe_writes", False),
            follow=False,
            proof=self._validate if self.params.get("validate") else None,
        )

    def _folder_state(self, folder):
        params = dict(self.params, mode=self.params.get("directory_mode"))
        return with_attributes(self.files, new_state(self.files, folder, "directory"), params)

    def _checked(self, want):
        """Yield the content; at its end raise where it is not what was promised: then the old file stands."""
        seen = hasher("sha1")
        for chunk in self.chunks(want):
            seen.update(chunk)
            yield chunk
        if seen.hexdigest() != want["sha1"]:
            raise Failed("the content for %s changed on its way; run the task again" % self.path)

    def _back_up(self):
        now = time.strftime("%Y-%m-%d@%H:%M:%S~", time.localtime())
        backup = "%s.%d.%s" % (self.path, os.getpid(), now)
        real = self.files.real(self.path)
        found = self.files.stat(real)
        if found is None or found["type"] != "file":
            return
        self.files.write(
            backup,
            self.files.chunks(real),
            found["mode"],
            found["uid"],
            found["gid"],
            xattrs=atomic.xattrs(native(real)),
        )
        self.backup_file = backup

    def _validate(self, path):
        import shlex

        command = self.params["validate"]
        if "%s" not in command:
            raise Failed("validate must hold %%s, the place of the new file's path: %s" % command)
        words = shlex.split(command.replace("%s", shlex.quote(path)))
        done = self.host.run(words[:1] + [native(word) for word in words[1:]], ok=None)
        if done.rc != 0:
            raise Failed(
                "validate refused the new content, %s is as it was" % self.path,
                exit_status=done.rc,
                stdout=done.stdout.decode("utf-8", "surrogateescape"),
                stderr=done.stderr.decode("utf-8", "surrogateescape"),
            )

    def diff(self, have, want):
        if want is not None and want["type"] != "file":
            return None  # an undo that brings back a link
        after = {"after": ""} if want is None else self.after(want)
        if after is None:
            return None
        made = {"before_header": self.path, "after_header": self.params.get("src") or self.path}
        before = b""
        if have is not None and have["type"] == "file":
            if have["size"] <= DIFF_LIMIT:
                before = self.files.read(self.path)
            made["before"] = shown(before, have["size"])
        else:
            made["before"] = "" if have is None else "(a link to %s)\n" % have["target"]
        same = have is not None and want is not None and have.get("sha1") == want["sha1"]
        made.update({"after": made["before"]} if same else after)
        return made

    def after(self, want):
        """Return what `diff` says about the wanted content, None where it is not at hand (an undo)."""
        content = self.origin(want)
        return {"after": shown(content, len(content))} if digest([content]) == want["sha1"] else None

    def predict(self, have, want):
        for folder in missing_folders(self.files, self.path):
            self.files.predict(folder, self._folder_state(folder))
        same = have is not None and have.get("sha1") == want["sha1"]
        self.files.predict(self.path, want, None if same else self.origin(want))

    def why(self, have):
        return self.why_not

    def returns(self, have, now):
        result = {"dest": self.path}
        if self.backup_file is not None:
            result["backup_file"] = self.backup_file
        if now is None:
            return result
        result["state"] = now["type"]
        for name in ("mode", "uid", "gid", "owner", "group", "size"):
            if name in now:
                result[name] = now[name]
        if "sha1" in now:
            result["checksum"] = now["sha1"]
        if have != now and now["type"] == "file" and not self.host.check:
            try:
                result["md5sum"] = digest(self.files.chunks(self.path), "md5")
            except ValueError:
                pass  # FIPS
        return result


def shown(content, size):
    """Return a file's content as text for a diff, or the reason why it is not shown."""
    if size > DIFF_LIMIT:
        return "(%d bytes: larger than 100 kB, not shown)\n" % size
    if b"\0" in content:
        return "(%d bytes of binary content, not shown)\n" % size
    return content.decode("utf-8", "replace")
