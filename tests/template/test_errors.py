"""What an author reads when a template is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from remedy.document import Text
from remedy.errors import InputError, Position, UndefinedVariable
from remedy.template import Scope, Templar


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ disk_limt }}", "f.yml:1:4: the variable 'disk_limt' is undefined\n  did you mean 'disk_limit'?"),
        (
            "{{ zzz }}",
            "f.yml:1:4: the variable 'zzz' is undefined\n  set it in the inventory, the play's vars or",
        ),
        (
            "{{ mount.percnt }}",
            "f.yml:1:4: undefined: the mapping has no key 'percnt'; did you mean 'percent'?",
        ),
        ("{{ disk_limit.x }}", "f.yml:1:4: undefined: a text has no attribute 'x'\n  or give it a default"),
        ("{{ undef('set me') }}", "f.yml:1:4: undefined: set me"),
        ("{{ zzz | mandatory('need zzz') }}", "f.yml:1:4: the template failed: need zzz"),
        ("{{ 'a' | uper }}", "f.yml:1:4: there is no filter 'uper'\n  did you mean 'upper'?"),
        ("{{ 'a' is defind }}", "f.yml:1:4: there is no test 'defind'\n  did you mean 'defined'?"),
        ("{{ 'a' | password_hash }}", "there is no filter 'password_hash'\n  hash the password once"),
        ("{{ lookup('fil', 'x') }}", "f.yml:1:4: there is no lookup 'fil'\n  did you mean 'file'?"),
        (
            "{{ lookup('url', 'x') }}",
            "the lookup 'url' is not supported\n  fetch it in a task with the uri or",
        ),
        (
            "{{ a b }}",
            "f.yml:1:4: the template cannot be read: expected token 'end of print statement', got 'b'",
        ),
        ("{% if %}", "f.yml:1:4: the template cannot be read: "),
        ("{{ 1 / 0 }}", "f.yml:1:4: the template failed: ZeroDivisionError: division by zero"),
        ("{{ 'x' | from_json }}", "f.yml:1:4: the template failed: from_json: no JSON"),
        ("{{ 'a' is version('1', '~') }}", "version: the operator '~' is not known"),
        ("{{ 'x' if false }}", "f.yml:1:4: undefined: the inline if-expression on line 1 evaluated to false"),
    ],
)
def test_errors_say_what_where_and_what_to_do(
    template: str, error: str, templar: Templar, scope_of: Callable[..., Scope]
) -> None:
    text = Text(template, Position("f.yml", 1, 4))
    with pytest.raises(InputError) as caught:
        templar.render(text, scope_of("disk_limit: 85%\nmount: {percent: 1}"))
    assert error in str(caught.value)
    assert caught.value.exit_code == 5


def test_the_place_of_an_error_is_the_variable_that_failed(
    templar: Templar, scope_of: Callable[..., Scope]
) -> None:
    scope = scope_of("outer: '{{ inner }}'\ninner: '{{ nope }}'")
    with pytest.raises(UndefinedVariable) as caught:
        templar.render(Text("{{ outer }}", Position("play.yml", 9, 9)), scope)
    assert caught.value.where == Position("vars.yml", 2, 8)


def test_without_a_place_of_its_own_a_value_has_the_tasks(
    templar: Templar, scope_of: Callable[..., Scope]
) -> None:
    with pytest.raises(InputError) as caught:
        templar.render(Text("{{ nope }}"), scope_of(), where=Position("play.yml", 3))
    assert caught.value.where == Position("play.yml", 3)


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (
            "name",
            "play.yml:7: the condition 'name' gave a value of type str\n  a condition must be true or false",
        ),
        ("count", "the condition 'count' gave a value of type int"),
        ("none", "the condition 'none' gave a value null"),
        ("", "play.yml:7: the condition is empty\n  expected an expression, true or false"),
        (None, "the condition is empty"),
        (5, "the condition is int"),
        ("a ==", "the template cannot be read: unexpected ')'"),
        ("x }} {{ y", "the template cannot be read"),
        ("nam", "the variable 'nam' is undefined\n  did you mean 'name'?"),
    ],
)
def test_conditions_that_are_none(
    condition: object, error: str, templar: Templar, scope_of: Callable[..., Scope]
) -> None:
    scope = scope_of("name: x\ncount: 3")
    with pytest.raises(InputError) as caught:
        templar.condition(condition, scope, where=Position("play.yml", 7))
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "answer"),
    [(True, True), (False, False), ("count == 3", True), ("count > 3 or flag", True), ("{{ flag }}", True)],
)
def test_conditions(
    condition: object, answer: bool, templar: Templar, scope_of: Callable[..., Scope]
) -> None:
    assert templar.condition(condition, scope_of("count: 3\nflag: true")) is answer


def test_a_condition_may_be_a_variable_that_holds_an_expression(
    templar: Templar, scope_of: Callable[..., Scope]
) -> None:
    scope = scope_of("rule: count == 3\ncount: 3", evil="lookup('pipe', 'id')")
    assert templar.condition("{{ rule }}", scope) is True
    with pytest.raises(InputError, match="of type str"):
        templar.condition("{{ evil }}", scope)
