"""Rotate logs now, by the rules that logrotate has on this host, and only by those asked for.

`rules` names them by their file (nginx, or a full path), `paths` by a log they are for; without either all
run. Each rule keeps its meaning: global options and postrotate scripts are those of the configuration, so
every service reopens its log as on any night. Refused, and named, is a log that no rule is for, a rule with
an error in it, and one for which there is no room: copytruncate (and copy) needs room for the copy,
compressing at once a quarter of the log. The oldest rotated log of a row may go, as the rule says. It counts
only if every log that logrotate said it would rotate is another file, or shorter, afterwards, and the rotated one
holds all that the log held; with `reopened` also only if nobody who wrote a log still writes its old file. With
`min_size` nothing happens where no log of the rules is that big, so that a second run does nothing. Where a script of
a rule hangs, it is ended together with logrotate. Works only as root. Returns `rotated` (path, size; lines: renamed,
the file itself, or copied, what was written in between is lost; to: where they are, None: it could not be found, such
as where it was packed at once), `held` (path, writers: who still writes the old file), `removed`, `refused` (rule,
reason), `skipped` (log: why) and `bytes_freed`.
"""

import os
import time

from remedy.agent.kinds import Action, Failed, Param, Unknown
from remedy.modules.target import _holders, _log_names, _log_rules, _log_writers, _rotation

PARAMS = (
    Param("rules", "list", elements="str", help="Files of /etc/logrotate.d, by name or path."),
    Param("paths", "list", elements="path", help="Logs (or shell patterns): the rules that are for them."),
    Param(
        "min_size", "size", default=0, help="Only rules with a log that takes at least this much of the disk."
    ),
    Param(
        "reopened", "bool", default=False, help="Fail where a service still writes the old file afterwards."
    ),
    Param(
        "wait",
        "duration",
        default=240,
        help="How long the rules' scripts may take; copying and packing get their time besides.",
    ),
    Param("config", "path", default=_rotation.MAIN, help="The main configuration."),
)

EXAMPLES = """
- logrotate_run: {rules: [nginx, rsyslog]}
- logrotate_run: {paths: ["/var/log/app/*.log"], min_size: 50M}
"""

_PATIENCE = 10  # seconds for services to open their logs anew
_PAUSE = 0.1
_PER_SECOND = 1 << 20  # bytes, at the least, that are copied or packed


def check_params(params):
    if any(not path.startswith("/") for path in params["paths"] or ()):
        return "paths must be absolute"
    return None


def kind(params):
    return Rotation


