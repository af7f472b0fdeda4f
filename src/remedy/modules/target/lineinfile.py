"""Make sure that a line is in a file, or that no such line is.

Which line is replaced, and where a new one goes, is as in Ansible. Where Ansible would change a further line
with every run (the new line does not match `regexp`, another one does), all of them change at once; where it
would never end, the task fails and says why. Returns `msg`, `found` (lines removed), `backup`, `backup_file`.
"""

import re

from remedy.agent.files import digest
from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.agent.paths import native
from remedy.modules.target._attributes import ATTRIBUTES
from remedy.modules.target._content import BACKUP, VALIDATE, Content

PARAMS = (
    Param("path", "path", default=REQUIRED, aliases=("dest", "destfile", "name"), help="the file"),
    Param("state", default="present", choices=("present", "absent"), help="whether the line shall be there"),
    Param("line", aliases=("value",), help="the line, without its line break"),
    Param(
        "regexp", aliases=("regex",), help="the last line that matches is replaced; absent: all of them go"
    ),
    Param("search_string", help="the same by a text that the line holds, instead of regexp"),
    Param("insertafter", help="a new line goes after the last one that matches this, or EOF, or BOF"),
    Param("insertbefore", help="a new line goes before the last one that matches this, or BOF"),
    Param("backrefs", "bool", default=False, help="line has the groups of regexp (\\1); no match, no change"),
    Param("firstmatch", "bool", default=False, help="the first line that matches counts, not the last"),
    Param("create", "bool", default=False, help="make the file, and its folders, when it is missing"),
    BACKUP,
    VALIDATE,
) + ATTRIBUTES

EXAMPLES = """
- lineinfile:
    path: /etc/ssh/sshd_config
    regexp: "^#?PermitRootLogin"
    line: PermitRootLogin no
    validate: sshd -t -f %s
- lineinfile: {path: /etc/hosts, state: absent, search_string: old-db}
"""

_CHANGES = 1000  # lines changed by one task
_TRIES = 20  # changes of one line until it stays as it is


def kind(params):
    return LineInFile


def check_params(params):
    given = {name for name in ("line", "regexp", "search_string") if params[name] is not None}
    if params["regexp"] is not None and params["search_string"] is not None:
        return "give regexp or search_string, not both"
    if params["insertafter"] is not None and params["insertbefore"] is not None:
        return "give insertafter or insertbefore, not both"
    if params["backrefs"] and params["regexp"] is None:
        return "backrefs needs regexp, whose groups the line takes"
    if params["state"] == "present" and "line" not in given:
        return "state: present needs line"
    if params["state"] == "absent" and not given:
        return "state: absent needs line, regexp or search_string"
    if params["mode"] == "preserve":
        return "mode cannot be preserve here: leave it out to keep what is there"
    return None


class LineInFile(Content):
    def __init__(self, params, host):
        Content.__init__(self, params, host)
        self.makes_folders = params["create"]
        self._content = b""
        self._message = ""
        self._found = 0

    def locate(self):
        return self.files.real(self.files.path(self.params["path"]))

    def new(self, have):
        absent = self.params["state"] == "absent"
        if have is None and absent:
            self.why_not = "file not present"
            return None
        if have is None and not self.params["create"]:
            raise Failed(
                "%s does not exist; with create: true it is made" % self.path, rc=257, path=self.path
            )
        before = b"" if have is None else self.files.read(self.path)
        if absent:
            after, found = without(before, self.params)
            message = "%d line(s) removed" % found if found else ""
        else:
            after, message = settled(before, self.params, self.path)
            found = 0
        if message:  # reading back must not forget what was done
            self._message, self._found = message, found
        self._content = after
        return (digest([after]), len(after))

    def chunks(self, want):
        return [self._content]

    def origin(self, want):
        return self._content

    def why(self, have):
        return self.why_not if have is None else "the file is as wanted"

    def returns(self, have, now):
        result = dict(Content.returns(self, have, now), path=self.path, msg=self._message)
        result["backup"] = self.backup_file or ""
        if have == now and have is None:
            result["msg"] = self.why_not
        if self.params["state"] == "absent":
            result["found"] = self._found
        return result


