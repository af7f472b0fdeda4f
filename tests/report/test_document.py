"""The JSON document has exactly the keys that programs were promised."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from remedy.events import Approved, FindingRaised
from remedy.report import JsonReport
from tests.report import night


def document(mode: str) -> dict[str, Any]:
    report = JsonReport()
    for event in night.tell(mode):
        report(event)
    made: dict[str, Any] = json.loads(json.dumps(report.document()))
    return made


def test_the_shape_is_the_promised_one() -> None:
    made = document("apply")
    assert list(made) == ["schema", "run", "hosts", "findings", "changes", "tasks"]
    assert made["schema"] == "remedy.report/1"
    assert made["run"] == {
        "id": night.RUN,
        "playbook": night.BOOK,
        "inventory": "prod",
        "mode": "apply",
        "started": "2025-03-14T03:15:12.000Z",
        "finished": "2025-03-14T03:15:54.000Z",
        "seconds": 42.4,
        "outcome": "unreachable",
        "exit_code": 4,
        "schedule": None,
        "approvals": [],
    }
    assert list(made["hosts"]) == night.HOSTS
    assert made["hosts"][night.DB[1]] == {
        "ok": 3, "changed": 1, "failed": 1, "skipped": 0, "rescued": 0, "ignored": 0, "unreachable": 0,
        "reason": None, "message": None, "setup_trips": 3, "round_trips": 2, "bytes_freed": 1680000000,
        "filesystems": [],
    }  # fmt: skip
    assert made["hosts"][night.OUT[0]]["unreachable"] == 1
    assert [made["hosts"][name]["reason"] for name in night.OUT] == ["timeout", "locked"]
    assert all(made["hosts"][name]["message"] for name in night.OUT)
    assert set(made["findings"][0]) == {"host", "id", "severity", "title", "evidence", "advice", "resolved"}
    assert set(made["changes"][0]) == {
        "host", "task", "module", "object", "before", "after", "diff", "reversible", "reason", "seconds", "bytes_freed",
            "items", "happened", "delegated_by",
    }  # fmt: skip
    assert set(made["tasks"][0]) == {
        "host", "play", "section", "task", "module", "status", "reason", "seconds", "result", "kept",
            "delegated_to",
    }  # fmt: skip
    assert {task["status"] for task in made["tasks"]} == {"ok", "changed", "failed", "skipped", "not_run"}


def test_on_whose_word_it_was() -> None:
    report = JsonReport()
    step = {"host": "db1", "task": "Purge", "object": "binary logs", "kinds": ["D", "R"], "perhaps": False}
    asked = Approved(time=night.START, play=night.PLAY, by="root@ops", steps=[step])
    report(asked)
    report(replace(asked, by="anna", schedule="nightly", kinds=["D", "R"], at_most="50%", until="2099-12-31"))
    first, second = report.document()["run"]["approvals"]
    assert first == {
        "time": "2025-03-14T03:15:12.000Z", "play": night.PLAY, "by": "root@ops", "schedule": None, "kinds": None,
        "at_most": None, "until": None, "steps": [step],
    }  # fmt: skip
    assert (second["schedule"], second["kinds"], second["at_most"]) == ("nightly", ["D", "R"], "50%")
    assert (second["by"], second["until"], second["steps"]) == ("anna", "2099-12-31", [step])


def test_findings_say_whether_they_are_healed() -> None:
    resolved = {(each["host"], each["id"]): each["resolved"] for each in document("apply")["findings"]}
    assert resolved[night.DB[0], "disk-full"] is True
    assert resolved[night.DB[1], "disk-full"] is None
    report = JsonReport()
    for again in (False, True):
        report(
            FindingRaised(
                host="h",
                play="p",
                id="x",
                severity="P2",
                title=f"again {again}",
                evidence=None,
                advice=None,
                again=again,
            )
        )
    finding = report.document()["findings"]
    assert [(each["title"], each["resolved"]) for each in finding] == [("again True", False)]


def test_check_tells_what_would_change_and_apply_what_did() -> None:
    assert len(document("check")["changes"]) == 15
    report = JsonReport()
    report(next(iter(night.tell("apply"))))
    report(night.change("h", "t", "o", predicted=True))
    assert report.document()["changes"] == []


def test_before_the_first_event_there_is_a_document_too() -> None:
    made = JsonReport().document()
    assert made["run"]["id"] is None
    assert made["hosts"] == {}
