"""lineinfile on random files and lines: what it does once it need not do again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from remedy.agent.kinds import Failed
from remedy.modules.target.lineinfile import settled, without

WORD = st.text("ab#=1 ", max_size=4)
LINES = st.lists(st.tuples(WORD, st.sampled_from(["\n", "\r\n", "\n", "\n\n"])), max_size=6)
PATTERN = st.sampled_from(["^a", "^#?a", "b", "=", "^$", "", "(a)(b)?", "1$", "."])
PLACE = st.one_of(st.none(), PATTERN, st.sampled_from(["BOF"]))


@st.composite
def content(draw: st.DrawFn) -> bytes:
    text = "".join(word + end for word, end in draw(LINES))
    return (text.rstrip("\n") if draw(st.booleans()) else text).encode()


@st.composite
def params(draw: st.DrawFn) -> dict[str, Any]:
    search = draw(st.sampled_from([None, "regexp", "search_string"]))
    after = draw(st.booleans())
    return {
        "line": draw(st.one_of(WORD, st.sampled_from(["a\nb", r"\1x", r"\g<1>", "a=1\n"]))),
        "regexp": draw(PATTERN) if search == "regexp" else None,
        "search_string": draw(WORD) if search == "search_string" else None,
        "insertafter": draw(st.one_of(PLACE, st.just("EOF"))) if after else None,
        "insertbefore": None if after else draw(PLACE),
        "firstmatch": draw(st.booleans()),
        "backrefs": False,
    }


@given(content(), params())
def test_a_line_that_is_there_need_not_be_put_there(before: bytes, given_params: dict[str, Any]) -> None:
    try:
        after, message = settled(before, given_params, "/f")
    except Failed:
        line = given_params["line"].rstrip("\n")
        assert "\n" in line, "only what is more than one line never settles without backrefs"
        return
    assert settled(after, given_params, "/f") == (after, "")
    assert (message == "") == (after == before)
    line = given_params["line"].encode()
    assert (line[:-1] if line.endswith(b"\n") else line) in after


@given(
    content(), st.sampled_from(["^(a)(.*)$", "(b)", "^(#?)a"]), st.sampled_from([r"\1", r"\1x", r"b\1", "a"])
)
def test_with_groups_too(before: bytes, regexp: str, line: str) -> None:
    given_params: dict[str, Any] = {"line": line, "regexp": regexp, "backrefs": True, "search_string": None}
    given_params.update(insertafter=None, insertbefore=None, firstmatch=False)
    try:
        after, _ = settled(before, given_params, "/f")
    except Failed:
        assert line == r"\1x" or line == r"b\1", "only a line that grows never settles"
        return
    assert settled(after, given_params, "/f") == (after, "")
    assert after.count(b"\n") in (before.count(b"\n"), before.count(b"\n") + 1)


@given(content(), params())
def test_what_is_gone_is_gone(before: bytes, given_params: dict[str, Any]) -> None:
    after, found = without(before, given_params)
    assert without(after, given_params) == (after, 0)
    assert (found == 0) == (after == before)
