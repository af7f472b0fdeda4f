"""What a user reads when a playbook cannot be run: a file in bad/ is one mistake and its whole error.

A fixture has sections that begin with `=== NAME`: files of a project, and last the error. play.yml is loaded.
"""

import re
from pathlib import Path

import pytest

from remedy.errors import InputError
from remedy.playbook import load
from remedy.project import Project

FIXTURES = sorted((Path(__file__).parent / "bad").glob("*.txt"))


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.stem)
def test_error_text(fixture, tmp_path):
    parts = re.split(r"^=== (.+)\n", fixture.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    files = dict(zip(parts[::2], parts[1::2], strict=True))
    expected = files.pop("error").rstrip("\n")
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    project = Project(tmp_path, library=tmp_path / "library")

    with pytest.raises(InputError) as caught:
        load(tmp_path / "play.yml", project=project)

    assert str(caught.value).replace(f"{tmp_path}/", "").replace(str(tmp_path), ".") == expected
    assert caught.value.exit_code == 5


def test_there_are_fixtures():
    assert len(FIXTURES) > 50
