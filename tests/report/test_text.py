"""Texts for people: safe, short and true."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.report.text import cells, count, cut, duration, on_hosts, one_line, pad, safe, size, some


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain – ü 漢字", "plain – ü 漢字"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x1b[2J\x1b[31mred\x1b[0m", "\\x1b[2Jred"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("\x9b31m", "\\x9b31m"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("caf\udce9", "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_nothing_from_a_host_can_paint_the_terminal(written: str, shown: str) -> None:
    assert safe(written) == shown


@given(st.text(alphabet=st.characters(), max_size=50))
def test_safe_text_has_no_control_or_format_characters(text: str) -> None:
    shown = safe(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert safe(shown) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (150 * 1024, "150 KiB"),
        (51_900_000_000, "48.3 GiB"),
        (5 << 60, "5120 PiB"),
    ],
)
def test_sizes(number: int, shown: str) -> None:
    assert size(number) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_names_are_joined_and_cut_whole() -> None:
    names = [f"web{number}" for number in range(5)]
    assert some(names, 2) == "web0, web1 and 3 more"
    assert some(names, 4) == "web0, web1, web2, web3, web4"
    assert some(names, None).count("web") == 5


def test_hosts_are_named_as_long_as_they_are_few() -> None:
    assert on_hosts(["a", "b", "c"], 3) == ("a, b, c", False)
    assert on_hosts(["a", "b", "c", "d"], 4) == ("all 4 hosts", False)
    assert on_hosts(["a", "b", "c", "d"], 9) == ("on 4 hosts", True)


def test_columns_count_what_the_terminal_shows() -> None:
    assert cells("漢字") == 4
    assert cells("e\u0301") == 1
    assert pad("漢", 4) + "|" == "漢  |"
    assert pad("7", 3, right=True) == "  7"
    assert cut("abcdefgh", 6) == "abc..."
    assert cut("abcdef", 6) == "abcdef"


def test_values_in_one_line() -> None:
    assert one_line({"a": [1, True, None], "b": 1.50}) == "a=1, yes, -, b=1.5"
    assert one_line([]) == "(none)"
    assert count(1, "host") == "1 host"
    assert count(0, "more", "more") == "0 more"
