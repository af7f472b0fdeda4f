"""Tell which logs nobody rotates, which rules of logrotate fail, and what was rotated badly.

Looks at the files below `paths`, at logs (*.log) that a process writes elsewhere, and at what logrotate itself says
of its configuration (`logrotate -d`, which changes nothing). Returns:
`uncovered`: logs in use of at least `min_size`, or growing by `min_growth` a day, that logrotate does not look at
(path, size, growth: bytes a day, None: not known; owner, group, mode, writers, reopen: kind signal, command, each,
copytruncate or refused, with why, script, unit); `own`: the same for those whose service rotates them itself;
`failing`: errors of logrotate (file, log, text; mend: the directive that would help, su or missingok, None: it is for
a person); `due`: logs of at least `min_size` that logrotate would rotate if it ran now (path, size, rule);
`uncompressed`: rotated files that stay as they are, by log (log, rule, compresses: the rule says so; files,
bytes); `held`: rotated or deleted files that a process still writes (path, log, rule, deleted, size, writers, unit,
reopen, mendable: its rule lacks what its service needs); `containers`: Docker's whose log may grow without end and
is as large as `min_size` (container, path, size, driver); `runs`: what starts logrotate (by: timer, cron, None), how
long ago it ran (last: seconds, None: never), whether its service failed (failed); `available`: logrotate is
installed; `complete`: all files were looked at. Works only as root: nobody else sees who writes what.
"""

import os
import stat
import time

from remedy.agent.files import group_name, user_name
from remedy.agent.kinds import Failed, Param, Probe
from remedy.modules.target import (
    _docker_logs,
    _holders,
    _log_growth,
    _log_names,
    _log_rules,
    _log_writers,
    _mounts,
    _protected,
    _rotation,
)
from remedy.modules.target._systemd import Units, booted

PARAMS = (
    Param("paths", "list", default=("/var/log",), elements="path", help="Folders that hold logs."),
    Param("min_size", "size", default=50 << 20, help="A log of this size needs a rule."),
    Param("min_growth", "size", default=100 << 20, help="So does one that grows by so much a day; 0: none."),
    Param(
        "min_packed",
        "size",
        default=10 << 20,
        help="Rotated files of a log that take less may stay as they are.",
    ),
    Param(
        "active",
        "duration",
        default=7 * 86400,
        help="One that nobody has open is in use if it was written lately.",
    ),
    Param(
        "sample", "duration", default=2, help="How long to look at growth; 0: only since each file was made."
    ),
    Param("excludes", "list", elements="str", help="Shell patterns for names or full paths to leave alone."),
    _log_writers.SIGNALS,
    Param("config", "path", default=_rotation.MAIN, help="logrotate's main configuration."),
)

EXAMPLES = """
- log_rotation: {min_size: 100M, signals: {billing.service: HUP}}
  register: logs
"""

_TOPS = ("/", "//", "/var", "/var/lib", "/var/cache", "/var/spool", "/usr", "/etc", "/home")
_MOST = 50000  # files that are looked at
_STATES = ("/var/lib/logrotate/status", "/var/lib/logrotate/logrotate.status", "/var/lib/logrotate.status")


def check_params(params):
    if any(not path.startswith("/") for path in params["paths"]):
        return "paths must be absolute"
    for path in params["paths"]:
        if os.path.normpath(path) in _TOPS:
            return "path '%s' holds more than logs, and all that lies there would count as one: name its folder" % path
    for name in ("min_size", "min_growth", "min_packed"):
        if isinstance(params[name], int) and params[name] < 0:
            return "%s is 0 or more" % name
    if isinstance(params["sample"], (int, float)) and not 0 <= params["sample"] <= 60:
        return "sample is 0 to 60 seconds"
    return _log_writers.wrong_signals(params)


def kind(params):
    return LogRotation


