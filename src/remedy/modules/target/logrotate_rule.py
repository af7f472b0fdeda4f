"""Give logs a logrotate rule of their own, in a drop-in that is proved before it takes effect.

The drop-in is remedy-NAME in /etc/logrotate.d. Its `create` is what the logs are now (mode, owner, group); `su`
stands there where others than root may write their folder. A service that can be told to open its log anew is told
so (nginx, rsyslog, syslog-ng, Apache, PHP-FPM, MySQL by a signal, MariaDB by a flush, what `signals` names by that);
a log that is opened for each line (Redis) is renamed; else it is `copytruncate`, which loses what is written
between the copy and the emptying. The rotated file is packed one rotation later where the log was renamed, because
its writer may still be at its last line. With `keep: auto` as many are kept as there is room for: `share` of the
file system, never more than half of what is free for them. Before the write `logrotate -d` reads the rule together
with all others: a duplicate, or any error that was not there before, refuses it; after the write it is asked again,
and the drop-in goes back where it was wrong. Logs of journald, of containers and of PostgreSQL's collector rotate
by themselves, and are refused. Where another file has a rule for the logs nothing is to be done, unless `amend`
says what to add to that rule: compress, su, missingok, or reopen (what its service needs). Nothing is rotated by
this: see logrotate_run. Returns `file`, `reopen` (kind, why), `keep`, `rotation` (bytes that one brings), `allowed`.
"""

import glob
import os
import re

from remedy.agent.files import digest
from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.agent.paths import native
from remedy.modules.target import (
    _log_growth,
    _log_names,
    _log_rules,
    _log_writers,
    _mounts,
    _protected,
    _rotation,
    _rule_proof,
    _undo,
)
from remedy.modules.target._content import Content

PARAMS = (
    Param(
        "paths",
        "list",
        default=REQUIRED,
        elements="path",
        help="The logs: files or shell patterns, for one service.",
    ),
    Param("name", help="The drop-in is remedy-NAME; else made from the first path."),
    Param("state", default="present", choices=("present", "absent"), help="Whether the drop-in is there."),
    Param(
        "period", default="daily", choices=tuple(sorted(_log_rules.PERIODS)), help="How often it is rotated."
    ),
    Param("max_size", "size", help="Rotate earlier where it is larger; else by the size of the file system."),
    Param("keep", default="auto", help="How many rotated logs stay, or auto: as there is room."),
    Param("share", "percent", default=10, help="What rotated logs may take of the file system, for auto."),
    Param(
        "growth",
        "size",
        help="Bytes a day, where they are known (log_rotation); else measured since it was made.",
    ),
    Param("compress", "bool", default=True, help="Pack rotated logs."),
    Param(
        "method",
        default="auto",
        choices=("auto", "rename", "copytruncate"),
        help="rename: without telling anybody.",
    ),
    Param("create", help="Mode, owner and group of a log that is not there yet, such as '0640 app app'."),
    Param(
        "amend", "list", elements="str", help="Add to another file's rule: compress, su, missingok, reopen."
    ),
    _log_writers.SIGNALS,
    Param("config", "path", default=_rotation.MAIN, help="logrotate's main configuration."),
)

EXAMPLES = """
- logrotate_rule: {paths: ["/srv/shop/logs/*.log"], signals: {shop.service: HUP}}
- logrotate_rule: {paths: [/var/log/nginx/access.log], amend: [compress]}
- logrotate_rule: {paths: ["/srv/shop/logs/*.log"], state: absent}
"""

_AMENDS = ("compress", "su", "missingok", "reopen")


def check_params(params):
    for path in params["paths"]:
        if not path.startswith("/"):
            return "paths must be absolute"
        if _log_rules.unfit(path):
            return "path %r: logrotate cannot take quotes, braces, backslashes or **" % path
    if not params["paths"]:
        return "give at least one path"
    if params["name"] is not None and not re.match(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}$", params["name"]):
        return (
            "name '%s': expected letters, digits, - and _ (logrotate leaves other names out)" % params["name"]
        )
    keep = str(params["keep"])
    if "{{" not in keep and keep != "auto" and not (keep.isdigit() and 1 <= int(keep) <= 1000):
        return "keep '%s': expected auto, or 1 to 1000" % keep
    if params["create"] is not None and not re.match(r"0?[0-7]{3} \S+ \S+$", str(params["create"])):
        return "create '%s': expected mode, owner and group, such as '0640 app app'" % params["create"]
    for each in params["amend"] or ():
        if each not in _AMENDS and "{{" not in each:
            return "amend '%s': expected %s" % (each, ", ".join(_AMENDS))
    return _log_writers.wrong_signals(params)


