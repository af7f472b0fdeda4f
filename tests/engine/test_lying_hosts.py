"""Hosts that lie: what no agent sends ends the work on that host, and on no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remedy.events import HostLeftOut, Intent, Warned
from tests.engine import fake
from tests.engine.fake import FakeHost, FakeLink, plain, play

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ping:
    - command: "true"
    - file: path=/x state=touch
"""


def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(500):
        value = {"a": value}
    return value


LIES: dict[str, list[Any]] = {
    "a kind that is no text": [{"t": ["result"]}],
    "a result of nothing": [{"t": "result", "status": "ok", "result": {}}],
    "a result of a step not sent": [{"t": "result", "step": "99.9", "status": "ok", "result": {}}],
    "a step that is no text": [{"t": "result", "step": ["1.1"], "status": "ok", "result": {}}],
    "an unknown status": [{"t": "result", "step": "STEP", "status": "splendid", "result": {}}],
    "a result that is a list": [{"t": "result", "step": "STEP", "status": "ok", "result": [1]}],
    "two results": [{"t": "result", "step": "STEP", "status": "ok", "result": {}}] * 2,
    "a change that is a text": [
        {"t": "result", "step": "STEP", "status": "changed", "result": {}, "change": "x"}
    ],
    "seconds that are none": [
        {"t": "result", "step": "STEP", "status": "ok", "result": {}, "seconds": float("nan")}
    ],
    "a depth that nobody prints": [
        {"t": "result", "step": "STEP", "status": "ok", "result": deep(), "seconds": 0.0}
    ],
    "an intent of a step not sent": [{"t": "intent", "step": "99.9", "change": "99.9"}],
    "an intent without an id": [{"t": "intent", "step": "STEP"}],
    "needs that are no texts": [{"t": "intent", "step": "STEP", "change": "c", "needs": [{}]}],
    "items that are none": [{"t": "intent", "step": "STEP", "change": "c", "items": ["x"]}],
    "items counted in words": [
        {"t": "intent", "step": "STEP", "change": "c", "items": [{"item": "x", "count": "many"}]}
    ],
    "items called by a list": [
        {"t": "intent", "step": "STEP", "change": "c", "items": [{"item": "x", "noun": ["key"]}]}
    ],
    "a need of nothing": [{"t": "need", "source": {"a": 1}}],
    "an identity for no known reason": [{"t": "identity_failed", "reason": "because", "message": "so"}],
    "a warning that is no text": [{"t": "warn", "text": {"a": 1}}],
    "warnings without end": [{"t": "warn", "text": "x"}] * 10_000,
    "a few warnings of great length": [{"t": "warn", "text": "x" * (1 << 20)}] * 10,
    "hellos of the wrong shape": [{"t": "hello", "clock": "noon", "lock": []}],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_host_is_left_out_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    class Liar(FakeLink):
        def _batch(self, message: dict[str, Any]) -> None:
            if self._host.name != "h1":
                super()._batch(message)
                return
            step = message["steps"][0]["id"]
            for told in LIES[lie]:
                self._out.put({k: step if v == "STEP" else v for k, v in told.items()})

    def open_liar(self: Any, target: Any, *, start: Any, identity: Any, first: Any) -> FakeLink:
        host: FakeHost = self.hosts[target.name]
        return Liar(host, start, first)

    monkeypatch.setattr(fake.FakeConnector, "open", open_liar)
    played = play(tmp_path, PLAY, hosts=2, behaviour=plain)
    left = played.memory.of(HostLeftOut)
    assert [(each.host, each.reason) for each in left] == [("h1", "nonsense")]
    assert played.code == 4
    assert not [warned for warned in played.memory.of(Warned) if "internal" in warned.message]
    assert [status for _, status in played.statuses("h2")] == ["ok", "changed", "changed"]
    assert not [
        intent for intent in played.memory.of(Intent) if intent.host == "h1" and intent.kind != "command"
    ]
