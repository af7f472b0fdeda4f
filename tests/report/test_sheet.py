"""Lines are wrapped at words, painted in runs, and never wider than the paper."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from remedy.report.sheet import Part, Sheet


def written(*parts: Part, width: int = 40, color: bool = False, indent: int = 0, hang: int = 4) -> str:
    pages: list[str] = []
    Sheet(pages.append, width=width, color=color).line(*parts, indent=indent, hang=hang)
    return "".join(pages)


def test_what_does_not_fit_hangs_once() -> None:
    first, *others = written("word " * 20, indent=2, hang=4).splitlines()
    assert first.startswith("  word")
    assert len(others) == 2
    assert all(line.startswith("      word") for line in others)


def test_a_style_change_is_no_place_to_break() -> None:
    assert written(("bold", "x" * 30), ": ", "yyyyyyyyyyyyyyyyy") == f"{'x' * 30}:\n    {'y' * 17}\n"


def test_a_name_longer_than_the_paper_stays_whole() -> None:
    name = "h" * 60
    assert name in written("left out: ", name).splitlines()[1]


def test_colour_is_one_run_for_each_style() -> None:
    assert written(("red", "two words"), " and ", ("green", "x"), color=True) == (
        "\x1b[31mtwo words\x1b[0m and \x1b[32mx\x1b[0m\n"
    )
    assert written(("red", "two words"), color=False) == "two words\n"


def test_texts_from_hosts_are_made_safe_everywhere() -> None:
    pages: list[str] = []
    sheet = Sheet(pages.append, width=80, color=True)
    sheet.line("a\x1b[2J", ("red", "b\nc"))
    sheet.verbatim("d\x1b[2J\te")
    sheet.paragraph("f\x1b[2J\n  g\rh")
    assert "".join(pages) == "a\\x1b[2J\x1b[31mb\\nc\x1b[0m\nd\\x1b[2J   e\nf\\x1b[2J\n  g\nh\n"


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "red", "bold"]), st.text(alphabet="ab \n\x1b漢", max_size=60)),
        max_size=5,
    )
)
def test_painted_or_not_the_text_is_the_same_and_fits(parts: list[tuple[str, str]]) -> None:
    plain = written(*parts, width=50)
    painted = written(*parts, width=50, color=True)
    assert re.sub("\x1b\\[[0-9;]*m", "", painted) == plain
    assert set(plain) <= set("ab \n漢\\xn1")
    for line in plain.splitlines():
        assert " " not in line.strip() or len(line) <= 50
