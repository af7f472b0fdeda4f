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
    _log_draft,
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
    _text = None

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
        if self._text is None:
            self._refuse()
        if self._other is None:
            self._check_ours(have)
            self._text = self._text or self._draft.text(self._own(have))
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
        try:
            wrong = _rule_proof.wrong(self.host, self.params["config"], self.path, self._logs)
        except Failed as error:  # not proved: it goes, too
            wrong = error.message
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
        found.update(self._draft.told, file=self.path)
        return found

    def _look(self):
        if os.geteuid() != 0:
            raise Failed("logrotate's rules are for root; add become: true", cause="permission")
        if not self.host.which("logrotate"):
            raise Failed("logrotate is not installed here")
        if not os.path.exists(self.params["config"]):
            raise Failed("there is no %s: this host has no rules" % self.params["config"])
        self._paths = list(self.params["paths"])
        self._logs = [path for path in sorted({each for path in self._paths for each in glob.glob(path)})
                      if _log_names.log_of(path) is None and not _log_names.packed(path)]  # fmt: skip
        self._every = self._logs or self._paths
        self._found = _rotation.read(self.host, self.params["config"], broken=[])
        self._rules = _rotation.rules(self._found)
        self._own_file = self._named()
        self._other = self._elsewhere() if self.params["state"] == "present" else None
        self._draft = _log_draft.Draft(self.host, self.params, self._paths, self._logs, self._found)

    def _named(self):
        """Return the drop-in's path; a name that is made from the logs' is theirs alone."""
        start = os.path.join(_rotation.FOLDER, "remedy-")
        if self.params["name"]:
            return start + self.params["name"]
        # It may have got another name than it would get today: the one that was taken then may be free by now.
        # A file of somebody else's may be called so, too.
        for rule in self._rules:
            if rule.file.startswith(start) and rule.patterns == self._paths and self._is_ours(rule.file):
                return rule.file
        path = start + _log_rules.slug(self._paths[0])
        if any(rule.file == path for rule in self._rules):
            path += "-" + digest([self._paths[0].encode("utf-8", "surrogateescape")])[:8]
        return path

    def _refuse(self):
        protected = _protected.Protected(_mounts.mounts())
        for path in self._every:
            folder = os.path.dirname(path)
            why = protected.folder(folder) or _protected.refusal(path)
            if _log_names.record(path):
                why = "it is a record that has a program of its own"
            if why is not None and not (why == "a database's folder" and path in self._logs):
                raise Failed("%s is not for logrotate: %s" % (path, why))
            if os.path.islink(path):
                raise Failed("%s is a link: name the log itself, %s" % (path, os.path.realpath(path)))
            names = os.stat(path).st_nlink if os.path.isfile(path) else 1
            if names > 1:
                raise Failed("%s has %d names (hard links), and logrotate leaves such logs alone" % (path, names))

    def _elsewhere(self):
        """Return another file's Rule that is for all these logs, None where there is none; raises Failed."""
        covered = {}
        for rule in self._rules:
            if rule.file != self._own_file:
                stands_for = rule.logs()
                for path in self._every:
                    if path in stands_for or path in rule.patterns:
                        covered.setdefault(path, rule)
        if not covered:
            return None
        bare = [path for path in self._every if path not in covered]
        first = covered[min(covered)]
        if bare or any(rule is not first for rule in covered.values()):
            raise Failed(
                "%s has a rule for %s already, and not for %s: name the logs that have none"
                % (first.file, min(covered), ", ".join(bare) or "the others")
            )
        return first

    def _own(self, have):
        """Return the options of the drop-in that stands, {} where there is none."""
        own = next((rule for rule in self._rules if rule.file == self._own_file), None) if have else None
        return own.options() if own is not None else {}

    def _is_ours(self, path):
        return self.files.read(path).startswith(_log_rules.HEAD.encode("ascii"))

    def _check_ours(self, have):
        if have is not None and (have["type"] != "file" or not self._is_ours(self.path)):
            raise Failed("%s is there and not remedy's: give another name" % self.path)

    def _amended(self):
        """Return the text of the other file with what its rule lacks, None where it lacks nothing."""
        known = _rotation.effective(self._found, self._other)
        lines, asked = [], self.params["amend"] or ()
        copied = known.get("copytruncate") or known.get("copy")
        if "reopen" in asked and not copied and not (known.get("postrotate") or known.get("lastaction")):
            way = self._draft.reopening(self._other.file)
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
            if su:
                _log_rules.fits(su, self._other.patterns)
                lines.append("su " + su)
        if not lines:
            return None
        if os.path.islink(self._other.file):
            raise Failed("%s is a link: add to its rule in %s by hand: %s" % (
                self._other.file, os.path.realpath(self._other.file), "; ".join(lines)))  # fmt: skip
        with open(self._other.file, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
        if text.count(self._other.text) != 1:
            raise Failed("%s changed, or holds the same rule twice: nothing was written" % self._other.file)
        return text.replace(self._other.text, self._other.amended(lines))

    def _prove(self):
        """Let logrotate read the new rule with all others, before it stands anywhere; raises Failed."""
        new = _rotation.rules(_rotation.parts(self._text, self.path))
        if self._other is None:
            before = [part for part in self._found if isinstance(part, str) or part.file != self.path]
            after = before + new
        else:
            before = self._found
            ours = [rule for rule in self._rules if rule.file == self.path]
            after = [new.pop(0) if part in ours else part for part in before]
        _rule_proof.prove(self.host, before, after, self._logs)
