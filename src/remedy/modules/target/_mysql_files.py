"""What a controller module must know of MySQL's files on the host: its option files, its binary logs, its disk.

Read from the files themselves, because on a full disk the server does not answer: SHOW BINARY LOGS hangs there.
"""

import os
import time

from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.target import _mounts, _mysql_options

_LARGEST = 1 << 20  # bytes of an option file or an index that are read

PARAMS = (
    Param("option_files", "list", elements="str", help="Option files to read; a missing one is left out."),
    Param("index", "path", help="The index of the binary logs; None: they are not asked for."),
    Param("datadir", "path", help="What relative names in the index start from."),
    Param("port", "int", help="Tell in `places` where that server of this host takes connections which listens there."),
    Param("reached", help="Where its server was reached: else than by a process of this host its files are elsewhere."),
)


def kind(params):
    return MysqlFiles


class MysqlFiles(Probe):
    def read(self):
        found = {"options": {}, "now": time.time()}
        for written in self.params["option_files"] or ():
            path = os.path.expanduser(written)
            if os.path.isfile(path):
                found["options"][path] = _text(path)
        if self.params.get("port"):
            found["places"] = _mysql_options.places(self.params["port"])
        if self.params["index"]:
            found.update(self._binlogs())
        return found

    def _binlogs(self):
        index = self.params["index"]
        elsewhere = _mysql_options.elsewhere(self.params["datadir"], self.params.get("reached"))
        if elsewhere is not None:
            raise Failed(
                "%s, so its binary logs are not the files in %s: play on its own host"
                % (elsewhere, self.params["datadir"])
            )
        try:
            names = _text(index).split("\n")
        except FileNotFoundError:
            raise Failed(
                "there is no %s on this host, though its server says so: does the server run on another host?"
                % index
            )
        except PermissionError:
            raise Failed(
                "%s cannot be read by uid %d; add become: true" % (index, os.geteuid()), cause="permission"
            )
        found = []
        for name in names:
            if name:
                path = os.path.normpath(os.path.join(self.params["datadir"] or os.path.dirname(index), name))
                about = _about(path)
                found.append(
                    {
                        "name": os.path.basename(path),
                        "path": path,
                        "size": about.st_blocks * 512 if about else 0,
                        "length": about.st_size if about else 0,
                        "mtime": about.st_mtime if about else None,
                    }
                )
        return {"binlogs": found, "disk": self._disk(os.path.dirname(os.path.realpath(index)))}

    def _disk(self, folder):
        """Return the room as the server's user has it, and what only root may use."""
        room = os.statvfs(folder)
        mount = _mounts.holding(_mounts.mounts(), folder) or {}
        return {
            "folder": folder,
            "mount": mount.get("mount"),
            "device": mount.get("source"),
            "type": mount.get("type"),
            "free": room.f_bavail * room.f_frsize,
            "size": room.f_blocks * room.f_frsize,
        }


def _about(path):
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _text(path):
    with open(path, "rb") as file:
        return file.read(_LARGEST).decode("utf-8", "surrogateescape")
