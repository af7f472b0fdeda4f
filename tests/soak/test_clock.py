"""Schedules on a machine whose clock is set and changes for summer: a guest, which has a clock of its own.

Two timekeepers are at work in it, each for a project of its own: systemd, with exported timers, and the daemon. An
emulated processor needs a minute for what takes two seconds elsewhere, so the clock is put shortly before what matters:
by three seconds, for what a timer starts because the clock was set looks at it no sooner than five seconds later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import yaml

from remedy.lab.qemu import Guest, Guests
from tests.conftest_lab import GuestFactory
from tests.services_lab.timekeeping import PROJECT, STATE, Station

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

NAME = "clock"
DISK = "remedy"
BERLIN = ZoneInfo("Europe/Berlin")
TIMERS = "/srv/timers"
MARKS = f"{STATE}/marks"
GAP = "02:30 does not exist on 2027-03-28 in Europe/Berlin: the clock jumps over it"

# One heals and one looks: two that heal would wait for each other's lock on the machine.
PLAYS = {
    TIMERS: """\
- hosts: all
  gather_facts: false
  vars: {who: nobody}
  tasks:
    - lineinfile: {path: "%s-{{ who }}", create: true, line: "{{ lookup('pipe', 'date +%%s') }}"}
""",
    PROJECT: """\
- hosts: all
  gather_facts: false
  runbook: {severity: P3}
  vars: {who: nobody}
  diagnose:
    - shell: date +%%s >> %s-{{ who }}
      args: {reads: true}
""",
}
# The same, and then at work until it is told to end.
SLOW = {
    TIMERS: """\
    - shell: "for i in $(seq 900); do [ -e %s-go ] && exit 0; sleep 1; done; exit 1"
""",
    PROJECT: """\
    - shell: "for i in $(seq 900); do [ -e %s-go ] && exit 0; sleep 1; done; exit 1"
      args: {reads: true}
""",
}
TAKEN = """\
import json, sqlite3, sys
rows = sqlite3.connect("file:%s/history.db?mode=ro", uri=True).execute(
    "SELECT due, state, reason, exit_code FROM schedule_times WHERE schedule LIKE ? AND state != 'added' ORDER BY due",
    ("%%/" + sys.argv[1],))
