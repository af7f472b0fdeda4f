"""The host as a module sees it: programs, files, content from the control machine, time."""

import os
import time

from remedy.agent import family, process
from remedy.agent.kinds import Failed
from remedy.agent.paths import native
from remedy.agent.process import Completed

__all__ = ["Completed", "Host"]

_SBIN = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_PIECE = 1 << 18


class Host(object):
    """What a module works with; one for all steps of a worker, `begin` sets it up for each.

    `check` and `diff` are the step's modes, `environment` (dict) what the user set for its commands, `files` the
    view of the host's files. `talk` is the worker's side of the conversation with the control machine.
    """

    def __init__(self, talk):
        self._talk = talk
        self._files = None
        self.foreseen = {}  # what a check pass would have made of what is no file (undone objects, sizes): {key: state}
        self.begin({}, "")

    def begin(self, step, mark):
        """Set up for a step, whose processes will carry `mark`."""
        self.check = bool(step.get("check"))
        self.diff = bool(step.get("diff"))
        self.environment = {str(k): str(v) for k, v in (step.get("environment") or {}).items()}
        self.contents = {}
        self._mark = mark
        self._limit = None
        self._started = time.monotonic()
        self._waited = self._talk.waited

    @property
    def files(self):
        """The host's files, in check mode with what earlier steps would have done to them."""
        if self._files is None:
            from remedy.agent.files import Files

            self._files = Files(self)
        return self._files

    @property
    def predictions(self):
        """What check mode predicted so far, {} where nothing was."""
        return {} if self._files is None else self._files.predictions()

    def limit(self, seconds):
        """Set the step's time (None: no end)."""
        self._limit = seconds

    def left(self):
        """Return the seconds until the step's deadline, None where it has none."""
        if self._limit is None:
            return None
        waited = self._talk.waited - self._waited
        return max(0.0, self._limit + waited - (time.monotonic() - self._started))

    def elapsed(self):
        """Return the seconds the step has worked, without its waits for the control machine."""
        return time.monotonic() - self._started - (self._talk.waited - self._waited)

    def run(
        self,
        argv,
        ok=(0,),
        input=None,
        cwd=None,
        environment=None,
        timeout=None,
        shell=None,
        c_locale=False,
    ):
        """Run a program to its end and return Completed (rc, stdout and stderr as bytes, seconds).

        `argv` is a list, or with `shell` (a path, or True for /bin/sh) a text for that shell. Standard input is
        `input` (bytes) or empty. `timeout` in seconds ends it and its group. Raises Failed when it cannot be
        started, takes too long, or ends with a code that is not in `ok` (None: any will do).
        """
        if shell is not None and shell is not False:
            argv = ["/bin/sh" if shell is True else shell, "-c", argv]
        known = self._environment(environment, c_locale)
        words = [self.which(argv[0], known.get("PATH")) or argv[0]] + list(argv[1:])
        try:
            done = process.run(words, known, input, cwd, timeout, self._talk.lost)
        except OSError as error:
            what = "change to %s" % cwd if error.filename == cwd and cwd is not None else "run %s" % argv[0]
            raise Failed("cannot %s: %s" % (what, error.strerror.lower()), rc=error.errno, cmd=argv)
        except process.TimedOut as error:
            if self._talk.lost():
                raise self._talk.Gone()
            raise Failed(
                "%s took longer than %g seconds and was ended" % (_shown(argv), timeout),
                cause="timeout",
                cmd=argv,
                stdout=_text(error.done.stdout),
                stderr=_text(error.done.stderr),
            )
        if ok is not None and done.rc not in ok:
            said = _text(done.stderr).strip() or _text(done.stdout).strip()
            raise Failed(
                "%s ended with %s%s" % (_shown(argv), _code(done.rc), said and ": " + said[-2000:]),
                cmd=argv,
                rc=done.rc,
                stdout=_text(done.stdout),
                stderr=_text(done.stderr),
            )
        return done

    def _environment(self, extra, c_locale):
        known = dict(os.environ)
        known.update(self.environment)
        known.update({str(k): str(v) for k, v in (extra or {}).items()})
        if c_locale:
            known["LC_ALL"] = "C"
            known.pop("LANGUAGE", None)
        known[family.MARK] = self._mark
        return known

    def which(self, name, path=None):
        """Return the full path of a program, also from the sbin folders that a user's PATH leaves out, or None."""
        if "/" in name:
            return name if _runs(name) else None
        folders = (path or self.environment.get("PATH") or os.environ.get("PATH") or "").split(":")
        for folder in folders + [sbin for sbin in _SBIN if sbin not in folders]:
            full = os.path.join(folder, name)
            if folder and _runs(full):
                return full
        return None

    def content(self, source):
        """Return an iterator of bytes: what the control machine has under this id; raises Failed."""
        data = self.contents.get(source)
        if data is None:
            data = self._talk.need(source)
        return (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))

    def warn(self, text):
        """Tell the operator something that is no failure."""
        self._talk.warn(text)

    def stopping(self):
        """Return whether the link is gone: a work of many parts starts no further one."""
        return self._talk.stopping()

    def alone(self):
        """Work on in a process that nobody talks to (see lending.py)."""
        self._talk = _Nobody()
        self._limit = None

    def in_child(self, function, timeout):
        """Return what `function()` returns (plain data) from a process of its own; raises what it raises.

        For calls that may hang for ever, such as statvfs on a dead mount: after `timeout` seconds the process is
        killed and, where that has no effect, left behind; then Failed with cause "timeout" is raised.
        """
        from remedy.agent.children import call

        return call(function, timeout)


class _Nobody(object):
    waited = 0.0

    def need(self, source):
        raise Failed("there is nobody to ask for content")

    def warn(self, text):
        pass

    def stopping(self):
        return False

    def lost(self):
        return False


def _runs(path):
    return os.access(native(path), os.X_OK) and not os.path.isdir(native(path))


def _shown(argv):
    text = " ".join(str(word) for word in argv)
    return "'%s'" % (text if len(text) <= 120 else text[:117] + "...")


def _code(rc):
    return "exit status %d" % rc if rc >= 0 else "signal %d" % -rc


def _text(data):
    return data.decode("utf-8", "surrogateescape")
