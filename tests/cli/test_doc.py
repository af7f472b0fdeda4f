"""`remedy doc` fits the terminal and cuts no word."""

from __future__ import annotations

from pathlib import Path

import pytest

import remedy.cli


def test_a_runbook_tells_what_its_variables_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        remedy.cli.main(["doc", "disk-full"])
    told = " ".join(capsys.readouterr().out.split())
    assert "log_keep: 0 # so many old files of each log stay" in told
    assert "From the inventory, where they are set there: binlog_backed_up_until" in told


def test_the_list_says_what_each_runbook_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "mine.yml").write_text("- name: Mine\n  hosts: all\n  tasks: [{debug: {msg: hello}}]\n")
    (tmp_path / "playbooks" / "broken.yml").write_text("- name: [\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        remedy.cli.main(["doc"])
    told = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "disk-full A file system is full" in lines
    assert "mine Mine" in lines
    assert any(line.startswith("broken (cannot be read: ") for line in lines)
    order = [told.index(word) for word in ("Modules:", "old_files", "Faults, for drills:", "fault_logs")]
    assert order == sorted(order)


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("name", [[], ["service"], ["old_files"]])
def test_lines_wrap_at_words(
    name: list[str], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def words(width: int) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit):
            remedy.cli.main(["doc", *name])
        return capsys.readouterr().out

    told = words(columns).partition("Examples:")[0]
    assert told.split() == words(110).partition("Examples:")[0].split()
    assert max(map(len, told.splitlines())) <= columns
