"""The file modules in a real agent, on every Python at hand, where the locale knows nothing but ASCII."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.driver import Agent, interpreters
from tests.modules.harness import snapshot

from remedy.agent import bootstrap
from remedy.agent.files import digest
from remedy.modules import parameters, registry

MODULES = ("copy", "file", "find", "lineinfile", "slurp", "stat", "template")
NAME = "ä\udcff"
CONTENT = "grün\n".encode()


@pytest.fixture(params=interpreters())
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": "/root"}
    started = Agent(request.param, environment=environment)
    try:
        started.hello()
        started.send(t="code", sources=bootstrap.sources(MODULES))
        yield started
    finally:
        started.close()


def step(module: str, *, op: str = "run", internal: dict[str, Any] | None = None, **params: Any) -> Any:
    spec = registry.find(module)
    given = dict(parameters.check(spec, params, None, templates_allowed=False))
    return {"op": op, "module": module, "params": {**given, **(internal or {})}}


def steps(root: str) -> list[dict[str, Any]]:
    sha1 = digest([CONTENT])
    sent = {"source": sha1, "sha1": sha1, "size": len(CONTENT), "basename": "source"}
    return [
        step("file", path=f"{root}/d/{NAME}", state="directory", mode="u=rwx,go="),
        step("copy", dest=f"{root}/d/{NAME}/f", content="", internal={**sent, "content": None}),
        step("template", src="t", dest=f"{root}/d/{NAME}", validate="grep -q n %s", internal=sent),
        step("lineinfile", path=f"{root}/d/{NAME}/f", line="übrig", backup=False),
        step("file", path=f"{root}/d/f", state="touch", access_time="preserve"),
        step("file", path=f"{root}/l", src=f"d/{NAME}", state="link"),
        step("file", path=f"{root}/d/h", src=f"{root}/l/f", state="hard"),
        step("file", path=f"{root}/d", state="directory", recurse=True, owner="1234", mode="o-rwx"),
        step("copy", src=f"{root}/d", dest=f"{root}/e/", remote_src=True, mode="preserve"),
        step("file", path=f"{root}/d", state="absent"),
    ]


def run(agent: Agent, *work: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a batch, giving every word and all content; return all that came."""
    agent.batch(*work)
    came: list[dict[str, Any]] = []
    while not came or came[-1]["t"] != "ended":
        message = agent.receive()
        assert message is not None
        came.append(message)
        if message["t"] == "intent":
            held = dict.fromkeys(message["needs"], CONTENT)
            agent.send(t="word", change=message["change"], contents=held)
        elif message["t"] == "need":
            agent.send(t="content", source=message["source"], data=CONTENT)
    return came


def ended(came: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["status"], one["reason"]) for one in came if one["t"] == "result"]


def test_a_day_in_the_life_of_files(agent: Agent, tmp_path: Path) -> None:
    root = str(tmp_path)
    before = snapshot(tmp_path)
    work = steps(root)

    foreseen = run(agent, *[{**one, "check": True} for one in work[:6]])
    assert ended(foreseen) == [("changed", "")] * 6
    assert snapshot(tmp_path) == before

    came = run(agent, *work)
    assert ended(came) == [("changed", "")] * 10
    after = snapshot(tmp_path)
    assert after[f"e/d/{NAME}/f"][4] == CONTENT + "übrig\n".encode()
    assert after[f"e/d/{NAME}/source"][1] == 0o640
    assert "d" not in after

    reads = run(
        agent,
        step("stat", path=f"{root}/e/d/{NAME}", get_attributes=True),
        step("slurp", src=f"{root}/e/d/h"),
        step("find", paths=f"{root}/e", recurse=True, file_type="any", get_checksum=True),
    )
    stat, slurp, find = (one["result"] for one in reads if one["t"] == "result")
    assert stat["stat"]["path"] == f"{root}/e/d/{NAME}"
    assert base64.b64decode(slurp["content"]) == after["e/d/h"][4]
    assert find["matched"] == 6

    kept = {one["step"]: one["kept"] for one in came if one["t"] == "intent"}
    done = [one for one in came if one["t"] == "result"]
    undo = [
        {**one, "op": "undo", "kept": kept[result["step"]], "expect": [result["change"]["after"]]}
        for one, result in zip(work, done, strict=True)
    ]
    assert ended(run(agent, *reversed(undo))) == [("changed", "")] * 10
    assert snapshot(tmp_path) == before
