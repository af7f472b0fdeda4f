"""Variables as named layers: the highest wins, and says where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from remedy.document import Text, load_yaml
from remedy.errors import Position
from remedy.secret import Secrets
from remedy.template import Layer, Templar, Variables

TEMPLAR = Templar(Secrets())
NAMES = st.sampled_from(["a", "b", "c", "d"])
LAYERS = st.lists(st.dictionaries(NAMES, st.integers()), max_size=8)


@given(LAYERS)
def test_the_highest_layer_that_has_a_name_wins(layers: list[dict[str, int]]) -> None:
    scope = TEMPLAR.scope([Layer(str(number), values) for number, values in enumerate(layers)])
    merged: dict[str, int] = {}
    for values in layers:
        merged.update(values)
    assert scope.names() == set(merged)
    for name in ("a", "b", "c", "d"):
        origin = scope.why(name)
        if name not in merged:
            assert origin is None
            assert not scope.has(name)
            continue
        assert origin is not None
        assert origin.layer == str(max(n for n, values in enumerate(layers) if name in values))
        assert (
            origin.value
            == scope.get(name)
            == TEMPLAR.render(Text(f"{{{{ {name} }}}}"), scope)
            == merged[name]
        )


@given(LAYERS, st.dictionaries(NAMES, st.integers()))
def test_a_layer_on_top_changes_nothing_below(layers: list[dict[str, int]], top: dict[str, int]) -> None:
    scope = TEMPLAR.scope([Layer("low", values) for values in layers])
    before = {name: scope.get(name) for name in scope.names()}
    over = scope.with_layer(Layer("top", top))
    assert {name: scope.get(name) for name in scope.names()} == before
    assert {name: over.get(name) for name in over.names()} == {**before, **top}


def test_why_says_who_set_it_and_where() -> None:
    low = load_yaml("x: 1\ny: '{{ x }}'", "group_vars/all.yml")
    high = load_yaml("x: 2", "host_vars/db1.yml")
    scope = TEMPLAR.scope([Layer("inventory group_vars/all", low), Layer("inventory host_vars", high)])
    x, y = scope.why("x"), scope.why("y")
    assert x is not None
    assert y is not None
    assert (x.layer, x.position, x.value) == ("inventory host_vars", Position("host_vars/db1.yml", 1, 4), 2)
    assert (y.layer, y.position, y.value) == (
        "inventory group_vars/all",
        Position("group_vars/all.yml", 2, 4),
        "{{ x }}",
    )
    assert scope.get("y") == 2


def test_a_changed_value_in_a_layer_is_seen() -> None:
    values: dict[str, Any] = {"x": [1]}
    scope = TEMPLAR.scope([Layer("set_fact", values)])
    assert scope.get("x") == [1]
    values["x"] = [2]
    assert scope.get("x") == [2]
    values["y"] = 3
    assert scope.get("y") == 3


def test_what_a_scope_gives_can_be_changed_without_harm() -> None:
    scope = TEMPLAR.scope([Layer("facts", {"x": {"list": [1]}}, data=True)])
    scope.get("x")["list"].append(2)
    TEMPLAR.render(Text("{{ x }}"), scope)["list"].append(2)
    assert scope.get("x") == {"list": [1]}


def test_get_gives_the_default_and_raw_the_text() -> None:
    scope = TEMPLAR.scope([Layer("vars", load_yaml("x: '{{ 1 }}'", "f.yml"))])
    assert scope.get("nope", 5) == 5
    assert scope.raw("x") == "{{ 1 }}"
    assert scope.raw("nope") is None


def test_other_mappings_are_asked_only_for_what_is_used() -> None:
    asked: list[str] = []

    class HostVars(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            asked.append(name)
            return {"address": f"at {name}"}

        def __iter__(self) -> Iterator[str]:
            return iter(("db1", "db2"))

        def __len__(self) -> int:
            return 2

    scope = TEMPLAR.scope([Layer("magic", {"hostvars": HostVars()})])
    assert TEMPLAR.render(Text("{{ hostvars['db2'].address }}"), scope) == "at db2"
    assert asked == ["db2"]


def test_the_variables_of_another_scope_can_stand_in_hostvars() -> None:
    other = TEMPLAR.scope([Layer("vars", load_yaml("a: '{{ b + 1 }}'\nb: 1", "f.yml"))])
    scope = TEMPLAR.scope([Layer("magic", {"hostvars": {"db1": Variables(other)}})])
    assert TEMPLAR.render(Text("{{ hostvars.db1.a }}"), scope) == 2
    assert TEMPLAR.render(Text("{{ hostvars.db1 }}"), scope) == {"a": 2, "b": 1}
