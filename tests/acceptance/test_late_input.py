"""What turns out to be wrong only after the first contact: the task fails with the text it would have had before."""

from __future__ import annotations

import pytest

from tests.acceptance.cli import LOCAL, Scene

HEAD = "- hosts: box\n  gather_facts: false\n  tasks:\n    - {name: said, command: echo hi, register: said}\n"
UNDEFINED = "the variable 'nobody' is undefined"

# what the task is -> (where, and what the user reads first)
WRONG = {
    "undefined": ("debug: {msg: '{{ said.stdout }} {{ nobody }}'}", f"5:20: {UNDEFINED}"),
    "missing key": (
        "debug: {msg: '{{ said.nothing }}'}",
        "5:20: undefined: the mapping has no key 'nothing'",
    ),
    "when": ("{ping: , when: said.rc == nobody}", f"5:22: {UNDEFINED}"),
    "loop": ("{ping: , loop: '{{ said.stdout }}'}", "5:22: 'loop' is a str, expected a list"),
    "type": ("wait_for: {port: '{{ said.stdout }}'}", "5:24: 'port' of 'wait_for' is 'hi'"),
    "choice": (
        "file: {path: /nothing, state: '{{ said.stdout }}'}",
        "5:37: 'state' of 'file' cannot be 'hi'",
    ),
    "source": ("copy: {src: '{{ said.stdout }}', dest: /nothing}", "5:7: 'hi' does not exist on the control"),
    "include": ("include_tasks: '{{ said.stdout }}.yml'", "5:7: no tasks file 'hi.yml'"),
    "retries": ("{ping: , until: true, retries: '{{ said.stdout }}'}", "5:38: 'retries' is 'hi'"),
    "timeout": ("{command: 'true', timeout: '{{ said.stdout }}'}", "5:34: 'timeout' is 'hi'"),
    "environment": ("{command: 'true', environment: '{{ said.stdout }}'}", "5:38: 'environment' is a str"),
    "become": ("{command: 'true', become: '{{ said.stdout }}'}", "5:33: 'become' is 'hi'"),
    "fact name": (
        "set_fact: {'{{ said.stdout }} there': 1}",
        "'{{ said.stdout }} there' cannot be a variable",
    ),
}


@pytest.fixture
def stage(scene: Scene) -> Scene:
    scene.write({"inventory/hosts.yml": LOCAL})
    (scene.folder / "inventory/hosts.ini").unlink()
    return scene


@pytest.mark.parametrize(("task", "text"), WRONG.values(), ids=WRONG)
def test_the_task_fails(stage: Scene, task: str, text: str) -> None:
    stage.write({"playbooks/site.yml": f"{HEAD}    - {task}\n    - {{name: never, command: 'true'}}\n"})
    played = stage.play()
    assert (played.code, played.err) == (2, "")
    (wrong,) = [each for each in played.document["tasks"] if each["status"] == "failed"]
    reason = wrong["reason"].removeprefix("playbooks/site.yml:")
    assert reason.startswith(text), reason
    assert played.task("said")["status"] == "changed"
    assert "never" not in played.tasks("changed", "ok")


@pytest.mark.parametrize("keyword", ["changed_when: nobody", "notify: '{{ nobody }}'"])
def test_what_ran_before_the_failure_was_known_is_told(stage: Scene, keyword: str) -> None:
    task = f"    - {{name: it, command: 'true', {keyword}}}\n"
    stage.write({"playbooks/site.yml": f"{HEAD}{task}    - ping:\n"})
    played = stage.play()
    assert played.code == 2
    assert UNDEFINED in played.task("it")["reason"]
    assert played.task("ping")["status"] == "ok"


def test_a_rescue_takes_it(stage: Scene) -> None:
    block = "    - block:\n        - include_tasks: '{{ said.stdout }}.yml'\n      rescue:\n"
    rescue = "        - {name: rescued, debug: {msg: '{{ ansible_failed_result.msg }}'}}\n"
    stage.write({"playbooks/site.yml": HEAD + block + rescue})
    played = stage.play()
    assert played.code == 0
    assert "no tasks file 'hi.yml'" in played.task("rescued")["result"]["msg"]


