"""logrotate's configuration, cut into rules, so that some of them can be run alone and mean the same."""

import glob
import os
import re
import shlex

from remedy.agent.kinds import Failed
from remedy.modules.target import _mounts

MAIN = "/etc/logrotate.conf"
FOLDER = "/etc/logrotate.d"

_SCRIPTS = frozenset("prerotate postrotate preremove firstaction lastaction".split())
_SWITCHES = frozenset(
    "compress delaycompress copytruncate copy create missingok sharedscripts dateext olddir".split()
)
_INSECURE = "parent directory has insecure permissions"
_LINKED = "has multiple ("  # "log X has multiple (2) hard links. Rotation of files with ... is not allowed"


class Rule(object):
    """One rule: the file it stands in, the patterns it is for, and its text with them."""

    def __init__(self, file, patterns, text):
        self.file = file
        self.patterns = patterns
        self.text = text

    @property
    def name(self):
        return "%s: %s" % (self.file, " ".join(self.patterns))

    def logs(self):
        """Return the files that its patterns stand for now."""
        return [path for pattern in self.patterns for path in glob.glob(pattern)]

    def options(self):
        """Return what it says by itself: {directive: its words, True or False}; scripts: {name: text}."""
        return options(self._body())

    def amended(self, lines):
        """Return its text with these lines at its end; they win over what stands before them."""
        text = self.text.rstrip()
        if not text.endswith("}"):
            raise Failed("%s: text follows the rule's brace; put it on a line of its own" % self.name)
        head = text[:-1].rstrip(" \t")
        head += "" if head.endswith("\n") else "\n"
        return head + "".join("\t%s\n" % line for line in lines) + "}" + self.text[len(text) :]

    def _body(self):
        place, start = 0, 0
        for line in self.text.splitlines(True):
            if "{" in _bare(line):
                start = place + line.index("{") + 1
                break
            place += len(line)
        return self.text[start:].rstrip().rstrip("}")


def options(text):
    """Return the directives of a configuration's text: {name: words or True; False: "noNAME"; scripts their text}."""
    found, script = {}, None
    for line in text.splitlines():
        words = _bare(line).split(None, 1)
        if script is not None:
            if words[:1] == ["endscript"]:
                found[script[0]] = "\n".join(script[1])
                script = None
            else:
                script[1].append(line.strip())
        elif words and words[0] in _SCRIPTS:
            script = (words[0], [])
        elif words:
            name = words[0].partition("=")[0]
            if name.startswith("no") and name[2:] in _SWITCHES:
                found[name[2:]] = False
            else:
                found[name] = words[1].strip() if len(words) > 1 else line.partition("=")[2].strip() or True
    return found


def effective(found, rule):
    """Return the options that hold for a rule: the global ones before it, then its own."""
    known = {}
    for part in found:
        if part is rule:
            break
        if isinstance(part, str):
            known.update(options(part))
    known.update(rule.options())
    return known


def parts(text, file):
    """Return the parts of a configuration file in order: Rules, and texts (global options and include lines).

    Raises Failed where the braces do not match.
    """
    found, plain, patterns, block = [], [], [], None
    script = False
    for line in text.splitlines(True):
        word = (line.split(None, 1) or [""])[0]
        if block is not None:
            block.append(line)
            if script:
                script = word != "endscript"
            elif word in _SCRIPTS:
                script = True
            elif _closes(line):
                found.append(Rule(file, _words("".join(patterns)), "".join(patterns + block)))
                patterns, block = [], None
            continue
        bare = _bare(line)
        if "{" in bare:
            before, _, after = line.partition("{")
            patterns.append(before)
            block = ["{" + after]
            if _closes(after):
                found.append(Rule(file, _words("".join(patterns)), "".join(patterns + block)))
                patterns, block = [], None
        elif patterns or bare.lstrip().startswith(("/", '"', "'", "~")):
            patterns.append(line)
        else:
            plain = [line]
            found.append("".join(plain))
    if block is not None or any(_bare(line).strip() for line in patterns):
        raise Failed("%s does not end as it should: a rule's brace is not closed" % file)
    return found


def _bare(line):
    """Return a line without its comment."""
    return "" if line.lstrip().startswith("#") else line


def _closes(line):
    bare = _bare(line).strip()
    return bare.startswith("}") or bare.endswith("}")


def _words(text):
    lines = [line for line in text.splitlines() if _bare(line).strip()]
    try:
        return shlex.split(" ".join(lines))
    except ValueError:
        return " ".join(lines).split()


class Plan(object):
    """What logrotate says that it would do, from the output of `logrotate -d -f`.

    logs: those to be rotated; copies: [(log, copy)]; packs: logs that are compressed at once; removed: what
    goes for good; skipped: {log: why}; errors: lines.
    """

    def __init__(self, output):
        self.logs, self.copies, self.packs, self.removed, self.errors = [], [], [], [], []
        self.skipped = {}
        considered = current = None
        for line in output.splitlines():
            line = line.strip()
            if line.startswith("error:"):
                self.errors.append(line[len("error:") :].strip())
            elif line.startswith("considering log "):
                considered = line[len("considering log ") :]
            elif line == "log needs rotating":
                self.logs.append(considered)
            elif line.startswith("log does not need rotating") and considered:
                self.skipped[considered] = line.partition("(")[2].rstrip(")") or "nothing to rotate"
            elif considered and line.startswith("log %s does not exist" % considered):
                self.skipped[considered] = "it does not exist"
            elif considered and line.startswith("log %s %s" % (considered, _LINKED)):
                self.skipped[considered] = "it has several names (hard links)"
            elif line.startswith("rotating log "):
                current = line[len("rotating log ") :].rpartition(", log->rotateCount")[0]
            elif line.startswith("copying "):
                match = re.fullmatch(r"copying (.+) to (.+)", line)
                if match and match.group(1) in self.logs:
                    self.copies.append(match.groups())
            elif line.startswith("compressing log with") and current:
                self.packs.append(current)
            elif line.startswith("removing old log "):
                self.removed.append(line[len("removing old log ") :])