print(json.dumps(list(rows)))
"""


class Clocks(Station):
    """The guest; due times are told as `MM-DDTHH:MM` in UTC."""

    doors: Guests

    def furnish(self, guest: Guest) -> None:
        """Put remedy and both projects into it, and start the daemon."""
        self._guest = guest
        self.install({"box": {"ansible_connection": "local"}})
        self.run("cp", "-a", PROJECT, TIMERS)
        for project, play in PLAYS.items():
            self.put(f"{project}/playbooks/mark.yml", play % MARKS)
            self.put(f"{project}/playbooks/slow.yml", play % MARKS + SLOW[project] % MARKS)
        self.put("/usr/local/bin/taken", f"#!/usr/bin/python3\n{TAKEN % STATE}", 0o755)
        self.start_daemon()

    def unpack(self, packed: bytes) -> None:
        """Unpack remedy from a disk: ssh would be three times as slow."""
        with self._guest.disk(DISK).open("r+b") as disk:
            disk.write(packed)
        device = f"/dev/disk/by-id/virtio-{DISK}"
        # Past the guest's page cache: what it has read of the empty disk while booting may still be there.
        read = f"dd if={device} bs=1M iflag=direct status=none | head -c {len(packed)}"
        self.run("sh", "-euc", f"{read} | tar -C /opt/remedy -xz")

    def set(self, text: str) -> None:
        """Set the clock, as an operator does."""
        self.doors.set_clock(self.name, datetime.fromisoformat(text))

    def pass_by(self, text: str) -> None:
        """Wait until the guest's clock has come to a time."""
        then = datetime.fromisoformat(text)
        self.until(f"the time {text}", lambda: self.doors.clock(self.name) > then, 300)

    def schedule(self, name: str, project: str, when: str, **words: object) -> None:
        """Put a schedule into a project, and have its timekeeper know of it."""
        document = {"playbook": "mark", "when": when, "zone": "Europe/Berlin", "vars": {"who": name}, **words}
        if project == TIMERS:
            permission = {"kinds": ["R"], "at_most": "100%", "until": "2049-12-31", "by": "anna@example.com"}
            document |= {"mode": "play", "permission": permission}
        path = f"{project}/schedules/{name}.yml"
        self.put(f"{path}.new", yaml.safe_dump(document))
        self.run("mv", f"{path}.new", path)
        if project == TIMERS:
            told = self.remedy("schedule", "export", name, "--systemd", "--install", "--run-as", "admin",
                               "--unhardened", project=TIMERS).stderr  # fmt: skip
            assert f"remedy-timers-{name}.timer is at work, next at" in told
        else:
            self.until(f"a daemon that knows {name}", lambda: f"{name}: next at" in self.daemon(), 120)

    def forget(self, *names: str) -> None:
        """Take away the schedules of a test, without a word of remedy's."""
        for name in names:
            self.run("sh", "-c", f"systemctl disable -q --now remedy-timers-{name}.timer 2> /dev/null\n"
                     f"rm -f /etc/systemd/system/remedy-timers-{name}.*\n"
                     f"rm -f {TIMERS}/schedules/{name}.yml {PROJECT}/schedules/{name}.yml")  # fmt: skip

    def taken(self, name: str) -> list[tuple[str, str, str]]:
        """Return what became of a schedule's due times, oldest first: the time, the state, the reason."""
        rows = json.loads(self.run("taken", name))
        return [(due[5:16].replace(" ", "T"), state, reason or "") for due, state, reason, _ in rows]

    def settled(self, names: tuple[str, ...], number: int) -> bool:
        """Say whether each of the schedules has so many due times that are over, and none at work."""
        for name in names:
            states = [state for _, state, _ in self.taken(name)]
            if len(states) < number or {"claimed", "running"} & set(states):
                return False
        return True

    def marks(self, name: str) -> list[str]:
        """Return when a schedule's runs left their mark, to ten minutes: a due time, where it was run in time."""
        lines = self.run("sh", "-c", f"cat {MARKS}-{name} 2> /dev/null || :").split()
        stamps = [datetime.fromtimestamp(int(line), UTC) for line in lines]
        return [f"{stamp - timedelta(minutes=stamp.minute % 10):%m-%dT%H:%M}" for stamp in stamps]


@pytest.fixture(scope="module")
def clocks(guests: Guests, guest_factory: GuestFactory) -> Iterator[Clocks]:
    guest = guest_factory(NAME, disks={DISK: "128M"}, memory="1G")
    clocks = Clocks(guests, NAME)
    clocks.furnish(guest)
    yield clocks
    print(clocks.run("journalctl", "-q", "-n", "400", "-u", "remedy-*"))


def done(*dues: str) -> list[tuple[str, str, str]]:
    return [(due, "done", "") for due in dues]


def test_a_time_that_the_clock_jumps_over_is_recorded_and_nothing_runs(clocks: Clocks) -> None:
    names = ("spring-timer", "spring-daemon")
    clocks.set("2027-03-28T01:53:00+01:00")
    clocks.schedule("spring-timer", TIMERS, "daily at 02:30")
    clocks.schedule("spring-daemon", PROJECT, "daily at 02:30")

    clocks.set("2027-03-28T01:59:57+01:00")
    clocks.until("the jump recorded", lambda: clocks.settled(names, 1), 400)
    # Summer has come: 02:30 was not, and that was said when the clock jumped.
    assert clocks.doors.clock(NAME).astimezone(BERLIN).hour == 3
    for name in names:
        assert clocks.taken(name) == [("03-28T01:00", "skipped", GAP)]
        assert clocks.marks(name) == []

    clocks.until("timers that wait again", clocks.idle, 300)
    clocks.set("2027-03-28T03:29:57+02:00")  # where 02:30 would be, had the clock not been put forward
    clocks.pass_by("2027-03-28T03:30:30+02:00")
    clocks.until("timers that wait again", clocks.idle, 300)
    clocks.set("2027-03-29T02:29:57+02:00")
    clocks.until("the day after", lambda: clocks.settled(names, 2), 600)
    for name in names:
        assert clocks.taken(name) == [("03-28T01:00", "skipped", GAP), *done("03-29T00:30")]
        assert clocks.marks(name) == ["03-29T00:30"]
    shown = clocks.remedy("schedule", "show", "spring-timer", user="admin", project=TIMERS).stdout
    assert GAP in " ".join(shown.split())
    clocks.forget(*names)