def test_a_later_play_that_cannot_begin_fails_its_hosts(stage: Scene) -> None:
    play = "- hosts: box\n  gather_facts: false\n  vars_files: ['{{ nobody }}.yml']\n  tasks:\n    - ping:\n"
    stage.write({"playbooks/site.yml": HEAD + play})
    played = stage.play()
    assert played.code == 2
    begin = played.task("begin the play")
    assert begin["status"] == "failed"
    assert begin["reason"].startswith(f"playbooks/site.yml:7:16: {UNDEFINED}")


# What check mode cannot foresee because it hangs on the command.
HANGS = {
    "include": "include_tasks: '{{ said.stdout }}.yml'",
    "include when": "{include_tasks: more.yml, when: said.rc == 0}",
    "include loop": "{include_tasks: more.yml, loop: '{{ said.stdout_lines }}'}",
    "when": "{ping: , when: said.rc == 0}",
    "parameter": "stat: {path: '/{{ said.stdout }}'}",
    "failed_when": "{ping: , failed_when: said.rc != 0}",
    "until": "{ping: , until: said.rc == 0}",
    "set_fact": "set_fact: {seen: '{{ said.stdout }}'}",
    "assert": "assert: {that: said.rc == 0}",
}


@pytest.mark.parametrize("task", HANGS.values(), ids=HANGS)
def test_check_mode_says_that_it_cannot_tell(stage: Scene, task: str) -> None:
    stage.write({"playbooks/site.yml": f"{HEAD}    - {task}\n    - {{name: last, ping: }}\n"})
    stage.write({"playbooks/more.yml": "- ping:\n"})
    for flags in ("--check", "--check -vvvv"):
        played = stage.play(flags)
        assert played.code == 0, played.err
        (unknown,) = [each for each in played.document["tasks"] if each["status"] == "unknown"]
        assert unknown["reason"] == "hangs on 'said', which check mode skipped"
        assert played.task("last")["status"] == "ok"


def test_check_mode_cannot_tell_which_handler_is_meant(stage: Scene) -> None:
    task = f"    - {{name: it, file: {{path: {stage.folder}/new, state: touch}}, notify: '{{{{ said.stdout }}}}'}}\n"
    handlers = "  handlers:\n    - {name: hi, ping: }\n    - {name: other, ping: }\n"
    stage.write({"playbooks/site.yml": HEAD + task + handlers})
    played = stage.play("--check")
    assert played.code == 0
    assert played.tasks("unknown") == {"hi", "other"}


def test_check_mode_goes_on_behind_a_failure_that_may_hang_on_a_command(stage: Scene) -> None:
    tasks = "    - {name: it, lineinfile: {path: /nowhere/at/all, line: a}}\n    - {name: last, ping: }\n"
    stage.write({"playbooks/site.yml": HEAD + tasks})
    played = stage.play("--check")
    assert played.code == 0
    unknown = "/nowhere/at/all does not exist; with create: true it is made"
    hangs = "(perhaps it hangs on 'said', which check mode skipped)"
    assert played.task("it")["reason"] == f"{unknown} {hangs}"
    assert (played.task("it")["status"], played.task("last")["status"]) == ("unknown", "ok")


def test_a_task_that_always_fails_stops_the_host(stage: Scene) -> None:
    touch = f"{{name: never, file: {{path: {stage.folder}/never, state: touch}}}}"
    stage.write(
        {"playbooks/site.yml": f"{HEAD}    - {{name: it, ping: , failed_when: true}}\n    - {touch}\n"}
    )
    played = stage.play()
    assert (played.code, played.tasks("failed")) == (2, {"it"})
    assert not (stage.folder / "never").exists()
