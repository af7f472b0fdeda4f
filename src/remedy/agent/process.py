"""Starting programs: fork and exec, both streams drained, without the 5 ms that `subprocess` takes to import."""

import errno
import os
import select
import signal
import time

from remedy.agent.kinds import Failed
from remedy.agent.paths import native

_CHUNK = 1 << 16
_MESSAGE = 512  # bytes: what a pipe takes at once, everywhere
_LINGER = 0.25  # a daemon that kept the program's output open is not waited for longer than this


class Completed(object):
    """What a program left behind: rc (negative: ended by that signal), stdout and stderr (bytes), seconds."""

    def __init__(self, rc, stdout, stderr, seconds):
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds


class TimedOut(Exception):
    """A program ran past its time and was ended; `done` is what it had said (Completed)."""

    def __init__(self, done):
        Exception.__init__(self, "timed out")
        self.done = done


def close_all_but(keep):
    """Close every descriptor of this process above 2 that is not in `keep`."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = list(range(1024))  # no /proc here
    for number in numbers:
        if number > 2 and number not in keep:
            try:
                os.close(number)
            except OSError:
                pass  # the one that listed the folder


def passable(argv, environment):
    """Return words and environment as a program gets them, in bytes; raises Failed for what none can be given."""
    words = [native(word) for word in argv]
    known = {native(name): native(value) for name, value in environment.items()}
    if not words or not words[0]:
        raise Failed("there is no program to run: its name is empty; give a name or a path", rc=None)
    for place, word in enumerate(words):
        if b"\0" in word:
            text = "cannot run %r: word %d holds a null byte, where a program's word ends; take it out"
            raise Failed(text % (argv[0], place + 1), rc=None)
    for name in known:
        if not name or b"=" in name or b"\0" in name + known[name]:
            text = "cannot set the environment variable %r: expected a name without =, and no null byte; correct it"
            raise Failed(text % name.decode("utf-8", "replace"), rc=None)
    return words, known


def spawn(argv, descriptors, environment, cwd=None, before=None):
    """Start a program in a session of its own, `descriptors` (all above 2) as its 0, 1, 2; return its process id.

    `before` runs in the child ahead of the exec. Raises OSError when the program or `cwd` is not there, or `before`
    fails, and Failed for words or an environment that no program can be given.
    """
    words, known = passable(argv, environment)
    if cwd is None:
        return _start(words, descriptors, known, before)
    back = os.getcwd()
    try:
        os.chdir(native(cwd))
    except OSError as error:
        raise OSError(error.errno, error.strerror, cwd)
    try:
        return _start(words, descriptors, known, before)
    finally:
        os.chdir(back)


def _start(words, descriptors, environment, before):
    spawn_it = getattr(os, "posix_spawn", None)  # Python 3.8
    if before is None and spawn_it is not None:
        # Half the price of a fork: this process's page tables need not be copied.
        duplicate = getattr(os, "POSIX_SPAWN_DUP2", None)
        places = [(duplicate, descriptor, place) for place, descriptor in enumerate(descriptors)]
        try:
            return spawn_it(
                words[0], words, environment, file_actions=places, setsid=True, setsigdef=[signal.SIGPIPE]
            )
        except NotImplementedError:
            pass  # a C library that has no such session
    return _fork(words, descriptors, environment, before)


def _fork(words, descriptors, environment, before):
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            for place, descriptor in enumerate(descriptors):
                os.dup2(descriptor, place)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            if before is not None:
                before()
            os.execve(words[0], words, environment)
        except OSError as error:
            os.write(tell, b"%d" % (error.errno or errno.EIO))
        except Exception as error:
            text = "%d could not be prepared: %s: %s" % (errno.EIO, type(error).__name__, error)
            os.write(tell, text.encode("utf-8", "backslashreplace")[:_MESSAGE])
        finally:
            os._exit(127)
    os.close(tell)
    try:
        number, _, why = os.read(told, _MESSAGE).partition(b" ")
    finally:
        os.close(told)
    if number:
        os.waitpid(pid, 0)
        raise OSError(int(number), why.decode("utf-8", "replace") or os.strerror(int(number)), words[0])
    return pid


def run(argv, environment, input=None, cwd=None, timeout=None, lost=None):
    """Run a program (its full path stands in argv[0]) to its end.

    Raises OSError when it cannot be started, TimedOut when it was ended: after `timeout` seconds, or because
    `lost()` said that nobody waits for it any more.
    """
    started = time.monotonic()
    null = os.open(os.devnull, os.O_RDWR)
    opened = [null]
    try:
        pipes = [os.pipe(), os.pipe()] + ([] if input is None else [os.pipe()])
        opened += [descriptor for pipe in pipes for descriptor in pipe]
        stdin = null if input is None else pipes[2][0]
        pid = spawn(argv, (stdin, pipes[0][1], pipes[1][1]), environment, cwd)
        ours = [pipes[0][0], pipes[1][0]] + ([] if input is None else [pipes[2][1]])
        for descriptor in set(opened) - set(ours):
            opened.remove(descriptor)
            os.close(descriptor)
        deadline = None if not timeout else started + timeout
        talk = _Talk(pid, ours, input, opened)
        if not talk.until(deadline, lost):
            end_group(pid, talk)
            raise TimedOut(talk.completed(started))
        return talk.completed(started)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def end_group(pid, talk):
    """End a program's process group: TERM, one second, KILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except OSError:
            pass
        if talk.until(time.monotonic() + 1.0):
            return


