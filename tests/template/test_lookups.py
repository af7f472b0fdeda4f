"""Lookups: files and programs of the control machine; what they give is data."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remedy.document import Text
from remedy.errors import InputError
from remedy.secret import Secrets
from remedy.template import Layer, Scope, Templar, Vault, encrypt


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "templates").mkdir()
    (tmp_path / "files" / "motd").write_text("hello {{ name }}\n")
    (tmp_path / "notes").write_text("  note\n")
    (tmp_path / "templates" / "t.j2").write_text("hi {{ name }} {{ extra | default('') }}\n")
    return tmp_path


@pytest.fixture
def ask(project: Path) -> Callable[[str], Any]:
    templar = Templar(Secrets())
    scope = templar.scope([Layer("vars", {"playbook_dir": str(project), "name": "ann"})])
    return lambda template: templar.render(Text(template), scope)


def test_file_is_found_beside_the_playbook_and_is_data(ask: Callable[[str], Any]) -> None:
    assert ask("{{ lookup('file', 'motd') }}") == "hello {{ name }}"
    assert ask("{{ lookup('file', 'notes', lstrip=True) }}") == "note"
    assert ask("{{ lookup('file', 'notes', rstrip=False) }}") == "  note\n"


def test_template_is_rendered_with_the_variables(ask: Callable[[str], Any]) -> None:
    assert ask("{{ lookup('template', 't.j2', template_vars={'extra': '{{ x }}'}) }}") == "hi ann {{ x }}\n"


def test_fileglob_and_first_found(ask: Callable[[str], Any], project: Path) -> None:
    assert ask("{{ query('fileglob', 'mo*') }}") == [str(project / "files" / "motd")]
    assert ask("{{ query('fileglob', 'none*') }}") == []
    assert ask("{{ lookup('first_found', ['none', 'notes']) }}") == str(project / "notes")
    assert ask("{{ query('first_found', files=['motd'], paths=['files']) }}") == [
        str(project / "files" / "motd")
    ]
    assert ask("{{ query('first_found', {'files': 'none', 'skip': true}) }}") == []


def test_a_missing_file_says_where_it_was_looked_for(ask: Callable[[str], Any], project: Path) -> None:
    with pytest.raises(InputError) as caught:
        ask("{{ lookup('file', 'none') }}")
    assert f"lookup file: there is no file 'none'; looked in {project}/files, {project}" in str(caught.value)


def test_a_failed_program_says_how(ask: Callable[[str], Any]) -> None:
    with pytest.raises(InputError, match="'echo no >&2; exit 3' ended with exit status 3: no"):
        ask("{{ lookup('pipe', 'echo no >&2; exit 3') }}")


def test_a_program_that_does_not_end_is_ended(
    ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remedy.template.lookups.files.DEADLINE", 0.2)
    with pytest.raises(InputError, match=r"did not end within 0\.2 s"):
        ask("{{ lookup('pipe', 'exec sleep 60') }}")


def test_errors_may_warn_or_be_ignored(project: Path) -> None:
    warned: list[str] = []
    templar = Templar(Secrets(), warn=warned.append)
    scope = templar.scope([Layer("vars", {"playbook_dir": str(project)})])
    assert templar.render(Text("{{ query('file', 'none', errors='ignore') }}"), scope) == []
    assert warned == []
    assert (
        templar.render(Text("{{ lookup('file', 'none', errors='warn') | default('d', true) }}"), scope) == "d"
    )
    assert "there is no file 'none'" in warned[0]


def test_env(ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMEDY_TEST", "{{ x }}")
    monkeypatch.delenv("REMEDY_NONE", raising=False)
    assert ask("{{ lookup('env', 'REMEDY_TEST') }}") == "{{ x }}"
    assert ask("{{ lookup('env', 'REMEDY_NONE') }}") == ""
    assert ask("{{ lookup('env', 'REMEDY_NONE', default='d') }}") == "d"


def test_a_vaulted_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(encrypt(b"inside\n", b"pw"))
    templar = Templar(Secrets(), Vault([("", b"pw")]))
    scope = templar.scope([Layer("vars", {"playbook_dir": str(tmp_path)})])
    assert templar.render(Text("{{ lookup('file', 'secret') }}"), scope) == "inside"


def test_now_is_naive_as_in_ansible(ask: Callable[[str], Any]) -> None:
    before = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    found = ask("{{ now(utc=true) }}")
    assert isinstance(found, datetime.datetime)
    assert datetime.timedelta(0) <= found - before < datetime.timedelta(minutes=1)
    assert ask("{{ now(fmt='%Y') | int > 2000 }}") is True


def test_the_engine_may_ask_for_what_stands_behind_with(
    templar: Templar, scope_of: Callable[..., Scope]
) -> None:
    assert templar.lookup("dict", [{"a": 1}], scope_of()) == [{"key": "a", "value": 1}]
    assert templar.lookup("items", [[1, 2], 3], scope_of()) == [1, 2, 3]
    assert templar.lookup("sequence", ["start=0 end=4 stride=2"], scope_of()) == ["0", "2", "4"]


@pytest.mark.parametrize("terms", ["end=3 count=2", "start=1", "end=99999999", "end=3 step=1"])
def test_a_sequence_that_is_none(terms: str, templar: Templar, scope_of: Callable[..., Scope]) -> None:
    with pytest.raises(InputError, match="lookup sequence"):
        templar.lookup("sequence", [terms], scope_of())
