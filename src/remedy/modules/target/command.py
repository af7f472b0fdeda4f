"""Run a program, without a shell.

The words of `cmd` (or of the task's bare text) are split as a shell would, but nothing in them is special:
no pipes, no redirection. Returns `cmd`, `rc`, `stdout`, `stderr`, their `_lines`, `start`, `end`, `delta`,
`msg`. With `reads: true` the task promises to read only: it is then
allowed in `diagnose`, and reports no change.
"""

import errno
import os
import shlex
import time

from remedy.agent.kinds import Command, Failed, Param, Skipped
from remedy.agent.paths import native
from remedy.agent.process import passable

COMMON = (
    Param("chdir", "path", help="Change to this folder first."),
    Param("creates", "path", help="Skip when this file (or any that matches the pattern) exists."),
    Param("removes", "path", help="Skip when this file (or any that matches the pattern) does not exist."),
    Param("stdin", help="Text for the program's standard input."),
    Param("stdin_add_newline", "bool", default=True, help="End that text with a newline."),
    Param("strip_empty_ends", "bool", default=True, help="Cut empty lines from the end of the output."),
    Param("reads", "bool", default=False, help="A promise that it only reads: allowed in diagnose."),
)

PARAMS = (
    Param("cmd", help="The program and its arguments as one text."),
    Param("argv", "list", elements="str", help="The program and its arguments as a list."),
    Param("executable", "path", help="Accepted for Ansible's sake, and without effect: see shell."),
    Param("expand_argument_vars", "bool", default=True, help="Replace $NAME and ~ in the arguments."),
) + COMMON

FREE_FORM = "cmd"

EXAMPLES = """
- command: mysqladmin ping
- command:
    argv: [tar, -tf, "{{ archive }}"]
    reads: true
"""

_VARIABLE = r"\$(\w+|\{[^}]*\})"


def kind(params):
    return RunCommand


def check_params(params):
    if params["cmd"] and params["argv"]:
        return "give cmd or argv, not both"
    if not params["cmd"] and not params["argv"]:
        return "give cmd, argv, or the command line as bare text"
    return None


class RunCommand(Command):
    def argv(self):
        """Return the words to run, and what `cmd` shows."""
        if self.params["executable"]:
            self.host.warn("command does not use 'executable'; shell does")
        try:
            words = self.params["argv"] or shlex.split(self.params["cmd"])
        except ValueError as error:
            raise Failed("cannot split %r into words: %s; close the quote" % (self.params["cmd"], error))
        words = [str(word) for word in words]
        if self.params["expand_argument_vars"]:
            words = [self._expand(word) for word in words]
        if not words:
            raise Failed("there is no program to run: cmd is blank")
        return words, words

    def check(self):
        self._conditions(os.path.expanduser(self._expand(self.params["chdir"] or "~")))

    def run(self):
        folder = self._folder()
        self._conditions(folder)
        words, shown = self.argv()
        passable(words, self.host.environment)  # before anybody looks for the program
        text = self.params["stdin"]
        if text is not None:
            text = text.encode("utf-8", "surrogateescape")
            text += b"\n" if self.params["stdin_add_newline"] else b""
        begun = time.time()
        done = self.host.run(words, ok=None, input=text, cwd=folder, environment=self.host.environment)
        result = {"cmd": shown, "rc": done.rc, "msg": "non-zero return code" if done.rc else ""}
        for name in ("stdout", "stderr"):
            output = getattr(done, name).decode("utf-8", "surrogateescape")
            if self.params["strip_empty_ends"]:
                output = output.rstrip("\r\n")
            result[name] = output
            result[name + "_lines"] = output.splitlines()
        result["start"] = _moment(begun)
        result["end"] = _moment(begun + done.seconds)
        result["delta"] = _span(done.seconds)
        if self.params["reads"]:
            result["changed"] = False
        return result

    def _folder(self):
        if not self.params["chdir"]:
            home = os.path.expanduser("~")  # where a login begins, and Ansible's commands too
            if not os.path.isdir(native(home)):
                return "/"
        folder = self._expand(self.params["chdir"]) if self.params["chdir"] else home
        wrong = _wrong(folder)
        if wrong:
            raise Failed("cannot change to %s: %s" % (folder, wrong), cmd=None, rc=None)
        return folder

    def _conditions(self, folder):
        for name, wanted in (("creates", True), ("removes", False)):
            pattern = self.params[name]
            if pattern:
                place = os.path.join(folder or "", self._expand(pattern))
                if self._there(place) is wanted:
                    raise Skipped("%s %s" % (pattern, "exists" if wanted else "does not exist"))

    def _there(self, place):
        if any(sign in place for sign in "*?["):
            from glob import glob

            found = glob(place)
        else:
            found = [place] if os.path.lexists(place) else []
        if self.host.check:
            from fnmatch import fnmatchcase

            files = self.host.files
            found = [path for path in found if files.lstat(files.path(path)) is not None]
            found += [
                path for path in self.host.predictions if files.lstat(path) and fnmatchcase(path, place)
            ]
        return bool(found)

    def _expand(self, word):
        if "$" in word:
            import re

            known = dict(os.environ, **(self.host.environment or {}))
            word = re.sub(_VARIABLE, lambda m: known.get(m.group(1).strip("{}"), m.group(0)), word)
        return os.path.expanduser(word)


def _wrong(folder):
    """Return why nobody could work in a folder, and what to do; None where this user can."""
    if "\0" in folder:
        return "no path holds a null byte; correct chdir"
    try:
        os.stat(os.path.join(native(folder), b"."))
    except OSError as error:
        if error.errno == errno.EACCES:
            from remedy.agent.files import user_name

            return "the user %s may not enter it; use become, or a user that may" % user_name(os.geteuid())
        if error.errno == errno.ENOTDIR and os.path.lexists(native(folder)):
            return "it is a file, not a folder; correct chdir"
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return "there is no such folder; correct chdir"
        return "%s; correct chdir" % os.strerror(error.errno).lower()
    return None


def _moment(seconds):
    whole = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return "%s.%06d" % (whole, seconds % 1 * 1000000)


def _span(seconds):
    minutes, rest = divmod(seconds, 60)
    return "%d:%02d:%09.6f" % (minutes // 60, minutes % 60, rest)
