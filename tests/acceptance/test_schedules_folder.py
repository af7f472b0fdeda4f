"""The folder of the schedules: what lies in it that is none, and what happens where it cannot be read or written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.cli import LOCAL, Scene
from tests.acceptance.test_schedules import LOOK

NIGHTLY = "playbook: look\nwhen: daily at 02:00\n"


@pytest.fixture
def here(scene: Scene) -> Scene:
    """A project with one schedule."""
    scene.write({"inventory/hosts.yml": LOCAL, "playbooks/look.yml": LOOK, "schedules/nightly.yml": NIGHTLY})
    return scene


def _as_anybody(scene: Scene, words: str) -> tuple[int, str]:
    """Run remedy in a process for which modes of files count, also where it is root's; return its code and words."""
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*plain, sys.executable, "-m", "remedy.cli", *words.split()],
        cwd=scene.folder,
        env={**os.environ, "REMEDY_STATE": str(scene.folder / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_file_with_the_other_ending_is_told_by_list_and_by_who_asks_for_it(here: Scene) -> None:
    here.write({"schedules/logs.yaml": NIGHTLY})
    listed = here.run("schedule list")
    assert listed.code == 5
    assert "logs.yaml is not read: name it logs.yml\n" in listed.out
    assert "nightly  diagnose" in listed.out
    documents = json.loads(here.run("schedule list --format json").out)
    assert [each["name"] for each in documents] == ["nightly", "logs"]
    shown = here.run("schedule show logs")
    assert (shown.code, "logs.yaml is not read: name it logs.yml\n  looked in" in shown.err) == (5, True)


def test_a_name_that_no_schedule_may_have_is_not_what_was_meant(here: Scene) -> None:
    here.write({"schedules/Nightly.yml": NIGHTLY})
    done = here.run("schedule show Nightly")
    assert done.code == 5
    assert "schedules/Nightly.yml: 'Nightly' cannot name a schedule\n  expected a name such as" in done.err
    assert "no schedule 'nigthly'\n  did you mean 'nightly'?" in here.run("schedule show nigthly").err


def test_a_link_that_leads_nowhere_is_told_and_not_written_through(here: Scene, tmp_path: Path) -> None:
    away = tmp_path / "away.yml"
    (here.folder / "schedules" / "linked.yml").symlink_to(away)
    (here.folder / "schedules" / ".#nightly.yml").symlink_to("somebody@desk.1")  # as an editor locks a file
    listed = here.run("schedule list")
    assert listed.code == 5
    assert "linked.yml: cannot be read: No such file or directory" in listed.out
    assert "#nightly" not in listed.out
    added = here.run("schedule add linked --playbook look --when @daily")
    assert (added.code, "there is a schedule 'linked'" in added.err) == (5, True)
    assert not away.exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_stands_in_the_folders_place_is_not_an_empty_one(scene: Scene, tmp_path: Path, kind: str) -> None:
    scene.write({"inventory/hosts.yml": LOCAL, "playbooks/look.yml": LOOK})
    folder = scene.folder / "schedules"
    if kind == "link":
        folder.symlink_to(tmp_path / "not-mounted")
    else:
        folder.write_text("")
    for words in ("list", "show nightly", "add nightly --playbook look --when @daily", "run nightly --due now"):
        done = scene.run(f"schedule {words}")
        assert done.code == 5, words
        assert "schedules: the schedules cannot be read: No" in done.err, words
    assert not (tmp_path / "not-mounted").exists()


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(here: Scene) -> None:
    folder = here.folder / "schedules"
    folder.chmod(0)
    try:
        for words in ("list", "show nightly", "add nightly", "pause nightly", "remove nightly"):
            code, told = _as_anybody(here, f"schedule {words}")
            assert (code, "the schedules cannot be read: Permission denied\n  expected" in told) == (5, True), told
        code, told = _as_anybody(here, "schedule run nightly --due now")
        assert (code, "nightly: what is due does not run: its file cannot be used\n" in told) == (5, True), told
    finally:
        folder.chmod(0o755)
    # The turn that can read it knows why nothing ran.
    (left,) = (here.folder / "state" / "schedules").glob("nightly-*.broken")
    assert "the schedules cannot be read: Permission denied" in left.read_text()


@pytest.mark.parametrize("words", ["pause nightly", "remove nightly", "add other --playbook look --when @daily"])
def test_a_folder_that_cannot_be_written_is_bad_input_and_nothing_is_lost(
    here: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    here.run("schedule export nightly --systemd --user --install")
    units = sorted((tmp_path / "config/systemd/user").iterdir())
    assert len(units) == 2
    folder = here.folder / "schedules"
    folder.chmod(0o555)
    try:
        code, told = _as_anybody(here, f"schedule {words}")
    finally:
        folder.chmod(0o755)
    assert code == 5, told
    assert ".yml: the file cannot be " in told
    assert "expected a folder that you may write to; nothing was changed" in told
    assert [path.name for path in folder.iterdir()] == ["nightly.yml"]
    assert (folder / "nightly.yml").read_text() == NIGHTLY
    assert all(path.exists() for path in units), "its timer goes on"


def test_an_empty_limit_is_not_all_hosts(here: Scene) -> None:
    done = here.run("schedule add other --playbook look --when @daily --limit ''")
    assert (done.code, "other.yml:2:8: 'limit' is the text ''" in done.err) == (5, True)
    assert not (here.folder / "schedules" / "other.yml").exists()
