"""The start of a run: what is wrong with the input shows before any host is contacted, and nothing has happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from remedy.engine.ledger import Ledger
from remedy.errors import InputError
from remedy.events import Event, RunStarted, TaskDone, Warned
from remedy.template import UnknownValue
from tests.engine import fake
from tests.engine.fake import play

UNDEFINED = "the variable 'nobody' is undefined"


def play_text(tasks: str, **words: str) -> str:
    head = "".join(f"  {word}: {value}\n" for word, value in {"gather_facts": "false", **words}.items())
    return f"- hosts: all\n{head}  tasks:\n{tasks}"


@pytest.fixture
def contacts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every host to which a link was opened."""
    opened: list[str] = []
    real = fake.FakeConnector.open

    def open(self: fake.FakeConnector, target: object, **given: object) -> object:
        opened.append(target.name)  # type: ignore[attr-defined]
        return real(self, target, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(fake.FakeConnector, "open", open)
    return opened


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Every event that a sink got."""
    events: list[Event] = []
    monkeypatch.setattr(fake.Memory, "__call__", lambda self, event: events.append(event))
    return events


BAD = "    - debug: {msg: hello}\n    - {ping: , when: false}\n    - meta: noop\n    - debug: {msg: '{{ nobody }}'}\n"


GATED = "    - ping:\n    - command: '{{ nobody }}'\n    - old_files: {paths: [/tmp], age: 1d}\n"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (play_text(BAD), {}),
        (play_text(BAD, strategy="linear"), {}),
        (play_text(BAD, max_fail_percentage="10"), {}),
        (play_text(GATED), {"yes": False}),
        (play_text("    - debug: {msg: \"{{ hostvars['h2'].x }}\"}\n" + BAD), {"extra": {"x": 1}}),
    ],
    ids=["free", "linear", "lockstep", "gate", "hostvars"],
)
def test_nothing_happens(
    tmp_path: Path, contacts: list[str], told: list[Event], text: str, options: dict[str, object]
) -> None:
    with pytest.raises(InputError, match=UNDEFINED):
        play(tmp_path, text, hosts=3, **options)  # type: ignore[arg-type]
    assert (contacts, told) == ([], [])


def test_events_wait_for_the_beginning_and_come_in_order(tmp_path: Path) -> None:
    played = play(tmp_path, play_text("    - debug: {msg: hello}\n    - ping:\n"), hosts=2)
    assert isinstance(played.memory.events[0], RunStarted)
    assert played.statuses("h2") == [("debug", "ok"), ("ping", "ok")]


def test_linear_goes_on_together_before_the_first_contact_too(tmp_path: Path) -> None:
    text = play_text("    - {debug: , when: inventory_hostname == 'h1'}\n    - ping:\n", strategy="linear")
    played = play(tmp_path, text, hosts=3)
    assert played.code == 0
    assert [status for _, status in played.statuses("h1")] == ["ok", "ok"]
    assert [status for _, status in played.statuses("h3")] == ["skipped", "ok"]


def test_in_a_later_batch_the_task_fails(tmp_path: Path) -> None:
    text = play_text(
        "    - {name: it, debug: {msg: '{{ nobody }}'}, when: inventory_hostname == 'h2'}\n    - ping:\n"
    )
    played = play(tmp_path, text.replace("  tasks", "  serial: 1\n  tasks"), hosts=3)
    assert played.code == 2
    assert played.statuses("h1") == [("it", "skipped"), ("ping", "ok")]
    assert played.statuses("h2") == [("it", "failed")]
    (failed,) = [each for each in played.memory.of(TaskDone) if each.status == "failed"]
    assert UNDEFINED in failed.reason


def test_a_later_batch_that_cannot_begin_fails_its_hosts(tmp_path: Path) -> None:
    text = play_text("    - ping:\n", serial="1", vars_files="['{{ inventory_hostname }}.yml']")
    played = play(tmp_path, text, hosts=2, tasks={"h1.yml": "a: 1\n"})
    assert played.code == 2
    assert played.statuses("h1") == [("ping", "ok")]
    assert played.statuses("h2") == [("begin the play", "failed")]


def test_hostvars_of_the_host_itself_wait_for_what_is_on_its_way(tmp_path: Path) -> None:
    own = "hostvars[inventory_hostname]"
    text = play_text(
        "    - {command: one, register: first}\n    - {set_fact: {fact: two}}\n"
        f'    - command: "{{{{ {own}.fact }}}}-{{{{ {own}.first.stdout }}}}"\n'
    )
    played = play(tmp_path, text, hosts=2)
    assert played.code == 0
    assert played.hosts["h2"].steps() == ["one", "two-one"]


def test_an_error_that_nobody_expected_is_never_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(*_: object) -> None:
        raise UnknownValue("no reason", "x")

    monkeypatch.setattr(Ledger, "commit", commit)
    played = play(tmp_path, play_text("    - ping:\n"))
    assert played.code == 1
    assert "internal error: UnknownValue" in played.memory.of(Warned)[0].message


@pytest.mark.parametrize(
    ("play_says", "task_says", "goes_on"),
    [
        ("true", "false", True),
        ("'{{ strict }}'", "~", False),
        ("'{{ not strict }}'", "~", True),
        ("false", "true", False),
    ],
)
def test_the_innermost_any_errors_fatal_counts(
    tmp_path: Path, play_says: str, task_says: str, goes_on: bool
) -> None:
    fails = "{command: 'false', when: inventory_hostname == 'h1', any_errors_fatal: TASK}".replace(
        "TASK", task_says
    )
    text = play_text(f"    - {fails}\n    - ping:\n", any_errors_fatal=play_says)
    played = play(tmp_path, text.replace(", any_errors_fatal: ~", ""), hosts=2, extra={"strict": True})
    assert played.code == 2
    assert (("ping", "ok") in played.statuses("h2")) is goes_on
