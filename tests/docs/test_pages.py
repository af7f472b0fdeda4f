"""What the documentation lists is what remedy has."""

from __future__ import annotations

import json
import re

import pytest
from scripts.module_pages import FOLDER, pages

from remedy.errors import REASONS
from remedy.modules import names
from remedy.modules.registry import _ANSIBLE, _aliases
from remedy.playbook.keywords import _NOT_YET
from remedy.report import JsonReport
from tests.docs.reading import ROOT

DOCS = ROOT / "docs"
PAGES = pages()
# What Ansible lists as a module and is a keyword here: read by the parser, refused by its name, or both.
_KEYWORDS = {"include_tasks", "import_tasks", "include_role", "import_role", "import_playbook"}


def _between(page: str, start: str, end: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    return text[text.index(start) : text.index(end, text.index(start) + len(start))]


def _coded(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_a_module_is_current(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], "write the pages anew: make docs"


def test_no_page_tells_of_a_module_that_is_gone():
    assert {page.name for page in FOLDER.iterdir()} == set(PAGES)


def test_the_changelog_names_every_module():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert set(names()) <= _coded(text)


def test_ansibles_modules_that_are_missing_are_listed():
    listed = _coded(_between("ansible.md", "**Modules**", "\n\n"))
    assert listed == set(_ANSIBLE.split()) - set(names()) - set(_aliases()) - _KEYWORDS


def test_ansibles_keywords_that_are_missing_are_listed():
    listed = _coded(_between("ansible.md", "**Keywords**", "and `with_*`"))
    assert listed == set(_NOT_YET)


def test_every_reason_is_listed_with_its_meaning():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (DOCS / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == REASONS


def test_the_report_is_described_key_by_key():
    example = json.loads((DOCS / "examples" / "report.json").read_text(encoding="utf-8"))
    text = (DOCS / "report.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(example) - {"schema"} == set(sections)
    for name, described in sections.items():
        held = example[name]
        entries = held if isinstance(held, list) else list(held.values()) if name == "hosts" else [held]
        keys = {key for entry in entries for key in entry}
        assert keys, name
        assert keys <= _coded(described), name


def test_the_example_of_a_report_has_the_keys_of_today():
    example = json.loads((DOCS / "examples" / "report.json").read_text(encoding="utf-8"))
    today = JsonReport().document()
    assert list(example) == list(today)
    assert list(example["run"]) == list(today["run"])
