"""Text from hosts is data: whichever way it goes through a play, no part of it is ever a template."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.cli import LOCAL, Scene

MARK = "evaluated"
TEXTS = {
    "expression": "{{ 7 * 7 }}",
    "statement": "{% for x in [1, 2] %}49{% endfor %}",
    "comment": "before{# gone #}after",
    "pipe": "{{ lookup('pipe', 'touch evaluated') }}",
    "undefined": "{{ nobody_knows_this }}",
    "broken": "{{ 1 +",
    "variable": "{{ secret }}",
    "condition": "1 == 1",
    "classes": "{{ ''.__class__.__mro__ }}",
    "yaml": "!unsafe [1, {{ 2 }}]",
}

PLAY = """
- hosts: box
  gather_facts: false
  vars:
    secret: do not show
    lazy: "{{ said.stdout }}"
    twice: "{{ lazy }}"
    nested: {deep: ["{{ twice }}"]}
  tasks:
    - {name: said, command: {argv: [cat, "$DIR/text"]}, register: said}
    - {name: msg, debug: {msg: "{{ said.stdout }}"}}
    - {name: inside, debug: {msg: "<{{ said.stdout }}>"}}
    - {name: var, debug: {var: said.stdout}}
    - {name: lazy, debug: {msg: "{{ lazy }}"}}
    - {name: nested, debug: {msg: "{{ nested.deep[0] }}"}}
    - {name: task vars, debug: {msg: "{{ own }}"}, vars: {own: "{{ said.stdout }}"}}
    - {name: set, set_fact: {fact: "{{ said.stdout }}", held: {list: ["{{ said.stdout }}"]}}}
    - {name: fact, debug: {msg: "{{ fact }}"}}
    - {name: held, debug: {msg: "{{ held.list[0] }}"}}
    - {name: again, set_fact: {again: "{{ fact }}"}}
    - {name: again is, debug: {msg: "{{ again }}"}}
    - {name: hostvars, debug: {msg: "{{ hostvars['box'].fact }}"}}
    - {name: vars, debug: {msg: "{{ vars['fact'] }}"}}
    - {name: lookup, debug: {msg: "{{ lookup('vars', 'fact') }}"}}
    - {name: query, debug: {msg: "{{ query('vars', 'fact') | first }}"}}
    - {name: filters, debug: {msg: "{{ [fact] | map('trim') | join('') }}"}}
    - {name: json, debug: {msg: "{{ {'a': fact} | to_json | from_json }}"}}
    - {name: joined, debug: {msg: "{{ '' ~ fact }}"}}
    - {name: lines, debug: {msg: "{{ item }}"}, loop: "{{ said.stdout_lines }}"}
    - name: labels
      debug: {msg: "{{ item }}"}
      loop: ["{{ fact }}"]
      loop_control: {label: "{{ item }}", extended: true}
    - {name: equal, debug: {msg: "yes"}, when: "fact == lookup('file', '$DIR/text')"}
    - {name: assert, assert: {that: ["fact == lookup('file', '$DIR/text')", "again is string"]}}
    - {name: echoed, command: {argv: [echo, "{{ fact }}"]}, register: echoed}
    - {name: echoed is, debug: {msg: "{{ echoed.stdout }}"}}
    - {name: environment, shell: {cmd: 'printf %s "$IT"'}, environment: {IT: "{{ fact }}"}, register: env}
    - {name: environment is, debug: {msg: "{{ env.stdout }}"}}
    - {name: copied, copy: {content: "{{ fact }}", dest: "$DIR/copied"}}
    - {name: template, template: {src: it.j2, dest: "$DIR/templated"}}
    - {name: find, find: {paths: "$DIR/names"}, register: found}
    - {name: stat, stat: {path: "{{ found.files[0].path }}"}, register: seen}
    - {name: stat is, debug: {msg: "{{ seen.stat.path | basename }}"}}
    - {name: slurp, slurp: {src: "$DIR/text"}, register: slurped}
    - {name: slurp is, debug: {msg: "{{ slurped.content | b64decode }}"}}
    - {name: judged, ping: , changed_when: "fact == 'never'", failed_when: "fact == 'never'"}
    - block:
        - {name: fails, command: {argv: [sh, -c, 'cat "$DIR/text" >&2; exit 1']}}
      rescue:
        - {name: rescue, debug: {msg: "{{ ansible_failed_result.stderr }}"}}
    - {name: finding, finding: {id: text, title: "{{ fact }}", evidence: "{{ fact }}"}}
    - {name: findings, debug: {msg: "{{ findings.text.title }}"}}
    - {name: included, include_tasks: inner.yml, vars: {given: "{{ fact }}"}}
