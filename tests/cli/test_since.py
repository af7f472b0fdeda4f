"""`--since` takes how long ago, or a time of this machine's zone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from remedy.cli.since import since
from remedy.errors import InputError

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("written", "ago"),
    [("30m", timedelta(minutes=30)), ("12h", timedelta(hours=12)), ("7d", timedelta(7)), ("2 w", timedelta(14))],
)
def test_how_long_ago(written: str, ago: timedelta) -> None:
    assert since(written, NOW) == NOW - ago


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-01", datetime(2026, 10, 31, 15, tzinfo=UTC)),
        ("2026-11-01 03:30", datetime(2026, 10, 31, 18, 30, tzinfo=UTC)),
        ("2026-11-01T03:30:00Z", datetime(2026, 11, 1, 3, 30, tzinfo=UTC)),
    ],
)
def test_a_time(written: str, moment: datetime) -> None:
    assert since(written) == moment


@pytest.mark.parametrize("written", ["", "yesterday", "7", "7y", "-3d", "2026-13-01", "99999999999w", "٧d"])
def test_what_is_none_is_bad_input(written: str) -> None:
    with pytest.raises(InputError) as caught:
        since(written)
    expected = "expected how long ago (30m, 12h, 7d, 2w), or a time: 2026-11-01, '2026-11-01 03:30'"
    assert str(caught.value) == f"--since '{written}' is no time\n  {expected}"