def without(content, params):
    """Return the content without the lines that match, and how many went."""
    matches = _matcher(params)
    if matches is None:
        line = _line(params)

        def matches(one):
            return one.rstrip(b"\r\n") == line

    lines = _split(content)
    left = [one for one in lines if not matches(one)]
    return b"".join(left), len(lines) - len(left)


def settled(content, params, path):
    """Return the content with the line in it, such that doing it again changes nothing, and what was done."""
    lines = _split(content)
    first = ""
    places = []
    added = 0
    while True:
        message, place = _change(lines, params)
        if not message:
            return b"".join(lines), first
        again = len(places) > _TRIES and len(set(places[-_TRIES:])) == 1
        added += message == "line added"
        if again or added > 2 or len(places) > _CHANGES:
            raise Failed(
                "this line would change %s with every run, for ever: what it writes must be what regexp"
                " matches, unchanged by a second replacement, and one line only" % path,
                path=path,
            )
        first = first or message
        places.append(place)
        lines = _split(b"".join(lines))  # what was written may be more than one line


def _change(lines, params):
    """Change the list of lines once, as Ansible does; return ("line added" or "line replaced", where)."""
    line = _line(params)
    matches = _matcher(params)
    match, at = _last(lines, matches, params["firstmatch"]) if matches is not None else (None, -1)
    anchor = -1
    if match is None:
        at, anchor = _anchored(lines, line, params)
    if at != -1:
        new = match.expand(line) if params["backrefs"] and match is not None else line
        new = new if new.endswith(b"\n") else new + b"\n"
        if lines[at] == new:
            return "", at
        lines[at] = new
        return "line replaced", at
    if params["backrefs"]:
        return "", -1  # without a match there are no groups to make the line from
    if "BOF" in (params["insertbefore"], params["insertafter"]):
        anchor = 0
    elif anchor == -1:
        anchor = len(lines)
    if anchor == len(lines) and lines and not lines[-1].endswith((b"\n", b"\r")):
        lines[-1] += b"\n"
    lines.insert(anchor, line + b"\n")
    return "line added", anchor


def _last(lines, matches, first):
    found = (None, -1)
    for number, one in enumerate(lines):
        match = matches(one)
        if match:
            found = (match, number)
            if first:
                break
    return found


def _anchored(lines, line, params):
    """Return where the line is already, and where insertafter or insertbefore would put it; -1: nowhere."""
    after = params["insertafter"] not in (None, "EOF", "BOF")
    pattern = None
    if after or params["insertbefore"] not in (None, "BOF"):
        pattern = _compiled(params, "insertafter" if after else "insertbefore")
    at = anchor = -1
    for number, one in enumerate(lines):
        if one.rstrip(b"\r\n") == line:
            at = number
        elif pattern is not None and pattern.search(one):
            anchor = number + 1 if after else number
            if params["firstmatch"]:
                if lines[anchor : anchor + 1] and lines[anchor].rstrip(b"\r\n") == line:
                    at = anchor
                break
    return at, anchor


def _matcher(params):
    """Return what tells whether a line matches regexp or search_string; None where neither is given."""
    if params["regexp"] is not None:
        return _compiled(params, "regexp").search
    if params["search_string"] is not None:
        held = native(params["search_string"])
        return lambda one: held in one
    return None


def _compiled(params, name):
    try:
        return re.compile(native(params[name]))
    except re.error as error:
        raise Failed("%s is no regular expression: %s: %s" % (name, error, params[name]))


def _line(params):
    line = native(params["line"])
    return line[:-1] if line.endswith(b"\n") else line


def _split(content):
    lines = content.split(b"\n")
    last = lines.pop()
    return [one + b"\n" for one in lines] + ([last] if last else [])
