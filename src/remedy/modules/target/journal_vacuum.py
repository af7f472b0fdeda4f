"""Remove archived journals of systemd, the oldest first, after the last words of failed units were saved.

`size` is what the archived journals may take together, `age` how old their newest entry may be; 0 means no
limit, as for journalctl, and one of them must be given. What is active is rotated first where it belongs to
what must go, and only if that frees something: a new one takes 8 MiB at once (`rotate: false` leaves all that is
active alone). A journal is judged by its newest entry: `journalctl --vacuum-time` looks at the oldest one, and would
take this morning's with last month's. The last lines of every failed unit are in the run's folder on the
control machine (`kept/HOST/failed-units.txt`) before the first journal goes. Only this machine's journals on
disk are looked at. Works only as root; `age` not on a host whose clock is more than a minute off. Cannot be
undone. Returns `failed_units` (unit, lines) and `usage` (archived, active: bytes).
"""

import os
import re
import stat
import struct
import time

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.target import _folders, _holders
from remedy.modules.target._looking import READS, Listing

PARAMS = (
    Param(
        "size",
        "size",
        help="What journals may take at most, such as 200M, beyond active ones' first 8 MiB; 0: no limit.",
    ),
    Param("age", "duration", help="How old the newest entry of an archived journal may be; 0: no limit."),
    Param("rotate", "bool", default=True, help="Archive what is active first, where it must go, too."),
    Param("evidence_lines", "int", default=100, help="How many last lines of each failed unit are saved."),
    READS,
)

INTERNAL = ("clock_skew",)

EXAMPLES = """
- journal_vacuum: {size: 200M}
- journal_vacuum: {age: 14d, evidence_lines: 500}
"""

_TOP = "/var/log/journal"
_SKEW = 60
_STEP = 8 << 20  # journald allocates in such steps, and a new file takes the first at once (journal-file.c)
_UNITS = 20
_TRIES = 3
_ONLINE = 1
_ARCHIVED = re.compile(r".+@(?:[0-9a-f]{32}-)?[0-9a-f]{16}-[0-9a-f]{16}\.journal~?")
_ACTIVE = re.compile(r"[^@]+\.journal")


def check_params(params):
    if not params["size"] and not params["age"] and not params["reads"]:
        return "give a size or an age; 0 means no limit, as for journalctl"
    if any(
        isinstance(params[name], (int, float)) and params[name] < 0
        for name in ("size", "age", "evidence_lines")
    ):
        return "size, age and evidence_lines cannot be less than 0"
    return None


def kind(params):
    return Look if params.get("reads") else JournalVacuum