def test_a_time_that_comes_twice_runs_at_the_first(clocks: Clocks) -> None:
    """Planned by a clock that was years ahead, too: nothing of that counts as handled."""
    names = ("autumn-timer", "autumn-daemon")
    clocks.set("2031-01-01T12:00:00+01:00")
    clocks.schedule("autumn-timer", TIMERS, "daily at 02:30")
    clocks.schedule("autumn-daemon", PROJECT, "daily at 02:30")

    clocks.set("2027-10-31T02:29:57+02:00")
    clocks.until("the first 02:30", lambda: clocks.settled(names, 1), 600)
    clocks.until("timers that wait again", clocks.idle, 300)
    clocks.set("2027-10-31T02:59:50+02:00")
    clocks.pass_by("2027-10-31T02:00:15+01:00")
    assert f"{clocks.doors.clock(NAME).astimezone(BERLIN):%H:%M %Z}" == "02:00 CET"
    clocks.set("2027-10-31T02:29:57+01:00")
    clocks.pass_by("2027-10-31T02:31:30+01:00")  # time for whoever starts it again
    clocks.until("the end of what was started", clocks.idle, 300)
    for name in names:
        assert clocks.taken(name) == done("10-31T00:30")
        assert clocks.marks(name) == ["10-31T00:30"]

    clocks.until("timers that wait again", clocks.idle, 300)
    clocks.set("2027-11-01T02:29:57+01:00")
    clocks.until("the next day", lambda: clocks.settled(names, 2), 600)
    for name in names:
        assert clocks.taken(name) == done("10-31T00:30", "11-01T01:30")
        assert clocks.marks(name) == ["10-31T00:30", "11-01T01:30"]
    clocks.forget(*names)


