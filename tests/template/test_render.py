"""Types, texts, omit; what an author wrote is a template, what a host sent is data."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from remedy.document import Text, Unsafe, load_yaml
from remedy.errors import InputError, Position
from remedy.secret import Secrets
from remedy.template import OMIT, FileOptions, Layer, Templar


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ '1.10' }}", "1.10"),
        ("{{ version }}", "1.10"),
        ("v{{ version }}", "v1.10"),
        ("{{ '[1, 2]' }}", "[1, 2]"),
        ("{{ 'true' }}", "true"),
        ("{{ 1 }}{{ 0 }}", "10"),
        ("{{ {'a': [1, {'b': none}]} }}", {"a": [1, {"b": None}]}),
        ("plain", "plain"),
        ("{ % not a template }", "{ % not a template }"),
        ("{{ version }}\n", "1.10\n"),
        ("a\n\n", "a\n\n"),
        ("{{ [1] }}\n", [1]),
        ("", ""),
    ],
)
def test_a_lone_expression_keeps_its_type_and_nothing_is_parsed_again(
    render: Any, template: str, value: object
) -> None:
    found = render(template, "version: '1.10'")
    assert found == value
    assert type(found) is type(value)


def test_containers_are_rendered_deep_and_come_back_plain(render: Any) -> None:
    document = load_yaml("a: ['{{ x }}', {b: '{{ y }}'}]\nc: d\n", "f.yml")
    found = render(document, "x: 1\ny: '{{ x + 1 }}'")
    assert found == {"a": [1, {"b": 2}], "c": "d"}
    assert type(found) is dict
    assert type(found["a"]) is list
    assert type(found["c"]) is str


@pytest.mark.parametrize(
    "template",
    ["{{ out }}", "{{ out ~ '' }}", "{{ [out] | join }}", "{{ all.stdout }}", "{{ (out, 1) | first }}"],
)
def test_text_from_a_host_is_never_a_template(render: Any, template: str) -> None:
    evil = "{{ lookup('pipe', 'id') }}"
    assert render(template, out=evil, all={"stdout": evil}) == evil


def test_text_from_a_host_stays_data_through_an_authors_variable(render: Any) -> None:
    assert render("{{ shown }}", "shown: 'got {{ out }}'", out="{{ 7 * 7 }}") == "got {{ 7 * 7 }}"


def test_what_a_render_gave_is_data_in_the_next(templar: Templar) -> None:
    first = templar.render(Text("{{ '{{' }} x }}"), templar.scope([]))
    assert first == "{{ x }}"
    assert type(first) is str
    scope = templar.scope([Layer("set_fact", {"again": first})])
    assert templar.render(Text("{{ again }}"), scope) == "{{ x }}"


def test_unsafe_text_is_never_a_template(templar: Templar) -> None:
    scope = templar.scope([Layer("vars", load_yaml("u: !unsafe '{{ nope }}'", "f.yml"))])
    assert templar.render(Text("{{ u }}"), scope) == "{{ nope }}"
    found = templar.render(Unsafe("{{ nope }}"), scope)
    assert (found, type(found)) == ("{{ nope }}", str)


def test_data_layers_are_taken_as_they_are(templar: Templar) -> None:
    scope = templar.scope([Layer("facts", {"x": Text("{{ nope }}")}, data=True)])
    assert templar.render(Text("{{ x }}"), scope) == "{{ nope }}"


def test_omit_leaves_arguments_and_items_out(render: Any) -> None:
    document = load_yaml(
        "mode: \"{{ mode | default(omit) }}\"\nowner: root\nlist: [1, '{{ omit }}', {x: '{{ omit }}'}]",
        "f.yml",
    )
    assert render(document) == {"owner": "root", "list": [1, {}]}
    assert render("{{ nope | default(omit) }}") is OMIT


def test_omit_is_no_part_of_a_text(render: Any) -> None:
    with pytest.raises(InputError, match="omit stands for a whole argument"):
        render("x {{ omit }}")


def test_variables_are_rendered_when_they_are_used(render: Any) -> None:
    text = (
        "base: /srv\napp: '{{ base }}/{{ name }}'\npaths: ['{{ app }}/log']\nbroken: '{{ nope }}'\nname: shop"
    )
    assert render("{{ paths }}", text) == ["/srv/shop/log"]


def test_one_broken_part_of_a_variable_fails_only_who_uses_it(render: Any) -> None:
    text = "cfg: {good: '{{ 1 + 1 }}', bad: '{{ nope }}'}"
    assert render("{{ cfg.good }}", text) == 2
    assert render("{{ cfg.bad | default('none') }}", text) == "none"
    with pytest.raises(InputError, match="'nope' is undefined"):
        render("{{ cfg }}", text)


def test_a_cycle_of_variables_is_named(render: Any) -> None:
    with pytest.raises(InputError) as caught:
        render("{{ a }}", "a: '{{ b }}'\nb: 'x{{ c }}'\nc: '{{ a }}'")
    assert str(caught.value).startswith("vars.yml:1:4: the variable 'a' refers to itself: a → b → c → a")


def test_a_cycle_through_vars_ends_too(render: Any) -> None:
    with pytest.raises(InputError, match="refers to itself"):
        render("{{ a }}", "a: \"{{ vars['b'] }}\"\nb: '{{ vars.a }}'")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ items.append(1) }}",
        "{{ lookup.__self__ }}",
        "{{ vars._scope }}",
        "{{ '%s' | format(x.__class__) }}",
    ],
)
def test_the_sandbox_holds(render: Any, template: str) -> None:
    with pytest.raises(InputError):
        render(template, "items: [1]\nx: a")


def test_backslashes_in_yaml_templates_are_kept_as_in_ansible(render: Any) -> None:
    assert render(r"{{ 'a-b' | regex_replace('(\w)-(\w)', '\2-\1') }}") == "b-a"
    assert render(r"{% set x = '\n' %}{{ x }}") == "\n"


def test_template_files_are_text(templar: Templar, tmp_path: Path) -> None:
    (tmp_path / "part.j2").write_text("[{{ name }}{% for x in list %} {{ x }}{% endfor %}]\n")
    file = tmp_path / "main.j2"
    file.write_text(
        "# {{ list }}\n{% for item in list %}\n{{ item }} {% include 'part.j2' %}\n\n{% endfor %}\nend\n"
    )
    scope = templar.scope([Layer("vars", {"list": [1, 2], "name": "n"})])
    assert templar.render_file(file, scope) == "# [1, 2]\n1 [n 1 2]\n2 [n 1 2]\nend\n"


def test_template_files_have_ansibles_options(templar: Templar) -> None:
    scope = templar.scope([Layer("vars", {"x": 1})])
    options = FileOptions(variable_start_string="<<", variable_end_string=">>", lstrip_blocks=True)
    text = "<< x >> {{ x }}\n  {% if x %}\nyes\n  {% endif %}\n"
    assert templar.render_text(text, scope, options=options) == "1 {{ x }}\nyes\n"


def test_imported_macros_see_only_their_arguments(templar: Templar, tmp_path: Path) -> None:
    (tmp_path / "m.j2").write_text("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ hidden }}")
    text = "{% from 'm.j2' import m with context %}{{ m(3) }}"
    scope = templar.scope([Layer("vars", {"hidden": "h"})])
    assert templar.render_text(text, scope, search=[tmp_path]) == "<3>"


def test_an_error_in_an_included_file_says_where(templar: Templar, tmp_path: Path) -> None:
    (tmp_path / "bad.j2").write_text("one\n{{ nope }}\n")
    text = "a\n{% include 'bad.j2' %}"
    with pytest.raises(InputError) as caught:
        templar.render_text(text, templar.scope([]), where=Position("main.j2"), search=[tmp_path])
    assert caught.value.where == Position(str(tmp_path / "bad.j2"), 2)


def test_an_error_in_a_template_file_says_the_line(templar: Templar) -> None:
    with pytest.raises(InputError) as caught:
        templar.render_text("a\nb\n{{ nope }}\n", templar.scope([]), where=Position("main.j2"))
    assert caught.value.where == Position("main.j2", 3)


def test_a_missing_include_is_named(templar: Templar, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the template file 'no\.j2' does not exist"):
        templar.render_text("{% include 'no.j2' %}", templar.scope([]), search=[tmp_path])


def test_many_threads_render_the_same_texts() -> None:
    templar = Templar(Secrets())
    texts = [Text(f"{{{{ n }}}}-{{{{ m + {number} }}}}") for number in range(30)]
    wrong: list[str] = []

    def work(n: int) -> None:
        scope = templar.scope([Layer("vars", load_yaml(f"n: {n}\nm: '{{{{ n * 2 }}}}'", "f.yml"))])
        for number, text in enumerate(texts):
            found = templar.render(text, scope)
            if found != f"{n}-{2 * n + number}":
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert wrong == []
