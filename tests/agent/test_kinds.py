"""What each kind of module comes to, on every Python: check mode, write-ahead, convergence, results."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.agent.driver import Agent


def kinds_of(came: list[dict[str, Any]]) -> list[str]:
    return [message["t"] for message in came]


def test_a_resource_is_read_told_written_and_read_again(any_agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    step = any_agent.step("t_line", {"path": str(path), "text": "new"})
    came = any_agent.run(step)
    assert kinds_of(came) == ["intent", "result", "ended"]
    intent, result, ended = came
    assert intent["kind"] == "resource"
    assert intent["object"] == f"line:{path}"
    assert (intent["before"]["text"], intent["want"]["text"]) == ("old", "new")
    assert intent["kept"] == {"state": {"text": "old", "kind": "line"}}
    assert intent["irreversible"] is None
    assert intent["diff"] == {"before": "old", "after": "new"}
    assert result["status"] == "changed"
    assert result["result"] == {"changed": True, "path": str(path), "had": True}
    assert result["change"]["id"] == intent["change"] == intent["step"]
    assert result["change"]["after"] == {"text": "new", "kind": "line"}
    assert ended == {"t": "ended", "batch": "b1", "not_run": [], "why": None}
    assert path.read_text() == "new"
    again = any_agent.one("t_line", {"path": str(path), "text": "new"})
    assert (again["status"], again["reason"]) == ("ok", "already as wanted")
    assert again["result"]["changed"] is False
    assert again["change"] is None


def test_check_mode_writes_nothing_and_predicts(any_agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    steps = [
        any_agent.step("t_line", {"path": str(path), "text": "later"}, check=True),
        any_agent.step("t_seen", {"path": str(path)}, check=True),
    ]
    came = any_agent.run(*steps)
    assert kinds_of(came) == ["result", "result", "ended"]
    assert came[0]["status"] == "changed"
    assert came[0]["change"]["predicted"] is True
    assert came[0]["change"]["after"]["text"] == "later"
    assert came[1]["result"]["text"] == "later"
    assert any_agent.one("t_seen", {"path": str(path)}, check=True)["result"]["text"] == "later"
    assert not path.exists()


def test_what_a_check_pass_foresaw_of_no_file_ends_with_a_real_step(agent: Agent) -> None:
    agent.send(t="code", sources={"remedy.modules.target.t_tank": TANK})

    def levels() -> list[int]:
        steps = [agent.step("t_tank", {"add": 5}, check=True) for _ in range(2)]
        results = [message for message in agent.run(*steps) if message["t"] == "result"]
        return [result["change"]["after"]["level"] for result in results]

    assert levels() == [5, 10]
    assert agent.one("t_command", {"line": "true"})["status"] == "changed"
    assert levels() == [5, 10]  # not 15, 20


TANK = """
from remedy.agent.kinds import Resource

class Tank(Resource):
    def key(self):
        return "tank"
    def read(self):
        return {"level": self.host.foreseen.get("level", 0)}
    def wanted(self, have):
        return {"level": have["level"] + self.params["add"]}
    def write(self, have, want):
        pass
    def predict(self, have, want):
        self.host.foreseen["level"] = want["level"]

def kind(params):
    return Tank
"""


def test_a_word_that_says_no_fails_the_step(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    agent.batch(agent.step("t_line", {"path": str(path), "text": "new"}))
    intent = agent.next("intent")
    agent.send(t="word", change=intent["change"], refuse="the operator said no")
    result = agent.next("result")
    assert (result["status"], result["reason"]) == ("failed", "the operator said no")
    assert result["change"] is None
    assert agent.next("ended")["why"] == "failed"
    assert not path.exists()


def test_what_does_not_converge_is_a_failure_with_its_change(agent: Agent, tmp_path: Path) -> None:
    result = agent.one(
        "t_line", {"path": str(tmp_path / "file"), "text": "new", "never": True, "source": None}
    )
    assert result["status"] == "changed"  # written as wanted
    path = tmp_path / "other"
    agent.run(agent.step("t_line", {"path": str(path), "text": "x"}))
    agent.send(t="code", sources={"remedy.modules.target.t_loose": LOOSE})
    result = agent.one("t_loose", {})
    assert result["status"] == "failed"
    assert result["reason"] == "did not converge: still different: size, mode"
    assert result["change"]["after"] == {"size": 1, "mode": "0600", "name": "a"}
    assert result["result"]["changed"] is True


LOOSE = """
from remedy.agent.kinds import Resource

