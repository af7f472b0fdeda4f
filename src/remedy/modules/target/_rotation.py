"""logrotate's configuration, cut into rules, so that some of them can be run alone and mean the same."""

import os
import re
import shlex

from remedy.agent.kinds import Failed

_SCRIPTS = frozenset("prerotate postrotate preremove firstaction lastaction".split())


class Rule(object):
    """One rule: the file it stands in, the patterns it is for, and its text with them."""

    def __init__(self, file, patterns, text):
        self.file = file
        self.patterns = patterns
        self.text = text

    @property
    def name(self):
        return "%s: %s" % (self.file, " ".join(self.patterns))


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


def read(host, main):
    """Return the parts of the whole configuration, files that are included in the places where they are.

    logrotate itself says which files it reads and which it ignores (`logrotate -d`). Raises Failed.
    """
    names = _files_read(host, main)
    return _expanded(main, names, 0)


def _expanded(file, names, depth):
    if depth > 8:
        raise Failed("%s is included by itself" % file)
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as opened:
            found = parts(opened.read(), file)
    except OSError as error:
        raise Failed("cannot read %s: %s" % (file, error.strerror.lower()))
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
            result.extend(_expanded(each, names, depth + 1))
    return result


def _files_read(host, main):
    done = host.run(["logrotate", "-d", main], ok=None, timeout=60, c_locale=True)
    output = (done.stdout + done.stderr).decode("utf-8", "surrogateescape")
    read = [
        line[len("reading config file ") :]
        for line in output.splitlines()
        if line.startswith("reading config")
    ]
    if not read:
        raise Failed("logrotate does not read %s: %s" % (main, output.strip()[-500:] or "rc %d" % done.rc))
    return {os.path.basename(path) for path in read}
