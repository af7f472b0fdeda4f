"""What the comparison with Ansible cannot show: errors of filters, and their edges."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.document import Text
from remedy.errors import InputError
from remedy.secret import Secrets
from remedy.template import Layer, Templar

TEMPLAR = Templar(Secrets())


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ 1 | dict2items }}", "dict2items: expected a mapping, found int"),
        ("{{ [1] | items2dict }}", "items2dict: expected items with 'key' and 'value', found 1"),
        ("{{ [1] | combine }}", "combine: expected mappings, found int"),
        ("{{ {} | combine({}, list_merge='x') }}", "combine: list_merge 'x' is not known"),
        ("{{ 'x' | human_to_bytes }}", "human_to_bytes: 'x' is no size"),
        ("{{ '1 parsec' | human_to_bytes }}", "human_to_bytes: the unit 'parsec' is not known"),
        ("{{ '1 Kb' | human_to_bytes }}", "human_to_bytes: 'Kb' is bits"),
        ("{{ 'abc%' | percent }}", "percent: 'abc%' is not a percentage from 0 to 100, such as 85%"),
        ("{{ 'soon' | duration }}", "duration: 'soon' is not a duration such as 90s, 15m"),
        ("{{ '1 parsec' | size }}", "size: '1 parsec' is not a size in bytes, such as 512, 10K"),
        ("{{ 'soon' | days }}", "days: 'soon' is not a number of days, such as 14, or a duration such as 2w"),
        ("{{ 1 | misread('colour') }}", "misread: 'colour' is no type; expected bool, "),
        ("{{ 'x' | human_readable }}", "human_readable: 'x' is no number"),
        ("{{ 'a' | b64decode }}", "b64decode: no base 64"),
        ("{{ 'x' | hash('nope') }}", "hash: 'nope' is not known"),
        ("{{ 'x' | to_datetime }}", "to_datetime: "),
        ("{{ '%Y' | strftime('x') }}", "strftime: 'x' is no number of seconds"),
        ("{{ 'x' | comment('nope') }}", "comment: the style 'nope' is not known"),
        ("{{ 'x' | regex_search('x', 'y') }}", "regex_search: 'y' is no group"),
        ("{{ 'x' | regex_replace('(', '') }}", "the template failed"),
        ("{{ 'aa' | regex_replace('a', '', mandatory_count=1) }}", "'a' matched 2 times, expected 1"),
        ("{{ 'http://x' | urlsplit('nope') }}", "urlsplit: 'nope' is no part of a URL"),
        ("{{ [{'a': 1}] | subelements('b') }}", "subelements: there is no 'b'"),
        ("{{ [{'a': 1}] | subelements('a') }}", "subelements: 'a' is no list but int"),
        ("{{ [{'a': 1}, {'a': 1}] | rekey_on_member('a') }}", "'1' occurs twice"),
        ("{{ 1 is failed }}", "'is failed' asks a task's result, found int"),
        ("{{ '1' is version('1', version_type='pep440') }}", "the type 'pep440' is not known"),
        ("{{ 'x' is version('1.0', version_type='strict') }}", "'x' is no strict version"),
    ],
)
def test_filters_say_what_they_expected(template: str, error: str, render: Any) -> None:
    with pytest.raises(InputError) as caught:
        render(template)
    assert error in str(caught.value)


def test_results_of_loops(render: Any) -> None:
    assert render("{{ r is changed }}", "r: {results: [{changed: false}, {changed: true}]}") is True
    assert render("{{ r is changed }}", "r: {results: []}") is False
    assert render("{{ r is unreachable }} {{ r is reachable }}", "r: {unreachable: true}") == "True False"


def test_what_a_filter_gives_can_be_counted_and_used_twice(render: Any) -> None:
    assert render("{% set m = [1, 2] | map('string') %}{{ m | length }}{{ m | join }}") == "212"


def test_random_is_drawn_anew_each_time(render: Any) -> None:
    assert len({render("{{ 1000000000 | random }}") for _ in range(5)}) > 1
    assert render("{{ [5] | random }}") == 5
    assert render("{{ 10 | random(start=9) }}") == 9


def test_semantic_versions_sort(render: Any) -> None:
    versions = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0"]
    for low, high in pairwise(versions):
        assert render(f"{{{{ '{low}' is version('{high}', 'lt', version_type='semver') }}}}") is True


@given(st.text(max_size=50))
def test_quoted_text_survives_a_round_trip(text: str) -> None:
    scope = TEMPLAR.scope([Layer("facts", {"x": text}, data=True)])
    assert TEMPLAR.render(Text("{{ x | to_json | from_json }}"), scope) == text
    assert TEMPLAR.render(Text("{{ x | b64encode | b64decode }}"), scope) == text
    assert TEMPLAR.render(Text("{{ x }}"), scope) == text


@pytest.mark.parametrize("share", ["85%", " 85 %", "85", 85, 85.0])
def test_a_percentage_is_a_number(share: Any) -> None:
    scope = TEMPLAR.scope([Layer("task", {"share": share})])
    assert TEMPLAR.render(Text("{{ share | percent }}"), scope) == 85


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ '60s' | duration }}", 60),
        ("{{ '1d12h' | duration }}", 129600),
        ("{{ 7 | duration }}", 7),
        ("{{ '500ms' | duration }}", 0.5),
        ("{{ '1GB' | size }}", 1 << 30),
        ("{{ '1.5 KiB' | size }}", 1536),
        ("{{ 512 | size }}", 512),
        ("{{ 14 | days }}", 14),
        ("{{ '0.5' | days }}", 0.5),
        ("{{ '72h' | days }}", 3),
        ("{{ '2w' | days }}", 14),
    ],
)
def test_what_has_a_unit_is_a_number(template: str, value: float, render: Any) -> None:
    assert render(template) == value


@pytest.mark.parametrize(
    ("value", "kind", "wrong"),
    [
        ("60s", "duration", ""),
        ("0s", "duration", ""),
        ("0s", "duration above 0", "more than 0"),
        ("1ms", "duration above 0", ""),
        ("-5m", "duration", "0 or more"),
        ("long", "duration", "a duration such as 90s, 15m, 12h, 3d, 2w or 1d12h; a bare number is seconds"),
        (None, "duration", "a duration such as 90s, 15m, 12h, 3d, 2w or 1d12h; a bare number is seconds"),
        ("1GB", "size", ""),
        ("-1GB", "size", "0 or more"),
        ("abc", "int", "a whole number"),
        (True, "int", "a whole number"),
        ("-3", "days", "0 or more"),
        ("yes", "bool", ""),
        (False, "bool", ""),
        ("perhaps", "bool", "yes or no (true, on and 1, or false, off and 0)"),
        ("app", "names", ""),
        (["app", "shop"], "names", ""),
        ([], "names", ""),
        ([7], "names", "a list of names"),
        ({"app": 1}, "names", "a list of names"),
    ],
)
def test_what_a_variable_should_have_been(value: Any, kind: str, wrong: str) -> None:
    scope = TEMPLAR.scope([Layer("task", {"value": value, "kind": kind})])
    assert TEMPLAR.render(Text("{{ value | misread(kind) }}"), scope) == wrong