class Rotation(Action):
    happened = "rotated"
    destructive = True
    interruptible = False
    deadline = 300
    _plan = None

    def key(self):
        names = list(self.params["rules"] or ()) + list(self.params["paths"] or ())
        return "logrotate: " + (", ".join(names) or "all rules")

    def ready(self):
        if os.geteuid() != 0:
            raise Failed("logs are rotated only as root; add become: true", cause="permission")
        if not self.host.which("logrotate"):
            raise Failed("logrotate is not installed here; log_truncate and old_files work without it")
        if not os.path.exists(self.params["config"]):
            raise Failed("there is no %s: this host has no rules to run" % self.params["config"])
        self._parts = _rotation.read(self.host, self.params["config"])
        self._refused = []
        self._rules = self._chosen()
        if self.params["min_size"]:
            self._rules = [rule for rule in self._rules if self._worth(rule)]
            if not self._rules:
                return "no log of these rules takes %s" % _holders.shown(self.params["min_size"])
        self._rules = [rule for rule in self._rules if self._possible(rule)]
        for each in self._refused:
            self.host.warn("not rotated: %(rule)s: %(reason)s" % each)
        if not self._rules:
            cause = "disk_full" if any("no room" in each["reason"] for each in self._refused) else None
            raise Failed(
                "no rule can be run; %(rule)s: %(reason)s" % self._refused[-1],
                cause=cause,
                refused=self._refused,
            )
        self._plan = self._planned(self._rules)
        if not self._plan.logs:
            return "logrotate has nothing to rotate: " + "; ".join(
                "%s: %s" % pair for pair in sorted(self._plan.skipped.items())
            )
        return None

    def state(self):
        return {"logs": {path: _mark(path) for path in self._plan.logs}}

    def do(self):
        sizes = {path: _log_rules.taken(path) for path in self._plan.logs}
        before = self._all()
        marks = {path: _mark(path) for path in self._plan.logs}
        self._writers = {
            path: held for path, held in _log_writers.holders(self.host, self._plan.logs).items() if held
        }
        done = self._rotate()
        self._said = _rotation.output(done)
        if done.rc:
            why = [line.strip() for line in self._said.splitlines() if line.strip()]
            hint = "; another logrotate is at work" if done.rc == 3 else ""
            raise Failed("logrotate ended with %d%s: %s" % (done.rc, hint, " | ".join(why[-5:])), rc=done.rc)
        rotated = [
            dict(_where(path, marks[path]), path=path, size=size) for path, size in sorted(sizes.items())
        ]
        return {
            "rotated": rotated,
            "held": self._still_held(),
            "removed": [path for path in _rotation.Plan(self._said).removed if not os.path.lexists(path)],
            "refused": self._refused,
            "skipped": self._plan.skipped,
            "bytes_freed": max(0, before - self._all()),
        }

    def _rotate(self):
        """Run logrotate, for as long as copying and packing what it works on may take at the most; return Completed."""
        work = sum(max(_log_rules.taken(path), _log_rules.taken(path + ".1")) for path in self._plan.logs)
        patience = self.params["wait"] + work // _PER_SECOND
        try:
            return _rotation.run(self.host, ["-v", "-f"], self._parts, self._rules, patience)
        except Failed as error:
            if error.cause != "timeout":
                raise
            raise Failed("logrotate took longer than %d seconds and was ended: a script of a rule hangs; what was "
                         "rotated until then stays, with every line" % patience, cause="timeout")  # fmt: skip

    def proof(self, before):
        after = {path: _mark(path) for path in before["logs"]}
        same = [path for path, mark in sorted(after.items()) if not _rotated(before["logs"][path], mark)]
        if same:
            said = self._said.strip()[-500:]
            raise Failed(
                "logrotate reports success, but did not rotate %s%s" % (", ".join(same), said and ": " + said)
            )
        return {"logs": after}

    def _still_held(self):
        """Return who still writes an old file after a while; raises Failed with `reopened`."""
        until = time.monotonic() + _PATIENCE
        while True:
            left = [
                {"path": path, "writers": sorted({_holders.process(each.pid) for each in held})}
                for path, held in sorted(_log_writers.stale(self.host, self._writers).items())
                if held
            ]
            if not left or time.monotonic() >= until:
                break
            time.sleep(_PAUSE)
        for each in left:
            text = (
                "%s was rotated, and %s still writes the old file: its rule does not tell it to open it anew"
                % (
                    each["path"],
                    ", ".join(each["writers"]),
                )
            )
            if self.params["reopened"]:
                raise Failed(text, held=left)
            self.host.warn(text)
        return left

    def _chosen(self):
        every = _rotation.rules(self._parts)
        if not self.params["rules"] and not self.params["paths"]:
            if not every:
                raise Failed("%s has no rules" % self.params["config"])
            return every
        chosen, missing = [], []
        for name in self.params["rules"] or ():
            found = [rule for rule in every if name in (rule.file, os.path.basename(rule.file))]
            chosen += found
            missing += [] if found else [name]
        bare = []
        for path in self.params["paths"] or ():
            found = [rule for rule in every if _covers(rule, path)]
            chosen += found
            bare += [] if found else [path]
        if (missing or bare) and self.host.check and any(
            path.startswith(_rotation.FOLDER + "/") for path in self.host.predictions
        ):
            raise Unknown("it hangs on a rule that an earlier task would write")
        if missing or (bare and not chosen):
            missing += bare
            files = sorted({os.path.basename(rule.file) for rule in every})
            raise Failed(
                "logrotate has no rule for %s; there are rules in: %s"
                % (", ".join(missing), ", ".join(files))
            )
        for path in bare:  # some logs of many have no rule: that is no reason to leave the others
            self._refuse(path, "no rule is for it")
        return [rule for rule in every if rule in chosen]

    def _worth(self, rule):
        return any(_log_rules.taken(path) >= self.params["min_size"] for path in self._planned([rule]).logs)

    def _possible(self, rule):
        """Say whether a rule can be run alone; remember why not."""
        plan = self._planned([rule])
        reason = plan.errors[0] if plan.errors else _no_room(plan)
        if reason:
            self._refuse(rule.name, reason)
        return not reason

    def _planned(self, rules):
        done = _rotation.run(self.host, ["-d", "-f"], self._parts, rules)
        plan = _rotation.Plan(_rotation.output(done))
        if done.rc and not plan.errors:
            plan.errors.append("logrotate -d ended with %d" % done.rc)
        return plan

    def _all(self):
        """Return what the logs and all that was ever rotated from them take of the disk."""
        total, seen = 0, set()
        for path in self._plan.logs:
            name = os.path.basename(path)
            for folder in {os.path.dirname(path)} | {os.path.dirname(each) for each in self._plan.removed}:
                for entry in os.listdir(folder) if os.path.isdir(folder) else ():
                    if entry.startswith(name) and os.path.join(folder, entry) not in seen:
                        seen.add(os.path.join(folder, entry))
                        total += _log_rules.taken(os.path.join(folder, entry))
        return total

    def _refuse(self, rule, reason):
        self._refused.append({"rule": rule, "reason": reason})


