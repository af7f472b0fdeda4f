"""Steps marked !: a schedule's permission never covers them, however the check pass comes to know of them."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from remedy.engine.guards import Guard, guarded, perhaps, together
from remedy.errors import Refused
from remedy.events import Approved, Changed
from remedy.modules import find, names
from remedy.playbook import Task, load
from remedy.project import Project
from remedy.report import Question
from remedy.schedule.permission import Permission, Standing
from tests.engine import test_doubtful
from tests.engine.fake import play
from tests.engine.test_gate import removing

HEAD = test_doubtful.HEAD.replace("  diagnose:\n", "  vars: {which: [old]}\n  diagnose:\n")
LEFT_OUT = test_doubtful.LEFT_OUT
VOLUMES = "docker_prune: {volumes: '{{ which }}'}"
WAYS = {
    "for sure": f"    - {VOLUMES}\n",
    "its condition": f"{LEFT_OUT}    - {{{VOLUMES}, when: looked.stdout == 'look'}}\n",
    "its parameter": f"{LEFT_OUT}    - docker_prune: {{volumes: '{{{{ looked.stdout_lines }}}}'}}\n",
    "its loop": f"{LEFT_OUT}    - {{{VOLUMES}, loop: '{{{{ looked.stdout_lines }}}}'}}\n",
    "a handler": f"{LEFT_OUT}      notify: empty\n  handlers:\n    - {{name: empty, {VOLUMES}}}\n",
    "an include": f"{LEFT_OUT}    - {{include_tasks: rest.yml, when: looked.rc == 0}}\n",
    "an include in an include": f"{LEFT_OUT}    - {{include_tasks: outer.yml, when: looked.rc == 0}}\n",
    "an include that nobody can name": f"{LEFT_OUT}    - include_tasks: '{{{{ looked.stdout }}}}.yml'\n",
    "delegation": f"    - {{{VOLUMES}, delegate_to: h2}}\n",
}
TASKS = {
    "rest.yml": f"- {VOLUMES}\n",
    "look.yml": f"- {VOLUMES}\n",
    "outer.yml": "- include_tasks: rest.yml\n- include_tasks: outer.yml\n",
    "mild.yml": "- docker_prune: {}\n- include_tasks: mild.yml\n",
}
BOTH = frozenset({"destructive", "disruptive"})
EVERYTHING = Permission(frozenset("DR"), 1.0, True, date(2099, 12, 31), "anna@example.com")


def sweeping(host: str, step: dict[str, Any]) -> dict[str, Any]:
    if not step["module"].endswith(".docker_prune"):
        return removing(host, step)
    items = [{"item": "old", "reason": "unused", "size": 0, "identity": []}]
    change = {"kind": "sweep", "object": "docker:/run/docker.sock", "items": items, "id": step["id"]}
    return {"status": "changed", "result": {}, "change": {**change, "predicted": bool(step["check"])}}


def scheduled(
    tmp_path: Path, tail: str, kinds: str = "DR", tasks: dict[str, str] = TASKS
) -> tuple[Refused | None, list[str]]:
    """Play as a schedule that may do all of these kinds; return the refusal, and the modules that have written."""
    wrote: list[str] = []

    def watch(host: str, step: dict[str, Any]) -> dict[str, Any]:
        if not step["check"] and not step["module"].endswith(".ping"):
            wrote.append(step["module"].rpartition(".")[2])
        return sweeping(host, step)

    try:
        approver = Standing("nightly", replace(EVERYTHING, kinds=frozenset(kinds)), 2)
        played = play(
            tmp_path, HEAD + tail, hosts=2, behaviour=watch, yes=False, tasks=tasks, approver=approver
        )
    except Refused as refused:
        return refused, wrote
    assert played.code == 0
    return None, wrote


@pytest.mark.parametrize("tail", list(WAYS.values()), ids=list(WAYS))
def test_a_schedule_that_may_do_everything_does_not_do_this(tmp_path: Path, tail: str) -> None:
    refused, wrote = scheduled(tmp_path, tail)
    assert refused is not None
    assert refused.exit_code == 3
    assert "the schedule 'nightly' may not do this: what is marked ! never runs unattended" in refused.message
    assert "!)" in refused.message
    assert "play it by hand, with its own variable and --yes" in refused.hint
    assert wrote == []


@pytest.mark.parametrize(
    "tail",
    [
        "    - docker_prune: {}\n",
        f"    - {{{VOLUMES}, when: which | length == 0}}\n",
        "    - docker_prune: {volumes: []}\n",
        f"{LEFT_OUT}    - {{docker_prune: {{}}, when: looked.rc == 0}}\n",
        f"{LEFT_OUT}    - {{include_tasks: mild.yml, when: looked.stdout == 'other'}}\n",
    ],
)
def test_the_same_modules_without_it_are_covered(tmp_path: Path, tail: str) -> None:
    refused, wrote = scheduled(tmp_path, tail)
    assert refused is None, refused
    assert "file" in wrote


def test_yes_lets_it_happen(tmp_path: Path) -> None:
    assert play(tmp_path, HEAD + WAYS["for sure"], behaviour=sweeping, yes=True).code == 0


MARKED = {
    "docker_prune": ({"volumes": ["v"]}, {}),
    "redis_flush": ({"db": 0}, None),
    "mysql_replication": ({"mode": "skipevent", "errors": [1062]}, {"mode": "startreplica"}),
    "mysql_restore": ({"name": "shop", "state": "swapped"}, {"name": "remedy_drill_dr", "state": "swapped"}),
    "postgresql_restore": ({"name": "shop", "state": "swapped"}, {"name": "shop", "state": "restored"}),
    "postgresql_slots": ({"name": ["s"]}, {"name": None}),
}


def test_what_is_marked() -> None:
    found = {name for name in names() if any(each.attended for each in find(name).classes)}
    assert found == set(MARKED)
    for name, (marked, plain) in MARKED.items():
        spec = find(name)
        known = {param.name: param.default for param in spec.params}
        assert spec.kind({**known, **marked}).attended, name
        assert plain is None or not spec.kind({**known, **plain}).attended, name
        # What is only by hand asks, too: it destroys or interrupts.
        assert all(each.destructive or each.disruptive for each in spec.classes if each.attended)


def test_what_cannot_be_known_counts_as_all_that_it_may_be(tmp_path: Path) -> None:
    text = (
        "- hosts: all\n  tasks:\n    - postgresql_slots: {name: '{{ unknown }}'}\n"
        "    - mysql_restore: {name: '{{ unknown }}', backup: /b.sql, state: swapped}\n"
        "    - mysql_restore: {name: remedy_drill_dr, backup: '{{ unknown }}', state: swapped}\n"
        "    - mysql_replication: {mode: stopreplica, threads: '{{ unknown }}'}\n"
        "    - mysql_binlog_purge: {keep: '{{ unknown }}', end_writers: true}\n"
        "    - mysql_binlog_purge: {end_writers: '{{ unknown }}'}\n"
        "    - mysql_binlog_purge: {keep: '{{ unknown }}'}\n"
    )
    (tmp_path / "playbooks").mkdir()
    path = tmp_path / "playbooks" / "site.yml"
    path.write_text(text)
    (only,) = load(path, project=Project(tmp_path)).plays

    def render(value: Any) -> Any:
        from remedy.template import UnknownValue

        if "unknown" in str(value):
            raise UnknownValue("nobody knows", "")
        return value

    tasks = [node for node in only.tasks if isinstance(node, Task)]
    assert [perhaps(only, task, render) for task in tasks] == [
        Guard(frozenset({"destructive"}), attended=True),
        Guard(frozenset({"disruptive"}), attended=True),
        Guard(frozenset({"disruptive"})),
        Guard(frozenset({"disruptive"})),
        Guard(BOTH),
        Guard(BOTH),
        Guard(frozenset({"destructive"})),
    ]
    spec = find("docker_prune")
    assert guarded(only, spec, spec.kind({"volumes": None})) == Guard(frozenset({"destructive"}))
    spec = find("mysql_binlog_purge")
    assert guarded(only, spec, spec.kind({"end_writers": True})) == Guard(BOTH)
    assert guarded(only, spec, spec.kind({"end_writers": False})) == Guard(frozenset({"destructive"}))
    mixed = [Guard(frozenset({"disruptive"}), attended=True), None, Guard(frozenset({"destructive"}))]
    assert together(mixed) == Guard(BOTH, attended=True)
    assert together([None]) is None


def test_what_destroys_and_interrupts() -> None:
    """Who may do one of the two may not do these: no class is added to them unseen."""
    both = {each.__name__ for name in names() for each in find(name).classes if each.destructive and each.disruptive}
    assert both == {"UrgentPurge"}


@pytest.mark.parametrize("kinds", ["D", "R"])
@pytest.mark.parametrize("way", ["its condition", "its loop", "a handler", "an include"])
def test_what_destroys_and_interrupts_needs_both(tmp_path: Path, kinds: str, way: str) -> None:
    purge = "mysql_binlog_purge: {keep_files: 1, end_writers: true}"
    tail = WAYS[way].replace(VOLUMES, purge)
    tasks = {name: text.replace(VOLUMES, purge) for name, text in TASKS.items()}
    refused, wrote = scheduled(tmp_path, tail, kinds, tasks)
    assert refused is not None
    assert refused.exit_code == 3
    assert f"its permission is for {kinds} only\n" in refused.message
    assert "destroys and interrupts " in refused.message
    assert "(D R)" in refused.message
    assert wrote == []


def test_on_whose_word_it_happened_is_told_before_it_does(tmp_path: Path) -> None:
    standing = Standing("nightly", EVERYTHING, 2)
    tail = f"{LEFT_OUT}    - {{docker_prune: {{}}, when: looked.rc == 0}}\n"
    played = play(tmp_path, HEAD + tail, hosts=2, behaviour=sweeping, yes=False, approver=standing)
    assert played.code == 0
    told = played.memory.of(Approved)
    assert {(each.by, each.schedule, *each.kinds, each.at_most, each.until) for each in told} == {
        ("anna@example.com", "nightly", "D", "R", "100%", "2099-12-31")
    }
    assert {each["host"] for each in told[0].steps if each["perhaps"]} == {"h1", "h2"}
    assert all(each["kinds"] == ["D"] for event in told for each in event.steps)
    # What could only be foreseen as perhaps is approved once more, when it comes to it.
    assert {each["host"] for event in told[1:] for each in event.steps if not each["perhaps"]} == {"h1", "h2"}
    events = [type(event) for event in played.memory.events]
    assert events.index(Approved) < events.index(Changed)


def test_whoever_is_asked_is_named(tmp_path: Path) -> None:
    class Page:
        def ask(self, text: str, stop: threading.Event) -> bool:
            return True

    asking = Question(Page(), threading.Event(), by="root@ops")
    played = play(tmp_path, HEAD + WAYS["for sure"], behaviour=sweeping, yes=False, approver=asking)
    assert played.code == 0
    (told,) = played.memory.of(Approved)
    assert (told.by, told.schedule, told.kinds, told.until) == ("root@ops", "", [], "")
    assert [(each["host"], each["object"]) for each in told.steps] == [("h1", "docker:/run/docker.sock")]
    assert play(tmp_path, HEAD + WAYS["for sure"], behaviour=sweeping, yes=True).memory.of(Approved) == []
