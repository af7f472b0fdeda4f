"""What a template touches and calls, read without rendering it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from remedy.document import Text, Unsafe, load_yaml
from remedy.template import Scope, Templar


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{{ a.b[c] | default(d) }}", {"a", "c", "d"}),
        ("{% set x = a %}{{ x }}", {"a"}),
        ("{% for i in list %}{{ i }}{% endfor %}", {"list"}),
        ("plain", set()),
        ("{{ hostvars[h].x }}", {"hostvars", "h"}),
    ],
)
def test_touches(template: str, names: set[str], templar: Templar) -> None:
    assert templar.touches(Text(template)) == names
    assert templar.touches(Unsafe(template)) == set()


def test_touches_through_variables(templar: Templar, scope_of: Callable[..., Scope]) -> None:
    scope = scope_of("a: '{{ b }}'\nb: ['{{ c.d }}', '{{ a }}']")
    assert templar.touches(load_yaml("x: ['{{ a }}']", "f.yml")) == {"a"}
    assert templar.touches(load_yaml("x: ['{{ a }}']", "f.yml"), scope) == {"a", "b", "c"}


def test_conditions_touch(templar: Templar) -> None:
    assert templar.condition_touches("a is defined and b.c == 1") == {"a", "b"}


@pytest.mark.parametrize(
    ("template", "calls"),
    [
        ("{{ now() }}", {"now"}),
        ("{{ lookup('pipe', cmd) }}", {"lookup:pipe"}),
        ("{{ query('ansible.builtin.file', f) }}", {"lookup:file"}),
        ("{{ q(which) }}", {"lookup:?"}),
        ("{{ 5 | random }}{{ x | fileglob }}", {"filter:random", "filter:fileglob"}),
        ("{{ x.upper() }}", set()),
    ],
)
def test_calls(template: str, calls: set[str], templar: Templar) -> None:
    assert templar.calls(Text(template)) == calls


def test_calls_through_variables(templar: Templar, scope_of: Callable[..., Scope]) -> None:
    assert templar.calls(Text("{{ stamp }}"), scope_of("stamp: '{{ now() }}'")) == {"now"}


def test_is_template(templar: Templar) -> None:
    assert templar.is_template(load_yaml("a: [{b: '{{ x }}'}]", "f.yml"))
    assert templar.is_template(load_yaml("a: !vault abc", "f.yml"))
    assert not templar.is_template(load_yaml("a: !unsafe '{{ x }}'", "f.yml"))
    assert not templar.is_template("{{ a host's text }}")
    assert not templar.is_template(5)