def read(host, main, broken=None, said=None):
    """Return the parts of the whole configuration, files that are included in the places where they are.

    logrotate itself says which files it reads and which it ignores (`said`, of `dry`: it is asked where that is
    None). Raises Failed; with a list as `broken` a file that cannot be cut is left out, and (file, why) goes there.
    """
    said = said or dry(host, main)
    if not said.files:
        raise Failed("logrotate does not read %s: %s" % (main, said.text[-500:]))
    return _expanded(main, {os.path.basename(path) for path in said.files}, 0, broken)


def _expanded(file, names, depth, broken):
    if depth > 8:
        raise Failed("%s is included by itself" % file)
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            found = parts(opened.read(), file)
    except OSError as error:
        raise Failed("cannot read %s: %s" % (file, error.strerror.lower()))
    except Failed as error:
        if broken is None:
            raise
        broken.append((file, error.message))
        return []
    result = []
    for part in found:
        words = _bare(part).split() if isinstance(part, str) else []
        if words[:1] != ["include"] or len(words) < 2:
            result.append(part)
            continue
        place = words[1].strip("\"'")
        inner = [place] if os.path.isfile(place) else []
        if os.path.isdir(place):
            inner = [os.path.join(place, name) for name in sorted(os.listdir(place)) if name in names]
        for each in inner:
            result.extend(_expanded(each, names, depth + 1, broken))
    return result


def output(done):
    """Return all that logrotate printed, as text."""
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


def run(host, words, found, chosen=None, timeout=60):
    """Run logrotate on these parts: all global options, and all rules or the `chosen` ones; return Completed.

    Its configuration is a file without a name: a full disk has no room for one. Raises Failed where it takes longer
    than `timeout` (seconds): it and the script that it waits for are ended.
    """
    text = "".join(
        part if isinstance(part, str) else part.text
        for part in found
        if isinstance(part, str) or chosen is None or part in chosen
    )
    descriptor = _nameless(text.encode("utf-8", "surrogateescape"))
    try:
        place = "/proc/%d/fd/%d" % (os.getpid(), descriptor)
        return host.run(["logrotate"] + list(words) + [place], ok=None, c_locale=True, timeout=timeout)
    finally:
        os.close(descriptor)


def _nameless(content):
    """Return a descriptor of a file in memory that has no name."""
    for folder in ("/run", "/dev/shm", "/tmp"):
        try:
            descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            continue
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        return descriptor
    raise Failed("no place for logrotate's configuration: /run, /dev/shm and /tmp take no nameless files")


class Dry(object):
    """What `logrotate -d` says of a whole configuration.

    text: all of it; files: those that it reads; considered: the logs that it looks at, without those that it leaves
    out for their hard links; due: those that it would rotate now; errors: [{file, log, text, mend}], where `mend` names
    the directive that would help (su, missingok), None: it is for a person.
    """

    def __init__(self, text, main=MAIN):
        self.text = text
        self.files, self.considered, self.due, self.errors = [], [], [], []
        file, folder, log = main, os.path.dirname(main), None
        for line in text.splitlines():
            line = line.strip()
            if line.startswith("including "):
                folder = line[len("including ") :]
            elif line.startswith("reading config file "):
                file = os.path.join(folder, line[len("reading config file ") :])
                self.files.append(file)
            elif line.startswith("considering log "):
                log = line[len("considering log ") :]
                self.considered.append(log)
            elif log is not None and line.startswith("log %s %s" % (log, _LINKED)):
                self.considered.remove(log)
            elif line == "log needs rotating":
                self.due.append(log)
            elif line.startswith("error: ") and "error: found error in " not in line:
                self._error(line[len("error: ") :], file, folder, log)

    def _error(self, text, file, folder, log):
        ignored = re.match(r"Ignoring (.+) because ", text)
        state = re.search(r"state file:? (/\S+)", text)
        if ignored or state:
            file, log = os.path.join(folder, ignored.group(1)) if ignored else state.group(1), None
        elif log is not None:
            file = None
        mend = None
        if log is not None and _INSECURE in text:
            mend = "su"
        elif log is not None and text.startswith("stat of %s failed: No such file" % log):
            mend = "missingok"
        self.errors.append({"file": file, "log": log, "text": text, "mend": mend})


def dry(host, main):
    """Return what logrotate would do with the configuration as it stands."""
    dead = _mounts.silent(host, ["/"])
    try:
        done = host.run(["logrotate", "-d", main], ok=None, timeout=10 if dead else 60, c_locale=True)
    except Failed as error:
        if error.cause != "timeout" or not dead:
            raise
        raise Failed("logrotate -d does not come to its end: %s, where a rule may look for logs, does not answer"
                     % ", ".join(dead), cause="timeout")  # fmt: skip
    return Dry(output(done).strip() or "rc %d" % done.rc, main)


def rules(found):
    """Return the Rules among the parts of a configuration."""
    return [part for part in found if isinstance(part, Rule)]


def covering(found):
    """Return {log: its Rule}, the first where several are for it."""
    covered = {}
    for rule in rules(found):
        for path in rule.logs():
            covered.setdefault(path, rule)
    return covered