def test_a_clock_set_forward_and_back_runs_nothing_twice_and_loses_nothing(clocks: Clocks) -> None:
    """Due every hour from 01:00; at 01:20 the clock says 06:20, at 07:00 it is put right, to before 03:00."""
    timer, daemon = names = ("jump-timer", "jump-daemon")
    clocks.set("2027-06-01T00:54:00+02:00")
    clocks.schedule(timer, TIMERS, "hourly at :00", windows=["daily 00:00 to 04:00"])
    clocks.schedule(daemon, PROJECT, "hourly at :00", windows=["daily 00:00 to 08:00"], missed="once")
    assert clocks.doors.clock(NAME) < datetime.fromisoformat("2027-06-01T01:00:00+02:00")
    clocks.until("01:00", lambda: clocks.settled(names, 1), 900)
    clocks.until("timers that wait again", clocks.idle, 300)

    clocks.set("2027-06-01T06:20:00+02:00")
    clocks.until("what was jumped over recorded", lambda: clocks.settled(names, 6), 600)
    for name in names:
        first, *missed, newest = clocks.taken(name)
        assert first == ("05-31T23:00", "done", "")
        assert [(due, state) for due, state, _ in missed] == [
            (f"06-01T0{hour}:00", "missed") for hour in range(4)
        ]
        assert all(reason.startswith("the clock was set forward by 5 h") for *_, reason in missed)
        due, state, reason = newest
        # Outside its windows nothing runs, inside them the newest one does where the schedule says so.
        assert (due, state) == ("06-01T04:00", "missed" if name == timer else "done")
        assert "the clock was set forward by 5 h" in reason
        assert ("late by now" if name == timer else "inside its window") in reason
    assert clocks.marks(timer) == ["05-31T23:00"]
    assert clocks.marks(daemon) == ["05-31T23:00", "06-01T04:20"]

    # Back: what was called missed is to come, what ran is not repeated.
    clocks.until("timers that wait again", clocks.idle, 300)
    clocks.set("2027-06-01T02:59:57+02:00")
    clocks.until(
        "03:00", lambda: all(("06-01T01:00", "done", "") in clocks.taken(name) for name in names), 600
    )
    assert "the clock was set back by 3 h" in clocks.daemon()
    # And on, over what is to come and what ran at 06:20 already.
    clocks.until("timers that wait again", clocks.idle, 300)
    clocks.set("2027-06-01T05:59:57+02:00")
    clocks.pass_by("2027-06-01T06:00:30+02:00")
    clocks.until("the time up to 06:00", lambda: clocks.settled(names, 6), 600)
    clocks.until("timers that wait again", clocks.idle, 300)
    clocks.set("2027-06-01T06:59:57+02:00")
    clocks.until("07:00", lambda: clocks.settled(names, 7), 600)

    told = {name: clocks.taken(name) for name in names}
    dues = ["05-31T23:00", *(f"06-01T0{hour}:00" for hour in range(6))]
    assert [[due for due, *_ in told[name]] for name in names] == [dues, dues]
    assert [state for _, state, _ in told[timer]] == [
        "done", "missed", "done", "missed", "missed", "skipped", "skipped"
    ]  # fmt: skip
    assert [state for _, state, _ in told[daemon]] == [
        "done", "missed", "done", "missed", "done", "done", "done"
    ]  # fmt: skip
    assert [reason for _, state, reason in told[timer] if state == "skipped"] == [
        "outside its windows: daily 00:00 to 04:00"
    ] * 2
    for name in names:
        missed = [reason for _, state, reason in told[name] if state == "missed"]
        assert all("the clock was set forward by" in reason for reason in missed)
    assert clocks.marks(timer) == ["05-31T23:00", "06-01T01:00"]
    assert clocks.marks(daemon) == [
        "05-31T23:00", "06-01T04:20", "06-01T01:00", "06-01T04:00", "06-01T05:00"
    ]  # fmt: skip
    clocks.forget(*names)


def test_a_run_at_work_when_the_clock_is_set_forward_stays_the_only_one_and_is_not_called_cut_off(
    clocks: Clocks,
) -> None:
    """Its lease has run out by the new clock, and it renews it a quarter of a minute later; others come at once."""
    timer, daemon = names = ("busy-timer", "busy-daemon")
    clocks.set("2027-07-01T00:54:00+02:00")
    clocks.schedule(timer, TIMERS, "hourly at :00", playbook="slow")
    clocks.schedule(daemon, PROJECT, "hourly at :00", playbook="slow")
    clocks.set("2027-07-01T00:59:57+02:00")
    clocks.until("runs at work", lambda: all(clocks.marks(name) for name in names), 600)

    clocks.set("2027-07-01T06:00:01+02:00")
    # The timer's service is at work, and nothing else starts it: somebody else does.
    again = clocks.remedy("schedule", "run", timer, "--due", "now", user="admin", ok=(3,), project=TIMERS)
    assert "overlap: admin@" in again.stderr
    clocks.until("what the daemon starts refused", lambda: len(clocks.taken(daemon)) == 6, 600)
    for name in names:
        first, *missed, newest = clocks.taken(name)
        assert first == ("06-30T23:00", "running", "")
        assert [state for _, state, _ in missed] == ["missed"] * 4
        assert newest[:2] == ("07-01T04:00", "skipped")
        assert newest[2].startswith("overlap: admin@")
    clocks.run("touch", f"{MARKS}-go")
    clocks.until("the end of both runs", lambda: clocks.settled(names, 6), 600)
    for name in names:
        assert clocks.taken(name)[0] == ("06-30T23:00", "done", "")
        assert clocks.marks(name) == ["06-30T23:00"]
    assert "was cut off" not in clocks.daemon()
    clocks.forget(*names)
