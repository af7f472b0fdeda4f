"""What grows and when it is full, from measures of known curves; how it is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from remedy.cli import measured as measured_module
from remedy.cli.capacity import capacity
from remedy.cli.measured import Measured
from remedy.errors import InputError
from remedy.history.growth import Growth, days_of, growths
from remedy.history.opening import filled
from remedy.report.sparkline import sparkline
from tests.journal import telling

GIB = 1 << 30
NOW = datetime.now(UTC)


def disk(used: float, size: float = 100 * GIB, mount: str = "/data", **more: Any) -> Any:
    """What disk_usage tells of one file system."""
    about = {"mount": mount, "size": size, "used": used, "available": size * 0.95 - used}
    return telling.done(module="disk_usage", result={"filesystems": [{**about, "image": False, **more}]})


def told(state: Path, days_ago: float, *done: Any, host: str = "db1") -> None:
    """Write a run of some days ago."""
    moment = (NOW - timedelta(days=days_ago)).timestamp()
    events = [replace(each, time=moment + number, host=host) for number, each in enumerate(done)]
    telling.write(
        state, f"run-{host}-{10_000 - days_ago:011.5f}", events, time=moment, mode="diagnose", hosts=[host]
    )


def found(state: Path, **asked: Any) -> list[Growth]:
    database = filled(state, None, pytest.fail)
    try:
        return growths(database, NOW - timedelta(days=365), **asked)
    finally:
        database.close()


def test_a_disk_that_grows_steadily_has_its_days(tmp_path: Path) -> None:
    for day in range(30, -1, -1):
        told(tmp_path, day, disk((80 - day) * GIB))
    [each] = found(tmp_path)
    assert (each.host, each.resource, each.object, each.unit) == ("db1", "disk", "/data", "bytes")
    assert each.per_day == pytest.approx(GIB, rel=1e-6)
    assert each.days_left == pytest.approx(15, rel=1e-6)  # 95 GiB without root's reserve
    assert each.share == pytest.approx(80 / 95)


def test_one_odd_day_and_one_cleanup_do_not_move_the_trend(tmp_path: Path) -> None:
    for day in range(40, -1, -1):
        used = 50 + 0.5 * (40 - day) + (25 if day == 20 else 0)
        told(tmp_path, day, disk(used * GIB))
    [each] = found(tmp_path)
    assert each.per_day == pytest.approx(0.5 * GIB, rel=0.02)


def test_what_shrinks_or_stands_still_has_no_days(tmp_path: Path) -> None:
    for day in range(10, -1, -1):
        told(tmp_path, day, disk((50 + day) * GIB), disk(20 * GIB, mount="/still"))
    down, still = found(tmp_path)
    assert (down.days_left, still.days_left) == (None, None)
    assert (down.per_day, still.per_day) == (pytest.approx(-GIB), 0)


def test_too_few_measures_are_no_trend(tmp_path: Path) -> None:
    told(tmp_path, 2, disk(10 * GIB))
    told(tmp_path, 0, disk(90 * GIB))
    for minute in range(5):
        told(tmp_path, minute / 1440, disk(minute * GIB), host="db2")
    short, many = sorted(found(tmp_path), key=lambda each: each.host)
    assert (short.per_day, many.per_day) == (None, None)
    assert short.reason == "2 measured in 48 h, and a trend needs 3 in 20 h"
    assert many.reason is not None


def test_what_went_away_is_not_full_soon(tmp_path: Path) -> None:
    for day in range(40, -1, -1):
        gone = [disk((90 - day) * GIB, mount="/gone")] if day > 10 else []
        now_and_then = [disk((90 - day) * GIB, mount="/weekly")] if day % 7 == 6 else []
        told(tmp_path, day, disk((80 - day) * GIB), *gone, *now_and_then)
        if day > 10:
            told(tmp_path, day, disk((90 - day) * GIB), host="db2")
    by_name = {(each.host, each.object): each for each in found(tmp_path)}
    gone = by_name["db1", "/gone"]
    assert (gone.per_day, gone.days_left) == (None, None)
    since = f"{NOW - timedelta(days=11):%Y-%m-%d}"
    assert gone.reason == f"not measured since {since}, unlike others of its host: it may be gone"
    # What is looked at less often, and a host that nobody asks any more, are told as they were.
    assert by_name["db1", "/data"].days_left == pytest.approx(15, rel=1e-6)
    assert by_name["db1", "/weekly"].days_left == pytest.approx(11, rel=1e-6)
    assert by_name["db2", "/data"].days_left == pytest.approx(16, rel=1e-6)


def test_full_is_full_and_the_soonest_comes_first(tmp_path: Path) -> None:
    for day in range(5, -1, -1):
        told(tmp_path, day, disk(95 * GIB), host="full")
        told(tmp_path, day, disk((90 - day) * GIB), host="soon")
        told(tmp_path, day, disk(94.9 * GIB), host="still")
    every = found(tmp_path)
    assert [each.host for each in every] == ["full", "soon", "still"]
    assert [each.days_left for each in every] == [0.0, pytest.approx(5), None]
    assert [each.host for each in days_of(every, 4)] == ["full"]
    assert [each.host for each in found(tmp_path, hosts=["s*"])] == ["soon", "still"]
    assert found(tmp_path, resources=["memory"]) == []
    with pytest.raises(InputError, match="no host 'db7' was ever measured"):
        found(tmp_path, hosts=["db7"])


def test_memory_is_what_is_not_available_and_kernel_mounts_are_left_out(tmp_path: Path) -> None:
    facts = {"ansible_memtotal_mb": 1000, "ansible_memavailable_mb": 250, "ansible_swaptotal_mb": 0}
    facts["ansible_swapfree_mb"] = 0
    told(
        tmp_path, 0, telling.done(module="setup", result={"ansible_facts": facts}), disk(1, mount="/dev/shm")
    )
    told(tmp_path, 0, disk(1, mount="/run"), disk(1, mount="/dev"), host="db2")
    by_name = {(each.host, each.resource, each.object): each for each in found(tmp_path)}
    assert set(by_name) == {("db1", "memory", ""), ("db1", "swap", ""), ("db2", "disk", "/run")}
    assert by_name["db1", "memory", ""].share == 0.75
    assert by_name["db1", "swap", ""].share is None


def test_a_limit_that_did_not_change_within_a_run_is_known_all_the_same(tmp_path: Path) -> None:
    before = disk(90 * GIB, inodes=1000, inodes_used=500)
    told(tmp_path, 0, before, disk(50 * GIB, inodes=1000, inodes_used=400))
    by_resource = {each.resource: each for each in found(tmp_path)}
    assert by_resource["inodes"].last[1:] == (400, 1000)
    assert [point.used for point in by_resource["inodes"].points] == [500, 400]
    assert by_resource["disk"].last[1:] == (50 * GIB, 95 * GIB)


def test_a_curve_is_one_line() -> None:
    assert sparkline([]) == ""
    assert sparkline([5, 5, 5]) == "▁▁▁"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    wide = sparkline([0.0] * 500 + [1.0] + [0.0] * 500, 20)
    assert (len(wide), wide.count("█")) == (20, 1)  # a spike is not lost


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("REMEDY_HISTORY_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    for day in range(20, -1, -1):
        hostile = disk((70 - day) * GIB, mount='/<b>"\x1b[2J')
        told(tmp_path / "state", day, disk((90 - day) * GIB), hostile, disk(GIB, mount="/quiet"))
    return tmp_path


def run(*words: str) -> Any:
    return CliRunner().invoke(capacity, words, standalone_mode=False)


def test_the_table_shows_what_matters(project: Path) -> None:
    lines = run().output.splitlines()
    assert lines[0].split() == ["host", "what", "used", "of", "a", "day", "days", "left"]
    assert lines[1].split()[:9] == ["db1", "disk", "/data", "90.0", "GiB", "95.0", "GiB", "95%", "+1.0"]
    assert lines[1].split()[-2:][0] == "5.0"
    assert lines[1].endswith("█")
    assert "\x1b" not in "".join(lines)
    assert lines[-1] == "1 more of which little is used (-v lists them)"
    assert "/quiet" in run("-v").output
    assert run("--below", "6").return_value == 10
    assert run("--below", "2").output == "nothing is full within 2 days\n"
    assert run("--below", "2").return_value == 0
    document = json.loads(run("--format", "json", "--resource", "disk").output)
    assert document["schema"] == "remedy.capacity/1"
    assert [round(each["days_left"] or -1) for each in document["resources"]] == [5, 25, -1]
    assert "did you mean 'disk'?" in str(run("--resource", "dsk").exception)
    assert "is no time" in str(run("--since", "yesterday-ish").exception)


def test_the_page_has_a_plot_of_each(project: Path) -> None:
    done = run("--html", "capacity.html")
    assert (done.return_value, done.stderr) == (0, "wrote capacity.html, with 3 plots\n")
    empty = run("--html", "empty.html", "--below", "2")
    assert empty.stderr == "wrote empty.html, without a plot: there is nothing to show\n"
    assert "<svg" not in (project / "empty.html").read_text()
    page = (project / "capacity.html").read_text()
    assert page.count("<svg") == 3
    assert "<b>" not in page
    assert "\x1b" not in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched
    root = ElementTree.fromstring("<svg" + page.split("<svg", 1)[1].split("</svg>")[0] + "</svg>")
    curve, ahead = (element.get("points", "").split() for element in root.iter("polyline"))
    assert (len(curve), len(ahead)) == (21, 2)
    assert curve[-1] == ahead[0]
    limit = next(element for element in root.iter("line") if element.get("class") == "limit")
    assert ahead[1].split(",")[1] == limit.get("y1")  # the trend ends where the disk is full
    assert "cannot write" in str(run("--html", "no/such/page.html").exception)


def test_one_measure_is_a_dot_of_its_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("REMEDY_HISTORY_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    told(tmp_path / "state", 0, disk(50 * GIB))
    assert run("--html", "capacity.html").return_value == 0
    page = (tmp_path / "capacity.html").read_text()
    root = ElementTree.fromstring("<svg" + page.split("<svg", 1)[1].split("</svg>")[0] + "</svg>")
    (curve,) = (element.get("points", "").split() for element in root.iter("polyline"))
    assert (len(curve), len(set(curve))) == (2, 1), "a line of one point is not drawn, one of no length is a dot"
    assert "stroke-linecap: round" in page


def test_a_run_is_told_what_earlier_runs_measured(project: Path) -> None:
    measured = Measured(project / "state", None)
    first, *_ = measured.of("db1", 90, pytest.fail)
    assert (first["object"], first["measured"], round(first["days_left"])) == ("/data", 21, 5)
    assert first["curve"].endswith("█")
    assert measured.of("unknown", 90, pytest.fail) == []


def test_what_a_host_measures_after_others_were_told_counts_for_it(project: Path) -> None:
    measured = Measured(project / "state", None)
    assert measured.of("late", 90, pytest.fail) == []
    result = {"filesystems": [{"mount": "/data", "size": 100, "used": 40, "available": 60, "image": False}]}
    looked = telling.done(host="late", module="disk_usage", result=result)
    telling.write(project / "state", "20990101-late", [looked], hosts=["late"])
    [told] = measured.of("late", 90, pytest.fail)
    assert (told["object"], told["used"], told["measured"]) == ("/data", 40.0, 1)
    assert measured.of("db1", 90, pytest.fail)[0]["measured"] == 21


def test_hosts_that_ask_before_a_reading_begins_share_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(project / "state", None)
    read, reads = measured._read, []
    monkeypatch.setattr(measured, "_read", lambda *words: reads.append(words) or read(*words))
    # When each asks and, where it reads, when that begins: the second has waited for the first's reading.
    moments = iter([1.0, 2.0, 1.5, 3.0, 4.0])
    monkeypatch.setattr(measured_module, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    for so_many in (1, 1, 2):
        assert measured.of("db1", 90, pytest.fail)[0]["measured"] == 21
        assert len(reads) == so_many
