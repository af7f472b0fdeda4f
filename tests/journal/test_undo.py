"""The undo plan: the last state first, only what can be undone, and no guesses about what cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remedy.events import Event
from remedy.journal import UndoPlan, read_run, undo_plan
from tests.journal import telling

HIDDEN = "********"


def plan(tmp_path: Path, events: list[Event], **about: Any) -> UndoPlan:
    return undo_plan(read_run(telling.write(tmp_path, "run", events, **about)))


def test_changes_are_undone_from_the_last_to_the_first(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        [
            telling.intent(
                change="1.1", before={"v": 0}, want={"v": 1}, kept={"state": {"v": 0}}, notify=["a"]
            ),
            telling.changed(change="1.1", after={"v": 1}),
            telling.done(),
            telling.intent(
                change="2.2", before={"v": 1}, want={"v": 2}, kept={"state": {"v": 1}}, notify=["b", "a"]
            ),
            telling.changed(change="2.2", after={"v": 2}),
            telling.intent(host="db2", change="1.1"),
            telling.changed(host="db2", change="1.1"),
        ],
    )
    assert list(made.hosts) == ["db1", "db2"]
    last, first = made.hosts["db1"]
    assert (last.change, last.kept, last.before, last.expect) == (
        "2.2",
        {"state": {"v": 1}},
        {"v": 1},
        ({"v": 2},),
    )
    assert (first.change, first.kept, first.expect) == ("1.1", {"state": {"v": 0}}, ({"v": 1},))
    assert (last.module, last.params["dest"], last.become["user"]) == ("copy", "/etc/motd", "root")
    assert made.notify("db1") == ("b", "a")
    assert made.notify("elsewhere") == ()
    assert made.not_undone == ()
    assert made.warnings == ()


def test_what_the_run_itself_has_put_back_is_no_change_to_undo(tmp_path: Path) -> None:
    lent = [
        telling.intent(change="1", object="reserve", before={"v": 9}, want={"v": 0}, kept={"state": {"v": 9}}),
        telling.changed(change="1", object="reserve", before={"v": 9}, after={"v": 0}),
    ]
    back = [
        telling.intent(change="2", object="reserve", before={"v": 0}, want={"v": 9}, kept={"state": {"v": 0}}),
        telling.changed(change="2", object="reserve", before={"v": 0}, after={"v": 9}),
    ]
    other = [telling.intent(change="3"), telling.changed(change="3")]
    made = plan(tmp_path / "whole", [*lent, *other, *back])
    assert [step.object for step in made.hosts["db1"]] == ["file:/etc/motd"]
    cut = plan(tmp_path / "cut", [*lent, *other, *back[:1]])
    assert [step.object for step in cut.hosts["db1"]] == ["reserve", "file:/etc/motd", "reserve"]


def test_the_state_read_back_is_expected_not_the_wanted_one(tmp_path: Path) -> None:
    made = plan(tmp_path, [telling.intent(want={"v": 1}), telling.changed(after={"v": 1, "uid": 0})])
    assert made.hosts["db1"][0].expect == ({"v": 1, "uid": 0},)


def test_ids_come_again_in_the_next_play(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        [
            telling.intent(play="one", object="file:/a", want={"v": "a"}),
            telling.changed(play="one", object="file:/a", after={"v": "a"}),
            telling.intent(play="two", object="file:/b", want={"v": "b"}),
            telling.changed(play="two", object="file:/b", after={"v": "b"}),
        ],
    )
    assert [(step.object, step.expect) for step in made.hosts["db1"]] == [
        ("file:/b", ({"v": "b"},)),
        ("file:/a", ({"v": "a"},)),
    ]


def test_a_run_cut_off_after_the_word_accepts_both_sides(tmp_path: Path) -> None:
    made = plan(tmp_path, [telling.intent(before={"v": 0}, want={"v": 1})], end=False)
    assert made.hosts["db1"][0].expect == ({"v": 1}, {"v": 0})
    assert made.warnings == ("the run run was cut off: its last changes may or may not have happened",)


def test_what_cannot_be_undone_is_told_with_the_reason(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"kept": None, "params": {}}
    made = plan(
        tmp_path,
        [
            telling.intent(change="1", kind="sweep", object="old logs", **nothing),
            telling.changed(change="1", kind="sweep", object="old logs", reversible=False),
            telling.intent(
                change="2", kind="action", object="unit:nginx", irreversible="restarted", **nothing
            ),
            telling.changed(change="2", kind="action", object="unit:nginx", reversible=False),
            telling.intent(
                change="3", object="file:/big", irreversible="content larger than 1 MiB", **nothing
            ),
            telling.changed(change="3", object="file:/big", reversible=False),
            telling.changed(change="4", kind="command", object="make install", reversible=False),
        ],
    )
    assert made.hosts == {}
    assert [(each.object, each.reason) for each in made.not_undone] == [
        ("file:/big", "content larger than 1 MiB"),
        ("unit:nginx", "restarted"),
        ("old logs", "what was swept away is gone"),
        ("make install", "a command of the user's: remedy does not know what undoes it"),
    ]


def test_commands_that_changed_nothing_are_no_loss_but_those_cut_off_may_be(tmp_path: Path) -> None:
    quiet: dict[str, Any] = {"kind": "command", "kept": None, "params": {}, "module": "command"}
    made = plan(
        tmp_path,
        [
            telling.intent(change="1", object="true", position="a:1", **quiet),
            telling.done(position="a:1", status="ok"),
            telling.intent(change="2", object="false", position="a:2", **quiet),
            telling.done(position="a:2", status="failed"),
            telling.intent(change="3", object="sleep 9", position="a:3", **quiet),
        ],
        end=False,
    )
    why = "a command of the user's: remedy does not know what undoes it"
    assert [(each.object, each.reason) for each in made.not_undone] == [
        ("sleep 9", f"it may have happened, the run was cut off there; {why}"),
        ("false", f"it failed, and may have happened in part; {why}"),
    ]


def test_a_hidden_state_is_expected_as_it_was_wanted(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        [
            telling.intent(secret=True, want={"hash": "x"}, params={"password": "x"}),
            telling.changed(before=None, after=None),
        ],
    )
    step = made.hosts["db1"][0]
    assert (step.expect, step.secret, step.params) == (({"hash": "x"},), True, {"password": "x"})


def test_what_an_event_masks_is_taken_from_the_intent(tmp_path: Path) -> None:
    want = {"line": "password=hunter2", "mode": "0600"}
    after = {"line": f"password={HIDDEN}", "mode": "0600", "owner": "root"}
    made = plan(tmp_path, [telling.intent(want=want), telling.changed(after=after)])
    assert made.hosts["db1"][0].expect == ({"line": "password=hunter2", "mode": "0600", "owner": "root"},)


def test_a_masked_state_cannot_be_compared(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        [telling.intent(want={"line": f"p={HIDDEN}"}), telling.changed(after={"line": f"p={HIDDEN}"})],
    )
    assert made.hosts == {}
    assert "holds a secret that the journal does not know" in made.not_undone[0].reason


def test_a_damaged_blob_costs_only_its_own_change(tmp_path: Path) -> None:
    folder = telling.write(
        tmp_path,
        "run",
        [
            telling.intent(change="1", object="file:/a"),
            telling.changed(change="1", object="file:/a"),
            telling.intent(change="2", object="file:/b", kept={"state": 1}),
            telling.changed(change="2", object="file:/b"),
        ],
    )
    record = read_run(folder)
    blob = record.lines[1].blob
    assert blob is not None
    with (folder / "undo.bin").open("r+b") as file:
        file.seek(blob.at)
        file.write(bytes(blob.size))
    made = undo_plan(record)
    assert [step.object for step in made.hosts["db1"]] == ["file:/b"]
    assert made.not_undone[0].reason.endswith("undo.bin is damaged")


def test_an_earlier_rollback_is_recognised(tmp_path: Path) -> None:
    folder = telling.write(
        tmp_path,
        "20250101-a",
        [
            telling.intent(change="1", object="file:/a"),
            telling.changed(change="1", object="file:/a"),
            telling.intent(change="2", object="file:/b"),
            telling.changed(change="2", object="file:/b"),
        ],
        time=1.0,
    )
    rollback: dict[str, Any] = {"mode": "rollback", "arguments": ["rollback", "20250101"]}
    telling.write(tmp_path, "20250102-b", telling.undid("file:/b"), time=2.0, **rollback)
    other: dict[str, Any] = {"mode": "rollback", "arguments": ["rollback", "20240101-z"]}
    telling.write(tmp_path, "20250103-c", telling.undid("file:/a"), time=3.0, **other)
    made = undo_plan(read_run(folder))
    assert [(step.object, step.undone_by) for step in made.hosts["db1"]] == [
        ("file:/b", "20250102-b"),
        ("file:/a", None),
    ]
    assert made.warnings == ("1 of 2 changes were undone by the run 20250102-b",)


def test_a_rollback_that_failed_has_undone_nothing_and_what_it_left_may_be_found(tmp_path: Path) -> None:
    folder = telling.write(tmp_path, "20250101-a", [telling.intent(), telling.changed()], time=1.0)
    half = {"sha1": "half"}
    telling.write(
        tmp_path,
        "20250102-b",
        telling.undid(after=half, status="failed"),
        time=2.0,
        **telling.back("20250101-a"),
    )
    made = undo_plan(read_run(folder))
    (step,) = made.hosts["db1"]
    assert (step.undone_by, step.expect) == (None, ({"sha1": "new"}, half))
    assert made.warnings == ()


def test_a_rollback_that_was_cut_off_may_have_left_what_it_read_back(tmp_path: Path) -> None:
    folder = telling.write(tmp_path, "20250101-a", [telling.intent(), telling.changed()], time=1.0)
    half = {"sha1": "half"}
    telling.write(
        tmp_path,
        "20250102-b",
        telling.undid(after=half)[:-1],
        time=2.0,
        end=False,
        **telling.back("20250101-a"),
    )
    (step,) = undo_plan(read_run(folder)).hosts["db1"]
    assert (step.undone_by, step.expect) == (None, ({"sha1": "new"}, half))


def test_a_rollback_that_was_taken_back_has_undone_nothing(tmp_path: Path) -> None:
    folder = telling.write(tmp_path, "20250101-a", [telling.intent(), telling.changed()], time=1.0)
    telling.write(tmp_path, "20250102-b", telling.undid(), time=2.0, **telling.back("20250101-a"))
    assert undo_plan(read_run(folder)).hosts["db1"][0].undone_by == "20250102-b"
    telling.write(tmp_path, "20250103-c", telling.undid(), time=3.0, **telling.back("20250102-b"))
    assert undo_plan(read_run(folder)).hosts["db1"][0].undone_by is None


def test_an_object_changed_twice_may_be_found_as_it_was_before_both(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        [
            telling.intent(change="1", before={"v": 0}, want={"v": 1}, kept={"state": {"v": 0}}),
            telling.changed(change="1", after={"v": 1}),
            telling.intent(change="2", object="file:/other", kept={"state": {"v": 9}}),
            telling.changed(change="2", object="file:/other"),
            telling.intent(change="3", before={"v": 1}, want={"v": 2}, kept={"state": {"v": 1}}),
            telling.changed(change="3", after={"v": 2}),
        ],
    )
    assert [(step.change, step.undone) for step in made.hosts["db1"]] == [
        ("3", ({"v": 0},)),
        ("2", ()),
        ("1", ()),
    ]