class JournalVacuum(Sweep):
    deadline = 120
    _now = None
    _evidence = ()
    _usage = None
    _rotated = ()

    def key(self):
        return "archived journals"

    def find(self):
        self._guard()
        if self._now is None:
            self._now = time.time()
        journals, kept = self._journals()
        archived = [journal for journal in journals if not journal.active]
        active = [journal for journal in journals if journal.active]
        self._usage = {"archived": sum(j.size for j in archived), "active": sum(j.size for j in active)}
        items = self._judge(archived, active)
        return items + kept

    def keep(self, items):
        """Return the last words of the failed units."""
        self._evidence = self._collect()
        parts = ["== %s\n%s\n" % (each["unit"], "\n".join(each["lines"])) for each in self._evidence]
        return {"failed-units.txt": "\n".join(parts).encode("utf-8", "surrogateescape")} if parts else {}

    def drain(self, item):
        try:
            folder = _folders.opened(os.path.dirname(item.id))
        except OSError as error:
            return "its folder changed: %s" % error.strerror.lower()
        try:
            name, again = os.path.basename(item.id), 0
            if _ACTIVE.fullmatch(name):
                name = self._archive(folder, item)
                if name is None:
                    return "journald did not archive it"
                again = max(_blocks(item.id), _STEP)  # on a full disk it grows with the next message
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            device, inode, size = item.identity
            same = (about.st_dev, about.st_ino) == (device, inode) and size in (None, about.st_size)
            if not same or not stat.S_ISREG(about.st_mode):
                return "it changed since it was looked at"
            os.unlink(name, dir_fd=folder)
            return max(0, about.st_blocks * 512 - again)
        except FileNotFoundError:
            return "it is gone already"
        finally:
            os.close(folder)

    def returns(self, taken, kept):
        return {"failed_units": list(self._evidence), "usage": self._usage}

    def _guard(self):
        if os.geteuid() != 0:
            raise Failed("journals are removed only as root; add become: true", cause="permission")
        skew = self.params.get("clock_skew")
        if self.params["age"] and skew is not None and abs(skew) > _SKEW:
            raise Failed(
                "the host's clock is %d s off, and every entry's age with it; set the clock first, or give "
                "a size" % abs(skew)
            )

    def _journals(self):
        """Return (this machine's journals, the newest entry last; [Item] of what is not its own)."""
        machine = _machine()
        journals, kept = [], []
        top = os.path.realpath(_TOP)
        for name in sorted(os.listdir(top)) if os.path.isdir(top) else ():
            folder = os.path.join(top, name)
            if os.path.islink(folder) or not os.path.isdir(folder):
                continue
            if name.split(".")[0] != machine:
                kept.append(Item(folder, False, "another machine's journals"))
                continue
            for each in os.listdir(folder):
                if _ARCHIVED.fullmatch(each) or _ACTIVE.fullmatch(each):
                    try:
                        journals.append(_Journal(os.path.join(folder, each)))
                    except FileNotFoundError:
                        continue
        return sorted(journals, key=lambda journal: (journal.newest, journal.path)), kept

    def _judge(self, archived, active):
        """Return the Items, the archived ones first: they make room for what a rotation needs."""
        limit = self.params["size"] or None
        rotate = self.params["rotate"]
        total = sum(journal.size for journal in archived)
        if rotate:
            total += sum(journal.gain for journal in active)
        items = []
        for journal in archived + active:
            why = self._why(journal, total, limit)
            if journal.active and (not rotate or not journal.gain):
                why = None
            if why is not None:
                total -= journal.gain
            told = "active: journald writes it" if journal.active else "within the limits"
            items.append(
                Item(
                    journal.path,
                    why is not None,
                    "%s; %s" % (why or told, journal.span),
                    journal.size,
                    journal.identity,
                )
            )
        return items

    def _why(self, journal, total, limit):
        age = self._now - journal.newest
        if age < 0:
            return None  # dated in the future: by age it cannot be judged, and it is the newest by size
        if self.params["age"] and age > self.params["age"]:
            return "its newest entry is %.1f days old" % (age / 86400.0)
        if limit is not None and total > limit and not journal.leftover:
            return "the journals take %s, %s may stay" % (_holders.shown(total), _holders.shown(limit))
        return None

    def _archive(self, folder, item):
        """Have journald archive its active files, once, and close this one; return the name that it has then."""
        place = os.path.dirname(item.id)
        if place not in self._rotated:
            self._rotate(place)
            self._rotated += (place,)
        name = self._archived(folder, item)
        if name is None:
            return None
        path = os.path.join(place, name)
        # journald writes what it archives to the disk beside its work, and closes it at the next rotation after
        # that (server_process_deferred_closes): until then the file's space is not free.
        for _ in range(_TRIES):
            limit = time.monotonic() + 5
            while _state(path) == _ONLINE and time.monotonic() < limit:
                time.sleep(0.02)
            if not self._held(path):
                return name
            self._rotate(place)
        self.host.warn("journald still holds %s open: its space is free after the next rotation" % path)
        return name

    def _archived(self, folder, item):
        for name in os.listdir(folder):
            if _ARCHIVED.fullmatch(name):
                about = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if [about.st_dev, about.st_ino] == list(item.identity[:2]):
                    return name
        return None

    def _rotate(self, place):
        space = os.path.basename(place).partition(".")[2]
        argv = ["journalctl"] + (["--namespace=" + space] if space else []) + ["--rotate"]
        self.host.run(argv, timeout=60, c_locale=True)

    def _held(self, path):
        held, _ = _holders.holding(self.host, [path])
        return any(holder.writes and holder.target == path for holder, _ in held)

    def _collect(self):
        lines = self.params["evidence_lines"]
        if not lines or not self.host.which("systemctl"):
            return []
        argv = "systemctl list-units --state=failed --all --plain --no-legend --full --no-pager".split()
        done = self.host.run(argv, ok=None, timeout=10, c_locale=True)
        units = [line.split()[0] for line in _text(done.stdout).splitlines() if line.split()]
        found = []
        for unit in units[:_UNITS]:
            argv = ["journalctl", "--unit=" + unit, "--lines=%d" % lines]
            argv += ["--output=short-iso", "--no-pager", "--quiet"]
            said = self.host.run(argv, ok=None, timeout=10, c_locale=True)
            found.append({"unit": unit, "lines": _text(said.stdout)[-(64 << 10) :].splitlines()})
        if len(units) > _UNITS:
            self.host.warn("%d units have failed: the last lines of %d are saved" % (len(units), _UNITS))
        return found


class Look(Listing):
    sweep = JournalVacuum


# The file's header, at places that systemd promises to keep ("Journal File Format", systemd.io).
_HEADER = struct.Struct("<8s144xQ24xQQ")  # signature, n_entries, realtime of the head and of the tail


class _Journal(object):
    """A journal file: what it takes, what its going would free, and the times of its entries."""

    def __init__(self, path):
        self.path = path
        self.about = os.lstat(path)
        self.active = _ACTIVE.fullmatch(os.path.basename(path)) is not None
        self.size = self.about.st_blocks * 512
        self.gain = max(0, self.size - _STEP) if self.active else self.size
        self.entries, self.oldest, self.newest = None, None, self.about.st_mtime
        with open(path, "rb") as file:
            head = file.read(_HEADER.size)
        if len(head) == _HEADER.size and head.startswith(b"LPKSHHRH"):
            _, self.entries, oldest, newest = _HEADER.unpack(head)
            if self.entries and newest:
                self.oldest, self.newest = oldest / 1e6, newest / 1e6

    @property
    def leftover(self):
        """Whether it is only what a rotation of ours leaves: taking it would make the next one, time and again."""
        return not self.active and self.entries is not None and self.entries <= 1

    @property
    def identity(self):
        # What is active grows, and journald cuts off what it has not used when it archives it.
        return [self.about.st_dev, self.about.st_ino, None if self.active else self.about.st_size]

    @property
    def span(self):
        if self.oldest is None:
            return "last written %s UTC" % _moment(self.newest)
        return "%d entries from %s to %s UTC" % (self.entries, _moment(self.oldest), _moment(self.newest))


def _machine():
    try:
        with open("/etc/machine-id") as file:
            return file.read().strip()
    except OSError:
        return None


def _state(path):
    with open(path, "rb") as file:
        head = file.read(17)
    return head[16] if len(head) == 17 else None


def _blocks(path):
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


def _moment(seconds):
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


def _text(data):
    return data.decode("utf-8", "surrogateescape")
