"""`remedy doc` fits the terminal and cuts no word."""

from __future__ import annotations

import pytest

import remedy.cli


def test_a_runbook_tells_what_its_variables_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        remedy.cli.main(["doc", "disk-full"])
    told = " ".join(capsys.readouterr().out.split())
    assert "log_keep: 0 # so many old files of each log stay" in told
    assert "From the inventory, where they are set there: binlog_backed_up_until" in told


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
