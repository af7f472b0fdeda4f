"""Tell how old and how large the newest backup is that a pattern finds.

It is judged by name, age and size alone, whoever made it; whether it can be restored tell mysql_backup_info and
postgresql_backup_info. A folder (a snapshot) counts as a backup, with all that is in it. Manifests beside files
(FILE.json) do not. Returns `newest` (path, made, age: seconds, size; None: there is none), `count`, `total`
(bytes of files) and `trouble`: what is wrong in words, None: nothing.
"""

import glob
import os
import stat
import time

from remedy.agent.kinds import REQUIRED, Failed, Param, Probe
from remedy.agent.paths import native
from remedy.modules.target._backups import span

PARAMS = (
    Param(
        "path",
        "path",
        default=REQUIRED,
        help="A shell pattern: /var/backups/shop/*.sql.gz; ** goes through folders.",
    ),
    Param("max_age", "duration", default=26 * 3600, help="How old the newest may be."),
    Param("min_size", "size", default=1, help="How large it must be."),
    Param("timeout", "duration", default=30, help="How long its file system may take to answer."),
)

EXAMPLES = """
- backup_age: {path: /var/backups/mysql/shop-*.sql.gz, max_age: 26h, min_size: 10M}
  register: backup
"""


def check_params(params):
    if not params["path"].startswith("/"):
        return "path must be absolute"
    return None


def kind(params):
    return Age


class Age(Probe):
    deadline = 300

    def read(self):
        try:
            found = self.host.in_child(lambda: _found(self.params["path"]), self.params["timeout"])
        except Failed as failed:
            if failed.cause != "timeout":
                raise
            why = "%s did not answer within %g s" % (self.params["path"], self.params["timeout"])
            return {"newest": None, "count": 0, "total": 0, "trouble": why}
        newest = None
        if found["newest"]:
            path, made, size = found["newest"]
            newest = {"path": path, "made": made, "age": max(0.0, round(time.time() - made, 1)), "size": size}
        return {
            "newest": newest,
            "count": found["count"],
            "total": found["total"],
            "trouble": self._trouble(newest),
        }

    def _trouble(self, newest):
        if newest is None:
            return "there is none"
        if newest["age"] > self.params["max_age"]:
            return "the newest is %s old; it may be %s" % (span(newest["age"]), span(self.params["max_age"]))
        if newest["size"] < self.params["min_size"]:
            return "the newest holds %d bytes, less than %d" % (newest["size"], self.params["min_size"])
        return None


def _found(pattern):
    """Return {newest: [path, mtime, size], count, total}; runs in a process of its own."""
    newest, count, total = None, 0, 0
    for path in glob.iglob(pattern, recursive=True):
        try:
            about = os.stat(native(path))
        except OSError:
            continue  # it went meanwhile, or is a link that leads nowhere
        folder = stat.S_ISDIR(about.st_mode)
        if not folder and (not stat.S_ISREG(about.st_mode) or _beside(path)):
            continue
        count += 1
        total += 0 if folder else about.st_size
        if newest is None or about.st_mtime > newest[1]:
            newest = [path, about.st_mtime, None if folder else about.st_size]
    if newest is not None and newest[2] is None:
        newest[2] = _inside(newest[0])
    return {"newest": newest, "count": count, "total": total}


def _beside(path):
    """Say whether it is the manifest of a backup beside it."""
    return path.endswith(".json") and os.path.isfile(native(path[: -len(".json")]))


def _inside(folder):
    """Return how many bytes the files below a folder hold."""
    size = 0
    for top, _, names in os.walk(native(folder)):
        for name in names:
            try:
                size += os.lstat(os.path.join(top, name)).st_size
            except OSError:
                continue
    return size