def _covers(rule, path):
    """Say whether a rule is for a log: by its own patterns, or because the path is a pattern for its logs."""
    for pattern in rule.patterns:
        if pattern == path or _holders.matches(path, [pattern]) or _holders.matches(pattern, [path]):
            return True
    return False


def _no_room(plan):
    """Return why a plan cannot be carried out, else None; room is looked for where the copies go."""
    needs = {}
    for log, copy in plan.copies:
        _need(needs, os.path.dirname(copy), _log_rules.taken(log), "copying %s" % log)
    for log in plan.packs:
        size = max(_log_rules.taken(log), _log_rules.taken(log + ".1"))  # with delaycompress it is the one before
        _need(needs, os.path.dirname(log), size // _log_names.SHRINKS, "compressing %s" % log)
    for folder, need, what in needs.values():
        room = os.statvfs(folder)
        free = room.f_bfree * room.f_frsize  # root's, like logrotate
        if need > free:
            return "no room for %s: it may take %s, %s has %s" % (
                what,
                _holders.shown(need),
                folder,
                _holders.shown(free),
            )
    return None


def _need(needs, folder, size, what):
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return  # olddir that is not there: logrotate says so itself
    known = needs.get(device, (folder, 0, what))
    needs[device] = (folder, known[1] + size, known[2])


def _mark(path):
    try:
        about = os.stat(path)
    except FileNotFoundError:
        return None
    return {"inode": about.st_ino, "size": about.st_size}


def _where(path, mark):
    """Return where a log's lines are now; raises Failed where the copy holds less than the log did."""
    folder, name = os.path.split(path)
    if mark is None:
        return {"lines": None, "to": None}
    near = [
        os.path.join(folder, each)
        for each in sorted(os.listdir(folder))
        if each.startswith(name) and each != name
    ]
    marks = {each: _mark(each) for each in near}
    for each in near:
        if marks[each] and marks[each]["inode"] == mark["inode"]:
            if marks[each]["size"] < mark["size"]:
                raise Failed("%s is shorter than %s was: lines are lost" % (each, path))
            return {"lines": "renamed", "to": each}
    now = _mark(path)
    same = now is not None and now["inode"] == mark["inode"]
    return {"lines": "copied" if same else "renamed", "to": None}


def _rotated(before, after):
    """Say whether a log is another file or none, or was emptied; an empty one may have changed places unseen."""
    if before is None or after is None:
        return before != after
    return before["inode"] != after["inode"] or after["size"] < before["size"] or not before["size"]