class Loose(Resource):
    count = 0
    def key(self):
        return "loose"
    def read(self):
        self.count += 1
        return {"size": self.count - 1, "mode": "0600", "name": "a"}
    def wanted(self, have):
        return {"size": 9, "mode": "0644", "name": "a"}
    def write(self, have, want):
        pass

def kind(params):
    return Loose
"""


def test_content_travels_with_the_word(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    step = agent.step("t_line", {"path": str(path), "text": "new", "source": "src-1"})
    came = agent.run(step, contents={"src-1": b"new"})
    assert came[0]["needs"] == ["src-1"]
    assert came[1]["status"] == "changed"
    assert path.read_text() == "new"


def test_content_outside_of_an_intent_is_asked_for(agent: Agent) -> None:
    for answer, outcome in (({"data": b"here"}, "ok"), ({"error": "it is gone"}, "failed")):
        agent.batch(agent.step("t_probe", {"do": "content", "source": "s"}))
        assert agent.next("need")["source"] == "s"
        agent.send(t="content", source="s", **answer)
        result = agent.next("result")
        assert result["status"] == outcome
        assert result["result"].get("value", result["reason"]) in ("here", "it is gone")
        agent.next("ended")


def test_what_undo_needs_is_kept_up_to_its_limits(agent: Agent, tmp_path: Path) -> None:
    def kept(name: str, **params: Any) -> tuple[bool, str | None]:
        params.update(path=str(tmp_path / name), text="x")
        intent = agent.run(agent.step("t_line", params))[0]
        return intent["kept"] is not None, intent["irreversible"]

    assert kept("a", weight=1000) == (True, None)
    assert kept("b", weight=1 << 20) == (False, "content larger than 1 MiB")
    assert kept("c", irreversible=True) == (False, "as asked")
    step = agent.step("t_line", {"path": str(tmp_path / "d"), "text": "x", "weight": 5000}, keep_left=4000)
    assert "more than 64 MiB" in agent.run(step)[0]["irreversible"]


def test_64_mib_are_kept_of_a_host(agent: Agent, tmp_path: Path) -> None:
    steps = [
        agent.step("t_line", {"path": str(tmp_path / str(n)), "text": "x", "weight": 1_040_000})
        for n in range(66)
    ]
    intents = [message for message in agent.run(*steps) if message["t"] == "intent"]
    reversible = [intent["irreversible"] is None for intent in intents]
    assert sum(len(intent["kept"]["content"]) for intent in intents if intent["kept"]) <= 64 << 20
    assert reversible == [True] * sum(reversible) + [False] * (66 - sum(reversible))
    assert 60 <= sum(reversible) <= 65


def test_a_failed_write_says_what_the_object_is_like_now(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    result = agent.one("t_line", {"path": str(path), "text": "new", "broken": True})
    assert result["status"] == "failed"
    assert result["result"]["cause"] == "disk_full"
    assert result["reason"].startswith("No space left: ")
    assert result["change"]["after"] == {"text": "new", "kind": "line"}


def test_an_undo_brings_back_what_was(any_agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    params = {"path": str(path), "text": "new"}
    intent, result, _ = any_agent.run(any_agent.step("t_line", params))
    undo = any_agent.step(
        "t_line", params, op="undo", kept=intent["kept"], expect=[result["change"]["after"]]
    )
    checked = any_agent.run({**undo, "check": True})
    assert kinds_of(checked) == ["result", "ended"]
    assert (checked[0]["status"], path.read_text()) == ("changed", "new")
    came = any_agent.run(undo)
    assert kinds_of(came) == ["intent", "result", "ended"]
    assert (came[0]["before"]["text"], came[0]["want"]["text"]) == ("new", "old")
    assert came[0]["kept"]["state"]["text"] == "new"
    assert came[1]["status"] == "changed"
    assert path.read_text() == "old"
    again = any_agent.run(undo)
    assert (again[0]["status"], again[0]["reason"]) == ("ok", "already as before the change")


def test_an_undo_leaves_alone_what_changed_since(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("someone else's")
    expect = {"text": "ours", "kind": "line"}
    step = agent.step(
        "t_line", {"path": str(path), "text": "ours"}, op="undo", kept={"state": None}, expect=[expect, None]
    )
    result = agent.run(step)[0]
    assert (result["status"], result["reason"]) == ("skipped", f"line:{path} has changed since: text")
    assert path.read_text() == "someone else's"


def test_what_is_further_back_already_was_not_changed_since(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    first, second, third = ({"text": text, "kind": "line"} for text in ("first", "second", "third"))
    params = {"path": str(path), "text": "third"}
    back = {"op": "undo", "kept": {"state": second}, "expect": [third]}
    result = agent.run(agent.step("t_line", params, **back, undone=[first]))[0]
    assert (result["status"], result["reason"]) == ("ok", "taken back already")
    result = agent.run(agent.step("t_line", params, **back, undone=[]))[0]
    assert result["status"] == "skipped"


def test_an_undo_removes_what_was_made(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "file"
    params = {"path": str(path), "text": "new"}
    intent, result, _ = agent.run(agent.step("t_line", params))
    assert intent["before"] is None
    step = agent.step("t_line", params, op="undo", kept=intent["kept"], expect=[result["change"]["after"]])
    assert agent.run(step)[1]["status"] == "changed"
    assert not path.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "swept"
    folder.mkdir()
    for name in ("a", "b", "keep"):
        (folder / name).write_text("12")
    return folder


def test_a_sweep_tells_its_list_once_and_drains_it(any_agent: Agent, folder: Path) -> None:
    (folder / "busy").write_text("123")
    came = any_agent.run(any_agent.step("t_sweep", {"folder": str(folder)}))
    assert kinds_of(came) == ["intent", "result", "ended"]
    intent, result, _ = came
    assert [item["item"] for item in intent["items"]] == [str(folder / name) for name in ("a", "b", "busy")]
    assert intent["items"][0] == {"item": str(folder / "a"), "reason": "old", "size": 2, "identity": [2]}
    assert intent["irreversible"] is not None
    assert result["status"] == "changed"
    assert result["change"]["bytes_freed"] == result["result"]["bytes_freed"] == 4
    assert [item["item"] for item in result["change"]["items"]] == [str(folder / "a"), str(folder / "b")]
    assert result["kept"] == [
        {"item": str(folder / "keep"), "reason": "kept by name"},
        {"item": str(folder / "busy"), "reason": "it is open"},
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["busy", "keep"]


def test_a_sweep_in_check_mode_only_lists(agent: Agent, folder: Path) -> None:
    result = agent.one("t_sweep", {"folder": str(folder)}, check=True)
    assert result["status"] == "changed"
    assert [item["item"] for item in result["change"]["items"]] == [str(folder / "a"), str(folder / "b")]
    assert (result["change"]["bytes_freed"], result["change"]["predicted"]) == (4, True)
    assert len(list(folder.iterdir())) == 3


def test_a_sweep_with_nothing_to_take_says_what_it_keeps(agent: Agent, folder: Path) -> None:
    agent.one("t_sweep", {"folder": str(folder)})
    result = agent.one("t_sweep", {"folder": str(folder)})
    assert (result["status"], result["reason"]) == ("ok", "nothing to take")
    assert result["kept"] == [{"item": str(folder / "keep"), "reason": "kept by name"}]


def test_a_sweep_reports_newcomers_and_lets_them_be(agent: Agent, folder: Path) -> None:
    result = agent.one("t_sweep", {"folder": str(folder), "newcomer": True})
    assert result["status"] == "changed"
    assert [item["item"] for item in result["result"]["newcomers"]] == [str(folder / "new")]
    assert (folder / "new").exists()


def test_an_approved_item_that_stays_without_a_reason_is_a_failure(agent: Agent, folder: Path) -> None:
    (folder / "stuck").write_text("1")
    result = agent.one("t_sweep", {"folder": str(folder)})
    assert result["status"] == "failed"
    assert result["reason"] == f"did not converge: still there: {folder / 'stuck'}"
    assert result["change"]["bytes_freed"] == 4


def test_an_item_that_cannot_be_taken_fails_the_sweep_after_the_others(agent: Agent, folder: Path) -> None:
    (folder / "an-error").rename(folder / "error") if (folder / "an-error").exists() else None
    (folder / "error").write_text("1")
    result = agent.one("t_sweep", {"folder": str(folder)})
    assert result["status"] == "failed"
    assert result["reason"].startswith(f"1 of 3 items could not be taken; {folder / 'error'}: Operation not")
    assert result["result"]["cause"] == "permission"
    assert result["change"]["bytes_freed"] == 4
    assert sorted(path.name for path in folder.iterdir()) == ["error", "keep"]


def test_what_went_wrong_first_is_told_where_nobody_can_look_again(any_agent: Agent, folder: Path) -> None:
    (folder / "lost").write_text("1")
    for name in ("a", "b"):
        (folder / name).unlink()
    result = any_agent.one("t_sweep", {"folder": str(folder)})
    first, again = result["reason"].split("; nobody could look again: ")
    assert first == f"1 of 1 items could not be taken; {folder / 'lost'}: nobody knows whether it went"
    assert "No such file or directory" in again
    assert (result["status"], result["change"]["after_unknown"]) == ("failed", True)


def test_an_action_is_told_done_and_proven(any_agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("12")
    checked = any_agent.one("t_action", {"path": str(path)}, check=True)
    assert (checked["status"], checked["change"]["predicted"]) == ("changed", True)
    assert checked["change"]["happened"] == "appended to"
    assert path.read_text() == "12"
    intent, result, _ = any_agent.run(any_agent.step("t_action", {"path": str(path)}))
    assert (intent["kind"], intent["kept"]) == ("action", None)
    assert intent["irreversible"] == "an action cannot be undone"
    assert result["status"] == "changed"
    assert (result["change"]["before"], result["change"]["after"]) == (2, 3)
    assert result["change"]["happened"] == "appended to"
    assert result["result"] == {"did": True, "changed": True}


def test_an_action_needs_its_precondition_and_its_proof(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert agent.one("t_action", {"path": str(path)})["reason"] == "there is nothing to append to"
    path.write_text("12")
    assert agent.one("t_action", {"path": str(path), "why": "no need"})["status"] == "ok"
    result = agent.one("t_action", {"path": str(path), "lazy": True})
    assert (result["status"], result["reason"]) == ("failed", "nothing was appended")


def test_a_command_runs_and_is_left_out_in_check_mode(any_agent: Agent) -> None:
    done = any_agent.one("t_command", {"line": "echo out; echo err >&2"})
    assert done["status"] == "changed"
    assert done["result"] == {"rc": 0, "stdout": "out\n", "stderr": "err\n", "changed": True}
    failed = any_agent.one("t_command", {"line": "exit 3"}, ignore=True)
    assert (failed["status"], failed["result"]["rc"]) == ("failed", 3)
    assert failed["result"]["msg"] == "non-zero return code"
    left_out = any_agent.one("t_command", {"line": "echo out"}, check=True)
    assert (left_out["status"], left_out["reason"]) == ("skipped", "check mode")
    assert left_out["result"] == {"changed": False, "skipped": True, "msg": "check mode", "rc": 0}
    assert any_agent.one("t_command", {"line": "true"}, check=False)["status"] == "changed"
    assert any_agent.one("t_command", {"skip": True})["status"] == "skipped"
    assert any_agent.one("t_command", {"unknown": True})["status"] == "unknown"


def test_a_failure_says_what_and_why(any_agent: Agent) -> None:
    failed = any_agent.one("t_probe", {"do": "fail"}, ignore=True)
    assert failed["result"] == {
        "changed": False,
        "failed": True,
        "msg": "as asked",
        "cause": "permission",
        "detail": 7,
    }
    crashed = any_agent.one("t_probe", {"do": "crash"}, ignore=True)
    assert crashed["reason"] == "KeyError: 'nobody thought of this'"
    assert "t_probe" in crashed["result"]["exception"]
    strange = any_agent.one("t_probe", {"do": "strange"}, ignore=True)
    assert "cannot travel" in strange["reason"]
    missing = any_agent.one("no_such_module", ignore=True)
    assert "no_such_module" in missing["reason"]


@pytest.mark.parametrize(
    ("number", "cause", "text"),
    [
        (errno.ENOSPC, "disk_full", "No space left: "),
        (errno.EDQUOT, "disk_full", "Disk quota exceeded: "),
        (errno.EROFS, "read_only", "Read-only file system at "),
        (errno.EACCES, "permission", f"Permission denied for uid {os.geteuid()}: "),
        (errno.EPERM, "permission", f"Operation not permitted for uid {os.geteuid()}: "),
        (errno.ENOENT, None, "No such file or directory: "),
    ],
)
def test_an_error_of_the_system_has_its_cause(
    agent: Agent, tmp_path: Path, number: int, cause: str | None, text: str
) -> None:
    result = agent.one("t_probe", {"do": "errno", "errno": number, "path": str(tmp_path / "no/such")})
    assert result["result"].get("cause") == cause
    assert result["reason"].startswith(text)


def test_a_warning_is_passed_on(agent: Agent) -> None:
    came = agent.run(agent.step("t_probe", {"do": "warn"}))
    assert came[0] == {"t": "warn", "text": "look here", "step": "b1.1"}
