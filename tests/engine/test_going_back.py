"""A rollback takes the hosts of a serial play in the other direction: what had to come last goes back first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remedy.engine.run import Run
from remedy.engine.undo import Undoing
from remedy.playbook import Playbook
from tests.engine.fake import play


@pytest.mark.parametrize(
    ("hosts", "serial", "order"),
    [
        ("all", "1", ["h4", "h3", "h2", "h1"]),
        ("h3:h1:h2", "1", ["h2", "h1", "h3", "h4"]),
        ("all", "[1, 3]", [{"h2", "h3", "h4"}, "h1"]),
    ],
)
def test_the_last_batch_goes_back_first(tmp_path: Path, hosts: str, serial: str, order: list[Any]) -> None:
    seen: list[str] = []

    def behaviour(host: str, step: dict[str, Any]) -> dict[str, Any]:
        seen.append(host)
        return {"status": "ok"}

    change = SimpleNamespace(
        change="1", play="p", task="t", module="file", params={"path": "/x"}, become={}, kept={"state": None},
        expect=[None], undone=[], notify=[], notified="", secret=False,
    )  # fmt: skip

    def back(run: Run, playbook: Playbook) -> int:
        undoing = Undoing(playbook.plays[0], {name: [change] for name in ("h1", "h2", "h3", "h4")})
        return run.undo(tmp_path / "play.yml", [undoing], "test", "me", [], check=False)

    text = f"- {{hosts: '{hosts}', gather_facts: false, serial: {serial}, tasks: [ping: ]}}\n"
    assert play(tmp_path, text, hosts=4, behaviour=behaviour, act=back).code == 0
    for each in order:
        group = {each} if isinstance(each, str) else each
        assert {seen.pop(0) for _ in group} == group
    assert seen == []
