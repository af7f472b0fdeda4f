"""Evidence is condensed to what matters, and says what it leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from remedy.report.evidence import told
from tests.report import night


def test_rows_become_a_table_with_the_columns_that_matter() -> None:
    rows = [night.filesystem("/var", 99, 50), night.filesystem("/", 91, 20)]
    assert told(rows, width=72, most=6) == [
        "MOUNT      SIZE      USED  AVAILABLE  PERCENT  INODE_PERCENT  LACKS",
        "/var   50.0 GiB  49.5 GiB    512 MiB      99%             6%  bytes",
        "/      20.0 GiB  18.2 GiB    1.8 GiB      91%             6%  bytes",
    ]


def test_on_narrow_paper_what_a_row_is_about_stays() -> None:
    rows = [night.filesystem("/srv/a-very-long/mount-point/that-nobody-would/cut", 99, 50)]
    lines = told(rows, width=30, most=6)
    assert "/srv/a-very-long/mount-point/that-nobody-would/cut" in lines[-1]


def test_long_lists_are_cut_and_say_so() -> None:
    rows = [{"pid": number, "command": "sleep"} for number in range(20)]
    lines = told(rows, width=80, most=3)
    assert lines[0].split() == ["PID", "COMMAND"]
    assert len(lines) == 5
    assert lines[-1] == "... and 17 more"
    assert len(told(rows, width=80, most=None)) == 21


def test_of_several_lists_each_keeps_some_rows() -> None:
    rows = [{"pid": number, "command": "sleep"} for number in range(20)]
    lines = told({"one": rows, "two": rows}, width=80, most=6, longest=12)
    assert [line.split()[:2] for line in lines].count(["PID", "COMMAND"]) == 2
    assert [line.split()[:2] for line in lines].count(["0", "sleep"]) == 2
    assert len(lines) <= 13


def test_used_connections_are_no_bytes() -> None:
    assert told({"used": 151, "max": 151}, width=80, most=6) == ["used: 151", "max: 151"]


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (None, []),
        ("", []),
        ([], []),
        ("one\ntwo", ["one", "two"]),
        (3, ["3"]),
        (["a", "b"], ["a, b"]),
        (["a b", "c d"], ["a b", "c d"]),
        ({"seconds": 7500, "swap_bytes": 2048}, ["seconds: 2 h 5 min", "swap_bytes: 2.0 KiB"]),
        ({"units": [{"name": "a.service"}]}, ["units:", "  name: a.service"]),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, ["a:", "  b:", "    c:", "      d: e=1"]),
        ([{"name": "a", "on": False, "note": None}], ["name: a"]),
        ([["a", {"b": 1}], "x"], ["- - a", "  - b: 1", "- x"]),
    ],
)
def test_shapes(value: Any, lines: list[str]) -> None:
    assert told(value, width=80, most=6) == lines


def test_a_log_of_a_thousand_lines_does_not_fill_the_screen() -> None:
    lines = told("\n".join(map(str, range(1000))), width=80, most=6)
    assert len(lines) == 13
    assert lines[-1] == "... and 988 more lines (-v shows more)"


def test_beside_a_path_that_fills_the_line_stands_what_it_takes() -> None:
    rows = [{"path": "/var/log/" + "deep/" * 20 + "log", "bytes": 3 << 20, "owner": "app"}]
    assert told(rows, width=80, most=None) == ["  BYTES  PATH", f"3.0 MiB  {rows[0]['path']}"]


def test_of_a_log_the_newest_lines_are_shown() -> None:
    log = [f"line {number} of it" for number in range(12)]
    assert told({"log": log}, width=80, most=3) == [
        "log:",
        "  ... 9 earlier lines",
        "  line 9 of it",
        "  line 10 of it",
        "  line 11 of it",
    ]
    assert told({"log": log}, width=80, most=None)[1] == "  line 0 of it"
