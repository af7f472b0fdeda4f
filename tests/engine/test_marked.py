"""Faults reach only hosts that an inventory file marks `drill: true`; all else is refused before a contact."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remedy.cli import main
from remedy.engine.connections import Connections
from remedy.errors import Unreachable

HOSTS = """
all:
  vars: {ansible_user: nobody}
  hosts: {h1: {drill: true}, h2: {}, h3: {drill: "{{ yes_please }}"}, h4: {drill: "no"}, h5: {}}
  children: {staging: {hosts: {h5: }, vars: {drill: yes}}}
"""
FAULT = "fault_disk_full: {path: /var/log}"
NAME = "'fault_disk_full' breaks hosts on purpose, and the inventory does not mark "

Go = Callable[..., tuple[int, str]]


@pytest.fixture
def contacts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that somebody tried to reach; none of them answers."""
    tried: list[str] = []

    def unreachable(self: object, target: Any, **given: object) -> None:
        tried.append(target.name)
        raise Unreachable("no_route", "there is no such host")

    monkeypatch.setattr(Connections, "open", unreachable)
    return tried


@pytest.fixture
def go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], contacts: list[str]
) -> Go:
    """Run a command in a project with the inventory HOSTS; return its exit code and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REMEDY_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "hosts.yml").write_text(HOSTS)

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([words[0], *words[1:], "-i", "hosts.yml"])
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def write(folder: Path, tasks: str, *, hosts: str = "h2", more: str = "", **files: str) -> str:
    """Write a play of these tasks; return its path."""
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text)
    path = folder / "play.yml"
    path.write_text(f"- hosts: {hosts}\n  gather_facts: false\n{more}  tasks:\n{tasks}")
    return str(path)


PLACES = {
    "a task": {"tasks": f"    - {FAULT}\n"},
    "behind a condition that is false": {"tasks": f"    - {FAULT}\n      when: false\n"},
    "in a loop": {"tasks": "    - fault_disk_full: {path: '{{ item }}'}\n      loop: [/var/log]\n"},
    "in a block": {"tasks": f"    - block:\n        - ping:\n      rescue:\n        - {FAULT}\n"},
    "in a rescue": {
        "tasks": f"    - block:\n        - ping:\n      always:\n        - block:\n            - {FAULT}\n"
    },
    "in a handler": {"tasks": "    - ping:\n", "more": f"  handlers:\n    - name: break\n      {FAULT}\n"},
    "after the tasks": {"tasks": "    - ping:\n", "more": f"  post_tasks:\n    - {FAULT}\n"},
    "imported": {"tasks": "    - import_tasks: part.yml\n", "part": f"- {FAULT}\n"},
    "included": {"tasks": "    - ping:\n    - include_tasks: part.yml\n", "part": f"- {FAULT}\n"},
    "included by what is included": {
        "tasks": "    - include_tasks: outer.yml\n",
        "outer": "- include_tasks: part.yml\n",
        "part": f"- {FAULT}\n- include_tasks: outer.yml\n",
    },
    "with remedy's prefix": {"tasks": f"    - remedy.{FAULT}\n"},
    "on several hosts of which one is marked": {"tasks": f"    - {FAULT}\n", "hosts": "h1,h2"},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("flag", ["--yes", "--check"])
def test_a_fault_in_a_play_is_refused(
    place: str, flag: str, go: Go, tmp_path: Path, contacts: list[str]
) -> None:
    code, said = go("play", write(tmp_path, **PLACES[place]), flag)
    assert (code, contacts) == (3, []), said
    assert f"{NAME}h2 for that" in said
    assert ".yml:" in said, "the task's place in its file"
    assert "expected `drill: true` in an inventory file" in said


def test_the_text_names_file_line_and_task(go: Go, tmp_path: Path) -> None:
    path = write(tmp_path, f"    - ping:\n    - name: fill it\n      {FAULT}\n", hosts="all")
    code, said = go("play", path)
    assert code == 3
    assert said == (
        f"error: {path}:5:7, task 'fill it': {NAME}h2, h3, h4 for that\n"
        "  expected `drill: true` in an inventory file for each host that is there to be broken (-e, templates and a "
        "playbook's variables do not count); --limit leaves the others out\n"
    )


@pytest.mark.parametrize("flags", [("--yes",), ("--check",)])
def test_a_single_module_is_refused(go: Go, flags: tuple[str, ...], contacts: list[str]) -> None:
    code, said = go("run", "all", "-m", "fault_disk_full", "-a", "path=/var/log", *flags)
    assert (code, contacts) == (3, [])
    assert "command line, task 'fault_disk_full': " + NAME + "h2, h3, h4 for that" in said


MARKS = {
    "extra vars": {"flags": ("-e", "drill=true", "-e", "yes_please=true")},
    "play vars": {"more": "  vars: {drill: true, yes_please: true}\n"},
    "vars_files": {"more": "  vars_files: [values.yml]\n", "values": "drill: true\n"},
    "task vars": {"tasks": f"    - {FAULT}\n      vars: {{drill: true}}\n"},
    "set_fact": {"tasks": f"    - set_fact: {{drill: true}}\n    - {FAULT}\n"},
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("host", ["h2", "h3", "h4"])
def test_what_is_no_inventory_marks_nobody(
    mark: str, host: str, go: Go, tmp_path: Path, contacts: list[str]
) -> None:
    given: dict[str, Any] = {"tasks": f"    - {FAULT}\n", "hosts": host, **MARKS[mark]}
    flags = given.pop("flags", ())
    code, said = go("play", write(tmp_path, **given), "--yes", *flags)
    assert (code, contacts) == (3, [])
    assert f"{NAME}{host} for that" in said


def test_variables_beside_a_playbook_mark_nobody(go: Go, tmp_path: Path, contacts: list[str]) -> None:
    folder = tmp_path / "playbooks"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "group_vars/all.yml").write_text("drill: true\n")
    code, _ = go("play", write(folder, f"    - {FAULT}\n"), "--yes")
    assert (code, contacts) == (3, [])


def test_host_vars_beside_the_inventory_mark_and_unmark(go: Go, tmp_path: Path, contacts: list[str]) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/h2.yml").write_text("drill: true\n")
    (tmp_path / "host_vars/h1.yml").write_text("drill: false\n")
    path = write(tmp_path, f"    - {FAULT}\n", hosts="h1,h2")
    code, said = go("play", path, "--yes")
    assert (code, contacts) == (3, [])
    assert f"{NAME}h1 for that" in said
    code, _ = go("play", path, "--yes", "--limit", "h2")
    assert (code, contacts) == (4, ["h2"])


def test_marked_hosts_are_reached(go: Go, tmp_path: Path, contacts: list[str]) -> None:
    code, _ = go("play", write(tmp_path, f"    - {FAULT}\n", hosts="h1,h5"), "--yes")
    assert (code, sorted(contacts)) == (4, ["h1", "h5"])


def test_localhost_is_not_there_to_be_broken(go: Go) -> None:
    code, said = go("run", "localhost", "-m", "fault_disk_full", "-a", "path=/tmp")
    assert code == 3
    assert NAME + "localhost for that" in said


def test_an_ordinary_play_needs_no_mark(go: Go, tmp_path: Path, contacts: list[str]) -> None:
    code, _ = go("play", write(tmp_path, "    - ping:\n"))
    assert (code, contacts) == (4, ["h2"])


DELEGATED = {
    "a task": {"tasks": f"    - {FAULT}\n      delegate_to: h2\n"},
    "behind a condition that is false": {"tasks": f"    - {FAULT}\n      delegate_to: h2\n      when: false\n"},
    "a block": {"tasks": f"    - delegate_to: h2\n      block:\n        - {FAULT}\n"},
    "a template": {"tasks": f"    - {FAULT}\n      delegate_to: '{{{{ other }}}}'\n", "more": "  vars: {other: h2}\n"},
    "a loop": {"tasks": f"    - {FAULT}\n      delegate_to: '{{{{ item }}}}'\n      loop: [h1, h2]\n"},
    "applied": {
        "tasks": "    - include_tasks: {file: part.yml, apply: {delegate_to: h2}}\n",
        "part": f"- {FAULT}\n",
    },
    "included within": {
        "tasks": "    - include_tasks: part.yml\n    - block: [{include_tasks: part.yml}]\n      delegate_to: h2\n",
        "part": f"- {FAULT}\n",
    },
    "a handler": {
        "tasks": "    - ping:\n",
        "more": f"  handlers:\n    - name: break\n      {FAULT}\n      delegate_to: h2\n",
    },
}


@pytest.mark.parametrize("place", DELEGATED)
@pytest.mark.parametrize("flag", ["--yes", "--check"])
def test_a_fault_that_is_delegated_needs_the_mark_of_the_host_it_breaks(
    place: str, flag: str, go: Go, tmp_path: Path, contacts: list[str]
) -> None:
    code, said = go("play", write(tmp_path, hosts="h1", **DELEGATED[place]), flag)
    assert (code, contacts) == (3, []), said
    assert f"{NAME}h2 for that" in said


@pytest.mark.parametrize("other", ["localhost", "127.0.0.1", "192.0.2.9"])
def test_a_host_of_no_inventory_is_not_there_to_be_broken(
    other: str, go: Go, tmp_path: Path, contacts: list[str]
) -> None:
    text = f"    - {FAULT}\n      delegate_to: {other}\n      vars: {{drill: true}}\n"
    code, said = go("play", write(tmp_path, text, hosts="h1"), "--yes", "-e", "drill=true")
    assert (code, contacts) == (3, [])
    assert f"{NAME}{other} for that" in said


def test_a_delegated_fault_reaches_a_marked_host_from_one_that_is_not(
    go: Go, tmp_path: Path, contacts: list[str]
) -> None:
    code, said = go("play", write(tmp_path, f"    - {FAULT}\n      delegate_to: h1\n"), "--yes")
    assert (code, contacts) == (4, ["h1"]), said


def test_a_mark_is_not_carried_elsewhere_by_delegation(go: Go, tmp_path: Path, contacts: list[str]) -> None:
    more = "  vars: {ansible_host: 192.0.2.9}\n"
    code, said = go("play", write(tmp_path, f"    - {FAULT}\n      delegate_to: h1\n", more=more), "--yes")
    assert (code, contacts) == (3, [])
    assert "the way to h1 is not the inventory's" in said


def test_a_delegate_that_only_the_run_knows_is_refused_before_the_fault_is_sent(tmp_path: Path) -> None:
    from remedy.errors import Refused
    from tests.engine.fake import plain, play

    sent: list[tuple[str, str]] = []

    def watch(host: str, step: dict[str, Any]) -> dict[str, Any]:
        sent.append((host, step["module"].rpartition(".")[2]))
        return plain(host, step)

    text = (
        "- hosts: h1\n  gather_facts: false\n  tasks:\n    - {command: h2, register: r}\n"
        f"    - {FAULT}\n      delegate_to: '{{{{ r.stdout }}}}'\n"
    )
    with pytest.raises(Refused, match="does not mark h2 for that"):
        play(tmp_path, text, inventory_text=HOSTS, behaviour=watch)
    assert sent == [("h1", "command")]


def test_an_include_that_only_the_run_knows_is_refused_before_its_fault_is_sent(tmp_path: Path) -> None:
    from remedy.errors import Refused
    from tests.engine.fake import plain, play

    sent: list[str] = []

    def watch(host: str, step: dict[str, Any]) -> dict[str, Any]:
        sent.append(step["module"].rpartition(".")[2])
        return plain(host, step)

    text = json.dumps(
        [
            {
                "hosts": "all",
                "gather_facts": False,
                "tasks": [
                    {"command": "part", "register": "told"},
                    {
                        "block": [{"include_tasks": "{{ told.stdout }}.yml"}],
                        "rescue": [{"debug": {"msg": "it was not so bad"}}],
                    },
                ],
            }
        ]
    )
    with pytest.raises(Refused) as refused:
        play(tmp_path, text, behaviour=watch, tasks={"part.yml": f"- ping:\n- {FAULT}\n"})
    assert sent == ["command"]
    assert str(refused.value).startswith(
        f"{tmp_path}/part.yml:2:3, task 'fault_disk_full': {NAME}h1 for that"
    )


def test_taking_back_a_fault_needs_the_mark_as_well() -> None:
    from remedy.engine.marked import refuse_undo
    from remedy.errors import Refused
    from remedy.inventory import load

    inventory = load(["h1,"], root=Path.cwd(), vault=None)
    context: Any = SimpleNamespace(run=SimpleNamespace(inventory=inventory))
    refuse_undo(context, "remedy.modules.target.copy", "copy it", "h1")
    with pytest.raises(Refused, match="'fault_logs' breaks hosts on purpose"):
        refuse_undo(context, "remedy.modules.target.faults.fault_logs", "undo: make logs", "h1")


REDIRECTS = {
    "extra vars": {"flags": ("-e", "ansible_host=192.0.2.9")},
    "another port": {"flags": ("-e", "ansible_port=2222")},
    "this machine": {"flags": ("-e", "ansible_connection=local")},
    "this machine, by flag": {"flags": ("-c", "local")},
    "an option of ssh": {"flags": ("--ssh-common-args", "-o HostName=192.0.2.9")},
    "play vars": {"more": "  vars: {ansible_host: 192.0.2.9}\n"},
    "vars_files": {"more": "  vars_files: [values.yml]\n", "values": "ansible_ssh_host: 192.0.2.9\n"},
    "behind what is sent first": {
        "tasks": f"    - command: w\n      register: w\n    - {FAULT}\n      when: w.rc == 0\n",
        "flags": ("-e", "ansible_host=192.0.2.9"),
    },
}


@pytest.mark.parametrize("way", REDIRECTS)
def test_a_mark_is_not_carried_to_another_machine(
    way: str, go: Go, tmp_path: Path, contacts: list[str]
) -> None:
    given: dict[str, Any] = {"tasks": f"    - {FAULT}\n", "hosts": "h1", **REDIRECTS[way]}
    flags = given.pop("flags", ())
    code, said = go("play", write(tmp_path, **given), "--yes", *flags)
    assert (code, contacts) == (3, []), said
    assert "the way to h1 is not the inventory's" in said


def test_who_logs_in_is_no_other_machine(go: Go, tmp_path: Path, contacts: list[str]) -> None:
    path = write(tmp_path, f"    - {FAULT}\n", hosts="h1")
    flags = ("-u", "admin", "-b", "-e", "ansible_python_interpreter=/usr/bin/python3", "-T", "3")
    code, said = go("play", path, "--yes", *flags)
    assert (code, contacts) == (4, ["h1"]), said


def test_every_fault_has_a_name_that_says_so() -> None:
    """Files are looked through for this name before they are read."""
    from remedy.modules import find, names

    faults = {name for name in names() if find(name).fault}
    assert faults
    assert faults == {name for name in names() if name.startswith("fault_")}
