"""Check mode changes nothing and foresees what a run changes, for plays nobody has written by hand."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings

from tests.acceptance.cli import LOCAL, Played, Scene
from tests.acceptance.plays import grow, look, plays, settled_plays, trees

_ROUNDS = count()
SOME = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def stage(scene: Scene) -> Scene:
    scene.write(
        {
            "inventory/hosts.yml": LOCAL,
            "playbooks/files/given.txt": "given\n",
            "playbooks/files/tree/one": "1\n",
            "playbooks/files/tree/deep/two": "2\n",
            "playbooks/templates/given.j2": "{{ inventory_hostname }}\n",
        }
    )
    (scene.folder / "inventory/hosts.ini").unlink()
    return scene


def put(stage: Scene, play: dict[str, Any], tree: dict[str, str]) -> Path:
    """Write the playbook and grow the tree it is about; return the tree's top."""
    top = stage.folder / f"top{next(_ROUNDS)}"
    grow(top, tree)
    text = yaml.safe_dump([play], sort_keys=False).replace("TOP", str(top))
    if currently_in_test_context():
        note(text)
        note(str(tree))
    stage.write({"playbooks/site.yml": text})
    return top


def foreseen(stage: Scene, top: Path) -> tuple[Played, Played]:
    """Check, then apply: (what was foreseen, what happened)."""
    before = look(top)
    check = stage.play("--check")
    assert look(top) == before, "check mode changed something"
    assert check.code in (0, 2), check.err
    return check, stage.play()


def changes(played: Played) -> list[str]:
    names = ("task", "object", "before", "after")
    return [
        json.dumps({name: change[name] for name in names}, sort_keys=True)
        for change in played.document["changes"]
    ]


def statuses(played: Played) -> list[tuple[str, str]]:
    return [(task["task"], task["status"]) for task in played.document["tasks"]]


CHAIN = """
- {name: folder, file: {path: TOP/etc/app, state: directory, mode: "0750"}, notify: reload}
- {name: conf, copy: {content: "a=1\\n", dest: TOP/etc/app/app.conf, mode: "0600"}}
- {name: line, lineinfile: {path: TOP/etc/app/app.conf, regexp: "^a=", line: a=2}}
- {name: template, template: {src: given.j2, dest: TOP/etc/app/}}
- {name: mode, file: {path: TOP/etc/app/given.j2, mode: "0640"}}
- {name: link, file: {path: TOP/current, src: etc/app, state: link}}
- {name: through, copy: {content: new, dest: TOP/current/through}}
- {name: seen, stat: {path: TOP/etc/app/through}, register: seen}
- {name: copied, copy: {src: TOP/etc/app, dest: TOP/copy, remote_src: true}, when: seen.stat.exists}
- {name: found, find: {paths: TOP, recurse: true, contains: "a=2"}, register: found}
- {name: each, file: {path: "{{ item.path }}", mode: "0400"}, loop: "{{ found.files }}"}
- {name: gone, file: {path: TOP/etc, state: absent}}
- {name: not there, stat: {path: TOP/current/through}, register: there}
- {name: again, copy: {content: again, dest: TOP/etc}, when: not there.stat.exists}
"""


def test_each_task_sees_what_those_before_it_would_leave(stage: Scene) -> None:
    handlers = [{"name": "reload", "copy": {"content": "reloaded", "dest": "TOP/reloaded"}}]
    play = {"hosts": "box", "gather_facts": False, "tasks": yaml.safe_load(CHAIN), "handlers": handlers}
    check, apply = foreseen(stage, put(stage, play, {}))
    assert [status for _, status in statuses(apply)].count("changed") == 12
    assert statuses(check) == statuses(apply)
    assert changes(check) == changes(apply)
    looped = [each["path"] for each in check.task("each")["result"]["results"]]
    assert looped == [each["path"] for each in apply.task("each")["result"]["results"]]
    assert len(looped) == 2


def test_a_command_that_would_not_run_leaves_nothing_unknown(stage: Scene) -> None:
    tasks = """
    - {name: make, command: {argv: [mkdir, -p, TOP/made], creates: TOP/made}, register: made, notify: told}
    - {name: in it, copy: {content: x, dest: TOP/made/x}}
    - {name: after, ping: , when: made is changed}
    """
    handlers = [{"name": "told", "ping": None}]
    play = {"hosts": "box", "gather_facts": False, "tasks": yaml.safe_load(tasks), "handlers": handlers}
    put(stage, play, {})
    first = stage.play("--check")
    assert first.tasks("unknown") == {"in it", "after", "told"}
    assert first.task("in it")["reason"] == "hangs on 'make', which check mode skipped"
    assert stage.play().code == 0
    second = stage.play("--check")
    assert second.tasks("unknown", "changed") == set()
    assert second.task("make")["reason"].endswith("/made exists")


@SOME
@given(play=plays(with_commands=False), tree=trees())
def test_without_commands_all_is_foreseen(stage: Scene, play: dict[str, Any], tree: dict[str, str]) -> None:
    check, apply = foreseen(stage, put(stage, play, tree))
    assert not check.tasks("unknown")
    assert statuses(check) == statuses(apply)
    assert changes(check) == changes(apply)
    assert check.code == apply.code


@SOME
@given(play=plays(with_commands=True), tree=trees())
def test_with_commands_the_rest_is_unknown(stage: Scene, play: dict[str, Any], tree: dict[str, str]) -> None:
    check, apply = foreseen(stage, put(stage, play, tree))
    unknown = check.tasks("unknown")
    told = {(change["task"], change["object"]) for change in check.document["changes"]}
    came = {
        (change["task"], change["object"])
        for change in apply.document["changes"]
        if change["module"] != "command"
    }
    assert told <= came
    assert {task for task, _ in came - told} <= unknown
    if not any(task["module"] == "command" for task in check.document["tasks"]):
        assert not unknown


@SOME
@given(play=settled_plays(), tree=trees(links=False))
def test_the_second_run_changes_nothing(stage: Scene, play: dict[str, Any], tree: dict[str, str]) -> None:
    top = put(stage, play, tree)
    assert stage.play().code == 0
    settled = look(top)
    again = stage.play()
    assert not again.document["changes"]
    assert look(top) == settled
    assert not stage.play("--check").document["changes"]
