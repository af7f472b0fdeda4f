"""Ranges of hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.errors import InputError
from remedy.inventory.ranges import expand


@pytest.mark.parametrize(
    ("written", "names", "port"),
    [
        ("web", ["web"], None),
        ("web:2222", ["web"], 2222),
        ("web[1:3]", ["web1", "web2", "web3"], None),
        ("web[01:03].example.com", ["web01.example.com", "web02.example.com", "web03.example.com"], None),
        ("w[:2]", ["w0", "w1", "w2"], None),
        ("w[a:c]", ["wa", "wb", "wc"], None),
        ("w[0:6:3]x", ["w0x", "w3x", "w6x"], None),
        ("w[a:e:2]:22", ["wa", "wc", "we"], 22),
        ("[1:2]-[a:b]", ["1-a", "1-b", "2-a", "2-b"], None),
        ("[2001:db8::1]:22", ["2001:db8::1"], 22),
        ("2001:db8::1", ["2001:db8::1"], None),
        ("10.0.0.[1:2]", ["10.0.0.1", "10.0.0.2"], None),
    ],
)
def test_ranges(written: str, names: list[str], port: int | None) -> None:
    assert expand(written, None) == (names, port)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("w[1]", "'[1]' has no begin and end"),
        ("w[3:1]", "'3' comes after '1'"),
        ("w[01:100]", "'01' and '100' differ in length"),
        ("w[a:9]", "'a' and '9' are neither numbers nor single letters"),
        ("w[1:9:0]", "the step '0' is no number above 0"),
        ("w[1:", "a bracket is not closed"),
        ("w[1:9999999]", "it stands for more than 100000 hosts"),
        ("w[1:999][1:999]", "it stands for more than 100000 hosts"),
        ("w[1:]", "'1' and '' are neither numbers nor single letters"),
    ],
)
def test_bad_ranges(written: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        expand(written, None)
    assert f"the range in '{written}' is wrong: {why}" in str(caught.value)
    assert "web[01:50]" in str(caught.value)


@given(
    st.integers(0, 500),
    st.integers(0, 60),
    st.integers(1, 7),
    st.integers(0, 4),
    st.sampled_from(["", ".example.com"]),
)
def test_a_range_is_what_its_numbers_say(begin: int, length: int, step: int, width: int, tail: str) -> None:
    end = begin + length
    digits = max(width, len(str(end))) if width else 0
    written = f"web[{str(begin).zfill(digits)}:{str(end).zfill(digits)}:{step}]{tail}"
    names, port = expand(written, None)
    padded = digits if str(begin).zfill(digits)[0] == "0" and digits > 1 else 0
    assert names == [f"web{str(number).zfill(padded)}{tail}" for number in range(begin, end + 1, step)]
    assert port is None
