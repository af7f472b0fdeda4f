"""What the documentation shows can be typed: commands, playbooks, inventories and links."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

import click
import pytest

from remedy.cli import cli
from remedy.cli.asking import extra_vars
from remedy.document import Map, load_yaml
from remedy.drill.file import load_drill
from remedy.errors import Position
from remedy.inventory import load as load_inventory
from remedy.lab.spec import read_specs
from remedy.modules import find
from remedy.notify import Targets
from remedy.playbook import load as load_playbook
from remedy.project import Project
from remedy.schedule import load_schedule, vet
from remedy.secret import Secrets
from tests.docs import reading

COMMANDS = list(reading.commands())
BLOCKS = list(reading.blocks("yaml"))
LINKS = list(reading.links())
_FIRST_LINE = re.compile(r"^# (\S+\.yml)$", re.MULTILINE)
# Words that stand for something in running text.
_STANDS_FOR = ("NAME", "RUN", "ID", "TARGET")


def _words(line: str) -> list[str]:
    """Return what the shell would hand to remedy: without comments, pipes and redirections."""
    words = shlex.split(line, comments=True)[1:]
    ends = [words.index(sign) for sign in ("|", ">", "&&", ";") if sign in words]
    return words[: min(ends, default=len(words))]


def _parsed(words: list[str]) -> click.Context | None:
    """Parse a command line as remedy does, and stop before it runs; None where it only names a command."""
    command: click.Command | None = cli
    context = click.Context(cli, info_name="remedy")
    name: str | None = "remedy"
    while isinstance(command, click.Group) and words:
        context = click.Context(command, parent=context, info_name=name)
        name, command, words = command.resolve_command(context, words)
    assert command is not None
    return command.make_context(name, words, parent=context) if words else None


def test_there_is_something_to_check():
    assert len(COMMANDS) > 30
    assert len(BLOCKS) > 15
    assert len(LINKS) > 30


@pytest.mark.parametrize("command", COMMANDS, ids=lambda piece: f"{piece.place} {piece.text}")
def test_a_command_can_be_typed(command):
    words = _words(command.text)
    if words in (["--version"], ["--help"]):
        return
    context = _parsed(words)
    if context is None:
        return
    named = context.params.get("playbook")
    if named is None and context.info_name == "doc":
        named = context.params.get("name")
    if named is None or named in _STANDS_FOR or named.endswith(".yml"):
        return
    known = {found.name for found in Project.find(reading.ROOT).playbooks()}
    files = [name for block in BLOCKS for name in _FIRST_LINE.findall(block.text)]
    shown = {name.rpartition("/")[2].removesuffix(".yml") for name in files}
    if named not in known | shown:
        find(named)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda piece: piece.place)
def test_an_example_can_be_used(block, tmp_path, monkeypatch):
    named = _FIRST_LINE.match(block.text)
    file = tmp_path / (named[1] if named else "playbooks/example.yml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text, encoding="utf-8")
    if file.name == "lab.yml":
        assert read_specs(file)
    elif file.parent.name == "drills":
        assert load_drill(file, project=Project.find(tmp_path)).expect
    elif file.parent.name == "schedules":
        vet(load_schedule(file, project=Project(tmp_path)), datetime(2026, 11, 29, tzinfo=UTC))
    elif file.parent.name == "inventory":
        assert load_inventory([str(file)], root=tmp_path).hosts
    elif file.name == "remedy.yml":
        assert Project.find(tmp_path).settings
    elif file.name == "notifications.yml":
        monkeypatch.setenv("ONCALL_URL", "json://127.0.0.1/oncall")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        (tmp_path / "audit").write_text("json://127.0.0.1/audit\n")
        known = Targets(tmp_path, None, Secrets())
        assert all(known.get(name, Position("a test")).kinds for name in known.names)
        assert known.names
    elif named and file.parent == tmp_path:  # variables, for -e @FILE
        assert extra_vars([f"@{file}"], None)
    else:
        _check_playbook(block.text, file, Project(tmp_path))


def _check_playbook(text, file, project):
    document = load_yaml(text, str(file))
    if not any(isinstance(node, Map) and "hosts" in node for node in document):
        # Tasks: they stand in a play, those that raise a finding in its diagnose.
        indented = "".join(f"    {line}" for line in text.splitlines(keepends=True))
        file.write_text(f"- hosts: all\n  tasks:\n{indented}", encoding="utf-8")
    assert load_playbook(file, project=project).plays


@pytest.mark.parametrize("link", LINKS, ids=lambda piece: f"{piece.place} {piece.text}")
def test_a_link_leads_somewhere(link):
    path, _, anchor = link.text.partition("#")
    target = (link.page.parent / path).resolve() if path else link.page
    assert target.exists()
    if anchor:
        assert anchor in reading.anchors(target)


def test_no_page_names_this_machine():
    for page in [*reading.PAGES, *reading.ROOT.glob("docs/examples/*"), *reading.ROOT.glob("docs/images/*")]:
        assert str(reading.ROOT) not in page.read_text(encoding="utf-8"), page