class LogRotation(Probe):
    cost = "expensive"
    deadline = 180

    def read(self):
        if os.geteuid() != 0:
            raise Failed("only root sees who writes which log; add become: true", cause="permission")
        self._protected = _protected.Protected(_mounts.mounts())
        files, complete = self.host.in_child(self._files, 60)
        self._files_seen = {path: tuple(about) for path, about in files.items()}
        self._open()
        rules = self._rules()
        found = {
            "available": rules is not None,
            "complete": complete,
            "failing": rules[2] if rules else [],
            "runs": self._runs(),
        }
        self._parts, self._covered, _, due = rules or ([], {}, [], [])
        found["due"] = self._due(due)
        found["uncovered"], found["own"] = self._uncovered()
        found["uncompressed"] = self._uncompressed()
        found["held"] = self._held()
        found["containers"] = _docker_logs.unlimited(self.host, self.params["min_size"])
        return found

    def _files(self):
        """Return ({path: what _about tells of it} of the files below the paths, whether all were seen)."""
        found = {}
        for top in self.params["paths"]:
            for folder, folders, names in os.walk(os.path.realpath(top)):
                folders[:] = [
                    each for each in folders if not self._protected.folder(os.path.join(folder, each))
                ]
                for name in names:
                    if len(found) >= _MOST:
                        return found, False
                    about = _about(os.path.join(folder, name))
                    if about:
                        found[os.path.join(folder, name)] = about
        return found, True

    def _open(self):
        """Find who has logs open: those of the paths, and others by their name."""
        tops = tuple(os.path.realpath(top).rstrip("/") + "/" for top in self.params["paths"])
        held, _ = _holders.named(
            self.host, lambda name: name.startswith(tops) or _holders.named_by(name).endswith(".log")
        )
        self._writers, self._deleted = {}, {}
        by_inode = {tuple(about[:2]): path for path, about in self._files_seen.items()}
        for holder, numbers in held:
            if not holder.writes:
                continue
            if not numbers[2]:
                self._deleted.setdefault(numbers[:2], []).append((holder, numbers[3]))
                continue
            path = by_inode.get(numbers[:2])
            if path is None:
                about = _about(holder.target)
                if about is None or tuple(about[:2]) != numbers[:2] or self._kept(holder.target):
                    continue  # it lies in a container or another namespace, or is none of ours
                path = holder.target
                self._files_seen[path] = tuple(about)
                by_inode[numbers[:2]] = path
            self._writers.setdefault(path, []).append(holder)

    def _rules(self):
        """Return (parts, {log: Rule} that logrotate looks at, errors, logs due); None: there is no logrotate."""
        if not self.host.which("logrotate") or not os.path.exists(self.params["config"]):
            return None
        dry = _rotation.dry(self.host, self.params["config"])
        broken = []
        found = _rotation.read(self.host, self.params["config"], broken, dry)
        every = _rotation.covering(found)
        errors = [{"file": file, "log": None, "text": why, "mend": None} for file, why in broken]
        for each in dry.errors:
            rule = every.get(each["log"]) or next(
                (rule for rule in _rotation.rules(found) if each["log"] in rule.patterns), None
            )
            errors.append(dict(each, file=each["file"] or (rule.file if rule else None)))
        considered = set(dry.considered)
        return found, {path: rule for path, rule in every.items() if path in considered}, errors, dry.due

    def _due(self, due):
        found = []
        for path in due:
            size = self._files_seen[path][3] if path in self._files_seen else 0
            if path in self._covered and size >= self.params["min_size"] and not self._kept(path):
                found.append({"path": path, "size": size, "rule": self._covered[path].file})
        return found

    def _runs(self):
        last = None
        for path in _STATES:
            try:
                last = max(0, int(time.time() - os.stat(path).st_mtime))
                break
            except OSError:
                continue
        by, failed = None, False
        if booted():
            units = Units(self.host)
            failed = units.show("logrotate.service").get("ActiveState") == "failed"
            if units.show("logrotate.timer").get("ActiveState") == "active":
                by = "timer"
        if by is None and any(
            os.access("/etc/cron.%s/logrotate" % each, os.X_OK) for each in ("daily", "hourly")
        ):
            by = "cron"
        return {"by": by, "last": last, "failed": failed}

    def _kept(self, path):
        """Return why a file is no log to look at, else None."""
        if _log_names.record(path):
            return "a record with a program of its own"
        if _holders.matches(path, self.params["excludes"] or ()):
            return "left out"
        return _protected.refusal(path) or self._protected.folder(os.path.dirname(path))

    def _uncovered(self):
        now, candidates = time.time(), []
        for path, about in sorted(self._files_seen.items()):
            used = path in self._writers or now - about[4] <= self.params["active"]
            rotated = _log_names.log_of(path) is not None or _log_names.packed(path)
            if (
                not used
                or path in self._covered
                or (rotated and path not in self._writers)
                or self._kept(path)
            ):
                continue
            if rotated and (
                _log_names.log_of(path) in self._covered or os.path.exists(_log_names.log_of(path) or "")
            ):
                continue  # held after its rotation: told below
            candidates.append(path)
        small = {path for path in candidates if self._files_seen[path][3] < self.params["min_size"]}
        least = self.params["min_growth"]
        grown = _log_growth.growth(
            self.host, [path for path in candidates if least or path not in small], self.params["sample"]
        )
        uncovered, own = [], []
        for path in candidates:
            rate = grown.get(path)
            if path in small and not (least and rate is not None and rate >= least):
                continue
            each = self._told(path, self._writers.get(path, ()))
            each["growth"] = rate
            (own if each["reopen"]["kind"] == "own" else uncovered).append(each)
        return uncovered, own

    def _told(self, path, holders):
        about = self._files_seen[path]
        if _log_rules.unfit(path) or set(path) & set("*?["):
            way = _log_writers.Way("refused", "logrotate cannot take its name")
        elif about[8] > 1:
            way = _log_writers.Way("refused", "it has %d names (hard links): logrotate leaves it alone" % about[8])
        elif _log_names.log_of(path) is not None:
            way = _log_writers.Way(
                "own", "its writer begins new logs by itself: old_files removes the old ones"
            )
        else:
            way = _log_writers.way(self.host, path, list(holders), self.params["signals"])
        return {
            "path": path,
            "size": about[3],
            "owner": user_name(about[5]),
            "group": group_name(about[6]),
            "mode": about[7],
            "writers": sorted({_holders.process(holder.pid) for holder in holders}),
            "reopen": way.told(),
        }

    def _uncompressed(self):
        logs = {}
        for path, about in self._files_seen.items():
            log = _log_names.log_of(path)
            if log and not _log_names.packed(path) and path not in self._writers and not self._kept(path):
                logs.setdefault(log, []).append((about[4], path, about[3]))
        found = []
        for log, files in sorted(logs.items()):
            rule = self._covered.get(log)
            known = _rotation.effective(self._parts, rule) if rule else {}
            compresses = known.get("compress") is True
            files.sort()
            if compresses and known.get("delaycompress"):
                files = files[:-1]  # the newest is packed the next time
            size = sum(each[2] for each in files)
            if size >= max(1, self.params["min_packed"]) and (rule or os.path.exists(log)):
                listed = [{"path": path, "size": taken} for _, path, taken in files]
                found.append({"log": log, "rule": rule.file if rule else None, "compresses": compresses,
                              "files": listed, "bytes": size})  # fmt: skip
        return found

    def _held(self):
        found = []
        for path, holders in sorted(self._writers.items()):
            log = _log_names.log_of(path)
            if log and (log in self._covered or os.path.exists(log)) and not self._kept(path):
                found.append(self._still(path, log, holders, self._files_seen[path][3], False))
        for held in self._deleted.values():
            path = _holders.named_by(held[0][0].target)
            log = path if path in self._covered else _log_names.log_of(path)
            if log in self._covered and not self._kept(path):
                found.append(self._still(path, log, [holder for holder, _ in held], held[0][1], True))
        return found

    def _still(self, path, log, holders, size, deleted):
        rule = self._covered.get(log)
        known = _rotation.effective(self._parts, rule) if rule else {}
        way = _log_writers.way(self.host, log, holders, self.params["signals"])
        told = any(known.get(each) for each in ("postrotate", "lastaction", "copytruncate", "copy"))
        return {
            "path": path,
            "log": log,
            "rule": rule.file if rule else None,
            "deleted": deleted,
            "size": size,
            "writers": sorted({_holders.process(holder.pid) for holder in holders}),
            "unit": way.unit or _holders.unit(holders[0].pid),
            "reopen": way.told(),
            "mendable": rule is not None and not told and way.kind in ("signal", "command", "copytruncate"),
        }


def _about(path):
    """Return of a regular file [device, inode, size, bytes on disk, mtime, uid, gid, mode, names], None for others."""
    try:
        about = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(about.st_mode):
        return None
    return [about.st_dev, about.st_ino, about.st_size, about.st_blocks * 512, about.st_mtime, about.st_uid,
            about.st_gid, "%04o" % stat.S_IMODE(about.st_mode), about.st_nlink]  # fmt: skip