class _Talk(object):
    """The conversation with a running program: its streams and its end."""

    def __init__(self, pid, descriptors, input, opened):
        self.pid = pid
        self.opened = opened  # what `run` closes in the end
        self.status = None
        self.texts = {descriptors[0]: [], descriptors[1]: []}
        self.order = descriptors[:2]
        self.input = memoryview(input) if input is not None else None
        self.poll = select.poll()
        self.open = set(descriptors)
        for descriptor in descriptors[:2]:
            self.poll.register(descriptor, select.POLLIN)
        if input is not None:
            self.feed = descriptors[2]
            os.set_blocking(self.feed, False)
            self.poll.register(self.feed, select.POLLOUT)

    def until(self, deadline, lost=None):
        """Drain until the program has ended; return False when the deadline or `lost()` came first."""
        linger = None
        pause = 0.001
        while True:
            now = time.monotonic()
            if self.status is None:
                self._wait()
            if self.status is not None:
                linger = linger or now + _LINGER
                if not self.open or now > linger:
                    return True
            if (deadline is not None and now > deadline) or (lost is not None and lost()):
                return self.status is not None
            if self.open:
                for descriptor, _ in self.poll.poll(100 if self.status is None else 20):
                    self._move(descriptor)
            elif self.status is None:
                time.sleep(pause)  # it closed its streams and lives on
                pause = min(pause * 2, 0.05)

    def _wait(self):
        done, status = os.waitpid(self.pid, os.WNOHANG)
        if done:
            self.status = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _move(self, descriptor):
        if descriptor in self.texts:
            data = os.read(descriptor, _CHUNK)
            self.texts[descriptor].append(data)
            if not data:
                self._drop(descriptor)
            return
        try:
            self.input = self.input[os.write(descriptor, self.input[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:
            self.input = None  # the program does not want to read more
        if not self.input:
            self._drop(descriptor)
            self.opened.remove(descriptor)
            os.close(descriptor)

    def _drop(self, descriptor):
        self.poll.unregister(descriptor)
        self.open.discard(descriptor)

    def completed(self, started):
        """Return what the program left behind."""
        rc = self.status if self.status is not None else -signal.SIGKILL
        texts = [b"".join(self.texts[descriptor]) for descriptor in self.order]
        return Completed(rc, texts[0], texts[1], time.monotonic() - started)
