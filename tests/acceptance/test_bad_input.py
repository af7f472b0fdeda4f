"""Bad input: exit code 5, one error that says where and what was expected, nothing on standard output, no contact.

A fixture in bad/ is one mistake in a project in which all else is well: `=== run` has the command line, then come the
files that differ, `(gone)` marks one that is missing, and `=== error` is all that the user reads.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remedy.template.vault import encrypt
from tests.acceptance.cli import Scene, sections

FIXTURES = sorted((Path(__file__).parent / "bad").glob("*.txt"))
TASKS = "- hosts: web\n  gather_facts: false\n  tasks:\n"
UNDEFINED = TASKS + '    - debug: {msg: "{{ nobody }}"}\n'


def refused(scene: Scene, command: str, error: str) -> None:
    done = scene.run(command)
    assert done.err == error
    assert (done.code, done.out) == (5, "")
    assert not scene.listener.contacted()
    assert not list(scene.folder.glob("state/runs/*")), "a run that never began left a journal"


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_error_text(fixture: Path, scene: Scene) -> None:
    parts = sections(fixture)
    command, error = parts.pop("run").strip(), parts.pop("error")
    for name in [name for name in parts if name.endswith(" (gone)")]:
        del parts[name]
        (scene.folder / name.removesuffix(" (gone)")).unlink()
    scene.write(parts)
    refused(scene, command, error)


def test_there_are_fixtures() -> None:
    assert len(FIXTURES) > 120


def test_a_path_that_leads_nowhere(scene: Scene) -> None:
    done = scene.run("play ./nosuch.yml")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith("error: no playbook './nosuch.yml'\n  valid here: ")
    assert done.err.endswith("  looked in playbooks, PACKAGE/playbooks\n")


def test_bytes_that_are_not_utf8(scene: Scene) -> None:
    scene.write({"playbooks/site.yml": b"- hosts: web\n  name: caf\xe9\n"})
    error = "error: playbooks/site.yml:2:12: byte 0xe9 at offset 24 is not UTF-8\n"
    hint = "  expected a text file in UTF-8; convert it, for example with: iconv -f latin1 -t utf-8\n"
    refused(scene, "play site", error + hint)


def test_a_control_character(scene: Scene) -> None:
    scene.write({"playbooks/site.yml": b"- hosts: web\n  name: a\x00b\n"})
    error = "error: playbooks/site.yml:2:10: the character U+0000 is not allowed in YAML\n"
    hint = '  expected printable text; write it as an escape in double quotes: "\\u0000"\n'
    refused(scene, "play site", error + hint)


def test_a_wrong_vault_password(scene: Scene) -> None:
    scene.write({"inventory/group_vars/web.yml": encrypt(b"a: 1\n", b"right"), "key": "wrong\n"})
    error = "error: inventory/group_vars/web.yml:1: no password fits: the password is wrong, or the value is damaged\n"
    refused(scene, "play site --vault-password-file key", error + "  tried: default\n")


def test_an_error_does_not_show_what_the_vault_holds(scene: Scene) -> None:
    secret = encrypt(b"hunter2hunter2", b"right").decode().replace("\n", "\n  ")
    scene.write(
        {
            "inventory/group_vars/web.yml": f"secret: !vault |\n  {secret}\n",
            "playbooks/site.yml": TASKS + '    - wait_for: {port: "{{ secret }}"}\n',
            "key": "right\n",
        }
    )
    error = "error: playbooks/site.yml:4:24, host web1: 'port' of 'wait_for' is '********'\n"
    refused(scene, "play site --vault-password-file key", error + "  it must be a whole number\n")


def test_json_tells_programs_what_was_wrong(scene: Scene) -> None:
    scene.write({"playbooks/site.yml": UNDEFINED})
    for command in (
        "play site --format json",
        "play site --format=json --check",
        "diagnose site --format json",
    ):
        done = scene.run(command)
        document = json.loads(done.out)
        assert done.code == 5
        assert document["schema"] == "remedy.report/1"
        run = document["run"]
        assert (run["outcome"], run["exit_code"], run["id"]) == ("bad_input", 5, None)
        assert done.err.startswith("error: playbooks/site.yml")
        assert done.err.rstrip("\n").endswith(run["error"].replace(f"{scene.folder}/", ""))
        assert (document["hosts"], document["findings"]) == ({}, [])
        assert (document["changes"], document["tasks"]) == ([], [])
    assert not scene.listener.contacted()


def test_json_tells_of_a_wrong_flag(scene: Scene) -> None:
    done = scene.run("play site --format json --chek")
    assert json.loads(done.out)["run"]["error"].startswith("No such option '--chek'")
    assert done.code == 5


def test_a_tag_that_no_task_has_is_told(scene: Scene) -> None:
    scene.write({"playbooks/site.yml": TASKS + "    - ping:\n      tags: [logs]\n"})
    done = scene.run("play site --tags lgos --list-tasks")
    assert done.err == "warning: no task has the tag 'lgos'; did you mean 'logs'?\n"
    assert done.code == 0


def test_no_command_shows_the_help(scene: Scene) -> None:
    done = scene.run("")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith("Usage: remedy [OPTIONS]")
    assert "Commands:\n  play" in done.err


def test_the_inventory_shows_what_cannot_be_rendered_yet(scene: Scene) -> None:
    secret = encrypt(b"hunter2hunter2", b"right").decode().replace("\n", "\n  ")
    scene.write(
        {"inventory/group_vars/web.yml": f"home: '{{{{ ansible_env.HOME }}}}'\nkey: !vault |\n  {secret}\n"}
    )
    done = scene.run("inventory --host web1")
    assert done.code == 0
    assert "home: '{{ ansible_env.HOME }}'  (the variable 'ansible_env' is undefined)\n" in done.out
    assert "key: (encrypted: the value is encrypted, and no vault password was given)\n" in done.out
    assert "inventory_hostname: 'web1'\n" in done.out
    assert scene.run("inventory --host web1 --why home").out.endswith(
        "from inventory group_vars, inventory/group_vars/web.yml:1:7\n"
    )
