"""Remove archived journals of systemd, the oldest first, after the last words of failed units were saved.

`size` is what the archived journals may take together, `age` how old their newest entry may be; 0 means no
limit, as for journalctl, and one of them must be given. What is active is rotated first where it belongs to
what must go, and only if that frees something: a new one takes 8 MiB at once (`rotate: false` leaves all that is
active alone). What is deleted while it is open takes its space on: journald is made to close it, by up to three
more rotations, others are waited for, and what is open then is kept, with the holder's name; one that follows the
journal closes what is deleted by itself. A journal is judged by its newest entry: `journalctl --vacuum-time` looks
at the oldest one, and would take this morning's with last month's. The last lines of every failed unit are in the
run's folder on the control machine (`kept/HOST/failed-units.txt`) before the first journal goes. Only this
machine's journals on disk are looked at. Works only as root; `age` not on a host whose clock is more than a minute
off. Cannot be undone. Returns `failed_units` (unit, lines) and `usage` (archived, active: bytes).
"""

import os
import stat
import time

from remedy.agent.kinds import Failed, Item, Param, Sweep
from remedy.modules.target import _folders, _holders, _journals
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
_UNITS = 20
_TRIES = 3
_PATIENCE = 5  # seconds for journald's thread, before each rotation
_READERS = 2  # seconds for all together who read what is to go
_PAUSE = 0.02


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
    _waited = 0.0

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
            if _journals.active(name):
                name = self._archive(folder, item)
                if name is None:
                    return "journald did not archive it, or removed it itself"
                again = max(_blocks(item.id), _journals.STEP)  # on a full disk it grows with the next message
            holders = self._released(os.path.join(os.path.dirname(item.id), name))
            if holders:
                return "its space would not be free: %s has it open" % _holders.told(holders)
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
                if _journals.archived(each) or _journals.active(each):
                    try:
                        journals.append(_journals.Journal(os.path.join(folder, each)))
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
        reasons, items = [], []
        for journal in archived + active:
            why = self._why(journal, total, limit)
            if journal.active and (not rotate or not journal.gain):
                why = None
            if why is not None:
                total -= journal.gain
            told = "active: journald writes it" if journal.active else "within the limits"
            reasons.append((journal, why, told))
        stuck = self._stuck([journal for journal, why, _ in reasons if why is not None])
        for journal, why, told in reasons:
            if journal.path in stuck:
                why, told = None, "journald has it open until it rotates"
            reason = "%s; %s" % (why or told, journal.span)
            items.append(Item(journal.path, why is not None, reason, journal.size, journal.identity))
        return items

    def _stuck(self, taking):
        """Return the paths that journald has open, and a rotation to have them closed would not free anything."""
        held = _journals.held(self.host, [journal.path for journal in taking if not journal.active])
        held = {path for path, holders in held.items() if any(holder.writes for holder in holders)}
        stuck = set()
        for place in {os.path.dirname(path) for path in held}:
            rotates = any(journal.active and journal.place == place for journal in taking)
            mine = [journal for journal in taking if journal.path in held and journal.place == place]
            if not self.params["rotate"] or not (rotates or sum(each.size for each in mine) > _journals.STEP):
                stuck.update(journal.path for journal in mine)
        return stuck

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
        """Have journald archive its active files, once, and return the name that this one has then."""
        place = os.path.dirname(item.id)
        if place not in self._rotated:
            self._rotate(place)
        return self._archived(folder, item)

    def _released(self, path):
        """Have journald close an archived journal, wait for those who read it; return who still has it open."""
        place = os.path.dirname(path)
        tries = _TRIES if self.params["rotate"] else 0
        while True:
            holders = _journals.held(self.host, [path]).get(path, [])
            hidden = _journals.hidden(self.host, place) if place in self._rotated else []
            journald = [holder for holder in holders + hidden if holder.writes]
            if journald and tries:
                tries -= 1
                self._have_closed(journald, place)
                continue
            if hidden:
                self.host.warn(
                    "%s holds deleted journals: their space is free after its next rotation"
                    % _holders.told(hidden)
                )
            if not holders or journald or self._waited >= _READERS:
                return holders
            time.sleep(_PAUSE)
            self._waited += _PAUSE

    def _have_closed(self, journald, place):
        """Rotate, when journald's thread has brought to the disk what was archived: only that is closed.

        It is closed at a later rotation than the one that archives it (server_process_deferred_closes).
        """
        limit = time.monotonic() + _PATIENCE
        while any(_journals.working(each) for each in journald) and time.monotonic() < limit:
            time.sleep(_PAUSE)
        self._rotate(place)

    def _archived(self, folder, item):
        for name in os.listdir(folder):
            if _journals.archived(name):
                about = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if [about.st_dev, about.st_ino] == list(item.identity[:2]):
                    return name
        return None

    def _rotate(self, place):
        space = os.path.basename(place).partition(".")[2]
        argv = ["journalctl"] + (["--namespace=" + space] if space else []) + ["--rotate"]
        self.host.run(argv, timeout=60, c_locale=True)
        self._rotated += (place,)

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


def _machine():
    try:
        with open("/etc/machine-id") as file:
            return file.read().strip()
    except OSError:
        return None


def _blocks(path):
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


def _text(data):
    return data.decode("utf-8", "surrogateescape")
