"""A value that is on its way stops a render at its name, whatever the template does with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.document import Text, load_yaml
from remedy.errors import InputError
from remedy.template import Layer, Pending, Scope, Templar, Unknowable, UnknownValue

FORMS = [
    "{{ disk }}",
    "x {{ disk }} y",
    "{{ disk.full }}",
    "{{ disk['full'][0].mount }}",
    "{{ disk | default('none') }}",
    "{{ disk.a.b | default(omit) }}",
    "{{ disk is defined }}",
    "{{ disk is undefined }}",
    "{{ disk is none }}",
    "{{ disk is sameas none }}",
    "{{ disk is callable }}",
    "{{ disk is mapping }}",
    "{{ disk is failed }}",
    "{{ not disk }}",
    "{{ disk == 1 }}",
    "{{ 1 in disk }}",
    "{{ [disk] | length }}",
    "{{ {'a': disk} }}",
    "{{ (disk, 1) | last }}",
    "{{ 'a' if disk else 'b' }}",
    "{{ 'a' if false and disk else 'b' }}",
    "{{ disk ~ 'x' }}",
    "{{ disk | bool }}",
    "{{ disk | type_debug }}",
    "{{ disk | to_json }}",
    "{{ [1] | map('extract', disk) | list }}",
    "{{ disk | ternary(1, 2) }}",
    "{{ '%s' | format(disk) }}",
    "{% for mount in disk %}{{ mount }}{% endfor %}",
    "{% for n in [1] %}{{ disk }}{% endfor %}",
    "{% set copy = disk %}{{ 1 }}",
    "{% macro m() %}{{ disk }}{% endmacro %}{{ m() }}",
    "{% macro m(x=disk) %}{{ 1 }}{% endmacro %}{{ m() }}",
    "{% if disk %}{% endif %}",
    "{% with d = disk %}{% endwith %}",
    "{% filter upper %}{{ disk }}{% endfilter %}",
    "{% set x %}{{ disk }}{% endset %}1",
    "{{ vars.disk }}",
    "{{ vars['di' ~ 'sk'] }}",
    "{{ vars.get('disk', 1) }}",
    "{{ 'disk' in vars }}",
    "{{ vars | length }}",
    "{{ vars | dict2items }}",
    "{{ vars is defined and vars.disk is none }}",
    "{{ lookup('vars', 'disk') }}",
    "{{ lookup('vars', 'disk', default=1) }}",
    "{{ lookup('vars', 'disk', errors='ignore') }}",
    "{{ query('varnames', '.*') }}",
    "{{ q('items', disk) }}",
    "{{ lazy }}",
    "{{ lazy | default(1) }}",
    "{{ deep.list }}",
    "{{ disk.nope | mandatory }}",
    "{{ 1 / 0 if disk else nope }}",
]


@pytest.fixture
def scope(scope_of: Callable[..., Scope]) -> Scope:
    return scope_of("lazy: 'at {{ disk.full }}'\ndeep: {list: ['{{ lazy }}']}\nready: 1", ("disk",))


@pytest.mark.parametrize("form", FORMS)
def test_a_pending_name_stops_the_render(form: str, templar: Templar, scope: Scope) -> None:
    with pytest.raises(Pending) as caught:
        templar.render(Text(form), scope)
    assert caught.value.name == "disk"


@pytest.mark.parametrize("form", FORMS)
def test_an_unknowable_value_stops_the_render(form: str, templar: Templar, scope: Scope) -> None:
    layers = [*scope.layers, Layer("registered", {"disk": Unknowable("the command was not run")})]
    if "in vars" in form or "varnames" in form or form == "{{ vars | length }}":
        return_value = templar.render(Text(form), templar.scope(layers))
        assert return_value  # these ask only which names there are, and the name is there
        return
    with pytest.raises(UnknownValue) as caught:
        templar.render(Text(form), templar.scope(layers))
    assert caught.value.reason == "the command was not run"
    assert caught.value.name == "disk"


@pytest.mark.parametrize(
    "expression", ["disk is none", "ready == 1 and disk", "lazy", "vars.disk is defined"]
)
def test_conditions_stop_too(expression: str, templar: Templar, scope: Scope) -> None:
    with pytest.raises(Pending):
        templar.condition(expression, scope)


def test_template_files_and_their_includes_stop_too(templar: Templar, scope: Scope, tmp_path: Path) -> None:
    (tmp_path / "part.j2").write_text("{{ disk }}")
    (tmp_path / "macros.j2").write_text("{% macro show() %}{{ disk is none }}{% endmacro %}")
    for text in (
        "{% include 'part.j2' %}",
        "{% include 'part.j2' ignore missing %}",
        "{% import 'macros.j2' as m with context %}{{ m.show() }}",
    ):
        with pytest.raises(Pending):
            templar.render_text(text, scope, search=[tmp_path])


def test_what_does_not_touch_it_renders(templar: Templar, scope: Scope) -> None:
    assert templar.render(Text("{{ ready + 1 }}"), scope) == 2
    assert templar.render(Text("{{ vars.ready }}"), scope) == 1
    assert templar.render(Text("{{ vars['nope'] is defined }}"), scope) is False


def test_a_local_name_hides_a_pending_one(templar: Templar, scope: Scope) -> None:
    assert templar.render(Text("{% for disk in [1, 2] %}{{ disk }}{% endfor %}"), scope) == "12"


def test_an_error_behind_a_pending_name_counts_as_pending(templar: Templar, scope: Scope) -> None:
    with pytest.raises(Pending):
        templar.render(load_yaml("a: '{{ disk }}'\nb: '{{ nope }}'", "f.yml"), scope)
    with pytest.raises(InputError, match="nope"):
        templar.render(Text("{{ nope }}"), scope)


def test_pending_names_are_asked_anew(templar: Templar) -> None:
    flight = {"disk"}
    scope = templar.scope([Layer("registered", {"disk": 1})], pending=flight)
    with pytest.raises(Pending):
        scope.get("disk")
    flight.clear()
    assert scope.get("disk") == 1


def test_a_layer_on_top_settles_its_names(templar: Templar, scope: Scope) -> None:
    assert templar.render(Text("{{ disk }}"), scope.with_values("loop", {"disk": 7})) == 7


def test_pending_facts_are_every_name_with_that_start_but_those_set_above(templar: Templar) -> None:
    layers = [
        Layer("inventory", {"ansible_user": "me"}),
        Layer("facts", {}),
        Layer("play vars", {"ansible_become": True}),
    ]
    scope = templar.scope(layers, pending=("ansible_facts", "ansible_*"))
    assert templar.render(Text("{{ ansible_become }}"), scope) is True
    for form in (
        "{{ ansible_distribution }}",
        "{{ ansible_user }}",
        "{{ ansible_facts.kernel | default(1) }}",
    ):
        with pytest.raises(Pending):
            templar.render(Text(form), scope)


def test_the_value_of_a_pending_name_is_pending_for_the_engine_too(scope: Scope) -> None:
    assert scope.has("disk")
    with pytest.raises(Pending):
        scope.get("lazy")
