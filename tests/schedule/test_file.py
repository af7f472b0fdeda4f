"""Schedules' files: what stands in them, and what is wrong with its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import InputError
from remedy.schedule import vet
from remedy.schedule.crontab import crontab
from remedy.schedule.file import starts
from tests.schedule.making import ROOT, made, moments, read

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FILE = f"{ROOT}/schedules/nightly.yml"
WHOLE = """\
title: Nightly disks
playbook: disk-full
inventory: [prod, lab]
limit: web*
vars: {disk_limit: 80%}
mode: play
when:
  - daily at 02:00
  - 0 14 * * 6
zone: Europe/Berlin
jitter: 10m
grace: 2m
windows: ["daily 01:00 to 05:00", "sat 22:00 to 04:00"]
blackouts:
  - {from: 2026-12-20, to: 2027-01-03, why: freeze}
  - weekdays 08:00 to 18:00
missed: once
overlap: wait
permission: {kinds: [D, R], at_most: 25%, until: 2027-06-30, by: anna@example.com}
notify: [ops]
"""

_BASE = "playbook: a\nwhen: daily at 02:00\n"
_PLAY = _BASE + "mode: play\n"


def test_a_whole_file() -> None:
    schedule = read(WHOLE)
    assert (schedule.name, schedule.label, schedule.title) == ("nightly", "ops/nightly", "Nightly disks")
    assert schedule.key == "/srv/ops/nightly"
    assert (schedule.inventories, schedule.limit, schedule.mode) == (("prod", "lab"), "web*", "play")
    assert (schedule.jitter, schedule.grace, schedule.missed, schedule.overlap) == (600, 120, "once", "wait")
    assert schedule.vars == {"disk_limit": "80%"}
    assert len(schedule.rules) == 2
    assert schedule.permission is not None
    assert str(schedule.permission) == (
        "D (destructive) and R (disruptive) on at most 25% of the hosts, until 2027-06-30, granted by anna@example.com"
    )
    assert schedule.planned == "daily at 02:00; 0 14 * * 6 (Europe/Berlin)"
    assert [name for name, _ in schedule.notify] == ["ops"]
    vet(schedule, NOW)


def test_what_is_not_said_is_safe() -> None:
    schedule = made()
    assert (schedule.mode, schedule.missed, schedule.overlap, schedule.permission) == (
        "diagnose", "skip", "refuse", None,
    )  # fmt: skip
    assert schedule.zone.key == "UTC"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- x\n", "1:1: the schedule is a list\n  expected 'playbook' and 'when'"),
        ("playbook: a\n", "1:1: a schedule without 'when'"),
        ("playbook: a\nwhen:\n", "2:1: a schedule without 'when'"),
        ("playbook: a\nwhen: 61 * * * *\n", "2:7: when: minute '61'\n  expected 0 to 59"),
        ("playbook: a\nwhen:\n  - daily at 02:00\n  - sundys at 02:00\n",
         "4:5: when: 'sundys' is no day\n  did you mean 'sunday'?"),
        ("playbook: a\nwhen: 3\n", "2:7: 'when' is the number 3"),
        (_BASE + "zone: Europe/Berln\n",
         "3:7: no time zone 'Europe/Berln'\n  did you mean 'Europe/Berlin'?"),
        (_BASE + "zone: berlin\n", "3:7: no time zone 'berlin'\n  did you mean 'Europe/Berlin'?"),
        (_BASE + "window: x\n", "3:1: 'schedule' has no 'window'\n  did you mean 'windows'?"),
        (_BASE + "windows: daily 01:00 to 01:00\n", "3:10: windows: 'daily 01:00 to 01:00'"),
        (_BASE + "windows: at night\n", "3:10: windows: 'at night' is no window\n  expected days"),
        (_BASE + "windows: []\n", "3:10: 'windows' is a list\n  expected at least one window"),
        (_BASE + "jitter: 2 days\n", "3:9: 'jitter' is the text '2 days'"),
        (_BASE + "missed: twice\n", "3:9: 'missed' is the text 'twice'\n  expected skip or once"),
        (_BASE + "missed: once\n", "3:9: 'missed: once' without windows"),
        (_BASE + "mode: heal\n", "3:7: 'mode' is the text 'heal'\n  expected diagnose or play"),
        (_BASE + "blackouts: [{from: 2027-01-03, to: 2026-12-20}]\n",
         "3:36: the blackout ends before it begins"),
        (_BASE + "blackouts: [{from: christmas, to: 2026-12-20}]\n", "3:20: 'from' is the text"),
        (_PLAY + "permission: {kinds: ['!'], at_most: 1, until: 2027-01-01, by: me}\n",
         "4:22: what is marked ! cannot be permitted ahead"),
        (_PLAY + "permission: {kinds: [X], at_most: 1, until: 2027-01-01, by: me}\n",
         "4:22: 'kinds' is the text 'X'"),
        (_PLAY + "permission: {kinds: [D], at_most: 0%, until: 2027-01-01, by: me}\n",
         "4:35: 'at_most' is the text '0%'\n  expected a share of the hosts (25%) or their number (2)"),
        (_PLAY + "permission: {kinds: [D], at_most: 1, until: soon, by: me}\n",
         "4:45: 'until' is the text 'soon'\n  expected a date such as 2027-06-30"),
        (_PLAY + "permission: {kinds: [D], at_most: 1, until: 2027-01-01}\n",
         "4:13: a permission without 'by'"),
        (_BASE + "permission: {kinds: [D], at_most: 1, until: 2027-01-01, by: me}\n",
         "3:1: a permission, and nothing that needs one"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{FILE}:{expected}")


def test_a_name_that_is_none() -> None:
    with pytest.raises(InputError, match="'Nightly!' cannot name a schedule"):
        read(_BASE, name="Nightly!")


def _until(day: str) -> dict[str, Any]:
    return {"mode": "play", "permission": {"kinds": ["R"], "at_most": 1, "until": day, "by": "me"}}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"when": ["daily at 02:00", "0 0 31 2,4 *"]}, "'0 0 31 2,4 *' names days that never come"),
        ({"windows": ["daily 03:00 to 05:00"]}, "the windows are closed at every due time of the next year"),
        ({"when": "mondays at 02:00", "windows": ["sundays 01:00 to 02:00"]}, "the windows are closed at every"),
        ({"when": "0 0 29 2 *", "windows": ["29th of february 00:00 to 01:00"]}, "the windows are closed at every"),
        ({"when": "every 1 minute", "windows": ["daily 01:00 to 02:00"],
          "blackouts": ["daily 00:00 to 12:00"]}, "the windows are closed at every"),
        ({"blackouts": [{"from": "2026-01-01", "to": "2030-01-01"}]}, "the blackouts are closed at every"),
        ({"mode": "play", "permission": {"kinds": ["R"], "at_most": 1, "until": "2026-11-28", "by": "me"}},
         "the permission ended on 2026-11-28"),
        ({"jitter": "20h", "windows": ["daily 02:00 to 02:01"]},
         "the windows are closed at every due time of the next year (with its jitter): it would never run\n"
         "  due times are: daily at 02:00 (UTC), each up to 20 h later"),
        ({"when": "0 0 29 2 *", **_until("2026-12-06")},
         "the permission ends on 2026-12-06, before it could run: the next start is Tue 2028-02-29 00:00 UTC"),
        ({**_until("2026-11-29")}, "before it could run: the next start is Mon 2026-11-30 02:00 UTC"),
        ({"windows": ["sundays 01:00 to 03:00"], **_until("2026-12-05")},
         "before it could run: the next start is Sun 2026-12-06 02:00 UTC"),
        ({"when": "daily at 23:59", "jitter": "5m", **_until("2026-11-29")}, "before it could run: the next start is "),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_when_added(words: dict[str, object], expected: str) -> None:
    schedule = made(**words)
    with pytest.raises(InputError) as caught:
        vet(schedule, NOW)
    assert expected in str(caught.value)
    assert caught.value.where is not None
    assert caught.value.where.line > 1


@pytest.mark.parametrize(
    "words",
    [
        {"when": "0 0 29 2 *"},  # comes in 2028
        {"windows": ["daily 01:00 to 02:01"]},
        {"windows": ["sat 22:00 to 04:00"]},  # Sunday, 02:00
        {"when": "every 1 minute", "windows": ["first sunday of july 03:00 to 03:05"]},
        {"blackouts": [{"from": "2026-01-01", "to": "2027-11-01"}]},
        _until("2026-11-30"),
        {"when": "daily at 13:00", **_until("2026-11-29")},
        {"windows": ["sundays 01:00 to 03:00"], **_until("2026-12-06")},
        {"when": "daily at 02:00", "jitter": "2h", "windows": ["daily 02:30 to 04:30"]},
    ],
)
def test_what_can_work_is_taken(words: dict[str, object]) -> None:
    vet(made(**words), NOW)


@pytest.mark.parametrize(
    "words",
    [
        {"blackouts": [{"from": "2026-01-01", "to": "9999-12-31"}]},
        {"blackouts": [{"from": "0001-01-01", "to": "2026-01-01"}]},
        {"permission": {"kinds": ["R"], "at_most": 1, "by": "ada", "until": "9999-12-31"}, "mode": "play"},
    ],
)
def test_dates_beyond_calendars_are_slips(words: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="of this century or the next"):
        made(**words)


def test_a_title_is_one_line() -> None:
    schedule = made(title="weekly\n* * * * * touch /tmp/no")
    assert schedule.title == "weekly * * * * * touch /tmp/no"
    lines = crontab(schedule, ["remedy"], ROOT, ROOT, ["--vault-password-file", "/a b%"]).splitlines()
    assert [line for line in lines if line and not line.startswith(("#", "CRON_TZ=", "0 2 * * *  cd "))] == []
    assert lines[-1].endswith("--due now --vault-password-file '/a b\\%'")


@settings(max_examples=60, deadline=None)
@given(
    when=st.sampled_from(["daily at 02:00", "every 6 hours at :20", "mon, thu at 02:00", "hourly at :15"]),
    jitter=st.sampled_from(["0s", "10m", "2h", "20h"]),
    windows=st.sampled_from([[], ["daily 02:00 to 02:30"], ["sat 22:00 to 04:00"], ["daily 08:00 to 09:00"]]),
    blackouts=st.sampled_from([[], ["weekdays 00:00 to 12:00"], [{"from": "2026-11-29", "to": "2026-12-09"}]]),
    now=moments("2026-11-01", "2027-03-01"),
)
def test_what_starts_is_what_starts_one_by_one(
    when: str, jitter: str, windows: list[str], blackouts: list[Any], now: datetime
) -> None:
    words = {"windows": windows, "blackouts": blackouts}
    one = made(when=when, jitter=jitter, **{name: value for name, value in words.items() if value})
    end = now + timedelta(days=21)
    plain = [
        (due.at, due.at + one.late_by(due))
        for due in takewhile(lambda due: due.at < end, one.dues(now))
        if not due.gap and one.opening.closed(due.at + one.late_by(due)) is None
    ]
    found = takewhile(lambda each: each.due.at < end, starts(one, now))
    assert [(each.due.at, each.start) for each in found] == plain