def kind(params):
    return Rule


class Rule(Content):
    _found = None
    _result = None
    _text = None
    _warned = False

    def locate(self):
        self._look()
        return self._other.file if self._other is not None else self._own_file

    def key(self):
        return "logrotate_rule:%s" % self.path

    def wanted(self, have):
        if self.params["state"] == "absent":
            self._check_ours(have)
            return None
        # Like every drop-in: logrotate ignores what others than root may write.
        attributes = {} if self._other is not None else {"mode": "0644", "owner": "root", "group": "root"}
        self.params = dict(
            self.params,
            unsafe_writes=False,
            **dict({"mode": None, "owner": None, "group": None}, **attributes),
        )
        return Content.wanted(self, have)

    def new(self, have):
        # Made once: what it rests on (growth, who writes) may be another a moment later.
        if self._other is None:
            self._check_ours(have)
            self._text = self._text or self._drop_in(have)
        else:
            self._text = self._text or self._amended()
            if self._text is None:
                self.why_not = "%s has a rule for it" % self._other.file
                return None
        content = self._text.encode("utf-8", "surrogateescape")
        made = digest([content])
        if have is None or have.get("sha1") != made:
            self._prove()
        return made, len(content)

    def chunks(self, want):
        return iter([self._text.encode("utf-8", "surrogateescape")])

    def origin(self, want):
        return self._text.encode("utf-8", "surrogateescape")

    def keep(self, have):
        return _undo.keep(self.files, self.path, have)

    def write(self, have, want):
        if want is None:
            os.unlink(native(self.path))
            return
        before = self.files.read(self.path) if have is not None and have["type"] == "file" else None
        Content.write(self, have, want)
        wrong = _rule_proof.wrong(self.host, self.params["config"], self.path, self._logs)
        if wrong is not None:
            if before is None:
                os.unlink(native(self.path))
            else:
                self.files.write(self.path, [before], mode=have["mode"], owner=have["uid"], group=have["gid"])
            raise Failed("logrotate does not take the rule (%s): %s is as it was" % (wrong, self.path))

    def predict(self, have, want):
        if want is None:
            self.files.predict(self.path, None)
        else:
            Content.predict(self, have, want)

    def returns(self, have, now):
        found = Content.returns(self, have, now)
        found.update(self._result or {}, file=self.path)
        return found

    def _look(self):
        if self._found is not None:
            return
        if os.geteuid() != 0:
            raise Failed("logrotate's rules are for root; add become: true", cause="permission")
        if not self.host.which("logrotate"):
            raise Failed("logrotate is not installed here")
        if not os.path.exists(self.params["config"]):
            raise Failed("there is no %s: this host has no rules" % self.params["config"])
        self._paths = list(self.params["paths"])
        self._logs = [path for path in sorted({each for path in self._paths for each in glob.glob(path)})
                      if _log_names.log_of(path) is None and not _log_names.packed(path)]  # fmt: skip
        self._found = _rotation.read(self.host, self.params["config"], broken=[])
        self._rules = [part for part in self._found if isinstance(part, _rotation.Rule)]
        self._own_file = self._named()
        self._other = None
        if self.params["state"] == "present":
            self._refuse()
            self._other = self._elsewhere()

    def _named(self):
        """Return the drop-in's path; a name that is made from the logs' is theirs alone."""
        path = os.path.join(
            _rotation.FOLDER, "remedy-" + (self.params["name"] or _log_rules.slug(self._paths[0]))
        )
        if not self.params["name"]:
            if any(rule.file == path and rule.patterns != self._paths for rule in self._rules):
                path += "-" + digest([self._paths[0].encode("utf-8", "surrogateescape")])[:8]
        return path

    def _refuse(self):
        protected = _protected.Protected(_mounts.mounts())
        for path in self._logs or self._paths:
            folder = os.path.dirname(path)
            why = protected.folder(folder) or _protected.refusal(path)
            if _log_names.record(path):
                why = "it is a record that has a program of its own"
            if why is not None and not (why == "a database's folder" and path in self._logs):
                raise Failed("%s is not for logrotate: %s" % (path, why))
            if os.path.islink(path):
                raise Failed("%s is a link: name the log itself, %s" % (path, os.path.realpath(path)))

    def _elsewhere(self):
        """Return another file's Rule that is for all these logs, None where there is none; raises Failed."""
        covered = {}
        for rule in self._rules:
            if rule.file != self._own_file:
                stands_for = rule.logs()
                for path in self._logs or self._paths:
                    if path in stands_for or path in rule.patterns:
                        covered.setdefault(path, rule)
        if not covered:
            return None
        every = self._logs or self._paths
        bare = [path for path in every if path not in covered]
        first = covered[min(covered)]
        if bare or any(rule is not first for rule in covered.values()):
            raise Failed(
                "%s has a rule for %s already, and not for %s: name the logs that have none"
                % (first.file, min(covered), ", ".join(bare) or "the others")
            )
        return first

    def _check_ours(self, have):
        if have is not None and (
            have["type"] != "file"
            or not self.files.read(self.path).startswith(_log_rules.HEAD.encode("ascii"))
        ):
            raise Failed("%s is there and not remedy's: give another name" % self.path)

    def _drop_in(self, have):
        own = next((rule for rule in self._rules if rule.file == self._own_file), None) if have else None
        known = own.options() if own is not None else {}
        way, create = self._way(known), self._create(known)
        above = {}
        for part in self._found:
            above.update(_rotation.options(part) if isinstance(part, str) else {})
        copied = way.kind == "copytruncate"
        lines = [self.params["period"]]
        lines += self._retention(known, copied)
        lines += ["missingok", "notifempty"]
        if self.params["compress"]:
            lines += ["compress", "nodelaycompress" if copied else "delaycompress"]
        else:
            lines.append("nocompress")
        if above.get("dateext") is True:
            lines.append("dateformat -%Y%m%d%H%M%S")  # two rotations on one day must not want one name
        su = (
            _log_rules.su((self._logs or self._paths)[0], *create.split()[1:])
            if not above.get("su")
            else None
        )
        lines += ["su " + su] if su else []
        if copied:
            lines.append("copytruncate")
        else:
            lines += ["nocopytruncate"] if above.get("copytruncate") else []
            lines.append("create " + create)
            lines += _log_rules.script(way.script) if way.script else []
        return _log_rules.text(self._paths, lines)

    def _way(self, known):
        """Return the Way that fits all logs; where nobody writes them now, that of the rule as it stands."""
        if self.params["method"] == "rename":
            return self._chose(_log_writers.Way("each", "asked for"))
        held = _log_writers.holders(self.host, self._logs)
        ways = {}
        for path in self._logs:
            if held[path] or not known:
                way = _log_writers.way(self.host, path, held[path], self.params["signals"])
                ways.setdefault((way.kind, tuple(way.script)), (path, way))
        if self.params["method"] == "copytruncate":
            return self._chose(_log_writers.Way("copytruncate", "asked for"))
        for path, way in ways.values():
            if way.kind in ("own", "refused"):
                raise Failed("%s gets no rule: %s" % (path, way.why))
        if len(ways) > 1:
            told = "; ".join(
                "%s: %s" % (path, way.why) for path, way in sorted(ways.values(), key=lambda each: each[0])
            )
            raise Failed("these logs are not rotated in the same way, give each its rule: %s" % told)
        if ways:
            return self._chose(next(iter(ways.values()))[1])
        if known.get("copytruncate"):
            return self._chose(_log_writers.Way("copytruncate", "as the rule has it; nobody writes it now"))
        script = [line for line in str(known.get("postrotate") or "").split("\n") if line]
        return self._chose(_log_writers.Way("signal" if script else "each", "as the rule has it", script))

    def _chose(self, way):
        self._result = {"reopen": {"kind": way.kind, "why": way.why}}
        return way

    def _create(self, known):
        found = {_log_rules.created(path): path for path in self._logs}
        if len(found) > 1:
            raise Failed("these logs are not alike, give each its rule: %s" % "; ".join(
                "%s: %s" % (path, mode) for mode, path in sorted(found.items())))  # fmt: skip
        create = next(iter(found), None) or self.params["create"] or known.get("create")
        if not isinstance(create, str):
            raise Failed("there is no %s yet: give create, such as '0640 app app'" % ", ".join(self._paths))
        return create

    def _retention(self, known, copied):
        """Return maxsize and rotate; numbers that still fit stay, so that what is free may change without a change."""
        daily = self.params["growth"]
        if daily is None:
            grown = _log_growth.growth(self.host, self._logs, 0)
            daily = sum(grown[path] or 0 for path in grown) or sum(map(_log_rules.taken, self._logs))
        folder = os.path.dirname((self._logs or self._paths)[0])
        if not os.path.isdir(folder):
            raise Failed("there is no folder %s" % folder)
        room = _log_rules.Room(self._logs or self._paths, self.params["share"], daily)
        most = (
            self.params["max_size"]
            or _log_rules.bytes_of(known.get("maxsize"))
            or room.size(self.params["share"])
        )
        packs, delayed = self.params["compress"], not copied
        each = room.rotation(self.params["period"], most)
        if self.params["keep"] != "auto":
            count = int(self.params["keep"])
        else:
            had = str(known.get("rotate", ""))
            count = room.keep(each, packs, delayed, int(had) if had.isdigit() else 0)
        warning = _log_rules.too_small(room, each)
        if warning and not self._warned:
            self._warned = True
            self.host.warn(warning)
        self._result.update(keep=count, rotation=int(each), allowed=room.allowed)
        return ["maxsize " + _log_rules.size(most), "rotate %d" % count]

    def _amended(self):
        """Return the text of the other file with what its rule lacks, None where it lacks nothing."""
        known = _rotation.effective(self._found, self._other)
        lines, asked = [], self.params["amend"] or ()
        copied = known.get("copytruncate") or known.get("copy")
        if "reopen" in asked and not copied and not (known.get("postrotate") or known.get("lastaction")):
            way = self._stale_way()
            if way.kind == "copytruncate":
                lines.append("copytruncate")
                copied = True
            lines += _log_rules.script(way.script) if way.script else []
        if "compress" in asked and known.get("compress") is not True:
            lines += ["compress"] + ([] if copied or known.get("delaycompress") else ["delaycompress"])
        if "missingok" in asked and known.get("missingok") is not True:
            lines.append("missingok")
        if "su" in asked and not known.get("su") and self._logs:
            su = _log_rules.su(self._logs[0], *_log_rules.created(self._logs[0]).split()[1:])
            lines += ["su " + su] if su else []
        if not lines:
            return None
        with open(self._other.file, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
        if text.count(self._other.text) != 1:
            raise Failed("%s changed, or holds the same rule twice: nothing was written" % self._other.file)
        return text.replace(self._other.text, self._other.amended(lines))

    def _stale_way(self):
        holders, logs = [], self._logs or self._paths
        for found in (_log_writers.holders(self.host, self._logs), _log_writers.stale(self.host, logs)):
            holders += [each for held in found.values() for each in held]
        if not holders:
            return self._chose(_log_writers.Way("each", "nobody has it open"))
        way = _log_writers.way(self.host, (self._logs or self._paths)[0], holders, self.params["signals"])
        if way.kind in ("own", "refused"):
            raise Failed("%s is not amended: %s" % (self._other.file, way.why))
        return self._chose(way)

    def _prove(self):
        """Let logrotate read the new rule with all others, before it stands anywhere; raises Failed."""
        others = [part for part in self._found if isinstance(part, str) or part.file != self.path]
        ours = [part for part in self._found if not isinstance(part, str) and part.file == self.path]
        if self._other is None:
            after = others + [
                part for part in _rotation.parts(self._text, self.path) if not isinstance(part, str)
            ]
            _rule_proof.prove(self.host, others, after, self._logs)
        else:
            new = [part for part in _rotation.parts(self._text, self.path) if not isinstance(part, str)]
            after = [new.pop(0) if part in ours else part for part in self._found]
            _rule_proof.prove(self.host, self._found, after, self._logs)