"""
SAME = (
    *(
        "msg",
        "lazy",
        "nested",
        "task vars",
        "fact",
        "held",
        "again is",
        "hostvars",
        "vars",
        "lookup",
        "query",
    ),
    *(
        "filters",
        "joined",
        "echoed is",
        "environment is",
        "stat is",
        "slurp is",
        "rescue",
        "findings",
        "given",
    ),
)


@pytest.fixture
def stage(scene: Scene) -> Scene:
    scene.write(
        {
            "inventory/hosts.yml": LOCAL,
            "playbooks/inner.yml": '- {name: given, debug: {msg: "{{ given }}"}}\n',
            "playbooks/templates/it.j2": "<{{ fact }}>\n",
            "playbooks/site.yml": PLAY.replace("$DIR", str(scene.folder)),
        }
    )
    (scene.folder / "inventory/hosts.ini").unlink()
    return scene


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_host_text_stays_as_it_is(stage: Scene, text: str) -> None:
    stage.write({"text": text, f"names/{text.replace('/', '')}": ""})
    played = stage.play()
    assert played.code == 0, (played.err, played.document["tasks"][-1:])
    told = {name: played.task(name)["result"]["msg"] for name in SAME}
    assert told == {**dict.fromkeys(SAME, text), "stat is": text.replace("/", "")}
    assert played.task("inside")["result"]["msg"] == f"<{text}>"
    assert played.task("var")["result"] == {"said.stdout": text, "changed": False, "failed": False}
    assert played.task("json")["result"]["msg"] == {"a": text}
    for name in ("lines", "labels"):
        assert [each["msg"] for each in played.task(name)["result"]["results"]] == [text]
    assert played.task("equal")["status"] == "ok"
    assert played.document["findings"][0]["evidence"] == text
    assert (stage.folder / "copied").read_text() == text
    assert (stage.folder / "templated").read_text() == f"<{text}>\n"
    assert not any(path.name == MARK for path in (*stage.folder.rglob("*"), *Path("/").glob("*")))


def test_facts_stay_as_they_are(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IT", TEXTS["pipe"])
    play = """
- hosts: box
  tasks:
    - {name: env, debug: {msg: "{{ ansible_env.IT }}"}}
    - {name: facts, debug: {msg: "{{ ansible_facts.env.IT }}"}}
    - {name: hostvars, debug: {msg: "{{ hostvars.box.ansible_facts['env'].IT }}"}}
    - {name: template, template: {src: env.j2, dest: "$DIR/templated"}}
"""
    stage.write({"playbooks/site.yml": play.replace("$DIR", str(stage.folder))})
    stage.write({"playbooks/templates/env.j2": "{{ ansible_env.IT }}"})
    played = stage.play()
    assert played.code == 0
    for name in ("env", "facts", "hostvars"):
        assert played.task(name)["result"]["msg"] == TEXTS["pipe"]
    assert (stage.folder / "templated").read_text() == TEXTS["pipe"]
    assert not (stage.folder / MARK).exists()


REFUSED = {
    "when": "{name: it, ping: , when: '{{ said.stdout }}'}",
    "when a fact": "{name: it, ping: , when: '{{ fact }}'}",
    "assert": "{name: it, assert: {that: '{{ fact }}'}}",
    "changed_when": "{name: it, ping: , changed_when: '{{ fact }}'}",
}


@pytest.mark.parametrize("task", REFUSED.values(), ids=REFUSED)
def test_host_text_is_no_condition(stage: Scene, task: str) -> None:
    stage.write({"text": "1 == 1", "playbooks/site.yml": _after_said(stage, task)})
    played = stage.play()
    assert played.code == 2
    assert "gave a value of type str\n  a condition must be true or false" in played.task("it")["reason"]


def test_host_text_names_a_file_and_nothing_else(stage: Scene) -> None:
    stage.write({"text": TEXTS["pipe"]})
    stage.write({"playbooks/site.yml": _after_said(stage, "include_tasks: '{{ fact }}'")})
    played = stage.play()
    assert played.code == 2
    assert f"no tasks file '{TEXTS['pipe']}'" in played.document["tasks"][-1]["reason"]
    assert not (stage.folder / MARK).exists()


def test_host_text_names_a_handler_and_nothing_else(stage: Scene) -> None:
    task = "{name: it, command: 'true', notify: '{{ fact }}'}"
    handlers = "  handlers:\n    - {name: '49', debug: }\n"
    stage.write({"text": TEXTS["expression"], "playbooks/site.yml": _after_said(stage, task) + handlers})
    played = stage.play()
    assert played.code == 0
    assert "49" not in played.tasks("ok")


def _after_said(stage: Scene, task: str) -> str:
    return (
        "- hosts: box\n  gather_facts: false\n  tasks:\n"
        f"    - {{name: said, command: {{argv: [cat, {stage.folder}/text]}}, register: said}}\n"
        '    - {name: set, set_fact: {fact: "{{ said.stdout }}"}}\n'
        f"    - {task}\n"
    )
