"""Check mode changes nothing and foresees what a run changes, for plays nobody has written by hand."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings

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
