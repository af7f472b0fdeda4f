"""A rollback takes the hosts of a serial play in the other direction: what had to come last goes back first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remedy.document import Map
from remedy.engine.bus import Bus
from remedy.engine.context import RunContext
from remedy.engine.options import Options
from remedy.engine.run import Run
from remedy.engine.undo import Undoing
from remedy.inventory import load as load_inventory
from remedy.playbook import load as load_playbook
from remedy.project import Project
from remedy.secret import Secrets
from remedy.template import Layer, Templar
from tests.engine.fake import FakeConnector, FakeHost, Memory


@pytest.mark.parametrize(
    ("hosts", "serial", "order"),
    [
        ("all", "1", ["h4", "h3", "h2", "h1"]),
        ("h3:h1:h2", "1", ["h2", "h1", "h3", "h4"]),
        ("all", "[1, 3]", [{"h2", "h3", "h4"}, "h1"]),
    ],
)
def test_the_last_batch_goes_back_first(tmp_path: Path, hosts: str, serial: str, order: list[Any]) -> None:
    path = tmp_path / "play.yml"
    path.write_text(f"- {{hosts: '{hosts}', gather_facts: false, serial: {serial}, tasks: [ping: ]}}\n")
    seen: list[str] = []

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        seen.append(host)
        return {"status": "ok"}

    names = ["h1", "h2", "h3", "h4"]
    project, secrets, memory = Project(tmp_path), Secrets(), Memory()
    inventory = load_inventory([",".join(names) + ","], root=tmp_path, vault=None)
    context = RunContext(
        id="back",
        label="back",
        options=Options(yes=True),
        project=project,
        inventory=inventory,
        templar=Templar(secrets),
        secrets=secrets,
        bus=Bus([memory], secrets),
        recorder=memory,
        connector=FakeConnector({name: FakeHost(name, behaviour) for name in names}),  # type: ignore[arg-type]
        extra_vars=Layer("extra vars", Map()),
    )
    change = SimpleNamespace(
        change="1", play="p", task="t", module="file", params={"path": "/x"}, become={}, kept={"state": None},
        expect=[None], undone=[], notify=[], notified="", secret=False,
    )  # fmt: skip
    play = load_playbook(path, project=project).plays[0]
    undoing = Undoing(play, {name: [change] for name in names})
    assert Run(context, inventory.select("all")).undo(path, [undoing], "test", "me", [], check=False) == 0
    for each in order:
        group = {each} if isinstance(each, str) else each
        assert {seen.pop(0) for _ in group} == group
    assert seen == []
